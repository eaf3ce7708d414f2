package httpapi_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"berth/httpapi/goldentest"
	"berth/internal/testutil"
)

// The recorded exchanges against the real binary, which BERTH_BIN names.
func TestBinary_RecordedExchanges(t *testing.T) {
	bin := os.Getenv("BERTH_BIN")
	if bin == "" {
		t.Skip("BERTH_BIN is not set; `make compat` sets it")
	}
	port := testutil.FreePort(t)
	args := []string{"agent", "-dev", "-node", "n1", "-http-port", fmt.Sprint(port)}
	for _, name := range []string{"-dns-port", "-server-port", "-serf-lan-port", "-serf-wan-port"} {
		args = append(args, name, fmt.Sprint(testutil.FreePort(t)))
	}
	var log bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "no-engine.sock"))
	cmd.Stdout, cmd.Stderr = &log, &log
	testutil.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", log.String())
		}
	})
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	testutil.Eventually(t, 15*time.Second, 20*time.Millisecond, func() error {
		resp, err := http.Get(base + "/v1/health/node/n1?filter=Status==passing")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || !bytes.Contains(body.Bytes(), []byte("serfHealth")) {
			return fmt.Errorf("%s: %s", resp.Status, body.String())
		}
		return nil
	})
	diffs, err := goldentest.Replay(t.Context(), http.DefaultClient, base, "testdata/consul-1.21-http.json")
	testutil.NoError(t, err)
	for _, d := range diffs {
		t.Error(d)
	}
}
