package netreply

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// What fmt and log/slog print of the types of this package: the settings and facts that a
// person looks for in a log, and no secret. Format serves every verb alike, %#v and %+v
// too, because package fmt would go through the fields by itself otherwise. Values that
// came from a peer are quoted.

// hidden stands for a secret, as in url.URL.Redacted.
const hidden = "xxxxx"

// printout is what is printed of a value: its type, and names and texts in turn.
type printout struct {
	name   string
	fields []string
}

// printoutOf shows the exported fields of a struct that are not zero. Those that are named
// are secrets.
func printoutOf(v any, secrets ...string) printout {
	s := reflect.ValueOf(v)
	for s.Kind() == reflect.Pointer {
		s = s.Elem()
	}
	p := printout{name: s.Type().String()}
fields:
	for i := range s.NumField() {
		f := s.Type().Field(i)
		if !f.IsExported() || s.Field(i).IsZero() {
			continue
		}
		for _, name := range secrets {
			if f.Name == name {
				p.add(name, hidden)
				continue fields
			}
		}
		p.add(f.Name, show(s.Field(i)))
	}
	return p
}

func (p *printout) add(name, text string) { p.fields = append(p.fields, name, text) }

func (p printout) String() string {
	var b strings.Builder
	b.WriteString(p.name + "{")
	for i := 0; i < len(p.fields); i += 2 {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.fields[i] + ": " + p.fields[i+1])
	}
	b.WriteByte('}')
	return b.String()
}

func (p printout) format(s fmt.State, verb rune) { formatText(s, verb, p.String()) }

func (p printout) logValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(p.fields)/2)
	for i := 0; i < len(p.fields); i += 2 {
		attrs = append(attrs, slog.String(p.fields[i], p.fields[i+1]))
	}
	return slog.GroupValue(attrs...)
}

func formatText(s fmt.State, verb rune, text string) {
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	io.WriteString(s, text)
}

// show is the text of one field. What is not known to be harmless is told by its type.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case *url.URL:
		return strconv.Quote(x.Redacted())
	case net.Addr:
		return x.String()
	case fmt.Formatter:
		return fmt.Sprint(x)
	case fmt.Stringer:
		if v.CanInt() || v.CanUint() { // an enumeration, or a duration
			return x.String()
		}
	case []byte:
		return fmt.Sprintf("%d bytes", len(x))
	case []string:
		return fmt.Sprintf("%q", x)
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint16:
		return fmt.Sprint(v.Interface())
	case reflect.Struct:
		return printoutOf(v.Interface()).String()
	case reflect.Slice:
		if v.Type().Elem().Implements(reflect.TypeFor[fmt.Formatter]()) {
			return fmt.Sprint(v.Interface())
		}
		return fmt.Sprintf("%d of %s", v.Len(), v.Type().Elem())
	case reflect.Interface:
		return v.Elem().Type().String()
	}
	return v.Type().String()
}

// Format prints the settings that are set, without secrets.
func (c Config) Format(s fmt.State, verb rune) { printoutOf(c).format(s, verb) }

// LogValue is what log/slog prints: the same.
func (c Config) LogValue() slog.Value { return printoutOf(c).logValue() }

func (q Request) printout() printout {
	h := q.Headers
	q.Headers = Headers{}
	p := printoutOf(q)
	if h.Len() > 0 {
		p.add("Headers", fmt.Sprint(h.Redacted(q.SecretHeaders...)))
	}
	return p
}

// Format prints the fields that are set, without secrets: passwords in URLs, and the
// values of the header fields that carry credentials or are named in SecretHeaders.
func (q Request) Format(s fmt.State, verb rune) { q.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (q Request) LogValue() slog.Value { return q.printout().logValue() }

func (r *Reply) printout() printout {
	p := printout{name: "netreply.Reply"}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.add("Method", strconv.Quote(r.method))
	p.add("URL", strconv.Quote(redact(r.url)))
	state := "running"
	if r.state == finished {
		state = "finished"
	}
	p.add("State", state)
	if r.head.status != 0 {
		p.add("StatusCode", strconv.Itoa(r.head.status))
	}
	p.add("Received", strconv.FormatInt(r.received, 10))
	if r.err != nil {
		p.add("Err", strconv.Quote(r.err.Error()))
	}
	return p
}

// Format prints what is requested and what has become of it, without secrets.
func (r *Reply) Format(s fmt.State, verb rune) {
	if r == nil {
		io.WriteString(s, "<nil>")
		return
	}
	r.printout().format(s, verb)
}

// LogValue is what log/slog prints: the same.
func (r *Reply) LogValue() slog.Value {
	if r == nil {
		return slog.AnyValue(nil)
	}
	return r.printout().logValue()
}

func (m *Manager) printout() printout {
	p := printoutOf(m.cfg)
	p.name = "netreply.Manager"
	return p
}

// Format prints the Manager's Config, without secrets.
func (m *Manager) Format(s fmt.State, verb rune) {
	if m == nil {
		io.WriteString(s, "<nil>")
		return
	}
	m.printout().format(s, verb)
}

// LogValue is what log/slog prints: the same.
func (m *Manager) LogValue() slog.Value {
	if m == nil {
		return slog.AnyValue(nil)
	}
	return m.printout().logValue()
}

// Format prints the proxy as String does.
func (p Proxy) Format(s fmt.State, verb rune) { formatText(s, verb, p.String()) }

// LogValue is what log/slog prints: the same.
func (p Proxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Format prints what the credential is for, without its password.
func (c Credential) Format(s fmt.State, verb rune) { c.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (c Credential) LogValue() slog.Value { return c.printout().logValue() }

func (c Credential) printout() printout {
	// an Origin that no Manager takes may hold a password
	if u, err := parseURL(c.Origin); err != nil {
		c.Origin = hidden
	} else {
		c.Origin = u.Redacted()
	}
	return printoutOf(c, "Password")
}

// Format prints when the token ends.
func (t Token) Format(s fmt.State, verb rune) { t.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (t Token) LogValue() slog.Value { return t.printout().logValue() }

func (t Token) printout() printout {
	p := printout{name: "netreply.Token"}
	if t.Value != "" {
		p.add("Value", hidden)
	}
	if !t.Expires.IsZero() {
		p.add("Expires", t.Expires.String())
	}
	return p
}

// Format prints when the token that is kept ends.
func (s *TokenSource) Format(f fmt.State, verb rune) { s.printout().format(f, verb) }

// LogValue is what log/slog prints: the same.
func (s *TokenSource) LogValue() slog.Value { return s.printout().logValue() }

func (s *TokenSource) printout() printout {
	p := printout{name: "netreply.TokenSource"}
	if s == nil {
		return p
	}
	if t := s.token.Load(); t != nil {
		p.add("Token", fmt.Sprint(*t))
	}
	return p
}

// Format prints the question, without the answer.
func (a *Authenticator) Format(s fmt.State, verb rune) { a.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (a *Authenticator) LogValue() slog.Value { return a.printout().logValue() }

func (a *Authenticator) printout() printout {
	if a == nil {
		return printout{name: "netreply.Authenticator"}
	}
	return printoutOf(a)
}

// Format prints the question, without the answer.
func (a ProxyAuthenticator) Format(s fmt.State, verb rune) { a.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (a ProxyAuthenticator) LogValue() slog.Value { return a.printout().logValue() }

func (a ProxyAuthenticator) printout() printout {
	p := a.Authenticator.printout()
	p.name = "netreply.ProxyAuthenticator"
	if a.Proxy != nil {
		p.add("Proxy", a.Proxy.String())
	}
	return p
}

// Format prints the question, without the answer.
func (a *PreSharedKeyAuthenticator) Format(s fmt.State, verb rune) { a.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (a *PreSharedKeyAuthenticator) LogValue() slog.Value { return a.printout().logValue() }

func (a *PreSharedKeyAuthenticator) printout() printout {
	p := printout{name: "netreply.PreSharedKeyAuthenticator"}
	if a != nil && len(a.IdentityHint) > 0 {
		p.add("IdentityHint", strconv.Quote(string(a.IdentityHint)))
	}
	return p
}

// Format prints status and fields, without secrets.
func (i Informational) Format(s fmt.State, verb rune) { printoutOf(i).format(s, verb) }

// LogValue is what log/slog prints: the same.
func (i Informational) LogValue() slog.Value { return printoutOf(i).logValue() }

// Format prints status, fields and the length of the body, without secrets.
func (r ProxyResponse) Format(s fmt.State, verb rune) { printoutOf(r).format(s, verb) }

// LogValue is what log/slog prints: the same.
func (r ProxyResponse) LogValue() slog.Value { return printoutOf(r).logValue() }

// Format prints where the redirect leads, without passwords.
func (d *Redirect) Format(s fmt.State, verb rune) { d.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (d *Redirect) LogValue() slog.Value { return d.printout().logValue() }

func (d *Redirect) printout() printout {
	if d == nil {
		return printout{name: "netreply.Redirect"}
	}
	return printoutOf(d)
}

// Format prints the settings that are set, without keys and tickets.
func (c *SSLConfiguration) Format(s fmt.State, verb rune) { c.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (c *SSLConfiguration) LogValue() slog.Value { return c.printout().logValue() }

func (c *SSLConfiguration) printout() printout {
	if c == nil {
		return printout{name: "netreply.SSLConfiguration"}
	}
	return printoutOf(c)
}

func (s SSLState) printout() printout {
	p := printout{name: "netreply.SSLState"}
	if c := s.ConnectionState; c.HandshakeComplete {
		p.add("Version", tls.VersionName(c.Version))
		p.add("CipherSuite", tls.CipherSuiteName(c.CipherSuite))
		p.add("NegotiatedProtocol", strconv.Quote(c.NegotiatedProtocol))
		p.add("DidResume", strconv.FormatBool(c.DidResume))
	}
	if len(s.PeerCertificates) > 0 {
		p.add("Peer", strconv.Quote(s.PeerCertificates[0].Subject.String()))
	}
	if s.Configuration != nil {
		p.add("Configuration", fmt.Sprint(s.Configuration))
	}
	return p
}

// Format prints what was agreed on and with whom.
func (s SSLState) Format(f fmt.State, verb rune) { s.printout().format(f, verb) }

// LogValue is what log/slog prints: the same.
func (s SSLState) LogValue() slog.Value { return s.printout().logValue() }
