package dnsproxy

import (
	"strings"
	"sync"

	"berth"
)

// marks says which answers a catalog change makes stale: one mark per service, one per node,
// one for everything that depends on the catalog as a whole.
type marks struct {
	any mark // goes up at every change

	mu       sync.RWMutex // guards what follows
	services map[string]*mark
	nodes    map[string]*mark
}

// of is the mark for answers about a name of that kind: its own when it has one, else the
// one that goes up at every change. The caller reads its generation before it takes a View.
func (m *marks) of(k kind, name string) *mark {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var own *mark
	switch k {
	case kindService:
		own = m.services[name]
	case kindNode:
		own = m.nodes[name]
	}
	if own != nil {
		return own
	}
	return &m.any
}

// add gives a name that is in the catalog a mark of its own. Names that clients make up get
// none, so the tables stay as small as the catalog has been.
func (m *marks) add(k kind, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	table := &m.services
	if k == kindNode {
		table = &m.nodes
	}
	if *table == nil {
		*table = map[string]*mark{}
	}
	if (*table)[name] == nil {
		(*table)[name] = &mark{}
	}
}

// changed raises the marks that changes touch. Answers are rebuilt when they are asked for
// next, not here.
func (m *marks) changed(changes []berth.Change) {
	m.any.gen.Add(1)
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, c := range changes {
		switch {
		case c.All:
			for _, k := range m.services {
				k.gen.Add(1)
			}
			for _, k := range m.nodes {
				k.gen.Add(1)
			}
		case c.Service != "":
			raise(m.services, c.Service)
		case c.Node != "":
			raise(m.nodes, c.Node)
		}
	}
}

func raise(table map[string]*mark, name string) {
	k := table[name]
	if k == nil {
		k = table[strings.ToLower(name)]
	}
	if k != nil {
		k.gen.Add(1)
	}
}
