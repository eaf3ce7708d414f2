package httpapi

import (
	"encoding/json"
	"testing"
	"time"

	"berth"
)

func sameJSON(t *testing.T, e *berth.HealthEntry) {
	t.Helper()
	want, err := json.Marshal([]*healthEntry{newHealthEntry(e)})
	if err != nil {
		t.Fatal(err)
	}
	if got := healthList([]*berth.HealthEntry{e}).appendJSON(nil); string(got) != string(want) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// What appendJSON writes is what encoding/json writes.
func TestHealthList_IsTheSameJSON(t *testing.T) {
	sameJSON(t, &berth.HealthEntry{Node: &berth.Node{}, Service: &berth.ServiceInstance{}})
	sameJSON(t, &berth.HealthEntry{
		Node: &berth.Node{ID: "i", Name: "n", Address: "a", Datacenter: "d", TaggedAddresses: map[string]string{"wan": "1", "lan": "2"},
			Meta: map[string]string{}, CreateIndex: 1, ModifyIndex: 1<<64 - 1},
		Service: &berth.ServiceInstance{Kind: "k", ID: "i", Name: "n", Tags: []string{"b", "a"}, Address: "x", Port: 80, SocketPath: "/s",
			TaggedAddresses: map[string]berth.ServiceAddress{"lan": {Address: "1", Port: 2}}, Meta: map[string]string{"a": "<&>"},
			Weights: &berth.Weights{Passing: 2, Warning: 3}, EnableTagOverride: true, CreateIndex: 5, ModifyIndex: 6},
		Checks: []*berth.Check{{Node: "n", CheckID: "c", Name: "c", Status: "passing", Notes: "\u2028", Output: "a\n\x00\"\\\xff", ServiceID: "i", ServiceName: "n",
			ServiceTags: []string{"t"}, Type: "http", Interval: "10s", Timeout: "1s", ExposedPort: 7,
			Definition: berth.CheckTarget{HTTP: "http://x/?a&b", Header: map[string][]string{"A": {"b"}}, Interval: berth.Duration(time.Second)}, CreateIndex: 8}, {}},
	})
}

func FuzzHealthList(f *testing.F) {
	f.Add("plain", "ünï\u2029", "\x7f\x1f")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sameJSON(t, &berth.HealthEntry{
			Node:    &berth.Node{Name: a, Meta: map[string]string{b: c, a: b, c: a}},
			Service: &berth.ServiceInstance{Name: b, Tags: []string{a, c}, Meta: map[string]string{c: b}},
			Checks:  []*berth.Check{{Output: c, Name: a, ServiceTags: []string{b}}},
		})
	})
}
