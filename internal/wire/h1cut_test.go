//go:build !plan9

package wire

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resetConn is a connection whose server sends a response up to the end, and resets it
// during the upload. The reset is the error of a Write that returns only at its deadline, as
// if its goroutine did not run; the reader, from which that Write has taken the error, sees
// a clean end.
type resetConn struct {
	net.Conn // nil
	response string
	failure  error // of the Write

	writing, expired chan struct{}
	once             sync.Once
	writes           int
}

func newResetConn(response string, failure error) *resetConn {
	return &resetConn{response: response, failure: failure, writing: make(chan struct{}), expired: make(chan struct{})}
}

func (c *resetConn) Read(p []byte) (int, error) {
	<-c.writing
	n := copy(p, c.response)
	if c.response = c.response[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *resetConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes == 1 {
		return len(p), nil // the head
	}
	close(c.writing)
	<-c.expired
	return 0, &net.OpError{Op: "write", Err: c.failure}
}

func (c *resetConn) SetDeadline(d time.Time) error {
	if !d.IsZero() {
		c.once.Do(func() { close(c.expired) })
	}
	return nil
}
func (c *resetConn) SetWriteDeadline(d time.Time) error { return c.SetDeadline(d) }
func (c *resetConn) SetReadDeadline(time.Time) error    { return nil }
func (c *resetConn) Close() error                       { return c.SetDeadline(past) }
func (c *resetConn) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (c *resetConn) RemoteAddr() net.Addr               { return &net.TCPAddr{} }

// TestEndOvertakesReset: a response up to the end of the connection that a reset has cut is
// not taken for a whole one, however late the Write returns that has noticed the reset. A
// Write that was only waiting makes no difference.
func TestEndOvertakesReset(t *testing.T) {
	const response = "HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\npart"
	upload := func() *http.Request {
		req, err := http.NewRequest("POST", "http://a.example/", io.LimitReader(zeros{}, 10))
		require.NoError(t, err)
		req.ContentLength = 10
		return req
	}
	tr := NewTransport(Config{})
	defer tr.Close()
	kinds := map[string]func(*resetConn) connection{
		"own": func(nc *resetConn) connection { return newH1Conn(&conn{stream: nc}, 4096) },
		"net/http": func(nc *resetConn) connection {
			c := &conn{stream: nc, nc: nc}
			s, err := tr.newStdConn(Key{Scheme: "http", Addr: "a.example:80"}, c)
			require.NoError(t, err)
			s.tap.onEnd = nil
			return s
		},
	}
	for kind, newConn := range kinds {
		t.Run(kind, func(t *testing.T) {
			for _, failure := range []error{syscall.ECONNRESET, os.ErrDeadlineExceeded} {
				nc := newResetConn(response, failure)
				c := newConn(nc)
				x := &Exchange{Observer: &recorder{}}
				resp, err := c.roundTrip(upload(), x)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				assert.Equal(t, "part", string(body))
				if errors.Is(failure, os.ErrDeadlineExceeded) {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, syscall.ECONNRESET)
				}
				resp.Body.Close()
				nc.Close()
				if s, ok := c.(*stdConn); ok {
					s.close()
				}
			}
		})
	}
}

// TestSentDuringWrite: the bytes of a Write that has not returned yet count as sent: a server
// may have answered them already.
func TestSentDuringWrite(t *testing.T) {
	nc := newResetConn("", syscall.ECONNRESET)
	nc.writes = 1 // the next one waits
	c := newTapConn(nc, 4096)
	c.arm("GET", &recorder{})
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.Write(make([]byte, 100))
	}()
	<-nc.writing
	_, sent := c.counts()
	assert.EqualValues(t, 100, sent)
	c.Close()
	<-written
	_, sent = c.counts()
	assert.Zero(t, sent)
}
