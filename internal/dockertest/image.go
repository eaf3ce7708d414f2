package dockertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// webapp is an archive of the image's one file, made once.
var webapp = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "berth-webapp-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "webapp")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "berth/test/webapp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build webapp: %w\n%s", err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	if err := t.WriteHeader(&tar.Header{Name: "webapp", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := t.Write(program); err != nil {
		return nil, err
	}
	return b.Bytes(), t.Close()
})

// importImage gives the engine Image. An import needs no container, which a build does.
func (e *Engine) importImage() {
	e.t.Helper()
	archive, err := webapp()
	if err != nil {
		e.t.Fatal(err)
	}
	cmd := exec.Command("docker", "-H", e.Host(), "import", "-c", `ENTRYPOINT ["/webapp"]`, "-c", `CMD ["8080"]`, "-", Image)
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		e.t.Fatalf("docker import: %v\n%s", err, out)
	}
}
