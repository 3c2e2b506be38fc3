// Package httpauth parses challenges of HTTP authentication (RFC 9110, section 11) and
// makes the answers of the schemes Basic (RFC 7617), Digest (RFC 7616) and NTLM. It does no
// I/O.
package httpauth

import (
	"encoding/base64"
	"strings"
)

// Challenge is one challenge of a WWW-Authenticate or Proxy-Authenticate field.
type Challenge struct {
	Scheme string // as spelled in the field
	Token  string // token68, for schemes that have one
	Params map[string]string
}

// Is reports whether the challenge is of a scheme.
func (c Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// Realm is the realm parameter, "" if there is none.
func (c Challenge) Realm() string { return c.Params["realm"] }

// MaxValue is the maximum length of parameters of a challenge that are stored or sent back,
// such as the realm.
const MaxValue = 4 << 10

// maxChallenges bounds the challenges of one response.
const maxChallenges = 32

// Parse parses the challenges of all field lines, in order; a line may have several.
// Anything else is skipped.
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

// atEnd reports the end of a list element.
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
			p.skip() // invalid, or a parameter without a scheme
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

// params parses parameters up to the next challenge.
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
			return // the next challenge
		}
		p.i++
		p.space()
		value := ""
		if p.i < len(p.s) && p.s[p.i] == '"' {
			value = p.quoted()
		} else {
			// a copy, since values may be stored and the line is long
			value = strings.Clone(p.take(func(b byte) bool { return b != ',' && b != ' ' && b != '\t' }))
		}
		if name = strings.ToLower(name); !has(c.Params, name) { // the first one is used
			c.Params[name] = value
		}
	}
}

func has(m map[string]string, k string) bool { _, ok := m[k]; return ok }

// skip skips an element that is not part of a challenge.
func (p *parser) skip() {
	for p.i < len(p.s) && p.s[p.i] != ',' {
		if p.s[p.i] == '"' {
			p.quoted()
			continue
		}
		p.i++
	}
}

// quoted parses a quoted-string; an unterminated one extends to the end.
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

// quote returns s as a quoted-string.
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

// Basic returns the answer to a Basic challenge, in UTF-8 (RFC 7617, D23).
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
