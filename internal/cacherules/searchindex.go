package cacherules

import (
	"slices"
)

// StoredQuery is a query that something is stored for, and the key of that.
type StoredQuery struct{ Query, Key string }

// SearchIndex finds what is stored for other queries that a SearchRule makes equal. It forgets: it
// is as good as it can be with limited space, and everything that it says must be checked. The
// zero SearchIndex is empty. It is not safe for concurrent use.
type SearchIndex struct {
	paths map[string]*searchPath
	size  int // how many queries there are
}

// searchPath is what is known about one path.
type searchPath struct {
	rule    SearchRule               // the last one
	queries map[string][]StoredQuery // by what matters of them, the newest first
}

const (
	maxSearches  = 4096 // in an index
	maxEqual     = 8    // that are equal
	maxSearchLen = 1024 // of a query
)

// Add adds what was stored for a query, with its rule. path is the key without the query.
func (x *SearchIndex) Add(path string, q StoredQuery, rule SearchRule) {
	if rule.IsZero() || len(q.Query) > maxSearchLen {
		return
	}
	if x.paths == nil || x.size >= maxSearches {
		x.paths, x.size = map[string]*searchPath{}, 0
	}
	p := x.paths[path]
	if p == nil || !p.rule.equal(rule) {
		p = &searchPath{rule, map[string][]StoredQuery{}} // the old ones stay counted
		x.paths[path] = p
	}
	matters := rule.Query(q.Query)
	equal := p.queries[matters]
	if i := slices.Index(equal, q); i >= 0 {
		equal = slices.Delete(equal, i, i+1)
	} else {
		x.size++
	}
	p.queries[matters] = append([]StoredQuery{q}, equal[:min(len(equal), maxEqual-1)]...)
}

// Equal returns the queries of a path that are equal to another one, the newest first. That may be
// among them.
func (x *SearchIndex) Equal(path, query string) []StoredQuery {
	p := x.paths[path]
	if p == nil {
		return nil
	}
	return p.queries[p.rule.Query(query)]
}

func (r SearchRule) equal(o SearchRule) bool {
	return r.AnyOrder == o.AnyOrder && r.AllBut == o.AllBut && slices.Equal(r.Ignored, o.Ignored)
}

// SearchRule is that of a stored response.
func (s *Stored) SearchRule() SearchRule { return ParseSearchRule(s.Fields.Values("No-Vary-Search")) }

// AnswersQuery reports whether a response that is stored for a query answers another one.
func (s *Stored) AnswersQuery(stored, other string) bool {
	r := s.SearchRule()
	return !r.IsZero() && r.Query(stored) == r.Query(other)
}
