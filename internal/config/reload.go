package config

import (
	"reflect"
)

// NeedsRestart lists the keys whose values differ between c and next and which a reload does
// not apply.
func (c *Config) NeedsRestart(next *Config) []string {
	if c.file == nil || next.file == nil {
		return nil
	}
	var keys []string
	old, now := reflect.ValueOf(c.file).Elem(), reflect.ValueOf(next.file).Elem()
	for _, f := range leavesOf(reflect.TypeFor[File]()) {
		if !f.reload && !reflect.DeepEqual(old.FieldByIndex(f.index).Interface(), now.FieldByIndex(f.index).Interface()) {
			keys = append(keys, f.path)
		}
	}
	return keys
}
