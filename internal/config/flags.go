package config

import (
	"flag"
	"fmt"
	"reflect"
	"strings"
)

// Flags are the flags of `berth agent` and `berth registrator` on a flag set.
type Flags struct {
	src  Sources
	file File
}

// ignoredFlags are flags of Consul's agent that change nothing here.
var ignoredFlags = []struct {
	name   string
	isBool bool
	why    string
}{
	{"grpc-port", false, "there is no gRPC API"},
	{"grpc-tls-port", false, "there is no gRPC API"},
	{"primary-gateway", false, "there are no mesh gateways"},
	{"protocol", false, "the gossip protocol is chosen by the members"},
	{"segment", false, "there are no network segments"},
	{"config-format", false, "the format is seen from the file"},
}

// AgentFlags defines all flags of `berth agent` on fs.
func AgentFlags(fs *flag.FlagSet) *Flags {
	f := new(Flags)
	fs.Var(listValue{&f.src.Files}, "config-file", "configuration file, YAML or JSON; a folder is read like -config-dir; repeatable")
	fs.Var(listValue{&f.src.Dirs}, "config-dir", "folder with *.yaml, *.yml and *.json, read in alphabetical order; repeatable")
	fs.Var(listValue{&f.src.Inline}, "config", "a piece of configuration as YAML or JSON, after all files; repeatable")
	fs.Var(listValue{&f.src.Inline}, "hcl", "the same, under Consul's name; YAML or JSON")
	fs.BoolVar(&f.src.Dev, "dev", false, "one server on the loopback address that keeps nothing")
	for _, k := range leavesOf(reflect.TypeFor[File]()) {
		if k.flag != "" {
			fs.Var(f.value(k), k.flag, k.doc)
		}
		if k.flag == "datacenter" {
			fs.Var(f.value(k), "dc", "same as -datacenter")
		}
		if k.rflag != "" {
			fs.Var(f.value(k), dockerFlag(k.rflag), k.doc)
		}
	}
	for _, i := range ignoredFlags {
		fs.Var(&ignoredValue{flags: f, name: i.name, why: i.why, isBool: i.isBool}, i.name, "accepted and ignored: "+i.why)
	}
	return f
}

// RegistratorFlags defines gliderlabs' flags, and those that grew from them, on fs.
func RegistratorFlags(fs *flag.FlagSet) *Flags {
	f := &Flags{src: Sources{Compat: true}}
	fs.Var(listValue{&f.src.Files}, "config-file", "configuration file, YAML or JSON; repeatable")
	fs.Var(listValue{&f.src.Dirs}, "config-dir", "folder with configuration files; repeatable")
	fs.BoolVar(&f.src.Dev, "dev", false, "one server on the loopback address that keeps nothing")
	for _, k := range leavesOf(reflect.TypeFor[File]()) {
		if k.rflag != "" {
			fs.Var(f.value(k), k.rflag, k.doc)
		}
	}
	return f
}

// Sources is what the flags said, to be given to Load.
func (f *Flags) Sources(environ []string) Sources {
	src := f.src
	src.Environ, src.Flags = environ, &f.file
	return src
}

// Files adds configuration files, for positional arguments.
func (f *Flags) Files(names ...string) { f.src.Files = append(f.src.Files, names...) }

func (f *Flags) value(k field) flag.Value {
	return &keyValue{v: reflect.ValueOf(&f.file).Elem().FieldByIndex(k.index)}
}

// keyValue is a flag that sets a key.
type keyValue struct {
	v reflect.Value
}

// String is empty: the help shows defaults from the key table.
func (k *keyValue) String() string { return "" }

// Set reads one use of the flag. A list or map grows by its text, commas included: values and
// templates may hold them.
func (k *keyValue) Set(text string) error {
	switch k.v.Kind() {
	case reflect.Slice:
		k.v.Set(reflect.Append(k.v, reflect.ValueOf(text)))
		return nil
	case reflect.Map:
		return setPair(k.v, text, ":=")
	}
	return setScalar(k.v, text)
}

// IsBoolFlag lets the flag stand without a value.
func (k *keyValue) IsBoolFlag() bool {
	return k.v.IsValid() && k.v.Kind() == reflect.Pointer && k.v.Type().Elem().Kind() == reflect.Bool
}

// listValue is a flag that may be given several times.
type listValue struct {
	list *[]string
}

func (l listValue) String() string { return "" }

func (l listValue) Set(text string) error {
	*l.list = append(*l.list, text)
	return nil
}

type ignoredValue struct {
	flags     *Flags
	name, why string
	isBool    bool
}

func (i *ignoredValue) String() string { return "" }

func (i *ignoredValue) IsBoolFlag() bool { return i.isBool }

func (i *ignoredValue) Set(string) error {
	i.flags.src.Warnings = append(i.flags.src.Warnings, fmt.Sprintf("-%s is ignored: %s", i.name, i.why))
	return nil
}

// dockerFlag is an option of `berth registrator` as `berth agent` has it: behind "docker-", so
// that it cannot be taken for one of Consul's.
func dockerFlag(rflag string) string {
	rflag = strings.ToLower(rflag)
	if strings.HasPrefix(rflag, "docker") {
		return rflag
	}
	return "docker-" + rflag
}
