package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setScalar reads text as v's type: the one way in for files, environment and flags.
func setScalar(v reflect.Value, text string) error {
	switch v.Type() {
	case durationType:
		return setDuration(v, text, 0)
	case secondsType:
		return setDuration(v, text, time.Second)
	case millisType:
		return setDuration(v, text, time.Millisecond)
	}
	switch v.Kind() {
	case reflect.Pointer:
		n := reflect.New(v.Type().Elem())
		if err := setScalar(n.Elem(), text); err != nil {
			return err
		}
		v.Set(n)
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := parseBool(text)
		if err != nil {
			return err
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || n != n {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	default:
		return fmt.Errorf("a single value cannot stand here")
	}
	return nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is not true or false", text)
}

// setDuration reads a Go duration; a bare number counts units, and is refused when unit is 0
// unless it is 0.
func setDuration(v reflect.Value, text string, unit time.Duration) error {
	if n, err := strconv.Atoi(text); err == nil {
		if unit == 0 && n != 0 {
			return fmt.Errorf("%q has no unit: write for example \"%ss\"", text, text)
		}
		d := time.Duration(n) * max(unit, 1)
		if n != 0 && d/time.Duration(n) != max(unit, 1) {
			return fmt.Errorf("%q is too long a time", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"10s\" or \"5m\"", text)
	}
	v.SetInt(int64(d))
	return nil
}

// setText reads text into v where v may also be a list (comma-separated) or a map (k=v or k:v,
// comma-separated): environment and flags.
func setText(v reflect.Value, text string, separator string) error {
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.String {
			return fmt.Errorf("this can only be set in a configuration file")
		}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				v.Set(reflect.Append(v, reflect.ValueOf(part)))
			}
		}
		return nil
	case reflect.Map:
		return setPairs(v, text, separator)
	}
	return setScalar(v, text)
}

func setPairs(v reflect.Value, text, separator string) error {
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		if err := setPair(v, part, separator); err != nil {
			return err
		}
	}
	return nil
}

// setPair puts one pair into map v; any character of separator ends the key.
func setPair(v reflect.Value, text, separator string) error {
	elem := v.Type().Elem()
	if elem.Kind() != reflect.String && elem != durationType {
		return fmt.Errorf("this can only be set in a configuration file")
	}
	i := strings.IndexAny(text, separator)
	if i < 1 {
		return fmt.Errorf("%q is not a pair like key%cvalue", text, separator[0])
	}
	value := reflect.New(elem).Elem()
	if err := setScalar(value, text[i+1:]); err != nil {
		return err
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	v.SetMapIndex(reflect.ValueOf(strings.TrimSpace(text[:i])), value)
	return nil
}
