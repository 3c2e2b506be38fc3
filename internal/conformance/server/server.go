// Package server plays the listeners of a scenario on 127.0.0.1 and records
// what the client sent.
package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/netreply/netreply/internal/conformance/pki"
	"github.com/netreply/netreply/internal/conformance/scenario"
	"github.com/netreply/netreply/internal/oserr"
)

// Server is one running scenario.
type Server struct {
	Scenario *scenario.Scenario
	Tmp      string // scratch directory of this run ({{tmp}})

	pki      *pki.PKI
	lis      map[string]*listener
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	rendered map[string]string // rendered volatile text -> its template
	raw      []byte            // the scenario as JSON
}

type listener struct {
	spec  *scenario.Listener
	port  int
	ln    net.Listener
	fd    int // bound but not listening (refused)
	mu    sync.Mutex
	n     int
	next  int               // exchange of a shared script
	exch  [][]scenario.Step // shared script
	log   []*scenario.ConnLog
	conns []net.Conn
}

// Start binds all listeners. tmp must be an empty directory.
func Start(s *scenario.Scenario, p *pki.PKI, tmp string) (*Server, error) {
	ctx, cancel := context.WithCancel(context.Background())
	srv := &Server{Scenario: s, Tmp: tmp, pki: p, lis: map[string]*listener{}, ctx: ctx, cancel: cancel,
		rendered: map[string]string{}}
	srv.raw, _ = json.Marshal(s)
	for name, text := range s.Files {
		f := filepath.Join(tmp, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(f, 0o755); err != nil {
				return nil, err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			return nil, err
		}
		data := []byte(text)
		if rest, ok := strings.CutPrefix(text, "gen:"); ok {
			n, err := strconv.Atoi(rest)
			if err != nil {
				return nil, err
			}
			data = scenario.Gen(n)
		}
		if err := os.WriteFile(f, data, 0o644); err != nil {
			return nil, err
		}
	}
	for i := range s.Listeners {
		spec := &s.Listeners[i]
		l := &listener{spec: spec, fd: -1}
		if spec.Kind == "refused" {
			fd, port, err := reserve()
			if err != nil {
				srv.Stop(0)
				return nil, err
			}
			l.fd, l.port = fd, port
		} else {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				srv.Stop(0)
				return nil, err
			}
			l.ln, l.port = ln, ln.Addr().(*net.TCPAddr).Port
		}
		if spec.TLS != nil {
			if _, err := p.Cert(spec.TLS.Cert); err != nil {
				srv.Stop(0)
				return nil, err
			}
		}
		if spec.Shared && len(spec.Connections) > 0 {
			for _, st := range spec.Connections[0].Steps {
				if st.Await == "request" || st.Await == "headers" || len(l.exch) == 0 {
					l.exch = append(l.exch, nil)
				}
				k := len(l.exch) - 1
				l.exch[k] = append(l.exch[k], st)
			}
		}
		srv.lis[spec.Name] = l
	}
	for _, l := range srv.lis {
		if l.ln != nil {
			srv.wg.Add(1)
			go srv.accept(l)
		}
	}
	return srv, nil
}

// Ports maps listener names to ports.
func (s *Server) Ports() map[string]int {
	m := map[string]int{}
	for n, l := range s.lis {
		m[n] = l.port
	}
	return m
}

// Client is the client part with all templates filled in.
func (s *Server) Client() (*scenario.Client, error) {
	data, err := json.Marshal(s.Scenario.Client)
	if err != nil {
		return nil, err
	}
	text := s.Expand(string(data))
	var c scenario.Client
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, err
	}
	if c.DeadlineMs <= 0 || c.DeadlineMs > 15000 {
		c.DeadlineMs = 15000
	}
	if c.LingerMs == 0 {
		c.LingerMs = 40
	}
	c.PKI = &scenario.PKI{CA: filepath.Join(s.pki.Dir, "ca.pem"), Client: filepath.Join(s.pki.Dir, "client.pem"),
		Key: filepath.Join(s.pki.Dir, "client.key"), Leaves: map[string]string{}}
	for _, l := range s.Scenario.Listeners {
		if l.TLS != nil {
			c.PKI.Leaves[l.Name] = s.pki.LeafFile(l.TLS.Cert)
		}
	}
	return &c, nil
}

var templ = regexp.MustCompile(`\{\{([a-z]+)(?::([^{}]*))?\}\}`)

// Expand fills in {{port:L}} {{addr:L}} {{url:L}} {{tmp}} {{date:±sec}}.
func (s *Server) Expand(text string) string {
	return templ.ReplaceAllStringFunc(text, func(m string) string {
		g := templ.FindStringSubmatch(m)
		switch g[1] {
		case "tmp":
			return s.Tmp
		case "port", "addr", "url":
			l := s.lis[g[2]]
			if l == nil {
				return m
			}
			switch g[1] {
			case "port":
				return strconv.Itoa(l.port)
			case "addr":
				return "127.0.0.1:" + strconv.Itoa(l.port)
			}
			scheme := "http"
			if l.spec.TLS != nil {
				scheme = "https"
			}
			return scheme + "://127.0.0.1:" + strconv.Itoa(l.port)
		case "date":
			sec, _ := strconv.Atoi(g[2])
			t := time.Now().UTC().Add(time.Duration(sec) * time.Second)
			r := t.Format(http.TimeFormat)
			name := fmt.Sprintf("{date%+d}", sec)
			s.mu.Lock()
			s.rendered[r] = name
			s.rendered[t.Format("2006-01-02T15:04:05Z")] = name
			s.rendered[t.Format("2006-01-02T15:04:05.000Z")] = name
			s.mu.Unlock()
			return r
		}
		return m
	})
}

// Normalise replaces ports, the scratch directory and rendered dates in a text
// by their names.
func (s *Server) Normalise(text string) string {
	for n, l := range s.lis {
		p := strconv.Itoa(l.port)
		// not a JSON number: those follow a quote and a colon
		re := regexp.MustCompile(`([0-9A-Za-z.\]-]:| port )` + p + `\b`)
		text = re.ReplaceAllString(text, "${1}{"+n+"}")
	}
	text = strings.ReplaceAll(text, s.Tmp, "{tmp}")
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, n := range s.rendered {
		text = strings.ReplaceAll(text, r, n)
	}
	return text
}

func (s *Server) accept(l *listener) {
	defer s.wg.Done()
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		i := l.n
		l.n++
		lg := &scenario.ConnLog{End: "open"}
		l.log = append(l.log, lg)
		l.conns = append(l.conns, c)
		l.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			p := &player{s: s, l: l, tcp: c.(*net.TCPConn), Conn: c, log: lg}
			p.play(i)
			c.Close()
		}()
	}
}

// Stop waits at most grace for the connections to end, closes everything and
// returns the record.
func (s *Server) Stop(grace time.Duration) []scenario.ListenerLog {
	done := make(chan struct{})
	for _, l := range s.lis {
		if l.ln != nil {
			l.ln.Close()
		}
		if l.fd >= 0 {
			release(l.fd)
		}
	}
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(grace):
	}
	s.cancel()
	for _, l := range s.lis {
		l.mu.Lock()
		for _, c := range l.conns {
			c.Close()
		}
		l.mu.Unlock()
	}
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
	out := []scenario.ListenerLog{}
	for i := range s.Scenario.Listeners {
		l := s.lis[s.Scenario.Listeners[i].Name]
		if l == nil {
			continue
		}
		ll := scenario.ListenerLog{Listener: l.spec.Name, Connections: []scenario.ConnLog{}}
		l.mu.Lock()
		for _, c := range l.log {
			ll.Connections = append(ll.Connections, *c)
		}
		l.mu.Unlock()
		out = append(out, ll)
	}
	return out
}

// ------------------------------------------------------------------ player

type player struct {
	net.Conn
	s    *Server
	l    *listener
	tcp  *net.TCPConn
	br   *bufio.Reader
	log  *scenario.ConnLog
	last *scenario.ReqLog
	body []byte // of the last request
}

var errEnd = errors.New("connection ended")

func (p *player) note(f string, a ...any) { p.log.Notes = append(p.log.Notes, fmt.Sprintf(f, a...)) }

func (p *player) play(i int) {
	spec := p.l.spec
	if spec.Kind == "blackhole" {
		p.br = bufio.NewReader(p)
		p.drain()
		return
	}
	var sc *scenario.Connection
	if spec.Shared && len(spec.Connections) > 0 {
		p.playShared()
		return
	}
	if i < len(spec.Connections) {
		sc = &spec.Connections[i]
	} else if spec.RepeatLast && len(spec.Connections) > 0 {
		sc = &spec.Connections[len(spec.Connections)-1]
	} else {
		p.note("unscripted connection")
		p.log.End = "serverFin"
		return
	}
	if spec.Kind == "tls" {
		if err := p.startTLS(spec.TLS); err != nil {
			return
		}
	}
	p.br = bufio.NewReader(p)
	if spec.H2 {
		if tc, ok := p.Conn.(*tls.Conn); !ok || tc.ConnectionState().NegotiatedProtocol == "h2" {
			p.playH2(sc)
			return
		}
	}
	for {
		if err := p.run(sc.Steps); err != nil {
			if p.log.End == "open" {
				p.log.End = "clientClosed"
			}
			return
		}
		if !sc.Loop {
			break
		}
	}
	if p.log.End == "open" {
		p.drain()
	}
}

// playShared hands out the exchanges of the listener as requests arrive.
func (p *player) playShared() {
	if p.l.spec.Kind == "tls" {
		if err := p.startTLS(p.l.spec.TLS); err != nil {
			return
		}
	}
	p.br = bufio.NewReader(p)
	for {
		if _, err := p.br.Peek(1); err != nil {
			p.drain()
			return
		}
		p.l.mu.Lock()
		k := p.l.next
		p.l.next++
		p.l.mu.Unlock()
		if k >= len(p.l.exch) {
			p.drain()
			return
		}
		if err := p.run(p.l.exch[k]); err != nil {
			if p.log.End == "open" {
				p.log.End = "clientClosed"
			}
			return
		}
	}
}

// drain waits for the client to close; requests that still arrive are noted.
func (p *player) drain() {
	defer func() {
		if p.log.End == "open" {
			p.log.End = "clientClosed"
		}
	}()
	var got []byte
	buf := make([]byte, 4096)
	n := 0
	for {
		k, err := p.br.Read(buf)
		if len(got) < 200 {
			got = append(got, buf[:k]...)
		}
		n += k
		if err != nil {
			if errors.Is(err, net.ErrClosed) || p.s.ctx.Err() != nil {
				p.log.End = "open"
				if n > 0 {
					p.unanswered(got)
				}
				return
			}
			break
		}
	}
	if n > 0 {
		p.unanswered(got)
	}
}

func (p *player) unanswered(got []byte) {
	line, _, _ := bytes.Cut(got, []byte("\r\n"))
	if utf8.Valid(line) && bytes.Contains(line, []byte(" ")) {
		p.note("unanswered: %s", line)
	} else {
		p.note("unanswered bytes")
	}
}

var versions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (p *player) startTLS(spec *scenario.TLSSpec) error {
	cert, err := p.s.pki.Cert(spec.Cert)
	if err != nil {
		p.note("no certificate: %v", err)
		return err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: spec.ALPN,
		MinVersion: tls.VersionTLS10, SessionTicketsDisabled: true}
	if spec.Min != "" {
		cfg.MinVersion = versions[spec.Min]
	}
	if spec.Max != "" {
		cfg.MaxVersion = versions[spec.Max]
	}
	switch spec.ClientAuth {
	case "request":
		cfg.ClientAuth = tls.RequestClientCert
	case "require":
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, p.s.pki.Roots()
	}
	tc := tls.Server(p.Conn, cfg)
	tc.SetDeadline(time.Now().Add(14 * time.Second))
	err = tc.Handshake()
	tc.SetDeadline(time.Time{})
	st := tc.ConnectionState()
	p.log.TLS = map[string]any{"handshake": "ok"}
	if err != nil {
		p.log.TLS["handshake"] = tlsErr(err)
		p.log.End = "clientClosed"
		return err
	}
	p.log.TLS["version"] = strings.TrimPrefix(tls.VersionName(st.Version), "TLS ")
	p.log.TLS["alpn"] = st.NegotiatedProtocol
	p.log.TLS["sni"] = st.ServerName
	if len(st.PeerCertificates) > 0 {
		p.log.TLS["clientCert"] = st.PeerCertificates[0].Subject.CommonName
	}
	p.Conn = tc
	return nil
}

func tlsErr(err error) string {
	var ae tls.AlertError
	if errors.As(err, &ae) {
		return "alert: " + ae.Error()
	}
	t := err.Error()
	if i := strings.Index(t, "remote error: "); i >= 0 {
		return "alert: " + t[i+14:]
	}
	if errors.Is(err, io.EOF) || oserr.Is(err, oserr.Reset) || strings.Contains(t, "broken pipe") {
		return "client closed during the handshake"
	}
	return t
}

func (p *player) run(steps []scenario.Step) error {
	for i := range steps {
		if err := p.step(&steps[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) sleep(ms int) error {
	if ms <= 0 {
		return nil
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-p.s.ctx.Done():
		return errEnd
	}
}

func (p *player) send(b []byte, st *scenario.Step) error {
	piece := st.Piece
	if piece <= 0 {
		_, err := p.Write(b)
		return err
	}
	for len(b) > 0 {
		k := min(piece, len(b))
		if _, err := p.Write(b[:k]); err != nil {
			return err
		}
		b = b[k:]
		if len(b) > 0 {
			if err := p.sleep(st.PieceMs); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) step(st *scenario.Step) error {
	switch {
	case st.Await == "request":
		return p.readRequest(true)
	case st.Await == "headers":
		return p.readRequest(false)
	case st.Await == "body":
		return p.readBody()
	case st.Await == "bytes":
		_, err := io.CopyN(io.Discard, p.br, int64(st.N))
		return err
	case st.Await == "close":
		if st.Timeout > 0 {
			p.SetReadDeadline(time.Now().Add(time.Duration(st.Timeout) * time.Millisecond))
		}
		_, err := io.Copy(io.Discard, p.br)
		p.SetReadDeadline(time.Time{})
		if err == nil {
			p.log.End = "clientClosed"
			return errEnd
		}
		p.note("client did not close within the time")
		return nil
	case st.Send != "":
		return p.send([]byte(strings.Repeat(p.s.Expand(st.Send), max(1, st.Repeat))), st)
	case st.SendHex != "":
		b, err := hex.DecodeString(strings.ReplaceAll(st.SendHex, " ", ""))
		if err != nil {
			p.note("bad sendHex: %v", err)
			return err
		}
		return p.send(b, st)
	case st.SendGen > 0:
		b := scenario.Gen(st.SendGen)
		if st.Chunk > 0 {
			var out bytes.Buffer
			for len(b) > 0 {
				k := min(st.Chunk, len(b))
				fmt.Fprintf(&out, "%x\r\n%s\r\n", k, b[:k])
				b = b[k:]
			}
			b = out.Bytes()
		}
		return p.send(b, st)
	case st.SendEnc != nil:
		b, err := encode(st.SendEnc)
		if err != nil {
			p.note("%v", err)
			return err
		}
		head := strings.ReplaceAll(p.s.Expand(st.SendEnc.Head), "{{len}}", strconv.Itoa(len(b)))
		b = b[:max(0, len(b)-st.SendEnc.Cut)]
		if _, err := io.WriteString(p, head); err != nil {
			return err
		}
		return p.send(b, st)
	case st.DelayMs > 0:
		return p.sleep(st.DelayMs)
	case st.Close != "":
		return p.end(st.Close)
	case st.Tunnel != "":
		return p.tunnel(st.Tunnel)
	case st.Socks5 != nil:
		return p.socks(st.Socks5)
	case st.StartTLS != nil:
		return p.startTLSKeep(st.StartTLS)
	case st.CheckDigest != nil:
		ok := p.checkDigest(st.CheckDigest)
		if p.last != nil {
			p.last.DigestValid = &ok
		}
		return nil
	case st.If != nil:
		ok := p.last != nil
		if ok && st.If.Header != "" {
			v, has := header(p.last, st.If.Header)
			ok = has && (st.If.Value == "" || st.If.Value == v)
		}
		if ok && st.If.Method != "" {
			ok = p.last.Method == st.If.Method
		}
		if ok && st.If.Target != "" {
			ok = p.last.Target == st.If.Target
		}
		if ok {
			return p.run(st.If.Then)
		}
		return p.run(st.If.Else)
	}
	p.note("empty step")
	return nil
}

func (p *player) startTLSKeep(spec *scenario.TLSSpec) error {
	if err := p.startTLS(spec); err != nil {
		return errEnd
	}
	p.br = bufio.NewReader(p)
	return nil
}

func (p *player) end(how string) error {
	switch how {
	case "rst":
		p.log.End = "serverRst"
		p.tcp.SetLinger(0)
		p.tcp.Close()
		return errEnd
	case "half":
		if tc, ok := p.Conn.(*tls.Conn); ok {
			tc.CloseWrite()
		} else {
			p.tcp.CloseWrite()
		}
		return nil
	case "cut": // TCP FIN without TLS close_notify
		p.log.End = "serverFin"
		p.tcp.CloseWrite()
	default: // fin
		p.log.End = "serverFin"
		if tc, ok := p.Conn.(*tls.Conn); ok {
			tc.CloseWrite()
		}
		p.tcp.CloseWrite()
	}
	// read what is still in flight so that the close is a FIN and not a RST
	p.tcp.SetReadDeadline(time.Now().Add(2 * time.Second))
	io.Copy(io.Discard, p.tcp)
	return errEnd
}

func header(r *scenario.ReqLog, name string) (string, bool) {
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1], true
		}
	}
	return "", false
}

func (p *player) readRequest(body bool) error {
	r := scenario.ReqLog{Headers: [][2]string{}, Framing: "none"}
	p.body = nil
	line, err := p.line()
	if err != nil {
		if line != "" {
			p.note("partial request: %q", line)
		}
		return err
	}
	f := strings.SplitN(line, " ", 3)
	for len(f) < 3 {
		f = append(f, "")
	}
	r.Method, r.Target, r.Proto = f[0], f[1], f[2]
	for {
		if line, err = p.line(); err != nil {
			r.Incomplete = true
			break
		}
		if line == "" {
			break
		}
		k, v, _ := strings.Cut(line, ":")
		r.Headers = append(r.Headers, [2]string{k, strings.TrimLeft(v, " ")})
	}
	if v, ok := header(&r, "Transfer-Encoding"); ok && strings.EqualFold(v, "chunked") {
		r.Framing = "chunked"
	} else if _, ok := header(&r, "Content-Length"); ok {
		r.Framing = "length"
	}
	p.log.Requests = append(p.log.Requests, r)
	p.last = &p.log.Requests[len(p.log.Requests)-1]
	if err != nil {
		return err
	}
	if !body {
		return nil
	}
	return p.readBody()
}

func (p *player) readBody() error {
	r := p.last
	if r == nil {
		return nil
	}
	var data []byte
	var err error
	switch r.Framing {
	case "length":
		v, _ := header(r, "Content-Length")
		n, e := strconv.ParseInt(v, 10, 64)
		if e != nil {
			p.note("bad Content-Length %q", v)
			return nil
		}
		var buf bytes.Buffer
		_, err = io.CopyN(&buf, p.br, n)
		data = buf.Bytes()
	case "chunked":
		for {
			var line string
			if line, err = p.line(); err != nil {
				break
			}
			n, e := strconv.ParseInt(strings.TrimSpace(strings.SplitN(line, ";", 2)[0]), 16, 64)
			if e != nil {
				p.note("bad chunk size %q", line)
				break
			}
			if n == 0 {
				_, err = p.line()
				break
			}
			var buf bytes.Buffer
			_, err = io.CopyN(&buf, p.br, n)
			data = append(data, buf.Bytes()...)
			if err == nil {
				_, err = p.line()
			}
			if err != nil {
				break
			}
		}
	}
	p.body = data
	p.setBody(r, data, err != nil)
	return err
}

var boundaryRe = regexp.MustCompile(`boundary="?([^";]+)"?`)

func (p *player) setBody(r *scenario.ReqLog, data []byte, incomplete bool) {
	for i, h := range r.Headers {
		if strings.EqualFold(h[0], "Content-Type") && strings.HasPrefix(h[1], "multipart/") {
			m := boundaryRe.FindStringSubmatch(h[1])
			// a boundary the client invented is not comparable
			if m != nil && !bytes.Contains(p.s.raw, []byte(m[1])) {
				if n := len(data) - len(bytes.ReplaceAll(data, []byte(m[1]), nil)); n > 0 {
					data = bytes.ReplaceAll(data, []byte(m[1]), []byte("{boundary}"))
				}
				r.Headers[i][1] = strings.ReplaceAll(h[1], m[1], "{boundary}")
				for j, g := range r.Headers {
					if strings.EqualFold(g[0], "Content-Length") {
						r.Headers[j][1] = "{with invented boundary}"
					}
				}
			}
		}
	}
	r.BodySize = int64(len(data))
	r.Incomplete = r.Incomplete || incomplete
	if len(data) > 0 && !incomplete {
		sum := sha256.Sum256(data)
		r.BodySHA256 = hex.EncodeToString(sum[:])
		if len(data) <= 400 && utf8.Valid(data) {
			r.BodyText = string(data)
		}
	}
}

func (p *player) line() (string, error) {
	s, err := p.br.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

func (p *player) tunnel(name string) error {
	l := p.s.lis[name]
	if l == nil {
		p.note("tunnel to unknown listener %q", name)
		return errEnd
	}
	out, err := net.Dial("tcp4", "127.0.0.1:"+strconv.Itoa(l.port))
	if err != nil {
		p.note("tunnel: target refused")
		return errEnd
	}
	defer out.Close()
	p.note("tunnel to {%s}", name)
	done := make(chan string, 2)
	go func() {
		io.Copy(out, p.br)
		out.(*net.TCPConn).CloseWrite()
		done <- "clientClosed"
	}()
	go func() {
		io.Copy(p.tcp, out)
		p.tcp.CloseWrite()
		done <- "serverFin"
	}()
	p.log.End = <-done
	select {
	case <-done:
	case <-p.s.ctx.Done():
	}
	return errEnd
}

func (p *player) socks(s *scenario.Socks5) error {
	var b [512]byte
	rd := func(n int) ([]byte, error) { _, err := io.ReadFull(p.br, b[:n]); return b[:n], err }
	h, err := rd(2)
	if err != nil {
		return err
	}
	if h[0] != 5 {
		p.note("not SOCKS5: version %d", h[0])
		return errEnd
	}
	m, err := rd(int(h[1]))
	if err != nil {
		return err
	}
	p.note("socks5 methods %v", append([]int{}, ints(m)...))
	method := 0
	if s.User != "" {
		method = 2
	}
	if s.Method != nil {
		method = *s.Method
	}
	p.Write([]byte{5, byte(method)})
	if method == 0xff {
		return p.end("fin")
	}
	if method == 2 {
		if h, err = rd(2); err != nil {
			return err
		}
		u, err := rd(int(h[1]))
		if err != nil {
			return err
		}
		user := string(u)
		if h, err = rd(1); err != nil {
			return err
		}
		w, err := rd(int(h[0]))
		if err != nil {
			return err
		}
		pass := string(w)
		ok := user == s.User && pass == s.Pass
		p.note("socks5 auth user=%q ok=%v", user, ok)
		if !ok {
			p.Write([]byte{1, 1})
			return p.end("fin")
		}
		p.Write([]byte{1, 0})
	}
	if h, err = rd(4); err != nil {
		return err
	}
	cmd, at := h[1], h[3]
	host := ""
	switch at {
	case 1:
		a, err := rd(4)
		if err != nil {
			return err
		}
		host = "ipv4 " + net.IP(a).String()
	case 4:
		a, err := rd(16)
		if err != nil {
			return err
		}
		host = "ipv6 " + net.IP(a).String()
	case 3:
		l, err := rd(1)
		if err != nil {
			return err
		}
		a, err := rd(int(l[0]))
		if err != nil {
			return err
		}
		host = "name " + string(a)
	}
	pt, err := rd(2)
	if err != nil {
		return err
	}
	p.note("socks5 cmd=%d %s:%d", cmd, host, int(pt[0])<<8|int(pt[1]))
	p.Write([]byte{5, byte(s.Reply), 0, 1, 127, 0, 0, 1, 0, 80})
	if s.Reply != 0 {
		return p.end("fin")
	}
	if s.Tunnel != "" {
		return p.tunnel(s.Tunnel)
	}
	return nil
}

func ints(b []byte) []int {
	out := []int{}
	for _, x := range b {
		out = append(out, int(x))
	}
	return out
}
