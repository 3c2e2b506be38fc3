package dial

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/netreply/netreply/internal/httpauth"
)

// memory is what a proxy has asked for, to be answered unasked on the next connection.
type memory struct {
	basic, ntlm bool
	digest      *httpauth.Digest
	count       uint32 // uses of its nonce
	// proven: it has taken the credentials. What it refuses then may be a nonce.
	proven bool
}

// strength is that of the scheme by which credentials go out.
func (m *memory) strength() httpauth.Strength {
	switch {
	case m.digest != nil:
		return httpauth.StrengthOf("Digest", m.digest)
	case m.ntlm:
		return httpauth.NTLM
	case m.basic:
		return httpauth.ClearText
	}
	return httpauth.Unknown
}

// Allow says by which scheme the credentials may go out at the weakest. Without it that
// is the first one that the proxy asks for.
func (p *Proxy) Allow(weakest httpauth.Strength) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weakest = weakest
}

// Allowed is the weakest scheme by which the credentials may go out, Unknown as long as
// that is open.
func (p *Proxy) Allowed() httpauth.Strength {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weakest
}

// own tells that the program has set what the proxy is to believe.
func (p *Proxy) own() bool {
	for _, f := range p.Fields {
		if strings.EqualFold(f[0], "Proxy-Authorization") {
			return true
		}
	}
	return false
}

// beforehand answers what the proxy has asked on another connection. tried tells that
// a refusal is one of the credentials.
func (p *Proxy) beforehand(addr string) (line string, tried bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &p.memory
	if !p.Credentials || p.own() {
		return "", false
	}
	if p.weakest == httpauth.Unknown {
		p.weakest = m.strength()
	}
	switch {
	case m.digest != nil:
		return p.digestLine(addr), !m.proven
	case m.ntlm:
		line, _ := ntlmStart()
		return line, !m.proven
	case m.basic:
		return httpauth.Basic(p.User, p.Password), !m.proven
	}
	return "", false
}

func (p *Proxy) accepted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory.proven = true
}

// digestLine answers the challenge; the caller holds the lock.
func (p *Proxy) digestLine(addr string) string {
	p.memory.count++
	line, _ := p.memory.digest.Authorize(p.User, p.Password, http.MethodConnect, addr, p.memory.count, nil)
	return line
}

func ntlmStart() (string, error) {
	start, err := httpauth.NTLMStart()
	if err != nil {
		return "", err
	}
	return "NTLM " + base64.StdEncoding.EncodeToString(start), nil
}

// answer finds the credentials for the next CONNECT, or says why there is none.
func (n *negotiation) answer(r *refusal) (string, error) {
	p := n.proxy
	refused := &ProxyError{Proxy: p.Addr, Response: r.Response, Body: r.body}
	switch r.StatusCode {
	case http.StatusProxyAuthRequired:
	case http.StatusNotFound:
		refused.Fault = TargetNotFound
		return "", refused
	case http.StatusServiceUnavailable:
		refused.Fault = TargetRefused
		return "", refused
	default:
		refused.Fault = ProxyRefused
		return "", refused
	}
	refused.Fault = ProxyAuthRequired
	if !p.Credentials || p.own() {
		return "", refused
	}
	challenges := httpauth.Parse(r.Header["Proxy-Authenticate"])
	if strings.HasPrefix(n.line, "NTLM ") { // the second message is answered on the same connection
		for _, c := range challenges {
			if token, err := base64.StdEncoding.DecodeString(c.Token); c.Is("NTLM") && len(token) > 0 && err == nil && !r.close {
				out, err := httpauth.NTLMAnswer(token, p.User, p.Password)
				if err != nil {
					return "", &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: fmt.Errorf("NTLM: %w", err)}
				}
				n.tried = true
				return "NTLM " + base64.StdEncoding.EncodeToString(out), nil
			}
		}
		return "", refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stale, weaker := p.learn(challenges)
	refused.Weaker = weaker
	if weaker || n.tried && !stale {
		return "", refused
	}
	line, err := n.credentials()
	if err != nil {
		return "", &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: fmt.Errorf("NTLM: %w", err)}
	}
	if line == "" {
		return "", refused
	}
	n.tried = true
	if p.weakest == httpauth.Unknown {
		p.weakest = p.memory.strength()
	}
	return line, nil
}

// again makes the credentials once more, for a connection that takes the place of one.
func (n *negotiation) again() {
	n.proxy.mu.Lock()
	defer n.proxy.mu.Unlock()
	if n.line != "" {
		n.line, _ = n.credentials()
	}
}

// credentials answers what the memory holds; the caller holds the proxy's lock.
func (n *negotiation) credentials() (string, error) {
	switch m := &n.proxy.memory; {
	case m.digest != nil:
		return n.proxy.digestLine(n.addr), nil
	case m.ntlm:
		return ntlmStart()
	case m.basic:
		return httpauth.Basic(n.proxy.User, n.proxy.Password), nil
	}
	return "", nil
}

// learn takes note of the strongest of the challenges: Digest, NTLM, Basic. stale tells
// that no credentials were looked at, and weaker that all of them are weaker than the
// credentials may go out by, and nothing was learned. The caller holds the lock.
func (p *Proxy) learn(challenges []httpauth.Challenge) (stale, weaker bool) {
	m := memory{proven: p.memory.proven}
	for _, c := range challenges {
		switch {
		case c.Is("Digest"):
			if d, err := httpauth.NewDigest(c); err == nil && (m.digest == nil || d.Strength() > m.digest.Strength()) {
				m.digest = d
			}
		case c.Is("Basic"):
			m.basic = true
		case c.Is("NTLM"):
			m.ntlm = true
		}
	}
	if n := m.strength(); n != httpauth.Unknown && n < p.weakest {
		return false, true
	}
	p.memory = m
	return m.digest != nil && m.digest.Stale, false
}

// parked is a connection on which a proxy has refused a tunnel and waits for
// credentials.
type parked struct {
	conn  net.Conn
	in    *proxyReader
	addr  string
	timer *time.Timer
}

// parkedFor bounds how long a connection waits for the program to find credentials.
const parkedFor = 30 * time.Second

// park keeps a connection, one at a time, until Follow takes it or Close ends it.
func (p *Proxy) park(c *parked) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked != nil || p.retired {
		return false
	}
	p.parked = c
	c.timer = time.AfterFunc(parkedFor, func() { p.drop(c) })
	return true
}

// drop ends a connection that is still parked; nil means any.
func (p *Proxy) drop(c *parked) {
	p.mu.Lock()
	was := p.parked
	if was == nil || c != nil && was != c {
		p.mu.Unlock()
		return
	}
	p.parked = nil
	p.mu.Unlock()
	was.timer.Stop()
	GiveUp(was.conn)
}

// Close ends the connection on which credentials are waited for, if there is one. The
// Proxy stays usable.
func (p *Proxy) Close() { p.drop(nil) }

// Retire is Close for good: nobody would find a connection any more that waits here from now
// on.
func (p *Proxy) Retire() {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	p.drop(nil)
}

// unpark takes the connection that waits for credentials, if it is for addr.
func (p *Proxy) unpark(addr string) (net.Conn, *proxyReader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.parked
	if c == nil || c.addr != addr {
		return nil, nil
	}
	p.parked = nil
	c.timer.Stop()
	return c.conn, c.in
}

// Follow makes p the way of somebody whom old has refused with e, and who has other
// credentials: they go out at once, on the same connection if it is there.
func (p *Proxy) Follow(old *Proxy, e *ProxyError) {
	if p == old || p.Kind != Tunnel || e.Response == nil {
		return
	}
	old.mu.Lock()
	c := old.parked
	old.parked = nil
	old.mu.Unlock()
	if c != nil {
		c.timer.Stop()
		if !p.park(c) {
			GiveUp(c.conn)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := &p.memory; !m.proven {
		p.learn(httpauth.Parse(e.Response.Header["Proxy-Authenticate"]))
	}
}
