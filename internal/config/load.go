package config

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"berth"
)

// Sources say where a configuration comes from. The zero value is defaults only.
type Sources struct {
	Files   []string // -config-file
	Dirs    []string // -config-dir
	Inline  []string // -hcl: one more document each, after the files
	Environ []string // KEY=value, as os.Environ gives
	Flags   *File    // what flags said; nil: nothing
	Dev     bool     // -dev
	Compat  bool     // gliderlabs/registrator's defaults
	Host    Host     // nil: this machine

	Warnings []string // found by whoever made the Sources

	lenient bool // data_dir may be missing
}

// Error holds everything that is wrong with a configuration.
type Error struct {
	Problems []string
}

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0]
	}
	return fmt.Sprintf("%d problems:\n  %s", len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// Load reads all sources, validates, and returns what the agent runs with. The error is an
// *Error with all problems.
func Load(src Sources) (*Config, error) {
	if src.Host == nil {
		src.Host = machine{}
	}
	l := &loader{warnings: slices.Clone(src.Warnings)}
	user := l.layers(src)
	if len(l.problems) > 0 {
		return nil, &Error{l.problems}
	}
	profile := val(user.Registrator.Profile)
	effective := Defaults()
	if src.Dev {
		put(effective, devLayer(), false)
	}
	if src.Compat || profile == profileCompat {
		put(effective, compatLayer(), false)
		effective.Registrator.Profile = new(profileCompat)
	}
	aliases(user)
	put(effective, user, false)

	if src.lenient && effective.DataDir == nil {
		effective.DataDir = new("/data")
	}
	b := &builder{file: effective, user: user, host: src.Host, cfg: &Config{Dev: src.Dev}}
	b.warnings = l.warnings
	b.build()
	b.warnInert()
	b.validate()
	if len(b.problems) > 0 {
		slices.Sort(b.problems)
		return nil, &Error{slices.Compact(b.problems)}
	}
	b.cfg.Warnings, b.cfg.Files, b.cfg.sources, b.cfg.file = b.warnings, l.files, src, effective
	return b.cfg, nil
}

// loader collects the user's layers.
type loader struct {
	files    []string
	problems []string
	warnings []string
}

// layers merges files, inline documents, environment and flags.
func (l *loader) layers(src Sources) *File {
	user := new(File)
	for _, name := range src.Files {
		l.file(user, name, true)
	}
	for _, dir := range src.Dirs {
		l.dir(user, dir)
	}
	for _, text := range src.Inline {
		l.text(user, "inline configuration", []byte(text))
	}
	l.environment(user, src.Environ)
	if src.Flags != nil {
		put(user, src.Flags, true)
	}
	return user
}

// dir reads the files of a folder in alphabetical order; others are skipped, and hidden ones
// without a word.
func (l *loader) dir(user *File, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.problems = append(l.problems, fmt.Sprintf("config-dir: %v", err))
		return
	}
	for _, e := range entries { // sorted by name
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(name) // follow links, as Kubernetes makes them
		if err != nil || info.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json":
			l.file(user, name, false)
		case ".hcl":
			l.warnings = append(l.warnings, fmt.Sprintf("%s is skipped: HCL is not read, write it as YAML or JSON", name))
		default:
			l.warnings = append(l.warnings, fmt.Sprintf("%s is skipped: only .yaml, .yml and .json are read", name))
		}
	}
}

// maxFileSize is more than any sane configuration.
const maxFileSize = 16 << 20

func (l *loader) file(user *File, name string, mayBeDir bool) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() && mayBeDir {
		l.dir(user, name)
		return
	}
	var text []byte
	if err == nil {
		text, err = readLimited(name)
	}
	if err != nil {
		l.problems = append(l.problems, fmt.Sprintf("config-file: %v", err))
		return
	}
	l.files = append(l.files, name)
	l.text(user, name, text)
}

// readLimited reads a file of at most maxFileSize, whatever size is told of it: a device tells 0.
func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%s: more than %d MiB are too much for a configuration file", name, maxFileSize>>20)
	}
	return text, nil
}

func (l *loader) text(user *File, name string, text []byte) {
	layer, problems, warnings := decodeFile(name, text)
	l.problems = append(l.problems, problems...)
	l.warnings = append(l.warnings, warnings...)
	collect(layer)
	put(user, layer, true)
}

// collect moves single service and check stanzas into the lists, so that those of several
// files add up.
func collect(f *File) {
	if f.Service != nil {
		f.Services, f.Service = append(f.Services, *f.Service), nil
	}
	if f.Check != nil {
		f.Checks, f.Check = append(f.Checks, *f.Check), nil
	}
}

// aliases gives old names to the new ones, which win.
func aliases(f *File) {
	older := func(dst, src any) {
		d, s := reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem()
		if d.IsZero() {
			d.Set(s)
		}
	}
	f.RetryJoin = append(f.RetryJoin, f.StartJoin...)
	f.RetryJoinWAN = append(f.RetryJoinWAN, f.StartJoinWAN...)
	older(&f.NonVoter, &f.NonVotingServer)
	older(&f.UI.Enabled, &f.UIEnabled)
	older(&f.UI.Dir, &f.UIDir)
	older(&f.UI.ContentPath, &f.UIPath)
	f.HTTP.AllowWriteFrom = append(f.HTTP.AllowWriteFrom, f.AllowWriteFrom...)
	d, old := &f.TLS.Defaults, &f.OldTLS
	older(&d.CAFile, &old.CAFile)
	older(&d.CAPath, &old.CAPath)
	older(&d.CertFile, &old.CertFile)
	older(&d.KeyFile, &old.KeyFile)
	older(&d.MinVersion, &old.MinVersion)
	older(&d.CipherSuites, &old.CipherSuites)
	older(&d.VerifyIncoming, &old.VerifyIncoming)
	older(&f.TLS.HTTPS.VerifyIncoming, &old.VerifyIncomingHTTPS)
	older(&f.TLS.InternalRPC.VerifyIncoming, &old.VerifyIncomingRPC)
	older(&d.VerifyOutgoing, &old.VerifyOutgoing)
	older(&f.TLS.InternalRPC.VerifyServerHostname, &old.VerifyServerHostname)
	older(&f.DNS.Zone.NodeMetaTXT, &f.DNS.Zone.AdditionalTXT)
}

// ReadServices reads the services of configuration files, for `berth services register`.
func ReadServices(files []string) ([]berth.ServiceDefinition, error) {
	l := new(loader)
	user := new(File)
	for _, name := range files {
		l.file(user, name, true)
	}
	b := &builder{file: &File{DefinitionKeys: DefinitionKeys{Services: user.Services}}, cfg: new(Config), problems: l.problems}
	b.definitions()
	if len(b.problems) == 0 && len(user.Services) == 0 {
		b.fail("%s: no service is defined there", strings.Join(files, ", "))
	}
	if len(b.problems) > 0 {
		return nil, &Error{b.problems}
	}
	return b.cfg.Definitions.Services, nil
}

// Validate reads files and folders as an agent would. What is usually given by flags, data_dir
// and the address to advertise, may be missing.
func Validate(paths []string) (*Config, error) {
	return Load(Sources{Files: paths, Host: anywhere{machine{}}, lenient: true})
}

// anywhere is this machine with one private address: configuration may be checked elsewhere
// than where it is used.
type anywhere struct{ machine }

// Interfaces is one private address.
func (anywhere) Interfaces() ([]HostAddr, error) {
	return []HostAddr{{"eth0", netip.MustParseAddr("192.168.0.1")}}, nil
}
