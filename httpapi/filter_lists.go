package httpapi

import (
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr/grammar"
)

// listSelector is a member of health answers that is a list of objects. Consul's clients select
// through it (Checks.Status == "critical"), meaning any element; go-bexpr wants that spelt out.
const listSelector = "Checks"

// element is the name that a spelt-out expression gives the list's elements.
const element = "berth_element"

// spellOut rewrites comparisons through the list as "any" expressions. What is not such a
// comparison keeps its meaning.
func spellOut(expr string) (string, error) {
	if !strings.Contains(expr, listSelector+".") {
		return expr, nil
	}
	tree, err := grammar.Parse("", []byte(expr), grammar.MaxExpressions(maxFilterSteps))
	if err != nil {
		return "", err
	}
	e, ok := tree.(grammar.Expression)
	if !ok {
		return expr, nil
	}
	return printOr(e), nil
}

// The printers below follow go-bexpr's grammar level by level, so that parentheses stand only
// where they are needed: its parser takes exponential time in their depth.

func printOr(e grammar.Expression) string {
	switch e := e.(type) {
	case *grammar.BinaryExpression:
		if e.Operator == grammar.BinaryOpOr {
			return printAnd(e.Left) + " or " + printOr(e.Right)
		}
	case *grammar.CollectionExpression:
		return strings.ToLower(string(e.Op)) + " " + printSelector(e.Selector.Path) + " as " + printBinding(e.NameBinding) + " { " + printOr(e.Inner) + " }"
	case *grammar.MatchExpression:
		if throughList(e.Selector.Path) {
			path := append([]string{element}, e.Selector.Path[1:]...)
			return "any " + listSelector + " as " + element + " { " + printMatch(e, path) + " }"
		}
	}
	return printAnd(e)
}

func printAnd(e grammar.Expression) string {
	if e, ok := e.(*grammar.BinaryExpression); ok && e.Operator == grammar.BinaryOpAnd {
		return printNot(e.Left) + " and " + printAnd(e.Right)
	}
	return printNot(e)
}

func printNot(e grammar.Expression) string {
	switch e := e.(type) {
	case *grammar.UnaryExpression:
		return "not " + printNot(e.Operand)
	case *grammar.MatchExpression:
		if !throughList(e.Selector.Path) {
			return printMatch(e, e.Selector.Path)
		}
	}
	return "(" + printOr(e) + ")"
}

// throughList tells whether a path selects a member of the list's elements, other than of one
// element by its position.
func throughList(path []string) bool {
	if len(path) < 2 || path[0] != listSelector {
		return false
	}
	_, err := strconv.Atoi(path[1])
	return err != nil
}

func printBinding(n grammar.CollectionNameBinding) string {
	switch n.Mode {
	case grammar.CollectionBindIndexAndValue:
		return n.Index + ", " + n.Value
	case grammar.CollectionBindIndex:
		return n.Index + ", _"
	case grammar.CollectionBindValue:
		return "_, " + n.Value
	}
	return n.Default
}

// printSelector writes a path: its first part as it is, the others quoted in brackets.
func printSelector(path []string) string {
	if len(path) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(path[0])
	for _, part := range path[1:] {
		b.WriteString("[" + quote(part) + "]")
	}
	return b.String()
}

// quote writes a string literal; go-bexpr's cannot have a quotation mark, not even an escaped one.
func quote(s string) string {
	q := strconv.Quote(s)
	return `"` + strings.ReplaceAll(q[1:len(q)-1], `\"`, `\x22`) + `"`
}

func printMatch(e *grammar.MatchExpression, path []string) string {
	selector := printSelector(path)
	value := ""
	if e.Value != nil {
		value = quote(e.Value.Raw)
	}
	switch e.Operator {
	case grammar.MatchEqual:
		return selector + " == " + value
	case grammar.MatchNotEqual:
		return selector + " != " + value
	case grammar.MatchIn:
		return value + " in " + selector
	case grammar.MatchNotIn:
		return value + " not in " + selector
	case grammar.MatchContains:
		return selector + " contains " + value
	case grammar.MatchNotContains:
		return selector + " not contains " + value
	case grammar.MatchMatches:
		return selector + " matches " + value
	case grammar.MatchNotMatches:
		return selector + " not matches " + value
	case grammar.MatchIsEmpty:
		return selector + " is empty"
	case grammar.MatchIsNotEmpty:
		return selector + " is not empty"
	case grammar.MatchIsNil:
		return selector + " is nil"
	}
	return selector + " is not nil"
}
