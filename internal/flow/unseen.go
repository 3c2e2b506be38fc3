package flow

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// The body of a redirect, or of a 401 or 407 that is answered, is shown to nobody and
// decides nothing. It is read only so that its connection can be used again: up to
// unseenLimit, beyond which a new connection is the cheaper way, and for unseenMoment,
// within which what was sent with the head has come.
const (
	unseenLimit  = 64 << 10
	unseenMoment = 100 * time.Millisecond
)

// discard reads what is left of a body that nobody will see, within these bounds, and
// closes it. What goes wrong with it is nobody's error: the connection is given up, or
// on HTTP/2 the stream.
func discard(resp *http.Response) { discardWithin(resp, unseenMoment) }

func discardWithin(resp *http.Response, moment time.Duration) {
	body := resp.Body
	defer body.Close()
	if body == http.NoBody || resp.Close || resp.ContentLength > unseenLimit {
		return
	}
	stop := time.AfterFunc(moment, func() { body.Close() })
	defer stop.Stop()
	io.CopyN(io.Discard, body, unseenLimit+1) // one more: to see the end
}

// bufferLimit is how much of a body is read ahead while somebody thinks about an answer.
const bufferLimit = 256 << 10

// bufferedBody is the body of a 401 or 407 while a question is open: it is read ahead, so
// that its connection is free and the body is still there if the answer is no. Its
// goroutine ends with the source: at its end, at bufferLimit, or when it is closed.
type bufferedBody struct {
	src io.ReadCloser

	mu   sync.Mutex
	more sync.Cond
	buf  bytes.Buffer
	err  error // of the source
	over bool  // nothing is read ahead any more
}

// bufferBody begins to read a body ahead.
func bufferBody(resp *http.Response) {
	if resp.Body == http.NoBody {
		return
	}
	b := &bufferedBody{src: resp.Body}
	b.more.L = &b.mu
	resp.Body = b
	go b.fill()
}

func (b *bufferedBody) fill() {
	chunk := make([]byte, 4<<10)
	for total := 0; ; {
		n, err := b.src.Read(chunk)
		total += n
		b.mu.Lock()
		b.buf.Write(chunk[:n])
		b.err, b.over = err, err != nil || total >= bufferLimit
		b.more.Broadcast()
		over := b.over
		b.mu.Unlock()
		if over {
			return
		}
	}
}

func (b *bufferedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	for b.buf.Len() == 0 && !b.over {
		b.more.Wait()
	}
	defer b.mu.Unlock()
	switch {
	case b.buf.Len() > 0:
		return b.buf.Read(p)
	case b.err != nil:
		return 0, b.err
	}
	b.mu.Unlock() // the rest is read by nobody else
	defer b.mu.Lock()
	return b.src.Read(p)
}

func (b *bufferedBody) Close() error { return b.src.Close() }
