package hostdns

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"

	"golang.org/x/net/dns/dnsmessage"
)

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Fatalf("%q is missing in:\n%s", p, text)
		}
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), parts...)
}

func TestInstall_AndBack(t *testing.T) {
	b := newBench(t)
	reloads := 0
	b.Reload = func(context.Context) error { reloads++; return nil }
	testutil.NoError(t, b.install(Options{Services: []string{"gone", "web"}}))
	testutil.Equal(t, b.read(resolvConf), "# Written by `berth host install`. `berth host uninstall` puts the former file back.\n"+
		"nameserver 127.0.0.1\nsearch service.consul corp.example\noptions timeout:2 attempts:2 edns0\n")
	testutil.Equal(t, upstreamsBelow(b.Root, "/etc/resolv.conf"), b.path(upstreamsFile))
	testutil.Equal(t, upstreamsBelow(b.Root, "/other"), "/other")
	contains(t, b.read(upstreamsFile), "nameserver 10.9.9.9\n")
	contains(t, b.said(), "getaddrinfo web: 10.0.0.2", "getaddrinfo example.com.: 192.0.2.1", "-options edns0 rotate")
	testutil.Equal(t, reloads, 1)

	testutil.NoError(t, b.install(Options{}))
	contains(t, b.said(), "installed already")
	wantError(t, b.install(Options{Mode: NetworkManager}), "uninstall")

	b.dns.set(func(f *fakeDNS) { f.fail = dnsmessage.RCodeServerFailure }) // a dead agent
	b.Reload = func(context.Context) error { return errors.New("connection refused") }
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
	testutil.Equal(t, b.read(resolvConf), corporate)
	b.gone(stateFile)
	b.gone(upstreamsFile)
	testutil.Equal(t, upstreamsBelow(b.Root, "/etc/resolv.conf"), "/etc/resolv.conf")
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
}

// TestInstall_NothingTouched: what goes wrong before the first change leaves the host alone.
func TestInstall_NothingTouched(t *testing.T) {
	for _, x := range []struct {
		name  string
		o     Options
		setup func(b *bench)
		want  []string
	}{
		{"unknown mode", Options{Mode: "bogus"}, nil, []string{"unknown mode", "resolvconf-file"}},
		{"search", Options{Search: "middle"}, nil, []string{"first, last or none"}},
		{"domain", Options{Domain: "a b"}, nil, []string{"not a domain name"}},
		{"test name", Options{TestName: "web"}, nil, []string{"full domain name"}},
		{"link without resolved", Options{Link: true, Mode: ResolvConf}, nil, []string{"--mode resolved"}},
		{"no root", Options{}, func(b *bench) { b.UID = func() int { return 1000 } }, []string{"needs root", "sudo"}},
		{"no agent", Options{}, func(b *bench) { b.Port = 9 }, []string{"no answer from berth at 127.0.0.1:9", "start the agent"}},
		{"no leader yet", Options{}, func(b *bench) { b.dns.set(func(f *fakeDNS) { f.fail = dnsmessage.RCodeServerFailure }) }, []string{"not ready", "consul.service.consul: SERVFAIL"}},
		{"external name fails", Options{}, func(b *bench) { b.dns.set(func(f *fakeDNS) { delete(f.names, "example.com") }) }, []string{"external name example.com: no such name"}},
		{"no resolvectl", Options{Mode: Resolved}, func(b *bench) { b.runner.missing = []string{"systemctl"} }, []string{"needs systemctl"}},
		{"broken daemon.json", Options{Mode: Docker, Bridge: testBridge}, func(b *bench) { b.write(daemonJSON, "{,}") }, []string{"daemon.json", "not valid JSON"}},
		{"no docker0", Options{Docker: true}, nil, []string{"no docker0", "--docker-address"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t)
			if x.setup != nil {
				x.setup(b)
			}
			wantError(t, b.install(x.o), x.want...)
			testutil.Equal(t, b.read(resolvConf), corporate)
			b.gone(stateFile)
			b.gone(upstreamsFile)
			testutil.Equal(t, len(b.runner.ran), 0)
		})
	}
}

func TestInstall_NotAgreed(t *testing.T) {
	b := newBench(t)
	asked := ""
	b.Ask = func(q string) bool { asked = q; return false }
	wantError(t, b.Install(t.Context(), Options{}), "nothing was changed")
	testutil.Equal(t, asked, "Apply?")
	testutil.Equal(t, b.read(resolvConf), corporate)
	testutil.NoError(t, b.Install(t.Context(), Options{DryRun: true}))
	testutil.Equal(t, b.read(resolvConf), corporate)
	b.gone(stateFile)
}

// TestInstall_RolledBack: the host does not resolve afterwards, or a step fails.
func TestInstall_RolledBack(t *testing.T) {
	for _, x := range []struct {
		name  string
		o     Options
		setup func(b *bench)
		want  string
		ran   []string
	}{
		{"names do not resolve", Options{}, func(b *bench) {
			works := b.runner.reply["getent ahosts"]
			b.runner.reply["getent ahosts"] = func(argv []string) (string, error) {
				if b.read(resolvConf) == corporate {
					return works(argv)
				}
				return "", errors.New("exit status 2")
			}
		}, "does not resolve", nil},
		{"another domain has the short name", Options{Services: []string{"web"}}, func(b *bench) {
			works := b.runner.reply["getent ahosts"]
			b.runner.reply["getent ahosts"] = func(argv []string) (string, error) {
				if argv[2] == "web" {
					return "192.0.2.9 STREAM web.corp.example\n", nil
				}
				return works(argv)
			}
		}, "the host says 192.0.2.9, berth says 10.0.0.2", nil},
		{"a program fails", Options{Mode: NetworkManager}, func(b *bench) {
			b.runner.reply["systemctl"] = func([]string) (string, error) { return "", errors.New("Failed to connect to bus") }
		}, "Failed to connect to bus", []string{"systemctl reload NetworkManager", "systemctl reload NetworkManager"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t)
			x.setup(b)
			err := b.install(x.o)
			wantError(t, err, x.want, "everything is as before")
			testutil.Equal(t, errors.Is(err, ErrRolledBack), true)
			testutil.Equal(t, b.read(resolvConf), corporate)
			b.gone(stateFile)
			b.gone(upstreamsFile)
			b.gone("/etc/NetworkManager/conf.d/zz-berth.conf")
			testutil.Equal(t, b.runner.ran, x.ran)
		})
	}
}

func TestInstall_Confirm(t *testing.T) {
	b := newBench(t)
	b.Now = nil
	err := b.install(Options{Confirm: 50 * time.Millisecond})
	wantError(t, err, "not confirmed within 50ms", "as before")
	testutil.Equal(t, b.read(resolvConf), corporate)
	wantError(t, b.Confirm(false), "not installed")

	done := make(chan error, 1)
	go func() { done <- b.install(Options{Confirm: 20 * time.Second}) }()
	other := *b.Host // another terminal
	other.Out = new(strings.Builder)
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { return other.Confirm(false) })
	testutil.NoError(t, <-done)
	contains(t, b.said(), "Confirmed.", "Installed")
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
}

// TestInstall_Interrupted: the terminal goes away while it waits.
func TestInstall_Interrupted(t *testing.T) {
	b := newBench(t)
	b.Now = nil
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Install(ctx, Options{Yes: true, Confirm: time.Minute}) }()
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		r, err := b.loadRecord()
		if err == nil && r.Phase != phaseWaiting {
			err = errors.New(r.Phase)
		}
		return err
	})
	cancel(errors.New("hangup"))
	wantError(t, <-done, "hangup", "as before")
	testutil.Equal(t, b.read(resolvConf), corporate)
}

// TestUninstall_AfterACrash: install died between two changes.
func TestUninstall_AfterACrash(t *testing.T) {
	b := newBench(t)
	testutil.NoError(t, b.install(Options{}))
	r, err := b.loadRecord()
	testutil.NoError(t, err)
	r.Phase = phaseApplying
	testutil.NoError(t, b.save(r))
	b.write(resolvConf, corporate) // it had not come to that
	wantError(t, b.install(Options{}), "did not finish", "uninstall")
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
	testutil.Equal(t, b.read(resolvConf), corporate)
	b.gone(stateFile)
}

// TestUninstall_Changed: what others changed since stays, and is shown.
func TestUninstall_Changed(t *testing.T) {
	foreign := "# Generated by NetworkManager\nnameserver 10.8.8.8\n"
	for _, x := range []struct {
		name   string
		change func(b *bench)
		err    string
		says   string
		after  string
		forced string
	}{
		{"edited, still berth", func(b *bench) { b.write(resolvConf, "nameserver 127.0.0.1\n") }, "not put back: /etc/resolv.conf", "-search service.consul", "nameserver 127.0.0.1\n", corporate},
		{"replaced", func(b *bench) { b.write(resolvConf, foreign) }, "", "+nameserver 10.8.8.8", foreign, ""},
		{"a link now", func(b *bench) { b.write("/run/x", foreign); b.link(resolvConf, "/run/x") }, "", "-> /run/x", "", ""},
		{"gone", func(b *bench) { os.Remove(b.path(resolvConf)) }, "", "restored", corporate, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t)
			testutil.NoError(t, b.install(Options{}))
			x.change(b)
			b.said()
			testutil.NoError(t, b.Uninstall(t.Context(), Options{DryRun: true}))
			err := b.Uninstall(t.Context(), Options{})
			contains(t, b.said(), x.says)
			if x.after != "" {
				testutil.Equal(t, b.read(resolvConf), x.after)
			}
			if x.err == "" {
				testutil.NoError(t, err)
				b.gone(stateFile)
				return
			}
			wantError(t, err, x.err, "--force")
			testutil.NoError(t, b.Uninstall(t.Context(), Options{Force: true}))
			testutil.Equal(t, b.read(resolvConf), x.forced)
		})
	}
}

func TestUninstall_Symlink(t *testing.T) {
	b := newBench(t)
	b.write("/run/real", corporate)
	b.link(resolvConf, "../run/real")
	testutil.NoError(t, b.install(Options{Mode: ResolvConfFile}))
	contains(t, b.read(resolvConf), "nameserver 127.0.0.1\nsearch service.consul corp.example\n")
	testutil.Equal(t, b.read("/run/real"), corporate)
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
	target, err := os.Readlink(b.path(resolvConf))
	testutil.NoError(t, err)
	testutil.Equal(t, target, "../run/real")
}

func TestRecord_OfAnotherBerth(t *testing.T) {
	b := newBench(t)
	b.write(stateFile, `{"format_version": 2}`)
	wantError(t, b.install(Options{}), "format 2", "this berth knows 1")
	b.write(stateFile, `{`)
	wantError(t, b.Uninstall(t.Context(), Options{}), "changes[].before.data")
	testutil.Equal(t, b.read(resolvConf), corporate)
}
