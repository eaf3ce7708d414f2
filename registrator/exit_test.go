package registrator

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestExitIsSeenAtOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() //nolint:errcheck // it is killed
	defer cmd.Process.Kill()
	if f := openExit(cmd.Process.Pid, "another container's"); f != nil {
		t.Fatal("a process that is not the container's is watched")
	}
	var files []*os.File
	ended := make(chan bool, 2)
	for range 2 {
		f := openExit(cmd.Process.Pid, "")
		if f == nil {
			t.Skip("this kernel has no pidfd")
		}
		files = append(files, f)
		go func() { ended <- waitExit(f) }()
	}
	files[0].Close()
	if <-ended {
		t.Error("a closed watch says that the process ended")
	}
	select {
	case <-ended:
		t.Fatal("the end is told before it came")
	case <-time.After(20 * time.Millisecond):
	}
	cmd.Process.Kill()
	select {
	case ok := <-ended:
		if !ok {
			t.Error("the end is not told")
		}
	case <-time.After(5 * time.Second):
		t.Error("the end is not seen")
	}
	files[1].Close()
	if f := openExit(-1, ""); f != nil {
		t.Error("no process is watched")
	}
}
