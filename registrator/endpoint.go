package registrator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// findEngine decides which engine to talk to: the setting, DOCKER_HOST, DOCKER_CONTEXT, the
// CLI's current context, then the first socket that exists. It is asked at each reconnect,
// since a socket may appear later.
func findEngine(cfg *Config) (engineEndpoint, error) {
	ep := engineEndpoint{apiVersion: cfg.Getenv("DOCKER_API_VERSION")}
	if cfg.Engine != "" {
		return hostEndpoint(cfg, ep, cfg.Engine, "configuration")
	}
	if h := cfg.Getenv("DOCKER_HOST"); h != "" {
		return hostEndpoint(cfg, ep, h, "DOCKER_HOST")
	}
	name, from := cfg.Getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		name, from = currentContext(cfg), "current docker context"
	}
	if name != "" && name != "default" {
		return contextEndpoint(cfg, ep, name, from)
	}
	socks := sockets(cfg)
	for _, s := range socks {
		if fi, err := os.Stat(s); err == nil && fi.Mode()&os.ModeSocket != 0 {
			return hostEndpoint(cfg, ep, "unix://"+s, "socket found")
		}
	}
	return hostEndpoint(cfg, ep, "unix://"+socks[0], "default")
}

func sockets(cfg *Config) []string {
	out := []string{"/var/run/docker.sock", "/tmp/docker.sock"}
	run := cfg.Getenv("XDG_RUNTIME_DIR")
	if run != "" {
		out = append(out, filepath.Join(run, "docker.sock"))
	}
	out = append(out, "/run/podman/podman.sock")
	if run != "" {
		out = append(out, filepath.Join(run, "podman", "podman.sock"))
	}
	return out
}

// hostEndpoint checks host and adds TLS as the docker CLI would.
func hostEndpoint(cfg *Config, ep engineEndpoint, host, from string) (engineEndpoint, error) {
	if strings.HasPrefix(host, "/") {
		host = "unix://" + host
	}
	ep.host, ep.from = host, from
	scheme, _, found := strings.Cut(host, "://")
	if !found {
		return ep, fmt.Errorf("docker endpoint %q (from %s): want unix:///path or tcp://host:port", host, from)
	}
	switch scheme {
	case "unix", "npipe":
		return ep, nil
	case "tcp", "http", "https":
	case "ssh":
		return ep, fmt.Errorf("docker endpoint %q (from %s): ssh is not supported, forward the socket (ssh -L) and name that", host, from)
	default:
		return ep, fmt.Errorf("docker endpoint %q (from %s): scheme %q is not supported, use unix:// or tcp://", host, from, scheme)
	}
	t := cfg.EngineTLS
	certPath := cfg.Getenv("DOCKER_CERT_PATH")
	verify := cfg.Getenv("DOCKER_TLS_VERIFY") != ""
	if certPath == "" && verify {
		certPath = dockerConfigDir(cfg)
	}
	switch {
	case t.CA != "" || t.Cert != "" || t.Key != "" || t.SkipVerify:
		ep.tls = &tlsFiles{ca: t.CA, cert: t.Cert, key: t.Key, skipVerify: t.SkipVerify}
	case certPath != "":
		ep.tls = &tlsFiles{ca: filepath.Join(certPath, "ca.pem"), cert: filepath.Join(certPath, "cert.pem"),
			key: filepath.Join(certPath, "key.pem"), skipVerify: !verify}
	case scheme == "https":
		ep.tls = &tlsFiles{}
	}
	return ep, nil
}

func dockerConfigDir(cfg *Config) string {
	if d := cfg.Getenv("DOCKER_CONFIG"); d != "" {
		return d
	}
	if h := cfg.Getenv("HOME"); h != "" {
		return filepath.Join(h, ".docker")
	}
	return ""
}

func currentContext(cfg *Config) string {
	b, err := os.ReadFile(filepath.Join(dockerConfigDir(cfg), "config.json"))
	if err != nil {
		return ""
	}
	var f struct {
		CurrentContext string `json:"currentContext"`
	}
	if json.Unmarshal(b, &f) != nil {
		return ""
	}
	return f.CurrentContext
}

func contextID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// contextEndpoint reads a context of the docker CLI; its folder is named by the name's hash.
func contextEndpoint(cfg *Config, ep engineEndpoint, name, from string) (engineEndpoint, error) {
	id := contextID(name)
	dir := dockerConfigDir(cfg)
	m, err := readContext(dir, id)
	if err != nil {
		return ep, fmt.Errorf("docker context %q (from %s): %w", name, from, err)
	}
	d, ok := m.Endpoints["docker"]
	if !ok || d.Host == "" {
		return ep, fmt.Errorf("docker context %q (from %s) names no docker endpoint", name, from)
	}
	ep, err = hostEndpoint(cfg, ep, d.Host, "docker context "+name)
	if err != nil {
		return ep, err
	}
	tlsDir := filepath.Join(dir, "contexts", "tls", id, "docker")
	if _, serr := os.Stat(tlsDir); serr == nil && ep.tls == nil {
		ep.tls = &tlsFiles{skipVerify: d.SkipTLSVerify, ca: ifExists(tlsDir, "ca.pem"),
			cert: ifExists(tlsDir, "cert.pem"), key: ifExists(tlsDir, "key.pem")}
	}
	return ep, nil
}

func ifExists(dir, name string) string {
	p := filepath.Join(dir, name)
	if _, err := os.Stat(p); err != nil {
		return ""
	}
	return p
}
