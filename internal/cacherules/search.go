package cacherules

import (
	"net/url"
	"slices"
	"strings"
)

// SearchRule says which parts of a query do not matter for a response (No-Vary-Search). The
// zero SearchRule is for none.
type SearchRule struct {
	AnyOrder bool // the order of parameters does not matter, but that of those with one name
	// Ignored are the names of parameters that do not matter, decoded; with AllBut they are
	// those that do.
	Ignored []string
	AllBut  bool
}

// ParseSearchRule parses the values of No-Vary-Search fields. What is no valid dictionary (RFC
// 9651, section 3.2) counts as no rule.
func ParseSearchRule(values []string) SearchRule {
	if len(values) == 0 {
		return SearchRule{}
	}
	p := searchParser{s: strings.Join(values, ","), last: map[string]searchMember{}}
	if !p.dictionary() {
		return SearchRule{}
	}
	r := SearchRule{}
	order, params, except := p.last["key-order"], p.last["params"], p.last["except"]
	if order.isList || except.set && (!except.isList || !params.set || params.isList || !params.yes) {
		return SearchRule{}
	}
	r.AnyOrder = order.yes
	switch {
	case params.isList:
		r.Ignored = params.names
	case params.yes:
		r.AllBut, r.Ignored = true, except.names
	}
	for i, name := range r.Ignored {
		r.Ignored[i] = decodeName(name)
	}
	return r
}

// IsZero reports whether every part of a query matters.
func (r SearchRule) IsZero() bool { return !r.AnyOrder && !r.AllBut && len(r.Ignored) == 0 }

// Query returns the part of a query that matters, in a form that is equal for equivalent
// ones. For a rule that is zero queries are compared as they are, without it.
func (r SearchRule) Query(raw string) string {
	type param struct{ name, text string }
	var kept []param
	listed := map[string]bool{}
	for _, name := range r.Ignored {
		listed[name] = true
	}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if name = decodeName(name); listed[name] == r.AllBut {
			kept = append(kept, param{name, url.QueryEscape(name) + "=" + url.QueryEscape(decodeName(value))})
		}
	}
	if r.AnyOrder {
		slices.SortStableFunc(kept, func(a, b param) int { return strings.Compare(a.name, b.name) })
	}
	b := strings.Builder{}
	for i, p := range kept {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// decodeName decodes a name or value of a query. Percent signs that encode nothing stand
// for themselves.
func decodeName(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s):
			if d, err := url.QueryUnescape(s[i : i+3]); err == nil {
				b = append(b, d...)
				i += 2
				continue
			}
			b = append(b, '%')
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// searchMember is the value of a member of the dictionary.
type searchMember struct {
	set, isList, yes bool
	names            []string
}

// searchParser parses a dictionary, of which booleans and lists of strings are kept.
type searchParser struct {
	s    string
	last map[string]searchMember // the last member of each name counts
}

func (p *searchParser) dictionary() bool {
	for p.s = strings.Trim(p.s, " "); p.s != ""; {
		n := 0
		for n < len(p.s) && (isLower(p.s[n]) || p.s[n] == '*' || n > 0 && (p.s[n] >= '0' && p.s[n] <= '9' || strings.IndexByte("_-.", p.s[n]) >= 0)) {
			n++
		}
		if n == 0 {
			return false
		}
		name := p.s[:n]
		p.s = p.s[n:]
		m := searchMember{set: true, yes: true}
		if p.eat('=') && !p.value(&m) {
			return false
		}
		if !p.parameters() {
			return false
		}
		p.last[name] = m
		p.s = strings.TrimLeft(p.s, " \t")
		if p.s == "" {
			return true
		}
		if !p.eat(',') {
			return false
		}
		if p.s = strings.TrimLeft(p.s, " \t"); p.s == "" {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func (p *searchParser) eat(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// value parses a boolean or a list of strings. Other types have no meaning here: the whole
// field does not count then.
func (p *searchParser) value(m *searchMember) bool {
	if p.eat('?') {
		m.yes = strings.HasPrefix(p.s, "1")
		return p.eat('0') || p.eat('1')
	}
	if !p.eat('(') {
		return false
	}
	m.isList, m.yes = true, false
	for {
		p.s = strings.TrimLeft(p.s, " ")
		if p.eat(')') {
			return true
		}
		text, ok := p.text()
		if !ok || !p.parameters() || p.s == "" || p.s[0] != ' ' && p.s[0] != ')' {
			return false
		}
		m.names = append(m.names, text)
	}
}

// text parses a string of a structured field.
func (p *searchParser) text() (string, bool) {
	if p.s == "" || p.s[0] != '"' {
		return "", false
	}
	text, rest, closed := unquote(p.s)
	p.s = rest
	return text, closed
}

// parameters skips parameters, of which none has a meaning.
func (p *searchParser) parameters() bool {
	for p.eat(';') {
		p.s = strings.TrimLeft(p.s, " ")
		n := tokenLength(p.s)
		if n == 0 {
			return false
		}
		p.s = p.s[n:]
		if !p.eat('=') {
			continue
		}
		if strings.HasPrefix(p.s, `"`) {
			if _, ok := p.text(); !ok {
				return false
			}
			continue
		}
		p.eat('?')
		p.s = p.s[tokenLength(p.s):]
	}
	return true
}
