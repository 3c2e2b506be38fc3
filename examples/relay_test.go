package examples

import (
	"net"
	"sync"
	"testing"
)

// gate lets so many bytes through, and then none until it is set again.
type gate struct {
	mu     sync.Mutex
	set    sync.Cond
	bytes  int64 // below 0 for any number
	closed bool
}

func newGate() *gate {
	g := &gate{bytes: -1}
	g.set.L = &g.mu
	return g
}

// hold stops what comes behind n more bytes.
func (g *gate) hold(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes = n
	g.set.Broadcast()
}

func (g *gate) open() { g.hold(-1) }

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.set.Broadcast()
}

func (g *gate) pass(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.closed && g.bytes >= 0 && g.bytes < n {
		g.set.Wait()
	}
	if g.bytes >= 0 {
		g.bytes -= n
	}
	return !g.closed
}

// relay is an address of a server that can be another one behind it later, and that can be
// made slow, so that tests see what lies between the beginning and the end of a transfer.
type relay struct {
	net.Listener
	up, down *gate
	mu       sync.Mutex
	server   string
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, up: newGate(), down: newGate(), conns: map[net.Conn]bool{}}
	r.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.up.close()
		r.down.close()
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.conns = nil
		r.mu.Unlock()
		r.running.Wait()
	})
	return r
}

func (r *relay) url() string { return "http://" + r.Addr().String() }

// lead has new connections go to a server.
func (r *relay) lead(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = addr
}

// keep remembers a connection for the end of the test.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		c.Close()
		return false
	}
	r.conns[c] = true
	return true
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	r.mu.Lock()
	addr := r.server
	r.mu.Unlock()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		client.(*net.TCPConn).SetLinger(0)
		return
	}
	defer server.Close()
	if !r.keep(client) || !r.keep(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(server, client, r.up) })
	both.Go(func() { pass(client, server, r.down) })
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, client)
	delete(r.conns, server)
}

// pass copies one direction of a connection, and ends both with it.
func pass(to, from net.Conn, g *gate) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !g.pass(int64(n)) {
			return
		}
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}
