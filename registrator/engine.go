package registrator

//lint:file-ignore SA1019 engines and Podman of before API 1.22 still say it the old way

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// errGone: the engine says that there is no such container.
var errGone = errors.New("no such container")

// dialFunc opens a connection to the engine.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// engine is one connection's worth of engine client. A new one is made at each reconnect, so
// that the API version is negotiated again with what may be another version of the daemon.
type engine struct {
	cli    *client.Client
	date   atomic.Int64 // Date header of the last answer, unix seconds
	detail bool         // keep the library's inspect object for templates
	podman atomic.Bool
}

type dateKeeper struct {
	next http.RoundTripper
	e    *engine
}

func (d dateKeeper) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.next.RoundTrip(req)
	if err == nil {
		if t, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
			d.e.date.Store(t.Unix())
		}
	}
	return resp, err
}

// newEngine prepares a client; nothing is sent yet.
func newEngine(ep engineEndpoint, dial dialFunc, detail bool) (*engine, error) {
	tr := &http.Transport{MaxIdleConns: 16, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	if ep.tls != nil {
		conf, err := ep.tls.load()
		if err != nil {
			return nil, err
		}
		tr.TLSClientConfig = conf
	}
	hc := &http.Client{Transport: tr, CheckRedirect: client.CheckRedirect}
	opts := []client.Opt{client.WithHTTPClient(hc), client.WithHost(ep.host)}
	if ep.apiVersion != "" {
		opts = append(opts, client.WithVersion(ep.apiVersion))
	}
	cli, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker endpoint %q (from %s): %w", ep.host, ep.from, err)
	}
	switch {
	case dial != nil:
		tr.DialContext = dial
	case strings.HasPrefix(ep.host, "tcp:"):
		tr.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	e := &engine{cli: cli, detail: detail}
	hc.Transport = dateKeeper{tr, e} // in place of the library's tracing wrapper
	return e, nil
}

// Clients makes clients for the engine that a Registrator with cfg talks to, for whoever wants
// something else of it. They connect when they are used.
func Clients(cfg Config) func() (*client.Client, error) {
	cfg.complete()
	return func() (*client.Client, error) {
		ep, err := findEngine(&cfg)
		if err != nil {
			return nil, err
		}
		e, err := newEngine(ep, nil, false)
		if err != nil {
			return nil, err
		}
		return e.cli, client.WithAPIVersionNegotiation()(e.cli)
	}
}

func (e *engine) close() { _ = e.cli.Close() }

// negotiate pings and settles the API version for the life of this client.
func (e *engine) negotiate(ctx context.Context) error {
	p, err := e.cli.Ping(ctx)
	if err != nil {
		return err
	}
	e.cli.NegotiateAPIVersionPing(p)
	return nil
}

func (e *engine) ping(ctx context.Context) error {
	_, err := e.cli.Ping(ctx)
	return err
}

// info tells who the engine is. A proxy that denies /info or /version costs details only.
func (e *engine) info(ctx context.Context) (engineInfo, error) {
	out := engineInfo{api: e.cli.ClientVersion()}
	if d := e.date.Load(); d > 0 {
		out.clock = time.Unix(d, 0)
	}
	inf, err := e.cli.Info(ctx)
	switch {
	case err == nil:
		out.id, out.version = inf.ID, inf.ServerVersion
		if t, perr := time.Parse(time.RFC3339Nano, inf.SystemTime); perr == nil {
			out.clock = t
		}
		for _, o := range inf.SecurityOptions {
			out.rootless = out.rootless || strings.Contains(o, "name=rootless")
		}
		out.swarm = inf.Swarm.LocalNodeState == "active"
	case client.IsErrConnectionFailed(err) || ctx.Err() != nil:
		return out, err
	}
	ver, err := e.cli.ServerVersion(ctx)
	if err != nil {
		if client.IsErrConnectionFailed(err) || ctx.Err() != nil {
			return out, err
		}
		return out, nil
	}
	out.version = ver.Version
	for _, c := range ver.Components {
		out.podman = out.podman || strings.Contains(strings.ToLower(c.Name), "podman")
	}
	e.podman.Store(out.podman)
	return out, nil
}

// list returns the running containers, paused and restarting ones among them.
func (e *engine) list(ctx context.Context) ([]listed, error) {
	sums, err := e.cli.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		return nil, err
	}
	now := time.Unix(e.date.Load(), 0)
	out := make([]listed, 0, len(sums))
	for i := range sums {
		l := toListed(&sums[i])
		if up, ok := maxUptime(sums[i].Status); ok && e.date.Load() > 0 {
			l.startedAfter = now.Add(-up)
		}
		out = append(out, l)
	}
	return out, nil
}

// maxUptime is the longest time that "Up 3 minutes" can mean.
func maxUptime(status string) (time.Duration, bool) {
	text, ok := strings.CutPrefix(status, "Up ")
	f := strings.Fields(text)
	if !ok || len(f) < 2 {
		return 0, false
	}
	n, err := strconv.Atoi(f[0])
	unit := f[1]
	if err != nil { // Less than a second, About a minute, About an hour
		if len(f) < 3 {
			return 0, false
		}
		n, unit = 1, f[2]
	}
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 168 * time.Hour}} {
		if strings.HasPrefix(unit, u.name) {
			return time.Duration(n+1) * u.d, true
		}
	}
	return 0, false
}

func toListed(s *container.Summary) listed {
	l := listed{id: s.ID, state: s.State}
	if len(s.Names) > 0 {
		l.name = strings.TrimPrefix(s.Names[0], "/")
	}
	var parts []string
	for _, p := range s.Ports {
		parts = append(parts, fmt.Sprintf("%s:%d>%d/%s", p.IP, p.PublicPort, p.PrivatePort, p.Type))
	}
	if s.NetworkSettings != nil {
		for n, ep := range s.NetworkSettings.Networks {
			if ep != nil {
				parts = append(parts, n+"="+ep.IPAddress+","+ep.GlobalIPv6Address)
			}
		}
	}
	for k, v := range s.Labels {
		parts = append(parts, k+"="+v)
	}
	sort.Strings(parts)
	health := ""
	if _, after, ok := strings.Cut(s.Status, "("); ok && s.State == "running" {
		health = after
	}
	l.key = strings.Join(append([]string{s.State, l.name, health}, parts...), "\x00")
	return l
}

// saysGone tells whether the engine knows no such container. A 404 that does not speak of the
// container comes from something in between; Podman answers 500 while a container is being removed.
func saysGone(err error) bool {
	text := strings.ToLower(err.Error())
	return client.IsErrNotFound(err) && strings.Contains(text, "no such container") || strings.HasSuffix(text, "no such container")
}

// inspect returns the container, or errGone. ref is an ID or a name.
func (e *engine) inspect(ctx context.Context, ref string) (*inspected, error) {
	in, err := e.cli.ContainerInspect(ctx, ref)
	if err != nil {
		if saysGone(err) {
			return nil, errGone
		}
		return nil, err
	}
	c, err := toContainer(&in)
	if err != nil {
		return nil, err
	}
	if isBareImage(c.image) && c.imageID != "" {
		if img, ierr := e.cli.ImageInspect(ctx, c.imageID); ierr == nil && len(img.RepoTags) > 0 {
			c.repoTag = img.RepoTags[0]
		}
	}
	if e.detail {
		c.detail = &in
	}
	return c, nil
}

func toContainer(in *container.InspectResponse) (*inspected, error) {
	if in.ContainerJSONBase == nil || in.ID == "" || in.State == nil || in.Config == nil {
		return nil, errors.New("engine sent an incomplete container description")
	}
	c := &inspected{
		id: in.ID, name: strings.TrimPrefix(in.Name, "/"), image: in.Config.Image, imageID: in.Image,
		hostname: in.Config.Hostname, env: serviceVariables(in.Config.Env), labels: in.Config.Labels,
		stopSignal: in.Config.StopSignal, stopTimeout: -1,
		wanted: map[portProto][]binding{}, ports: map[portProto][]binding{},
	}
	if in.Config.StopTimeout != nil {
		c.stopTimeout = *in.Config.StopTimeout
	}
	for p := range in.Config.ExposedPorts {
		if pp, err := parsePortProto(string(p)); err == nil {
			c.exposed = append(c.exposed, pp)
		}
	}
	sort.Slice(c.exposed, func(i, j int) bool { return c.exposed[i].less(c.exposed[j]) })
	if in.HostConfig != nil {
		c.networkMode = string(in.HostConfig.NetworkMode)
		c.policy = string(in.HostConfig.RestartPolicy.Name)
		for p, bs := range in.HostConfig.PortBindings {
			if pp, err := parsePortProto(string(p)); err == nil {
				c.wanted[pp] = []binding{}
				for _, b := range bs {
					c.wanted[pp] = append(c.wanted[pp], toBinding(b.HostIP, b.HostPort))
				}
			}
		}
	}
	c.state = toState(in.State)
	if in.NetworkSettings != nil {
		for p, bs := range in.NetworkSettings.Ports {
			if pp, err := parsePortProto(string(p)); err == nil {
				c.ports[pp] = nil
				for _, b := range bs {
					if tb := toBinding(b.HostIP, b.HostPort); tb.port > 0 {
						c.ports[pp] = append(c.ports[pp], tb)
					}
				}
			}
		}
		for name, ep := range in.NetworkSettings.Networks {
			if ep == nil {
				continue
			}
			c.networks = append(c.networks, endpoint{name: name, id: ep.NetworkID, ip4: parseAddr(ep.IPAddress),
				ip6: parseAddr(ep.GlobalIPv6Address), priority: ep.GwPriority})
		}
		sort.Slice(c.networks, func(i, j int) bool { return c.networks[i].name < c.networks[j].name })
	}
	return c, nil
}

// serviceVariables are those that are read; the others are nobody's business here.
func serviceVariables(env []string) []string {
	var out []string
	for _, v := range env {
		if strings.HasPrefix(v, keyPrefix) {
			out = append(out, v)
		}
	}
	return out
}

func toBinding(ip, port string) binding {
	n, _ := strconv.ParseUint(port, 10, 16) // "" and junk are 0, which is left out
	return binding{ip: parseAddr(ip), port: int(n)}
}

func parseAddr(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

func toState(s *container.State) containerState {
	out := containerState{status: s.Status, running: s.Running, paused: s.Paused, restarting: s.Restarting,
		dead: s.Dead, oom: s.OOMKilled, exitCode: s.ExitCode, pid: s.Pid, startedText: s.StartedAt}
	out.started, _ = time.Parse(time.RFC3339Nano, s.StartedAt)
	out.finished, _ = time.Parse(time.RFC3339Nano, s.FinishedAt)
	if s.Health != nil && s.Health.Status != "none" {
		out.health = s.Health.Status
		if n := len(s.Health.Log); n > 0 && s.Health.Log[n-1] != nil {
			out.healthOutput = s.Health.Log[n-1].Output
		}
	}
	return out
}

// watched are the actions asked for; the exec_* events of health probes stay out, which would
// fill the engine's ring.
var watchedActions = []string{"start", "die", "destroy", "kill", "stop", "restart", "pause", "unpause", "oom", "rename",
	"update", "health_status", "connect", "disconnect", "remove", "reload"}

// events streams until it ends, and returns why. ready is called once the engine has answered.
func (e *engine) events(ctx context.Context, since time.Time, ready func(), put func(event)) error {
	opts := events.ListOptions{Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())}
	if !e.podman.Load() { // Podman before 4.4 names "die" otherwise in filters
		args := filters.NewArgs()
		for _, t := range []string{"container", "network", "daemon"} {
			args.Add("type", t)
		}
		for _, a := range watchedActions {
			args.Add("event", a)
		}
		opts.Filters = args
	}
	msgs, errs := e.cli.Events(ctx, opts)
	ready()
	for {
		select {
		case m := <-msgs:
			put(toEvent(&m))
		case err := <-errs:
			return err
		}
	}
}

func toEvent(m *events.Message) event {
	ev := event{kind: string(m.Type), action: string(m.Action), id: m.Actor.ID, attrs: m.Actor.Attributes, at: m.TimeNano}
	if ev.action == "" {
		ev.action = m.Status //nolint:staticcheck // Podman's older dialect has only this one
	}
	if ev.id == "" {
		ev.id = m.ID //nolint:staticcheck // likewise
	}
	if ev.at == 0 {
		ev.at = m.Time * int64(time.Second)
	}
	return ev
}

// engineEndpoint says where an engine is and who said so.
type engineEndpoint struct {
	host       string
	from       string
	apiVersion string
	tls        *tlsFiles
}

// tlsFiles are paths; empty ones are not used.
type tlsFiles struct {
	ca, cert, key string
	skipVerify    bool
}

func (f *tlsFiles) load() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.skipVerify} //nolint:gosec // asked for by the user
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("docker TLS: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("docker TLS: %s holds no PEM certificate", f.ca)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("docker TLS: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// contextMeta is the part of a docker CLI context's meta.json that is needed.
type contextMeta struct {
	Name      string
	Endpoints map[string]struct {
		Host          string
		SkipTLSVerify bool
	}
}

func readContext(dir, id string) (contextMeta, error) {
	var m contextMeta
	b, err := os.ReadFile(filepath.Join(dir, "contexts", "meta", id, "meta.json"))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(b, &m)
}
