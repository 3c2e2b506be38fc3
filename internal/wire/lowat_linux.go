package wire

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// Waking up for every few packets of a fast download costs more than the
// download itself. While much is still to come, the socket wakes its reader only
// for a good load of bytes (SO_RCVLOWAT).
const (
	lowatMark  = 256 << 10
	lowatFrom  = 8 * lowatMark // set while at least that much is missing
	lowatUntil = 2 * lowatMark // and no longer when less is
	lowatTick  = 50 * time.Millisecond
	lowatSlow  = 4 * lowatMark // a tick that saw less lifts the mark
)

// lowat keeps the mark of one body on a bare TCP connection. Bytes below the
// mark wait for one tick at most: a server that is slow lifts it.
type lowat struct {
	raw   syscall.RawConn
	timer *time.Timer

	mu    sync.Mutex
	moved int64 // since the last tick
	set   bool
	over  bool
}

// newLowat starts for a body of length bytes; nil where there is nothing to
// gain.
func newLowat(nc net.Conn, length int64) *lowat {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || length < lowatFrom {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	l := &lowat{raw: raw}
	l.mark(true)
	l.timer = time.AfterFunc(lowatTick, l.tick)
	return l
}

// mark sets or lifts the mark; the caller holds the lock, or nobody else has l
// yet. Lifting it wakes a reader that waits.
func (l *lowat) mark(on bool) {
	if l.set == on {
		return
	}
	n := 1
	if on {
		n = lowatMark
	}
	l.set = on
	l.raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n) })
}

func (l *lowat) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.mark(l.moved >= lowatSlow)
	l.moved = 0
	l.timer.Reset(lowatTick)
}

// read counts bytes; left is what is still missing.
func (l *lowat) read(n int, left int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved += int64(n)
	if left < lowatUntil {
		l.endLocked()
	}
}

// end lifts the mark for good.
func (l *lowat) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked()
}

func (l *lowat) endLocked() {
	if !l.over {
		l.over = true
		l.timer.Stop()
		l.mark(false)
	}
}
