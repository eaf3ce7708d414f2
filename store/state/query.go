package state

import (
	"errors"
	"fmt"
	"regexp"

	"berth"
)

// templatePrefix is the Template.Type of queries that answer for all names with a prefix.
const templatePrefix = "name_prefix_match"

// Errors of prepared query writes. The texts reach HTTP clients, which match on them.
var (
	errMissingQueryID = errors.New("Missing Query ID")                                                          //nolint:staticcheck // clients match this text
	errQueryUnbound   = errors.New("Must be bound to a session")                                                //nolint:staticcheck // clients match this text
	errQueryService   = errors.New("Must provide a Service name to query")                                      //nolint:staticcheck // clients match this text
	errQueryTargets   = errors.New("Targets cannot be populated with NearestN or Datacenters")                  //nolint:staticcheck // clients match this text
	errQueryNearestN  = errors.New("Bad NearestN: must be 0 or more")                                           //nolint:staticcheck // same style
	errQueryTemplate  = errors.New("Bad Template.Type: leave it empty or use \"name_prefix_match\"")            //nolint:staticcheck // same style
	errQueryRegexp    = errors.New("Template.Regexp needs Template.Type \"name_prefix_match\": set it as well") //nolint:revive // names members
	errWildcardExists = errors.New("a template that matches all names exists already: give this one a name")    // one row of that key
)

// preparedQuery is a stored query with its template's expression compiled.
type preparedQuery struct {
	berth.PreparedQuery
	re *regexp.Regexp
}

func queryNameKey(q *preparedQuery) key {
	if q.Name == "" || q.Template.Type != "" {
		return nil
	}
	return joinKey(fold(q.Name))
}

// queryTemplateKey is not ended by a zero byte: the longest prefix of a name is looked for.
// Its first byte keeps it from being empty.
func queryTemplateKey(q *preparedQuery) key {
	if q.Template.Type == "" {
		return nil
	}
	return templateKey(q.Name)
}

func templateKey(name string) key { return key("\x01" + fold(name)) }

// CheckQuery says what is wrong with a prepared query whatever the state is. Proposers call it
// before they propose.
func CheckQuery(q *berth.PreparedQuery) error {
	if err := checkQuery(q); err != nil {
		return err
	}
	_, err := compileQuery(q)
	return err
}

// checkQuery leaves out the regular expression: whether one compiles may depend on the Go
// version of the server, and all servers must take or refuse the same commands.
func checkQuery(q *berth.PreparedQuery) error {
	switch {
	case q.Name == "" && q.Template.Type == "" && q.Session == "":
		return errQueryUnbound
	case q.Template.Type != "" && q.Template.Type != templatePrefix:
		return errQueryTemplate
	case q.Template.Type == "" && q.Template.Regexp != "":
		return errQueryRegexp
	case q.Service.Service == "":
		return errQueryService
	case q.Service.Failover.NearestN < 0:
		return errQueryNearestN
	case len(q.Service.Failover.Targets) > 0 && (q.Service.Failover.NearestN > 0 || len(q.Service.Failover.Datacenters) > 0):
		return errQueryTargets
	}
	return checkNames("query ID", q.ID, "query name", q.Name)
}

// compileQuery always returns a row; with an error it is one whose template matches nothing.
func compileQuery(q *berth.PreparedQuery) (*preparedQuery, error) {
	row := &preparedQuery{PreparedQuery: *q}
	if q.Template.Regexp != "" {
		re, err := regexp.Compile(q.Template.Regexp)
		if err != nil {
			return row, fmt.Errorf("Bad Regexp: %w", err) //nolint:staticcheck // clients match this text
		}
		row.re = re
	}
	return row, nil
}

func (t *Tx) query(id string) *preparedQuery {
	return lookup[preparedQuery](t, tableQueries, joinKey(fold(id)))
}

// QueryUpdate replaces the prepared query with q's ID, which has to exist.
func (t *Tx) QueryUpdate(idx uint64, q *berth.PreparedQuery) error {
	if q.ID != "" && t.query(q.ID) == nil {
		return fmt.Errorf("Cannot modify non-existent prepared query: '%s'", q.ID) //nolint:staticcheck // clients match this text
	}
	return t.QuerySet(idx, q)
}

// QuerySet adds a prepared query, or replaces the one with its ID; q is not changed.
func (t *Tx) QuerySet(idx uint64, q *berth.PreparedQuery) error {
	t.began()
	if q.ID == "" {
		return errMissingQueryID
	}
	if err := checkQuery(q); err != nil {
		return err
	}
	row, _ := compileQuery(q)
	if err := t.queryConflict(row); err != nil {
		return err
	}
	row.CreateIndex, row.ModifyIndex = idx, idx
	if old := t.query(q.ID); old != nil {
		row.CreateIndex = old.CreateIndex
		t.remove(tableQueries, joinKey(fold(old.ID)), old) // its name may become free, and unique indexes are not checked
	}
	t.putQuery(idx, row)
	return nil
}

// queryConflict refuses names that find another query already.
func (t *Tx) queryConflict(q *preparedQuery) error {
	if q.Session != "" && t.session(q.Session) == nil {
		return fmt.Errorf("invalid session %q", q.Session)
	}
	var other *preparedQuery
	if k := queryNameKey(q); k != nil {
		other = first[preparedQuery](t.txn, nil, tableQueries, byName, k)
	} else if k := queryTemplateKey(q); k != nil {
		other = first[preparedQuery](t.txn, nil, tableQueries, byTemplate, k)
	}
	if other != nil && fold(other.ID) != fold(q.ID) {
		if q.Name == "" {
			return errWildcardExists
		}
		return fmt.Errorf("name '%s' aliases an existing query name", q.Name)
	}
	if other := t.query(q.Name); q.Name != "" && other != nil {
		return fmt.Errorf("name '%s' aliases an existing query ID", q.Name)
	}
	return nil
}

func (t *Tx) putQuery(idx uint64, row *preparedQuery) {
	t.insert(tableQueries, joinKey(fold(row.ID)), row)
	t.raise(&t.g.Queries, idx)
}

// QueryDelete takes out a prepared query; one that is not there is no error.
func (t *Tx) QueryDelete(idx uint64, id string) {
	t.began()
	if q := t.query(id); q != nil {
		t.dropQuery(idx, q)
	}
}

func (t *Tx) dropQuery(idx uint64, q *preparedQuery) {
	t.remove(tableQueries, joinKey(fold(q.ID)), q)
	t.raise(&t.g.Queries, idx)
}
