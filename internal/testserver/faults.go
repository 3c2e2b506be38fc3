package testserver

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/netreply/netreply/internal/oserr"
)

// FaultKind is a kind of fault of a connection.
type FaultKind int

const (
	NoFault   FaultKind = iota
	Delay               // a pause in the bytes
	Cut                 // both ends see the end of the connection
	HalfClose           // the receiver sees the end; the other direction continues
	Reset               // both ends see a TCP reset
	Stall               // no more bytes, without an end
	Flip                // one bit
	Insert              // of one byte
	Drop                // of one byte
)

func (k FaultKind) String() string {
	return [...]string{"none", "delay", "cut", "half-close", "reset", "stall", "flip", "insert", "drop"}[k]
}

// Corrupts reports whether the fault changes bytes.
func (k FaultKind) Corrupts() bool { return k >= Flip }

// Direction is the direction of bytes.
type Direction int

const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) String() string { return [...]string{"to server", "to client"}[d] }

// Fault is a fault that occurs once, at a byte.
type Fault struct {
	Kind      FaultKind
	Direction Direction
	// Offset is the number of bytes before it, on each connection from Arm on.
	Offset int64
}

// faultDelay is the length of a Delay.
const faultDelay = 20 * time.Millisecond

// inserted are the bytes of Insert, by offset: bytes with a meaning in HTTP/1.
const inserted = "\x00\n\r 0;:\xff"

// Faulty is a TCP proxy to one server that can inject a Fault.
type Faulty struct {
	Addr   string
	server string
	ln     net.Listener
	done   sync.WaitGroup

	mu       sync.Mutex
	fault    Fault
	happened bool
	closed   bool
	links    []*link
}

// Delivered are the bytes that a client received on a connection.
type Delivered struct {
	Bytes []byte
	Armed int  // number of bytes before Arm
	Ended bool // the client received the end
}

// link is a connection of a client and the one to the server.
type link struct {
	f              *Faulty
	client, server *net.TCPConn

	// guarded by Faulty.mu
	passed    [2]int64
	delivered Delivered
	lost      [2]bool // bytes of this direction are dropped
}

// NewFaulty starts a proxy; Close ends it.
func NewFaulty(server string) (*Faulty, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Faulty{Addr: ln.Addr().String(), server: server, ln: ln}
	f.done.Go(f.accept)
	return f, nil
}

// Arm injects a fault on the first connection that reaches its offset. Offsets count from
// now on.
func (f *Faulty) Arm(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.happened = fault, false
	for _, l := range f.links {
		l.passed, l.delivered.Armed = [2]int64{}, len(l.delivered.Bytes)
	}
}

// Happened reports whether the fault has occurred.
func (f *Faulty) Happened() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.happened
}

// Passed is the number of bytes in each direction, of the connection with the most.
func (f *Faulty) Passed() (most [2]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		for d := range most {
			most[d] = max(most[d], l.passed[d])
		}
	}
	return most
}

// Delivered returns the bytes that the client received on each connection.
func (f *Faulty) Delivered() (list []Delivered) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		d := l.delivered
		d.Bytes = slices.Clone(d.Bytes)
		list = append(list, d)
	}
	return list
}

// Clients are the addresses of the connections as the server sees them.
func (f *Faulty) Clients() (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		list = append(list, l.server.LocalAddr().String())
	}
	return list
}

// Close ends the proxy with its connections.
func (f *Faulty) Close() {
	f.ln.Close()
	f.mu.Lock()
	f.closed = true
	for _, l := range f.links {
		l.close(false)
	}
	f.mu.Unlock()
	f.done.Wait()
}

func (f *Faulty) accept() {
	for {
		c, err := f.ln.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", f.server)
		if err != nil {
			c.Close()
			continue
		}
		l := &link{f: f, client: c.(*net.TCPConn), server: s.(*net.TCPConn)}
		f.mu.Lock()
		f.links = append(f.links, l)
		if f.closed {
			l.close(false)
		}
		f.mu.Unlock()
		f.done.Go(func() { l.pump(ToServer, l.client, l.server) })
		f.done.Go(func() { l.pump(ToClient, l.server, l.client) })
	}
}

// close closes both sides, optionally with a TCP reset.
func (l *link) close(reset bool) {
	for _, c := range []*net.TCPConn{l.client, l.server} {
		if reset {
			c.SetLinger(0)
		}
		c.Close()
	}
}

// pump copies the bytes of one direction.
func (l *link) pump(d Direction, from, to *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.pass(d, to, buf[:n]) {
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && d == ToClient:
			l.end(d, to)
			return
		default: // HTTP clients do not close one direction only: the client has closed
			l.close(oserr.Is(err, oserr.Reset))
			return
		}
	}
}

// end sends the end to the receiver of one direction.
func (l *link) end(d Direction, to *net.TCPConn) {
	l.f.mu.Lock()
	if d == ToClient {
		l.delivered.Ended = true
	}
	l.lost[d] = true
	l.f.mu.Unlock()
	to.CloseWrite()
}

// pass writes bytes and injects the fault; false means that the connection has ended.
func (l *link) pass(d Direction, to *net.TCPConn, b []byte) bool {
	l.f.mu.Lock()
	at := l.f.fault.Offset - l.passed[d]
	l.passed[d] += int64(len(b))
	if l.lost[d] {
		l.f.mu.Unlock()
		return true // read on, or the end would not be noticed
	}
	fault := l.f.fault
	if fault.Kind == NoFault || fault.Direction != d || l.f.happened || at < 0 || at >= int64(len(b)) {
		l.f.mu.Unlock()
		l.write(d, to, b)
		return true
	}
	l.f.happened = true
	l.f.mu.Unlock()
	before, rest := b[:at], b[at:]
	switch fault.Kind {
	case Flip:
		b[at] ^= 1 << (fault.Offset % 8)
		l.write(d, to, b)
	case Insert:
		l.write(d, to, slices.Concat(before, []byte{inserted[fault.Offset%int64(len(inserted))]}, rest))
	case Drop:
		l.write(d, to, slices.Concat(before, rest[1:]))
	case Delay:
		l.write(d, to, before)
		time.Sleep(faultDelay)
		l.write(d, to, rest)
	case Stall:
		l.write(d, to, before)
		l.f.mu.Lock()
		l.lost[d] = true
		l.f.mu.Unlock()
	case HalfClose:
		l.write(d, to, before)
		l.end(d, to)
	case Cut, Reset:
		l.write(d, to, before)
		if fault.Kind == Cut {
			l.f.mu.Lock()
			l.delivered.Ended = true
			l.f.mu.Unlock()
		}
		l.close(fault.Kind == Reset)
		return false
	}
	return true
}

func (l *link) write(d Direction, to *net.TCPConn, b []byte) {
	if d == ToClient {
		l.f.mu.Lock()
		l.delivered.Bytes = append(l.delivered.Bytes, b...)
		l.f.mu.Unlock()
	}
	to.Write(b) // an error is noticed on the other side
}
