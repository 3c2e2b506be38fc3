// Package httpauth is the protocol of HTTP authentication (RFC 9110, section 11)
// without any I/O: challenges, and the answers of the schemes Basic (RFC 7617),
// Digest (RFC 7616) and NTLM.
package httpauth

import (
	"encoding/base64"
	"strings"
)

// Challenge is one challenge of a WWW-Authenticate or Proxy-Authenticate field.
type Challenge struct {
	Scheme string // as it was spelled
	Token  string // token68, for schemes that have one
	Params map[string]string
}

// Is tells whether the challenge is of a scheme.
func (c Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// Realm is the name of the protection space, "" when there is none.
func (c Challenge) Realm() string { return c.Params["realm"] }

// MaxValue bounds the parameters of a challenge that are kept or sent back, the realm
// first of all.
const MaxValue = 4 << 10

// maxChallenges bounds what is looked at of one response.
const maxChallenges = 32

// Parse reads the challenges of all field lines, in order; several may stand in one
// line. What is not a challenge is passed over.
func Parse(lines []string) []Challenge {
	var all []Challenge
	for _, line := range lines {
		p := parser{s: line}
		for len(all) < maxChallenges {
			c, ok := p.challenge()
			if !ok {
				break
			}
			all = append(all, c)
		}
	}
	return all
}

type parser struct {
	s string
	i int
}

func (p *parser) space() bool {
	from := p.i
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
	return p.i > from
}

func (p *parser) commas() {
	for p.space() || p.i < len(p.s) && p.s[p.i] == ',' {
		if p.i < len(p.s) && p.s[p.i] == ',' {
			p.i++
		}
	}
}

func (p *parser) token() string { return p.take(isToken) }

func (p *parser) take(is func(byte) bool) string {
	from := p.i
	for p.i < len(p.s) && is(p.s[p.i]) {
		p.i++
	}
	return p.s[from:p.i]
}

func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isToken68(c byte) bool { return isToken(c) || c == '/' }

// atEnd tells that a list element is over.
func (p *parser) atEnd() bool {
	q := *p
	q.space()
	return q.i == len(q.s) || q.s[q.i] == ','
}

func (p *parser) challenge() (Challenge, bool) {
	for {
		p.commas()
		if p.i == len(p.s) {
			return Challenge{}, false
		}
		scheme := p.token()
		if scheme == "" || p.i < len(p.s) && p.s[p.i] == '=' {
			p.skip() // garbage, or a parameter that belongs to nothing
			continue
		}
		c := Challenge{Scheme: scheme, Params: map[string]string{}}
		if !p.space() {
			return c, true
		}
		from := p.i
		token := p.take(isToken68)
		for p.i < len(p.s) && p.s[p.i] == '=' {
			p.i++
		}
		if token != "" && p.atEnd() {
			c.Token = p.s[from:p.i]
			return c, true
		}
		p.i = from
		p.params(&c)
		return c, true
	}
}

// params reads parameters up to the next challenge.
func (p *parser) params(c *Challenge) {
	for {
		p.commas()
		from := p.i
		name := p.token()
		p.space()
		if name == "" || p.i == len(p.s) || p.s[p.i] != '=' {
			if p.i = from; name == "" && p.i < len(p.s) {
				p.skip()
				continue
			}
			return // the next scheme
		}
		p.i++
		p.space()
		value := ""
		if p.i < len(p.s) && p.s[p.i] == '"' {
			value = p.quoted()
		} else {
			// a copy: it may be kept, and the line is long
			value = strings.Clone(p.take(func(b byte) bool { return b != ',' && b != ' ' && b != '\t' }))
		}
		if name = strings.ToLower(name); !has(c.Params, name) { // the first one counts
			c.Params[name] = value
		}
	}
}

func has(m map[string]string, k string) bool { _, ok := m[k]; return ok }

// skip passes an element that is no part of a challenge.
func (p *parser) skip() {
	for p.i < len(p.s) && p.s[p.i] != ',' {
		if p.s[p.i] == '"' {
			p.quoted()
			continue
		}
		p.i++
	}
}

// quoted reads a quoted-string; one that does not end goes to the end.
func (p *parser) quoted() string {
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return b.String()
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			b.WriteByte(p.s[p.i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// quote writes a quoted-string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// Basic is the answer to a Basic challenge, in UTF-8 (RFC 7617, D23).
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
