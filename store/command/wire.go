package command

import "berth"

// The most frequent commands, Catalog and KV, are in the log without their empty members,
// which makes entries a third as long and as quick to read again. Members of these structs may
// be added but not renamed. Where only tags differ from the domain type, Go checks by the
// conversion that no member is missing.

type wireCatalog struct {
	Now int64           `codec:",omitempty"`
	Ops []wireCatalogOp `codec:",omitempty"`
}

type wireCatalogOp struct {
	Register   *wireRegistration     `codec:",omitempty"`
	Deregister *berth.Deregistration `codec:",omitempty"`
}

type wireRegistration struct {
	ID              string            `codec:",omitempty"`
	Node            string            `codec:",omitempty"`
	Address         string            `codec:",omitempty"`
	Datacenter      string            `codec:",omitempty"`
	TaggedAddresses map[string]string `codec:",omitempty"`
	NodeMeta        map[string]string `codec:",omitempty"`
	Service         *wireService      `codec:",omitempty"`
	Check           *wireCheck        `codec:",omitempty"`
	Checks          []*wireCheck      `codec:",omitempty"`
	SkipNodeUpdate  bool              `codec:",omitempty"`
}

type wireService struct {
	Node              string                          `codec:",omitempty"`
	Kind              string                          `codec:",omitempty"`
	ID                string                          `codec:",omitempty"`
	Name              string                          `codec:",omitempty"`
	Tags              []string                        `codec:",omitempty"`
	Address           string                          `codec:",omitempty"`
	TaggedAddresses   map[string]berth.ServiceAddress `codec:",omitempty"`
	Meta              map[string]string               `codec:",omitempty"`
	Port              int                             `codec:",omitempty"`
	SocketPath        string                          `codec:",omitempty"`
	Weights           *berth.Weights                  `codec:",omitempty"`
	EnableTagOverride bool                            `codec:",omitempty"`
	CreateIndex       uint64                          `codec:",omitempty"`
	ModifyIndex       uint64                          `codec:",omitempty"`
}

type wireCheck struct {
	Node        string            `codec:",omitempty"`
	CheckID     string            `codec:",omitempty"`
	Name        string            `codec:",omitempty"`
	Status      string            `codec:",omitempty"`
	Notes       string            `codec:",omitempty"`
	Output      string            `codec:",omitempty"`
	ServiceID   string            `codec:",omitempty"`
	ServiceName string            `codec:",omitempty"`
	ServiceTags []string          `codec:",omitempty"`
	Type        string            `codec:",omitempty"`
	Interval    string            `codec:",omitempty"`
	Timeout     string            `codec:",omitempty"`
	ExposedPort int               `codec:",omitempty"`
	Definition  berth.CheckTarget `codec:",omitempty"`
	CreateIndex uint64            `codec:",omitempty"`
	ModifyIndex uint64            `codec:",omitempty"`

	DeregisterAfter berth.Duration `codec:",omitempty"`
	CriticalSince   int64          `codec:",omitempty"`
}

type wireKV struct {
	Now   int64 `codec:",omitempty"`
	Verb  string
	Entry *wireEntry
}

type wireEntry struct {
	LockIndex   uint64 `codec:",omitempty"`
	Key         string
	Flags       uint64 `codec:",omitempty"`
	Value       []byte `codec:",omitempty"`
	Session     string `codec:",omitempty"`
	CreateIndex uint64 `codec:",omitempty"`
	ModifyIndex uint64 `codec:",omitempty"`
}

// toWire returns what stands for c in the log; it shares c's memory.
func toWire(c Command) any {
	switch c := c.(type) {
	case *Catalog:
		w := &wireCatalog{Now: c.Now, Ops: make([]wireCatalogOp, len(c.Ops))}
		for i := range c.Ops {
			w.Ops[i].Deregister = c.Ops[i].Deregister
			if r := c.Ops[i].Register; r != nil {
				w.Ops[i].Register = toWireRegistration(r)
			}
		}
		return w
	case *KV:
		return &wireKV{Now: c.Now, Verb: c.Op.Verb, Entry: (*wireEntry)(&c.Op.Entry)}
	}
	return c
}

func toWireRegistration(r *berth.Registration) *wireRegistration {
	w := &wireRegistration{
		ID:              r.ID,
		Node:            r.Node,
		Address:         r.Address,
		Datacenter:      r.Datacenter,
		TaggedAddresses: r.TaggedAddresses,
		NodeMeta:        r.NodeMeta,
		Service:         (*wireService)(r.Service),
		Check:           (*wireCheck)(r.Check),
		SkipNodeUpdate:  r.SkipNodeUpdate,
	}
	for _, c := range r.Checks {
		w.Checks = append(w.Checks, (*wireCheck)(c))
	}
	return w
}

// fromWire fills c, which toWire gave w for, with what has been decoded into w.
func fromWire(w any, c Command) {
	switch c := c.(type) {
	case *Catalog:
		w := w.(*wireCatalog)
		c.Now, c.Ops = w.Now, make([]berth.CatalogOp, len(w.Ops))
		for i := range w.Ops {
			c.Ops[i].Deregister = w.Ops[i].Deregister
			if r := w.Ops[i].Register; r != nil {
				c.Ops[i].Register = fromWireRegistration(r)
			}
		}
	case *KV:
		w := w.(*wireKV)
		c.Now, c.Op.Verb = w.Now, w.Verb // the entry has been decoded in place
		if w.Entry == nil {
			c.Op.Entry = berth.KVEntry{}
		}
	}
}

func fromWireRegistration(w *wireRegistration) *berth.Registration {
	r := &berth.Registration{
		ID:              w.ID,
		Node:            w.Node,
		Address:         w.Address,
		Datacenter:      w.Datacenter,
		TaggedAddresses: w.TaggedAddresses,
		NodeMeta:        w.NodeMeta,
		Service:         (*berth.ServiceInstance)(w.Service),
		Check:           (*berth.Check)(w.Check),
		SkipNodeUpdate:  w.SkipNodeUpdate,
	}
	for _, c := range w.Checks {
		r.Checks = append(r.Checks, (*berth.Check)(c))
	}
	return r
}
