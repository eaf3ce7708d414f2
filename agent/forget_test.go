package agent

import (
	"testing"
	"testing/synctest"

	"berth"
	"berth/internal/testutil"
)

func TestAgent_Heed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := newAgent(t, testConfig(f))
		defer start(t, a)()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w1", "e/c/1"), owned("w2", "e/c/2")}))
		testutil.NoError(t, a.Replace("config", []berth.ServiceDefinition{{ID: "db", Name: "db"}}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "db w1 w2")
		a.Heed([]berth.Forgotten{
			{ServiceID: "w1", Owner: "e/c/1"},
			{ServiceID: "w2", Owner: "e/c/0"}, // of the container before this one
			{ServiceID: "w2"},                 // of what the API had there
			{ServiceID: "none"},
			{ServiceID: "db"},
		})
		synctest.Wait()
		a.Sync(true)
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w2")
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w1", "e/c/9"), owned("w2", "e/c/2")}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w1 w2") // the container was started anew
	})
}

// TestAgent_Heed_BeforeDockerHasSpoken: the word reaches an agent that has just been restarted.
func TestAgent_Heed_BeforeDockerHasSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := testConfig(f)
		cfg.DataDir = t.TempDir()
		a := newAgent(t, cfg)
		stop := start(t, a)
		a.Heed([]berth.Forgotten{{ServiceID: "w1", Owner: "e/c/1"}})
		stop()
		a = newAgent(t, cfg) // and once more, for it is saved
		defer start(t, a)()
		testutil.NoError(t, a.Replace("docker", []berth.ServiceDefinition{owned("w1", "e/c/1"), owned("w2", "e/c/1")}))
		synctest.Wait()
		testutil.Equal(t, f.ids(), "w2")
	})
}
