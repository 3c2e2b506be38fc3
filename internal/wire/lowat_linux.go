package wire

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// For a fast download, waking the reader for every few packets costs more than the copying.
// While many bytes are still to come, the socket wakes its reader only when lowatMark bytes
// are available (SO_RCVLOWAT).
const (
	lowatMark  = 256 << 10
	lowatFrom  = 8 * lowatMark // the mark is set if at least that many bytes are to come
	lowatUntil = 2 * lowatMark // and removed if fewer are
	lowatTick  = 50 * time.Millisecond
	lowatSlow  = 4 * lowatMark // a tick with fewer bytes removes the mark
)

// lowat controls the mark for one body on a TCP connection. Bytes below the mark wait for at
// most one tick: a slow server has the mark removed. With TLS some of what is still to come was
// taken out of the socket already, but less than lowatUntil-lowatMark.
type lowat struct {
	raw   syscall.RawConn
	timer *time.Timer

	mu    sync.Mutex
	moved int64 // bytes since the last tick
	set   bool
	ended bool
}

// newLowat sets the mark for a body of length bytes; nil if that is not useful.
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

// mark sets or removes the mark, which wakes a waiting reader. The caller holds the lock,
// or l is not shared yet.
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
	if l.ended {
		return
	}
	l.mark(l.moved >= lowatSlow)
	l.moved = 0
	l.timer.Reset(lowatTick)
}

// read counts received bytes; left is the number still to come.
func (l *lowat) read(n int, left int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved += int64(n)
	if left < lowatUntil {
		l.endLocked()
	}
}

// end removes the mark.
func (l *lowat) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked()
}

func (l *lowat) endLocked() {
	if !l.ended {
		l.ended = true
		l.timer.Stop()
		l.mark(false)
	}
}
