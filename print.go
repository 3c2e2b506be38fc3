package netreply

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"

	"github.com/netreply/netreply/internal/httpurl"
)

// Formatting of the types of this package for fmt and log/slog: settings and facts that are
// useful in a log, without secrets. Format handles every verb alike, because for %#v and
// %+v package fmt would otherwise print all fields. Values from a peer are quoted, and made
// printable for log/slog.

// Format prints the fields that are not zero, without secrets.
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

// Format prints the fields that are not zero, without secrets: passwords in URLs, and the
// values of header fields with credentials or listed in SecretHeaders.
func (q Request) Format(s fmt.State, verb rune) { q.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (q Request) LogValue() slog.Value { return q.printout().logValue() }

func (r *Reply) printout() printout {
	p := r.facts()
	if err := r.Err(); r.Manager() != nil && err != nil { // whose text may be the program's
		p.addString("Err", err.Error())
	}
	return p
}

func (r *Reply) facts() printout {
	p := printout{name: "netreply.Reply"}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.addString("Method", r.method)
	p.addString("URL", httpurl.Redacted(r.url))
	if r.hops > 0 {
		p.addNumber("Redirects", int64(r.hops))
	}
	if r.state == finished {
		p.add("State", "finished")
	} else {
		p.add("State", "running")
		p.add("Phase", r.phase().String())
	}
	if r.head.status != 0 {
		p.addNumber("StatusCode", int64(r.head.status))
	}
	p.addNumber("Received", r.pipe.Received())
	if r.state != finished && r.head.length > 0 {
		p.addNumber("ContentLength", r.head.length)
	}
	return p
}

// Format prints the request and the state of the reply, without secrets.
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

// Format prints the credential without its password.
func (c Credential) Format(s fmt.State, verb rune) { c.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (c Credential) LogValue() slog.Value { return c.printout().logValue() }

func (c Credential) printout() printout {
	// an invalid Origin may contain a password
	if u, err := httpurl.Parse(c.Origin); err != nil {
		c.Origin = httpurl.Hidden
	} else {
		c.Origin = u.Redacted()
	}
	return printoutOf(c, "Password")
}

// Format prints when the token expires, without its value.
func (t Token) Format(s fmt.State, verb rune) { t.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (t Token) LogValue() slog.Value { return t.printout().logValue() }

func (t Token) printout() printout {
	p := printout{name: "netreply.Token"}
	if t.Value != "" {
		p.add("Value", httpurl.Hidden)
	}
	if !t.Expires.IsZero() {
		p.add("Expires", t.Expires.String())
	}
	return p
}

// Format prints when the stored token expires, without its value.
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
		p.addString("IdentityHint", string(a.IdentityHint))
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

// Format prints the redirect, without passwords.
func (d *Redirect) Format(s fmt.State, verb rune) { d.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (d *Redirect) LogValue() slog.Value { return d.printout().logValue() }

func (d *Redirect) printout() printout {
	if d == nil {
		return printout{name: "netreply.Redirect"}
	}
	return printoutOf(d)
}

// Format prints the question, without the answer.
func (s *SSLErrors) Format(f fmt.State, verb rune) { s.printout().format(f, verb) }

// LogValue is what log/slog prints: the same.
func (s *SSLErrors) LogValue() slog.Value { return s.printout().logValue() }

func (s *SSLErrors) printout() printout {
	p := printout{name: "netreply.SSLErrors"}
	if s == nil {
		return p
	}
	p.addString("Host", s.Host)
	p.add("Errors", fmt.Sprintf("%q", s.Errors))
	p.addField("Chain", reflect.ValueOf(s.Chain))
	if s.Ignored {
		p.addBool("Ignored", true)
	}
	if s.Final {
		p.addBool("Final", true)
	}
	return p
}

// Format prints the fields that are not zero, without keys and tickets.
func (c SSLConfiguration) Format(s fmt.State, verb rune) { printoutOf(c).format(s, verb) }

// LogValue is what log/slog prints: the same.
func (c SSLConfiguration) LogValue() slog.Value { return printoutOf(c).logValue() }

// Format prints type and parts, without the content: fields of a form may be passwords.
func (m Multipart) Format(s fmt.State, verb rune) { printoutOf(m).format(s, verb) }

// LogValue is what log/slog prints: the same.
func (m Multipart) LogValue() slog.Value { return printoutOf(m).logValue() }

// Format prints the header fields, without the content.
func (p Part) Format(s fmt.State, verb rune) { p.printout().format(s, verb) }

// LogValue is what log/slog prints: the same.
func (p Part) LogValue() slog.Value { return p.printout().logValue() }

func (p Part) printout() printout {
	body := p.Body
	p.Body = nil // it may contain the part
	out := printoutOf(p)
	if body != nil {
		out.add("Body", bodyText(body))
	}
	return out
}

// bodyText describes a body without its content.
func bodyText(b Body) string {
	switch b := b.(type) {
	case nil:
		return "none"
	case bytesBody:
		return b.text()
	case contentBody:
		return b.data.text()
	case namedBody:
		return bodyText(b.Body)
	case readerBody:
		return typeOf(b.r, "a nil io.Reader")
	case compressedBody:
		return bodyText(b.body) + " in " + printable(b.coding, maxReason)
	}
	return reflect.TypeOf(b).String()
}

// Format prints how many bytes there are.
func (b bytesBody) Format(s fmt.State, verb rune) { formatText(s, verb, b.text()) }

// LogValue is what log/slog prints: the same.
func (b bytesBody) LogValue() slog.Value { return slog.StringValue(b.text()) }

// Format prints the kind of the body: fmt would print the content of some readers.
func (b readerBody) Format(s fmt.State, verb rune) { formatText(s, verb, bodyText(b)) }

// LogValue is what log/slog prints: the same.
func (b readerBody) LogValue() slog.Value { return slog.StringValue(bodyText(b)) }

// Format prints the size or kind of the body.
func (b compressedBody) Format(s fmt.State, verb rune) { formatText(s, verb, bodyText(b)) }

// LogValue is what log/slog prints: the same.
func (b compressedBody) LogValue() slog.Value { return slog.StringValue(bodyText(b)) }

// Format prints the size or kind of the body.
func (b namedBody) Format(s fmt.State, verb rune) { formatText(s, verb, bodyText(b)) }

// LogValue is what log/slog prints: the same.
func (b namedBody) LogValue() slog.Value { return slog.StringValue(bodyText(b)) }

func (b bytesBody) text() string { return strconv.Itoa(len(b)) + " bytes" }

func (s SSLState) printout() printout {
	p := printout{name: "netreply.SSLState"}
	if c := s.ConnectionState; c.HandshakeComplete {
		p.add("Version", tls.VersionName(c.Version))
		p.add("CipherSuite", tls.CipherSuiteName(c.CipherSuite))
		p.addString("NegotiatedProtocol", c.NegotiatedProtocol)
		p.addBool("DidResume", c.DidResume)
	}
	if len(s.PeerCertificates) > 0 {
		p.addString("Peer", s.PeerCertificates[0].Subject.String())
	}
	if s.Configuration != nil {
		p.add("Configuration", fmt.Sprint(s.Configuration))
	}
	return p
}

// Format prints the negotiated parameters and the peer.
func (s SSLState) Format(f fmt.State, verb rune) { s.printout().format(f, verb) }

// LogValue is what log/slog prints: the same.
func (s SSLState) LogValue() slog.Value { return s.printout().logValue() }
