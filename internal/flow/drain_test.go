package flow

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// countedBody counts the bytes read from a body, and whether it is closed.
type countedBody struct {
	io.Reader
	read   atomic.Int64
	closed atomic.Bool
	onEnd  func() // called by Close, when set
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read.Add(int64(n))
	return n, err
}

func (b *countedBody) Close() error {
	b.closed.Store(true)
	if b.onEnd != nil {
		b.onEnd()
	}
	return nil
}

// TestDrain: a body that is not delivered is read to its end if it is small.
func TestDrain(t *testing.T) {
	zeros := func(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }
	for name, row := range map[string]struct {
		body  io.Reader
		resp  http.Response
		read  int64
		ended bool // its end was read
	}{
		"small":                {zeros(10), http.Response{ContentLength: 10}, 10, true},
		"unknown length":       {zeros(10), http.Response{ContentLength: -1}, 10, true},
		"as much as is read":   {zeros(drainLimit), http.Response{ContentLength: drainLimit}, drainLimit, true},
		"too large":            {zeros(drainLimit + 1), http.Response{ContentLength: drainLimit + 1}, 0, false},
		"without an end":       {zeros(10 * drainLimit), http.Response{ContentLength: -1}, drainLimit + 1, false},
		"the connection ends":  {zeros(10), http.Response{ContentLength: 10, Close: true}, 0, false},
		"the connection broke": {io.MultiReader(zeros(5), iotest.ErrReader(io.ErrUnexpectedEOF)), http.Response{ContentLength: 10}, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			ended := false
			end := readerFunc(func([]byte) (int, error) { ended = true; return 0, io.EOF })
			body := &countedBody{Reader: io.MultiReader(row.body, end)}
			row.resp.Body = body
			drain(&row.resp)
			assert.Equal(t, row.read, body.read.Load())
			assert.Equal(t, row.ended, ended)
			assert.True(t, body.closed.Load())
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDrainTimeLimit: the wait for a slow body is limited.
func TestDrainTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		src, w := io.Pipe()
		body := &countedBody{Reader: src, onEnd: func() { w.CloseWithError(errClosed) }}
		drain(&http.Response{Body: body, ContentLength: 10})
		assert.Equal(t, drainTime, time.Since(begin))
		assert.True(t, body.closed.Load())
	})
}

// TestDrainClosed: a body that exceeds the limit is closed, and its connection returned,
// before the next request is sent.
func TestDrainClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, w := io.Pipe()
		closing := make(chan struct{})
		body := &countedBody{Reader: src}
		body.onEnd = func() {
			body.onEnd = nil
			w.CloseWithError(errClosed)
			<-closing
		}
		var returned atomic.Bool
		go func() {
			drain(&http.Response{Body: body, ContentLength: 10})
			returned.Store(true)
		}()
		time.Sleep(2 * drainTime)
		assert.False(t, returned.Load())
		close(closing)
		synctest.Wait()
		assert.True(t, returned.Load())
	})
}

// errClosed is the error of a body that is closed during a Read.
var errClosed = errors.New("closed")

// TestBufferBody: a body is read ahead up to a limit, and returned unchanged.
func TestBufferBody(t *testing.T) {
	broken := errors.New("broken")
	for name, row := range map[string]struct {
		size  int
		end   error
		ahead int64
	}{
		"empty":         {0, io.EOF, 0},
		"small":         {10, io.EOF, 10},
		"breaks":        {10, broken, 10},
		"large":         {3 * bufferLimit, io.EOF, bufferLimit},
		"large, breaks": {3 * bufferLimit, broken, bufferLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text := strings.Repeat("x", row.size)
				body := &countedBody{Reader: io.MultiReader(strings.NewReader(text), iotest.ErrReader(row.end))}
				resp := &http.Response{Body: body}
				bufferBody(resp)
				synctest.Wait()
				assert.Equal(t, row.ahead, body.read.Load())
				got, err := io.ReadAll(resp.Body)
				assert.Equal(t, text, string(got))
				if row.end == io.EOF {
					assert.NoError(t, err)
				} else {
					assert.Equal(t, row.end, err)
				}
				assert.NoError(t, resp.Body.Close())
				assert.True(t, body.closed.Load())
			})
		})
	}

	resp := &http.Response{Body: http.NoBody}
	bufferBody(resp)
	assert.Equal(t, http.NoBody, resp.Body)
}

// TestBufferBodyWaits: a Read waits for bytes that were not received yet; Close ends it and
// the reading ahead.
func TestBufferBodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, w := io.Pipe()
		resp := &http.Response{Body: &countedBody{Reader: src, onEnd: func() { w.CloseWithError(errClosed) }}}
		bufferBody(resp)
		type read struct {
			text string
			err  error
		}
		reads := make(chan read)
		next := func() {
			b := make([]byte, 10)
			n, err := resp.Body.Read(b)
			reads <- read{string(b[:n]), err}
		}
		go next()
		synctest.Wait()
		io.WriteString(w, "text")
		assert.Equal(t, read{"text", nil}, <-reads)
		go next()
		synctest.Wait()
		resp.Body.Close()
		assert.Equal(t, read{"", errClosed}, <-reads)
	})
}
