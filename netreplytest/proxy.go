package netreplytest

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/netreply/netreply"
)

// Where the Proxy of a Server is reached.
const (
	proxyHost = "proxy.example"
	proxyPort = 3128
	proxyAddr = "proxy.example:3128"
)

// Proxy is a proxy in memory in front of a Server: it forwards http requests and opens tunnels,
// to nowhere else. It does what a test says like a Server; its answers to CONNECT are among
// them.
//
// On one port it speaks the protocols of netreply.HTTPProxy, which Config sets, HTTPSProxy and
// Socks5Proxy: a test changes the Type of Config.Proxy, and for HTTPSProxy sets its
// SSLConfiguration to that of Config. Over SOCKS5, faults of answers without a response, such
// as Close, Stall and Garbage, take the place of the proxy's reply, and any other answer is the
// reply "general failure". The record of a SOCKS5 request has the Method CONNECT and the Proto
// SOCKS5; a login, of both kinds, is the Proxy-Authorization field.
type Proxy struct {
	*endpoint
	server *endpoint

	loginMu sync.Mutex
	login   string // the field that is required, "" for none
}

// mustBeMade tells a Proxy that no Server has made from others.
func (p *Proxy) mustBeMade() {
	if p == nil || p.endpoint == nil {
		panic(prefix + "a Proxy is made by Server.Proxy")
	}
}

// Proxy is the server's proxy, made at the first call. A Config made after that uses it.
func (s *Server) Proxy() *Proxy {
	s.mustBeMade()
	s.t.Helper()
	s.proxyMu.Lock()
	defer s.proxyMu.Unlock()
	if s.proxy == nil {
		if s.configured {
			s.t.Fatalf(prefix + "Server: Proxy, or Fail with a fault of a proxy, must be called before Config, Configure and Manager")
		}
		p := &Proxy{server: s.endpoint}
		p.endpoint = newEndpoint(s.t, "Proxy", HTTP, p)
		p.socks = p.serveSOCKS
		s.proxy = p
	}
	return s.proxy
}

// address is the proxy in a Config.
func (p *Proxy) address() *netreply.Proxy {
	return &netreply.Proxy{Type: netreply.HTTPProxy, Host: proxyHost, Port: proxyPort}
}

// RequireLogin makes the proxy refuse requests without this user and password: by a 407 response
// with the scheme Basic, or by SOCKS5.
func (p *Proxy) RequireLogin(user, password string) {
	p.mustBeMade()
	p.loginMu.Lock()
	defer p.loginMu.Unlock()
	p.login = basic(user, password)
}

// basic is the Authorization field of a user.
func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// requiredLogin is the field that requests need, "" for none.
func (p *Proxy) requiredLogin() string {
	p.loginMu.Lock()
	defer p.loginMu.Unlock()
	return p.login
}

// Fail is Server.Fail, for the proxy's own connections and answers.
func (p *Proxy) Fail(f Fault) {
	p.mustBeMade()
	p.t.Helper()
	p.fail(f)
}

// Next is Server.Next, for the proxy's own connections and answers.
func (p *Proxy) Next(answers ...http.Handler) {
	p.mustBeMade()
	p.t.Helper()
	p.script(answers)
}

// Pending is Server.Pending, of the proxy's own script.
func (p *Proxy) Pending() int {
	p.mustBeMade()
	return p.pending()
}

// Recover is Server.Recover.
func (p *Proxy) Recover() {
	p.mustBeMade()
	p.recover()
}

// Requests are the requests so far, in order, those of the method CONNECT included.
func (p *Proxy) Requests() []Request {
	p.mustBeMade()
	return p.seen()
}

// Connections is how many connections were accepted.
func (p *Proxy) Connections() int {
	p.mustBeMade()
	return p.connections()
}

// ServeHTTP forwards a request, or opens a tunnel.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mustBeMade()
	login := p.requiredLogin()
	if login != "" && r.Header.Get("Proxy-Authorization") != login {
		Answer{Status(http.StatusProxyAuthRequired), Header("Proxy-Authenticate", `Basic realm="netreplytest"`)}.ServeHTTP(w, r)
		return
	}
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	if !r.URL.IsAbs() {
		http.Error(w, "a proxy needs a whole URL", http.StatusBadRequest)
		return
	}
	if f := p.server.takeFault(connecting); f.dial != nil {
		refuse(w, f.dial(r.Context(), r.URL.Host))
		return
	}
	r.Header.Del("Proxy-Authorization")
	r.Header.Del("Proxy-Connection")
	r.RequestURI = r.URL.RequestURI()
	p.server.serve(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, (*peer)(nil))))
}

// refuse answers a request whose target cannot be reached.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		status = http.StatusNotFound
	case errors.Is(err, errRefused):
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

// tunnel connects the client with the server until either end closes. It copies one direction
// by itself and waits for the goroutine of the other.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	far, err := p.server.dial(r.Context(), r.Host)
	if err != nil {
		refuse(w, err)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		far.Close()
		p.t.Errorf(prefix+"Proxy: %v", err)
		return
	}
	defer p.forget(p.peerOf(conn))
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		far.Close()
		return
	}
	pump(conn, rw, far)
}
