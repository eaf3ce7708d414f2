package command_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/command"
)

func samples() []command.Command {
	def := berth.CheckTarget{HTTP: "http://x", Header: map[string][]string{"A": {"b"}}, Interval: 10}
	return []command.Command{
		&command.Catalog{Now: 1, Ops: []berth.CatalogOp{
			{Register: &berth.Registration{ID: "id", Node: "n", Address: "10.0.0.1", Datacenter: "dc1", TaggedAddresses: map[string]string{"lan": "x"},
				NodeMeta: map[string]string{"k": "v"}, SkipNodeUpdate: true,
				Service: &berth.ServiceInstance{Node: "n", Kind: "k", ID: "s", Name: "web", Tags: []string{"a"}, Address: "10.0.0.2",
					TaggedAddresses: map[string]berth.ServiceAddress{"lan": {Address: "a", Port: 1}}, Meta: map[string]string{"m": "n"}, Port: 80,
					SocketPath: "/s", Weights: &berth.Weights{Passing: 0, Warning: 2}, EnableTagOverride: true, CreateIndex: 1, ModifyIndex: 2},
				Check: &berth.Check{Node: "n", CheckID: "c", Name: "cc", Status: "passing", Notes: "no", Output: "out", ServiceID: "s", ServiceName: "web",
					ServiceTags: []string{"a"}, Type: "http", Interval: "10s", Timeout: "1s", ExposedPort: 9, Definition: def, CreateIndex: 3, ModifyIndex: 4},
				Checks: []*berth.Check{{CheckID: "d"}}}},
			{Deregister: &berth.Deregistration{Node: "n", ServiceID: "s", CheckID: "c", Owner: "o", Datacenter: "dc1", Address: "a"}},
			{},
		}},
		&command.KV{Now: 2, Op: berth.KVOp{Verb: berth.KVCAS, Entry: berth.KVEntry{LockIndex: 1, Key: "k", Flags: 1 << 63, Value: []byte{0, 255}, Session: "s", CreateIndex: 3, ModifyIndex: 4}}},
		&command.Session{Now: 3, Verb: command.VerbCreate, Session: berth.Session{ID: "s", Name: "n", Node: "n", LockDelay: 5, Behavior: "delete", TTL: "10s",
			NodeChecks: []string{"a"}, ServiceChecks: []berth.SessionServiceCheck{{ID: "b"}}}},
		&command.Txn{Now: 4, Ops: []berth.TxnOp{
			{KV: &berth.KVOp{Verb: "set", Entry: berth.KVEntry{Key: "k", Value: []byte("v")}}},
			{Node: &berth.TxnNodeOp{Verb: "get", Node: berth.Node{ID: "i", Name: "n"}}},
			{Service: &berth.TxnServiceOp{Verb: "set", Node: "n", Service: berth.ServiceInstance{Name: "s"}}},
			{Check: &berth.TxnCheckOp{Verb: "set", Check: berth.Check{Node: "n", Definition: def}}},
			{Session: &berth.TxnSessionOp{Verb: "delete", Session: berth.Session{ID: "s"}}},
		}},
		&command.Reap{Now: 5, Index: 6},
		&command.Coordinates{Updates: []berth.NodeCoordinate{{Node: "n", Segment: "s", Coord: &berth.Coordinate{Vec: []float64{1.5, -2}, Error: 1, Adjustment: 2, Height: 3}}}},
		&command.Query{Verb: command.VerbUpdate, Query: berth.PreparedQuery{ID: "q", Name: "n", Service: berth.ServiceQuery{Service: "s", Tags: []string{"!x"},
			Failover: berth.QueryFailover{NearestN: 2, Targets: []berth.QueryFailoverTarget{{Datacenter: "dc2"}}}}, DNS: berth.QueryDNSOptions{TTL: "10s"}}},
		&command.Autopilot{CAS: true, Config: berth.AutopilotConfig{CleanupDeadServers: true, LastContactThreshold: 7, MaxTrailingLogs: 8, MinQuorum: 9, ModifyIndex: 10}},
		&command.Batch{Members: [][]byte{{6, 0x80}, {}}},
	}
}

func TestEncodeDecode(t *testing.T) {
	var enc command.Encoder
	var dec command.Decoder
	for _, c := range samples() {
		b, err := enc.Encode(c)
		testutil.NoError(t, err)
		if command.Type(b[0]) != c.Type() {
			t.Errorf("%T has type byte %d", c, b[0])
		}
		got, err := dec.Decode(b)
		testutil.NoError(t, err)
		for i := range b {
			b[i] = 'x' // raft reuses the entry's memory: nothing may point into it
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("got  %+v\nwant %+v", got, c)
		}
	}
}

// Entries that older versions wrote must mean the same for ever: these are in logs on disk.
func TestDecode_OldEntries(t *testing.T) {
	for entry, want := range map[string]command.Command{
		"02" + "82a34e6f7701a34f70739181a85265676973746572" + "82a44e6f6465a16ea75365727669636582a24944a173a44e616d65a3776562": &command.Catalog{Now: 1,
			Ops: []berth.CatalogOp{{Register: &berth.Registration{Node: "n", Service: &berth.ServiceInstance{ID: "s", Name: "web"}}}}},
		"03" + "83a34e6f7702a456657262a3736574a5456e74727982a34b6579a16ba556616c7565c40176": &command.KV{Now: 2,
			Op: berth.KVOp{Verb: "set", Entry: berth.KVEntry{Key: "k", Value: []byte("v")}}},
		"06" + "82a34e6f7705a5496e64657806": &command.Reap{Now: 5, Index: 6},
		"01" + "81a74d656d6265727391c40106": &command.Batch{Members: [][]byte{{6}}},
		// A member of a later version is skipped.
		"06" + "83a34e6f7705a55374756666a178a5496e64657806": &command.Reap{Now: 5, Index: 6},
	} {
		b, err := hex.DecodeString(entry)
		testutil.NoError(t, err)
		got, err := command.Decode(b)
		testutil.NoError(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", entry, got, want)
		}
	}
	numbers := []command.Type{command.TypeBatch, command.TypeCatalog, command.TypeKV, command.TypeSession, command.TypeTxn,
		command.TypeReap, command.TypeCoordinates, command.TypeQuery, command.TypeAutopilot}
	for i, n := range numbers {
		if int(n) != i+1 {
			t.Errorf("type %d has moved to %d", i+1, n)
		}
	}
}

func TestDecode_Errors(t *testing.T) {
	if _, err := command.Decode([]byte{0xc1, 1}); !errors.Is(err, command.ErrIgnorable) {
		t.Errorf("ignorable type: %v", err)
	}
	if _, err := command.Decode([]byte{0x41, 1}); !errors.Is(err, command.ErrUnknown) || !strings.Contains(err.Error(), "newer version of berth") {
		t.Errorf("unknown type: %v", err)
	}
	b, err := command.Encode(&command.Reap{Index: 1})
	testutil.NoError(t, err)
	for what, entry := range map[string][]byte{"nothing": nil, "type only": b[:1], "cut": b[:len(b)-1], "something behind": append(b, 0), "a number": {6, 1}} {
		if c, err := command.Decode(entry); err == nil {
			t.Errorf("%s: got %+v", what, c)
		}
	}
}

// FuzzDecode wants an error or a command that means the same when it is written again.
func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		b, err := command.Encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{2, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := command.Decode(b)
		if err != nil {
			return
		}
		again, err := command.Encode(c)
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		got, err := command.Decode(again)
		if err != nil {
			t.Fatalf("encoded but not decoded: %v", err)
		}
		third, err := command.Encode(got)
		if err != nil || len(third) != len(again) {
			t.Fatalf("it means something else now: %v, %x, %x", err, again, third)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	c := &command.Catalog{Now: 1, Ops: []berth.CatalogOp{{Register: &berth.Registration{
		Node: "node1", Address: "10.0.0.1", ID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
		Service: &berth.ServiceInstance{ID: "web-1", Name: "web", Tags: []string{"a", "b"}, Port: 80, Meta: map[string]string{"berth-owner": "x/y/z", "berth-source": "docker"}},
		Checks:  []*berth.Check{{CheckID: "c1", Name: "web", Status: "passing", ServiceID: "web-1", Output: "ok"}}}}}}
	var enc command.Encoder
	var dec command.Decoder
	entry, err := enc.Encode(c)
	testutil.NoError(b, err)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = enc.Encode(c)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = dec.Decode(entry)
		}
	})
}
