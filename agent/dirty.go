package agent

// dirtySet names what the catalog does not have yet as it is here. What is to be written is
// looked up when it is written, so the newest state goes out however long it takes.
type dirtySet struct {
	node         bool
	services     idSet
	checks       idSet
	goneServices map[string]string // ID -> owner, for compare-and-delete
	goneChecks   idSet
}

func newDirtySet() *dirtySet {
	return &dirtySet{services: idSet{}, checks: idSet{}, goneServices: map[string]string{}, goneChecks: idSet{}}
}

func (d *dirtySet) empty() bool {
	return !d.node && len(d.services)+len(d.checks)+len(d.goneServices)+len(d.goneChecks) == 0
}

func (d *dirtySet) putService(id string) {
	d.services.add(id)
	delete(d.goneServices, id)
}

func (d *dirtySet) removeService(id, owner string) {
	delete(d.services, id)
	d.goneServices[id] = owner
}

func (d *dirtySet) putCheck(id string) {
	d.checks.add(id)
	delete(d.goneChecks, id)
}

func (d *dirtySet) removeCheck(id string) {
	delete(d.checks, id)
	d.goneChecks.add(id)
}

// merge puts back what could not be written; what was marked since then counts more.
func (d *dirtySet) merge(old *dirtySet) {
	d.node = d.node || old.node
	for id := range old.services {
		if _, gone := d.goneServices[id]; !gone {
			d.services.add(id)
		}
	}
	for id := range old.checks {
		if _, gone := d.goneChecks[id]; !gone {
			d.checks.add(id)
		}
	}
	for id, owner := range old.goneServices {
		if _, put := d.services[id]; !put {
			if _, gone := d.goneServices[id]; !gone {
				d.goneServices[id] = owner
			}
		}
	}
	for id := range old.goneChecks {
		if _, put := d.checks[id]; !put {
			d.goneChecks.add(id)
		}
	}
}

// round is one pass of the sync loop; done is closed when all that was dirty at its start has
// been taken by the catalog. A round that fails is over when a later one is.
type round struct {
	done    chan struct{}
	waiters int // callers that wait for it, about
	carried []*round
}

func newRound() *round { return &round{done: make(chan struct{})} }

func (r *round) finish() {
	for _, c := range r.carried {
		close(c.done)
	}
	r.carried = nil
	close(r.done)
}

// carry has r finish earlier, a round that failed, as well.
func (r *round) carry(earlier *round) {
	r.carried = append(r.carried, earlier.carried...)
	earlier.carried = nil
	r.carried = append(r.carried, earlier)
}
