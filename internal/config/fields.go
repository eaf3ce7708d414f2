package config

import (
	"reflect"
	"strings"
	"time"
)

// field is one key of a section: where it is in its Go struct and what its tags say.
type field struct {
	key    string // as in files
	path   string // with the sections it is in, dotted
	index  []int  // for reflect.Value.FieldByIndex
	typ    reflect.Type
	doc    string
	flag   string // of `berth agent`
	rflag  string // of `berth registrator`
	secret bool
	reload bool
	inert  string // why the key has no effect; "": it has
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secondsType  = reflect.TypeFor[Seconds]()
	millisType   = reflect.TypeFor[Millis]()
)

// section says whether t is a struct with keys of its own.
func section(t reflect.Type) bool { return t.Kind() == reflect.Struct }

// fieldsOf lists the keys directly in section type t; structs without a key are part of it.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("key")
		if key == "" {
			for _, in := range fieldsOf(f.Type) {
				in.index = append([]int{i}, in.index...)
				fields = append(fields, in)
			}
			continue
		}
		fields = append(fields, field{
			key: key, path: key, index: []int{i}, typ: f.Type, doc: f.Tag.Get("doc"),
			flag: f.Tag.Get("flag"), rflag: f.Tag.Get("rflag"),
			secret: f.Tag.Get("secret") != "", reload: f.Tag.Get("reload") != "",
			inert: f.Tag.Get("inert"),
		})
	}
	return fields
}

// leavesOf lists the keys of t and of the sections in it, with full paths.
func leavesOf(t reflect.Type) []field {
	var leaves []field
	for _, f := range fieldsOf(t) {
		if !section(f.typ) {
			leaves = append(leaves, f)
			continue
		}
		for _, in := range leavesOf(f.typ) {
			in.index = append(append([]int{}, f.index...), in.index...)
			in.path = f.key + "." + in.path
			leaves = append(leaves, in)
		}
	}
	return leaves
}

// plain folds the spellings of a key: BindAddr, bind-addr and bind_addr are the same.
func plain(key string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
}

// find returns the field whose key is spelt key, in any of its spellings.
func find(fields []field, key string) (field, bool) {
	for _, f := range fields {
		if f.key == key {
			return f, true
		}
	}
	for _, f := range fields {
		if plain(f.key) == plain(key) {
			return f, true
		}
	}
	return field{}, false
}

// overlay puts what src sets over dst. Lists are appended to when add is set, else replaced;
// maps are merged.
func overlay(dst, src reflect.Value, add bool) {
	switch dst.Kind() {
	case reflect.Struct:
		for i := range dst.NumField() {
			overlay(dst.Field(i), src.Field(i), add)
		}
	case reflect.Slice:
		if src.Len() == 0 {
			if !src.IsNil() && (!add || dst.IsNil()) {
				dst.Set(src)
			}
			return
		}
		if add {
			src = reflect.AppendSlice(dst.Slice3(0, dst.Len(), dst.Len()), src)
		}
		dst.Set(src)
	case reflect.Map:
		if src.IsNil() {
			return
		}
		merged := reflect.MakeMap(dst.Type())
		for _, m := range []reflect.Value{dst, src} {
			for it := m.MapRange(); it.Next(); {
				merged.SetMapIndex(it.Key(), it.Value())
			}
		}
		dst.Set(merged)
	default:
		if !src.IsZero() {
			dst.Set(src)
		}
	}
}

// put is overlay for whole files.
func put(dst, src *File, add bool) {
	overlay(reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem(), add)
}
