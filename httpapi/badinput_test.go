package httpapi_test

import (
	"testing"

	"berth"
	"berth/internal/testutil"
)

// What cannot be meant is refused with what is wrong and what to do, and leaves nothing behind.
func TestBadInput_RefusedAsAWhole(t *testing.T) {
	h := newHarness(t)
	before := h.do("GET", "/v1/catalog/nodes", "").Header().Get("X-Consul-Index")
	for _, c := range []struct{ method, path, body, text string }{
		{"PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"s","Port":-7}}`, `port -7 of service "s" is not between 0 and 65535`},
		{"PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"s","Port":1099511627776}}`, `port 1099511627776`},
		{"PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"s","TaggedAddresses":{"lan":{"Address":"b","Port":70000}}}}`, `tagged address "lan"`},
		{"PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"s","Weights":{"Passing":-1}}}`, `weights of service "s"`},
		{"PUT", "/v1/catalog/register", `{"Node":"a\u0000","Address":"1.1.1.1"}`, `node name "a\x00" contains a zero byte; take it out`},
		{"PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"s"},"Checks":[{"Name":"fine"},{"Name":"c\u0000"}]}`, `check ID "c\x00"`},
		{"PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Check":{"Name":"c","Status":"fine"}}`, "use passing, warning or critical"},
		{"PUT", "/v1/catalog/register", "{\"Node\":\"a\xff\",\"Address\":\"1.1.1.1\"}", "Request decode failed: byte 10 (0xff) is not UTF-8"},
		{"PUT", "/v1/agent/service/register", "{\"Name\":\"a\xff\"}", "is not UTF-8"},
		{"PUT", "/v1/agent/service/register", `{"Name":"s","TaggedAddresses":{"wan":{"Address":"b","Port":-1}}}`, `port -1 of tagged address "wan"`},
		{"PUT", "/v1/session/create", "{\"Name\":\"a\xff\"}", "is not UTF-8"},
		{"PUT", "/v1/txn", "[{\"KV\":{\"Verb\":\"set\",\"Key\":\"a\xff\"}}]", "is not UTF-8"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"YQ=="}},{"KV":{"Verb":"set","Key":"b"},"Node":{"Verb":"get","Node":{"Node":"n1"}}}]`, "operation 1: operation has 2 of KV, Node, Service"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a"}},{"Service":{"Verb":"set","Node":"n1","Service":{"Service":"s","Port":70000}}}]`, `operation 1: port 70000`},
		{"PUT", "/v1/operator/autopilot/configuration", `null`, "the configuration is null"},
		{"PUT", "/v1/operator/autopilot/configuration", `{"LastContactThreshold":"-5s"}`, "must not be negative"},
	} {
		h.want(c.method, c.path, c.body, 400, c.text)
	}
	testutil.Equal(t, h.do("GET", "/v1/catalog/nodes", "").Header().Get("X-Consul-Index"), before)
	h.want("GET", "/v1/kv/a", "", 404, "")
	h.want("GET", "/v1/operator/autopilot/configuration", "", 200, `"LastContactThreshold":"200ms"`)
}

// Output is what some program wrote; a check does not fail for its encoding.
func TestBadInput_OutputOfAnyEncoding(t *testing.T) {
	h := newHarness(t)
	h.want("PUT", "/v1/agent/check/register", `{"Name":"c","TTL":"10s"}`, 200, "")
	h.want("PUT", "/v1/agent/check/update/c", "{\"Status\":\"passing\",\"Output\":\"caf\xe9\"}", 200, "")
	h.want("GET", "/v1/agent/checks", "", 200, `"Status":"`+berth.StatusPassing+`"`)
}
