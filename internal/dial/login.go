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

// lastChallenge is the last challenge of a proxy, which is answered preemptively on the next
// connection.
type lastChallenge struct {
	basic, ntlm bool
	digest      *httpauth.Digest
	count       uint32 // uses of the nonce
	// proven: the proxy has accepted the credentials. A later refusal may concern only the
	// nonce.
	proven bool
}

// strength is the strength of the scheme that is used.
func (m *lastChallenge) strength() httpauth.Strength {
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

// Allow sets the weakest scheme with which the credentials may be sent. Without it that is
// the scheme of the first challenge.
func (p *Proxy) Allow(weakest httpauth.Strength) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weakest = weakest
}

// Allowed is the weakest scheme with which the credentials may be sent, Unknown if that is
// not fixed yet.
func (p *Proxy) Allowed() httpauth.Strength {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weakest
}

// hasOwnAuth reports whether the program has set Proxy-Authorization.
func (p *Proxy) hasOwnAuth() bool {
	for _, f := range p.Fields {
		if strings.EqualFold(f[0], "Proxy-Authorization") {
			return true
		}
	}
	return false
}

// preemptive answers the last challenge of another connection. tried reports that a refusal
// means wrong credentials.
func (p *Proxy) preemptive(addr string) (line string, tried bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &p.challenge
	if !p.Credentials || p.hasOwnAuth() {
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
	p.challenge.proven = true
}

// digestLine answers the Digest challenge. The caller holds the lock.
func (p *Proxy) digestLine(addr string) string {
	p.challenge.count++
	line, _ := p.challenge.digest.Authorize(p.User, p.Password, http.MethodConnect, addr, p.challenge.count, nil)
	return line
}

func ntlmStart() (string, error) {
	start, err := httpauth.NTLMStart()
	if err != nil {
		return "", err
	}
	return "NTLM " + base64.StdEncoding.EncodeToString(start), nil
}

// answer returns the Proxy-Authorization for the next CONNECT, or the error if there is
// none.
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
	if !p.Credentials || p.hasOwnAuth() {
		return "", refused
	}
	challenges := httpauth.Parse(r.Header["Proxy-Authenticate"])
	if strings.HasPrefix(n.line, "NTLM ") { // the second message must be sent on the same connection
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
	stale, weaker := p.storeChallenge(challenges)
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
		p.weakest = p.challenge.strength()
	}
	return line, nil
}

// renew renews the credentials for a new connection.
func (n *negotiation) renew() {
	n.proxy.mu.Lock()
	defer n.proxy.mu.Unlock()
	if n.line != "" {
		n.line, _ = n.credentials()
	}
}

// credentials answers the last challenge. The caller holds the proxy's lock.
func (n *negotiation) credentials() (string, error) {
	switch m := &n.proxy.challenge; {
	case m.digest != nil:
		return n.proxy.digestLine(n.addr), nil
	case m.ntlm:
		return ntlmStart()
	case m.basic:
		return httpauth.Basic(n.proxy.User, n.proxy.Password), nil
	}
	return "", nil
}

// storeChallenge stores the strongest of the challenges: Digest, NTLM, Basic. stale reports that the
// credentials were not checked. weaker reports that all challenges are weaker than the
// credentials allow; nothing is stored then. The caller holds the lock.
func (p *Proxy) storeChallenge(challenges []httpauth.Challenge) (stale, weaker bool) {
	m := lastChallenge{proven: p.challenge.proven}
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
	p.challenge = m
	return m.digest != nil && m.digest.Stale, false
}

// parked is a connection on which a proxy has refused a tunnel, kept for another CONNECT
// with credentials.
type parked struct {
	conn  net.Conn
	in    *proxyReader
	addr  string
	timer *time.Timer
}

// parkedFor is how long a connection is kept for the answer of the program.
const parkedFor = 30 * time.Second

// park keeps a connection until Follow takes it or Close closes it. It returns false if one
// is kept already.
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

// drop closes the parked connection if it is c; nil means any.
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

// Close closes the connection that is kept for credentials, if there is one. The Proxy
// stays usable.
func (p *Proxy) Close() { p.drop(nil) }

// Retire is the last Close: no connections are kept afterwards.
func (p *Proxy) Retire() {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	p.drop(nil)
}

// unpark returns the parked connection if it is for addr.
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

// Follow prepares p for a dial with other credentials after old was refused with e: it
// takes over the parked connection and the challenge.
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
	if m := &p.challenge; !m.proven {
		p.storeChallenge(httpauth.Parse(e.Response.Header["Proxy-Authenticate"]))
	}
}
