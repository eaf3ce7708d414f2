package httpapi

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/go-bexpr"

	"berth"
)

// maxFilterSteps bounds the work of parsing an expression, and with it its memory.
const maxFilterSteps = 200_000

// filter selects elements of type T by a boolean expression over their members. A nil filter
// takes everything.
type filter[T any] struct {
	eval *bexpr.Evaluator
}

// newFilter reads the request's filter parameter. An expression that cannot be parsed, or that
// names a member T does not have, is refused before anything is read.
func newFilter[T any](c *call) (*filter[T], error) {
	expr := c.form.Get("filter")
	if expr == "" {
		return nil, nil
	}
	expr, err := spellOut(expr)
	if err != nil {
		return nil, filterError(err)
	}
	eval, err := bexpr.CreateEvaluator(expr, bexpr.WithMaxExpressions(maxFilterSteps))
	if err != nil {
		return nil, filterError(err)
	}
	f := &filter[T]{eval: eval}
	if _, err := f.match(sample[T]()); err != nil {
		return nil, err
	}
	return f, nil
}

// sample is an empty T whose pointers to objects lead to empty ones.
func sample[T any]() *T {
	v := new(T)
	for _, field := range reflect.ValueOf(v).Elem().Fields() {
		if t := field.Type(); t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
			field.Set(reflect.New(t.Elem()))
		}
	}
	return v
}

func filterError(err error) error {
	return berth.Invalid(fmt.Sprintf("Failed to create boolean expression evaluator: %v", err))
}

func (f *filter[T]) match(v *T) (bool, error) {
	if f == nil {
		return true, nil
	}
	ok, err := f.eval.Evaluate(v)
	if err != nil {
		return false, filterError(err)
	}
	return ok, nil
}

// apply keeps the matching elements; items is not changed and the result is never nil.
func (f *filter[T]) apply(items []*T) ([]*T, error) {
	if f == nil {
		return list(items), nil
	}
	kept := make([]*T, 0, len(items))
	for _, v := range items {
		ok, err := f.match(v)
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, v)
		}
	}
	return kept, nil
}
