// Package hsts stores HSTS policies, the hosts that must be reached over TLS only (RFC
// 6797), in memory or in a file that several processes can share.
package hsts

import (
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/internal/site"
)

// Policy is the policy of one host.
type Policy struct {
	// Host is its name, in lower case and ASCII.
	Host string
	// IncludeSubdomains extends the policy to all subdomains.
	IncludeSubdomains bool
	// Expires is when it expires.
	Expires time.Time
}

// expired reports whether the policy has expired (rule K7).
func (p Policy) expired(now time.Time) bool { return !p.Expires.After(now) }

// maxAge is the maximum max-age in seconds, a hundred years.
const maxAge = 100 * 365 * 24 * 60 * 60

// maxValue is the maximum length of a field; far more than a policy needs.
const maxValue = 8 << 10

// Parse parses the value of a Strict-Transport-Security field (RFC 6797, section 6.1; rule
// K5). ok is false for a value with any syntax error, and for one of more than 8 KiB. age
// is the max-age; 0 means that the policy ends now.
func Parse(value string) (age time.Duration, includeSubdomains, ok bool) {
	if len(value) > maxValue {
		return 0, false, false
	}
	p := parser{s: value}
	found := make(map[string]bool, 3)
	for {
		p.space()
		if p.end() {
			break
		}
		if p.take(';') {
			continue
		}
		name := strings.ToLower(p.token())
		if name == "" || found[name] {
			return 0, false, false
		}
		found[name] = true
		arg, hasArg, valid := p.argument()
		if !valid {
			return 0, false, false
		}
		switch name {
		case "max-age":
			if !hasArg || arg == "" || strings.Trim(arg, "0123456789") != "" {
				return 0, false, false
			}
			seconds, err := strconv.ParseInt(arg, 10, 64)
			if err != nil || seconds > maxAge {
				seconds = maxAge
			}
			age = time.Duration(seconds) * time.Second
		case "includesubdomains":
			includeSubdomains = true
		}
		p.space()
		if !p.end() && !p.take(';') {
			return 0, false, false
		}
	}
	return age, includeSubdomains, found["max-age"]
}

type parser struct {
	s string
	i int
}

func (p *parser) end() bool { return p.i == len(p.s) }

func (p *parser) space() {
	for !p.end() && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) take(c byte) bool {
	if p.end() || p.s[p.i] != c {
		return false
	}
	p.i++
	return true
}

func (p *parser) token() string {
	from := p.i
	for !p.end() {
		c := p.s[p.i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			break
		}
		p.i++
	}
	return p.s[from:p.i]
}

// argument parses the optional argument of a directive.
func (p *parser) argument() (arg string, has, valid bool) {
	p.space()
	if !p.take('=') {
		return "", false, true
	}
	p.space()
	if !p.take('"') {
		arg = p.token()
		return arg, true, arg != ""
	}
	var b strings.Builder
	for !p.end() {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return b.String(), true, true
		case c == '\\' && !p.end():
			b.WriteByte(p.s[p.i])
			p.i++
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", true, false
		default:
			b.WriteByte(c)
		}
	}
	return "", true, false
}

// canonical returns the canonical name of a host, "" for what cannot have a policy:
// addresses (rule K3) and invalid names. A final dot is removed (RFC 6797, section 8.2,
// compares labels).
func canonical(host string) string {
	host, ok := site.Canonical(host)
	if !ok || site.IsAddress(host) {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}
