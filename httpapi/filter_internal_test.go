package httpapi

import (
	"testing"

	"github.com/hashicorp/go-bexpr"

	"berth"
)

// What spellOut writes is an expression again and means the same, whatever is in it.
func TestSpellOut_KeepsTheMeaning(t *testing.T) {
	entry := &healthEntry{
		Node:    &node{Node: "a", Meta: map[string]string{"r k": `x"y\`, "Checks": "1"}},
		Service: &nodeService{Service: "web", Tags: []string{"v1"}, Port: 80},
		Checks:  []*berth.Check{{CheckID: "up", Status: "passing", ServiceTags: []string{"q"}}, {CheckID: "down", Status: "critical", Output: "`\"é"}},
	}
	for expr, want := range map[string]bool{
		`Checks.Status == "critical"`:                                                      true,
		`Checks.Status == critical and Checks.CheckID == "up"`:                             true,
		`Checks.Status != "critical"`:                                                      true,
		`not Checks.Status == "critical"`:                                                  false,
		`Checks.Status == "warning" or Service.Port == 80`:                                 true,
		`Checks.Status == "warning" or Service.Port == 81`:                                 false,
		`Checks.Status matches "^crit"`:                                                    true,
		`Checks.Status not matches "."`:                                                    false,
		`Checks.ServiceTags contains "q"`:                                                  true,
		`"q" in Checks.ServiceTags and "z" not in Checks.ServiceTags`:                      true,
		`Checks.ServiceTags not contains "q"`:                                              true,
		`Checks.Output is not empty and Checks.Output is empty`:                            true,
		"Checks.Output == `" + `\x` + "` or Checks.Output == \"\\x60\\x22é\"":              true,
		`Checks.Status == "passing" and Node.Meta["r k"] == "x\x22y\\"`:                    true,
		`Checks.0.Status == "passing" and Checks.1.Status == "passing"`:                    false,
		`(any Checks as c { c.Status == "passing" }) and Checks.CheckID == "down"`:         true,
		`(all Checks as i, c { c.Status != "x" and i != 7 }) and Checks.CheckID == "down"`: true,
		`(any Checks as _, c { c.Status == "x" }) or Checks.CheckID == "none"`:             false,
		`Checks.ServiceTags is nil and Checks.ServiceTags is not nil`:                      true,
		`Checks is not empty and "/Service/Service" == "web"`:                              true,
		`"/Service/Service" == "web" and Checks.Status == "critical"`:                      true,
	} {
		text, err := spellOut(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		eval, err := bexpr.CreateEvaluator(text)
		if err != nil {
			t.Errorf("%s became %s: %v", expr, text, err)
			continue
		}
		if got, err := eval.Evaluate(entry); err != nil || got != want {
			t.Errorf("%s became %s: got %v %v, want %v", expr, text, got, err, want)
		}
	}
}
