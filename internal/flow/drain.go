package flow

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// Bodies of redirects and answered challenges are not delivered, and do not affect the
// outcome. They are drained only so that the connection can be reused: up to drainLimit
// bytes, because for more a new connection is cheaper, and for at most drainTime, which is
// enough for a body that was sent with its head.
const (
	drainLimit = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// drain reads the rest of a body within these limits, and closes it. Errors are ignored:
// the connection is closed then, or on HTTP/2 the stream.
func drain(resp *http.Response) { drainWithin(resp, drainTime) }

func drainWithin(resp *http.Response, limit time.Duration) {
	body := resp.Body
	defer body.Close()
	p, stores := body.(*part)
	if stores && !p.f.alone() {
		return // its Read would not end with Close, as others want the body
	}
	if body == http.NoBody || resp.Close && !stores || resp.ContentLength > drainLimit {
		return
	}
	closed := make(chan struct{})
	stop := time.AfterFunc(limit, func() {
		body.Close()
		close(closed)
	})
	defer func() {
		if !stop.Stop() {
			<-closed // the connection is about to be given back: to the session of the next request
		}
	}()
	io.CopyN(io.Discard, body, drainLimit+1) // one byte more, to reach the end
}

// bufferLimit is how much of a body is read ahead while the program is asked.
const bufferLimit = 256 << 10

// bufferedBody is the body of a 401 or 407 response during a question. It is read ahead, so
// that its connection becomes free and the body is available if the answer is no. Its
// goroutine ends at the end of the source, at bufferLimit, or when the source is closed.
type bufferedBody struct {
	src io.ReadCloser

	mu    sync.Mutex
	grown sync.Cond
	buf   bytes.Buffer
	err   error // of the source
	done  bool  // reading ahead has ended
}

// bufferBody starts to read a body ahead.
func bufferBody(resp *http.Response) {
	if resp.Body == http.NoBody {
		return
	}
	b := &bufferedBody{src: resp.Body}
	b.grown.L = &b.mu
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
		b.err, b.done = err, err != nil || total >= bufferLimit
		b.grown.Broadcast()
		over := b.done
		b.mu.Unlock()
		if over {
			return
		}
	}
}

func (b *bufferedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	for b.buf.Len() == 0 && !b.done {
		b.grown.Wait()
	}
	defer b.mu.Unlock()
	switch {
	case b.buf.Len() > 0:
		return b.buf.Read(p)
	case b.err != nil:
		return 0, b.err
	}
	b.mu.Unlock() // fill has ended: the source has no other reader
	defer b.mu.Lock()
	return b.src.Read(p)
}

func (b *bufferedBody) Close() error { return b.src.Close() }
