package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/store"
)

// TestMain lets the test binary be a server process that a test kills, see TestStore_KillMinus9.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BERTH_TEST_SERVER"); dir != "" {
		serveAndWrite(dir)
		return
	}
	code := m.Run()
	if left := testutil.Leaked(10*time.Second, ours); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left after all stores were closed:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// ours tells whether a goroutine runs code of this module or of raft. serf and memberlist do not let
// themselves be waited for, and raft leaves futures unanswered that are under way when it ends (raftNode.wait).
func ours(stack string) bool {
	return (strings.Contains(stack, "berth/") || strings.Contains(stack, "hashicorp/raft")) && !strings.Contains(stack, "raftNode).wait.func1")
}

// serveAndWrite runs a server that writes keys and prints each when it has been acknowledged.
func serveAndWrite(dir string) {
	cfg := store.Config{Logger: (&logs{}).logger(), NodeName: "n1", DataDir: dir, Server: true, BootstrapExpect: 1, Net: store.NetConfig{BindAddr: "127.0.0.1"}}
	s, err := store.New(cfg)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go s.Run(context.Background())
	var mu sync.Mutex
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d/%d", w, i)
				if err := put(s, key); err != nil {
					continue
				}
				mu.Lock()
				fmt.Println("acked", key)
				mu.Unlock()
			}
		}()
	}
	select {}
}

func TestStore_KillMinus9_LosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BERTH_TEST_SERVER="+dir)
	out, err := cmd.StdoutPipe()
	testutil.NoError(t, err)
	testutil.NoError(t, cmd.Start())
	var acked []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if key, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
			acked = append(acked, key)
		} else {
			t.Log(lines.Text())
		}
		if len(acked) == 2000 {
			testutil.NoError(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	s, _ := run(t, serverConfig(t, dir))
	waitLeader(t, s)
	testutil.NoError(t, put(s, "back"))
	for _, key := range acked {
		if e, _, err := s.KVGet(context.Background(), key, berth.QueryOptions{}); err != nil || e == nil {
			t.Fatalf("acknowledged key %q of %d is lost: %v", key, len(acked), err)
		}
	}
	t.Logf("%d acknowledged writes are there", len(acked))
}

// BenchmarkStore_KVApply and BenchmarkStore_Register run 64 writers on one durable server.
func BenchmarkStore_KVApply(b *testing.B) {
	benchmarkWrites(b, func(s *store.Store, n int64) error {
		_, err := s.KVApply(context.Background(), berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: fmt.Sprint("k", n%1000), Value: []byte(fmt.Sprint(n))}})
		return err
	})
}

func BenchmarkStore_Register(b *testing.B) {
	benchmarkWrites(b, func(s *store.Store, n int64) error {
		return s.Register(context.Background(), &berth.Registration{
			Node: fmt.Sprint("host", n%100), Address: "10.0.0.1", Service: &berth.ServiceInstance{ID: fmt.Sprint("web", n%1000), Name: "web", Port: int(n%60000) + 1},
		})
	})
}

func benchmarkWrites(b *testing.B, write func(*store.Store, int64) error) {
	cfg := store.Config{Logger: (&logs{}).logger(), NodeName: "n1", DataDir: b.TempDir(), Server: true, BootstrapExpect: 1, Net: store.NetConfig{BindAddr: "127.0.0.1"}}
	s, _ := run(b, cfg)
	waitLeader(b, s)
	var n atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for {
				i := n.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := write(s, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "writes/s")
}
