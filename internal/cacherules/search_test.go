package cacherules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// TestSearchRule: what No-Vary-Search says about queries.
func TestSearchRule(t *testing.T) {
	for field, want := range map[string]SearchRule{
		``:                                {},
		`params`:                          {AllBut: true},
		`params=?1`:                       {AllBut: true},
		`params=?0`:                       {},
		`params=("a" "b")`:                {Ignored: []string{"a", "b"}},
		`params=( "a"  "b" )`:             {Ignored: []string{"a", "b"}},
		`params=()`:                       {},
		`params=("a+b" "%c3%bc" "%zz")`:   {Ignored: []string{"a b", "ü", "%zz"}},
		`params=("a\"b")`:                 {Ignored: []string{`a"b`}},
		`params, except=("a")`:            {AllBut: true, Ignored: []string{"a"}},
		`except=("a"), params`:            {AllBut: true, Ignored: []string{"a"}},
		`params=?1;x=1, except=("a";y);z`: {AllBut: true, Ignored: []string{"a"}},
		`key-order`:                       {AnyOrder: true},
		`key-order=?0`:                    {},
		`key-order, params=("a")`:         {AnyOrder: true, Ignored: []string{"a"}},
		`key-order, unknown=?1`:           {AnyOrder: true},
		`x.9_-*=?1, *a, params=("a")`:     {Ignored: []string{"a"}},
		`params=("a"), except=?0`:         {},
		`params=("a"), params=("b")`:      {Ignored: []string{"b"}},
		// invalid
		`except=("a")`:                  {},
		`params=("a"), except=("b")`:    {},
		`params=?0, except=("b")`:       {},
		`params, except`:                {},
		`params, except=?1`:             {},
		`key-order=("a")`:               {},
		`params=(a)`:                    {},
		`params="a"`:                    {},
		`params=1`:                      {},
		`params=("a"`:                   {},
		`params=("a""b")`:               {},
		`params=("a), key-order`:        {},
		`params,`:                       {},
		`,params`:                       {},
		`Params`:                        {},
		`params key-order`:              {},
		`params=("a"), key-order=?2, x`: {},
		`params=`:                       {},
		`except=(), params=("a")`:       {},
		`params;=1`:                     {},
		`params=("a";)`:                 {},
	} {
		assert.Equal(t, want, ParseSearchRule([]string{field}), field)
	}
	assert.True(t, ParseSearchRule(nil).IsZero())
	for _, r := range []SearchRule{{AnyOrder: true}, {AllBut: true}, {Ignored: []string{"a"}}} {
		assert.False(t, r.IsZero())
	}
	assert.Equal(t, SearchRule{AnyOrder: true, AllBut: true}, ParseSearchRule([]string{"params", "key-order"}))
}

// TestSearchQuery: which queries are equivalent by a rule.
func TestSearchQuery(t *testing.T) {
	for _, c := range []struct {
		field, a, b string
		want        bool
	}{
		{"", "a=1&b=2", "a=1&b=2", true},
		{"", "a=1&b=2", "b=2&a=1", false},
		{"key-order", "a=1&b=2", "b=2&a=1", true},
		{"key-order", "a=1&a=2", "a=2&a=1", false},
		{"key-order", "a=1&b=2&a=3", "b=2&a=1&a=3", true},
		{"key-order", "a=1", "a=2", false},
		{`params=("u")`, "a=1&u=2", "u=3&a=1", true},
		{`params=("u")`, "a=1&u=2", "a=1", true},
		{`params=("u")`, "a=1&u=2", "a=2&u=2", false},
		{`params=("u")`, "a=1&U=2", "a=1", false},
		{`params=("u")`, "a=1&%75=2", "a=1", true},
		{`params=("u")`, "u", "", true},
		{`params`, "a=1&b=2", "", true},
		{`params, except=("a")`, "a=1&b=2", "a=1", true},
		{`params, except=("a")`, "a=1&b=2", "a=2&b=2", false},
		{`params, except=("a")`, "a=1", "b=1", false},
		{`params=("u")`, "a=%26", "a=&", false},
		{`params=("u")`, "a=1&&", "a=1", true},
		{`params=("u")`, "a+b=1", "a%20b=1", true},
		{`params=("u")`, "a=%zz", "a=%25zz", true},
		{`params=("u")`, "a", "a=", true},
	} {
		r := ParseSearchRule([]string{c.field})
		assert.Equal(t, c.want, r.Query(c.a) == r.Query(c.b), "%s: %s and %s", c.field, c.a, c.b)
	}
}

// TestSearchIndex: where to look for what is stored for an equal query.
func TestSearchIndex(t *testing.T) {
	var x SearchIndex
	utm := SearchRule{Ignored: []string{"utm"}}
	q := func(query string) StoredQuery { return StoredQuery{query, "key?" + query} }
	assert.Empty(t, x.Equal("p", "a"))
	x.Add("p", q("a=1"), SearchRule{})
	assert.Empty(t, x.Equal("p", "a=1"), "no rule")
	x.Add("p", q("a=1&utm=1"), utm)
	x.Add("p", q("a=1&utm=2"), utm)
	x.Add("p", q("a=2"), utm)
	x.Add("other", q("a=1"), utm)
	assert.Equal(t, []StoredQuery{q("a=1&utm=2"), q("a=1&utm=1")}, x.Equal("p", "utm=3&a=1"), "the newest first")
	x.Add("p", q("a=1&utm=1"), utm)
	assert.Equal(t, []StoredQuery{q("a=1&utm=1"), q("a=1&utm=2")}, x.Equal("p", "a=1"), "each one once")
	assert.Empty(t, x.Equal("p", "a=3"))
	for _, rule := range []SearchRule{{Ignored: []string{"utm", "b"}}, {AnyOrder: true}, {AllBut: true, Ignored: []string{"a", "c"}}} {
		x.Add("p", q("c"), rule)
		assert.Equal(t, []StoredQuery{q("c")}, x.Equal("p", "c"))
		assert.Empty(t, x.Equal("p", "a=1"), "the last rule counts")
	}

	// limits
	x.Add("p", q(strings.Repeat("a", 1025)), utm)
	assert.Empty(t, x.Equal("p", strings.Repeat("a", 1025)))
	for i := range 9 {
		x.Add("p", q(fmt.Sprintf("utm=%d", i)), utm)
	}
	equal := x.Equal("p", "")
	assert.Len(t, equal, 8)
	assert.Equal(t, q("utm=8"), equal[0])
	for i := range 4096 {
		x.Add("many", q(fmt.Sprint(i)), utm)
	}
	assert.Empty(t, x.Equal("p", ""), "forgotten")
	assert.NotEmpty(t, x.Equal("many", "4095"))
}

// TestAnswersQuery: what is stored has its own rule.
func TestAnswersQuery(t *testing.T) {
	s := ok(`No-Vary-Search: params=("utm")`)
	assert.True(t, s.AnswersQuery("a&utm=1", "a&utm=2"))
	assert.False(t, s.AnswersQuery("a&utm=1", "b&utm=1"))
	assert.False(t, ok().AnswersQuery("a", "a"))
}
