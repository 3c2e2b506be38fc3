package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scriptedConn is a connection from which a test reads fixed bytes, in pieces, and then the end.
type scriptedConn struct {
	net.Conn
	rest  []byte
	piece int
	wrote bytes.Buffer
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(len(c.rest), c.piece)])
	c.rest = c.rest[n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error)      { return c.wrote.Write(p) }
func (c *scriptedConn) Close() error                     { return nil }
func (c *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }

// answer is what an exchange has returned.
type answer struct {
	status  int
	body    []byte
	trailer http.Header
	resp    *http.Response
	err     error
}

// exchange makes one exchange on h, and reads its body with Reads of size bytes.
func (h *h1Conn) exchange(t *testing.T, method string, size int) (a answer, kept bool) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://a.example/", nil)
	require.NoError(t, err)
	resp, err := h.roundTrip(req, &Exchange{Observer: &recorder{}})
	if err != nil {
		a.err = err
		return a, false
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		a.body, a.err = readIn(resp.Body, size)
		resp.Body.Close()
	}
	a.status, a.trailer, a.resp = resp.StatusCode, resp.Trailer, resp
	kept, _ = h.reusable()
	return a, kept
}

func readIn(r io.Reader, size int) (all []byte, err error) {
	for buf := make([]byte, size); ; {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

// readWhole reads a response with net/http alone, and the number of bytes that it has.
func readWhole(raw []byte, method string) (a answer, used int) {
	in := bytes.NewReader(raw)
	r := bufio.NewReaderSize(in, max(len(raw), 16))
	for {
		for b, err := r.Peek(1); err == nil && (b[0] == '\r' || b[0] == '\n'); b, err = r.Peek(1) {
			r.Discard(1) // net/http does not skip empty lines
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			a.err = err
			return a, 0
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != 101 {
			continue
		}
		if resp.StatusCode != 101 {
			a.body, a.err = io.ReadAll(resp.Body)
		}
		a.status, a.trailer, a.resp = resp.StatusCode, resp.Trailer, resp
		return a, len(raw) - in.Len() - r.Buffered()
	}
}

// FuzzH1Exchange: whatever a server sends, and in whatever pieces it arrives and is read, an
// exchange returns what net/http reads from the whole, or an error where net/http has one,
// too, or this package is stricter. If the connection is kept, nothing of the response is
// left: the next response on it is the next one that was sent.
func FuzzH1Exchange(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nmore", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
		"HTTP/1.1 103 X\r\nA: b\r\n\r\n\r\nHTTP/1.1 204 X\r\n\r\n", "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nto the end",
		"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 1\n\nx\r\n", "HTTP/1.1 101 X\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\nbytes",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.2 200\r\nA: b\r\n\tc\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 3000)+"\r\na\r\n", 7) + "0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nServer : x\r\n y\r\nContent-Length: 1, 1\r\n\r\nx", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 ;x\r\na\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), 3, 2, false)
		f.Add([]byte(s), 1000, 1000, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece, size int, head bool) {
		piece, size = 1+max(0, piece%9000), 1+max(0, size%9000)
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		nc := &scriptedConn{rest: bytes.Clone(raw), piece: piece}
		h := newH1Conn(&conn{stream: nc}, 4096)
		h.lenient = false
		got, kept := h.exchange(t, method, size)
		want, used := readWhole(raw, method)
		var e *Error
		switch {
		case got.err == nil:
			require.NoError(t, want.err, "net/http rejects %q", raw)
			require.Equal(t, want.status, got.status)
			require.Equal(t, string(want.body), string(got.body))
			require.Equal(t, want.trailer, got.trailer)
			for _, values := range want.resp.Header {
				for i := range values {
					// net/http leaves a space behind a value whose last line is empty
					values[i] = textproto.TrimString(values[i])
				}
			}
			for _, r := range []*http.Response{got.resp, want.resp} {
				r.Body, r.Request = nil, nil
			}
			require.Equal(t, want.resp, got.resp)
		case want.err == nil && errors.As(got.err, &e) && e.Fault == Malformed: // stricter
		case want.err == nil:
			require.NoError(t, got.err, "net/http reads %q", raw)
		}
		if kept {
			require.NoError(t, got.err)
			rest := raw[used:]
			require.Empty(t, bytes.Trim(rest[:len(rest)-len(nc.rest)], "\r\n"), "taken out of the connection, behind the response")
			nextExchange(t, h, nc, size)
		}

		// what is accepted beyond that has an end, too
		nc = &scriptedConn{rest: bytes.Clone(raw), piece: piece}
		h = newH1Conn(&conn{stream: nc}, 4096)
		if _, kept = h.exchange(t, method, size); kept {
			nextExchange(t, h, nc, size)
		}
	})
}

// nextExchange makes the exchange after one that has read all that the server sent. If bytes
// are left, the check of the idle connection finds them.
func nextExchange(t *testing.T, h *h1Conn, nc *scriptedConn, size int) {
	if len(nc.rest) > 0 {
		return
	}
	nc.rest = []byte("HTTP/1.1 299 Next\r\nContent-Length: 4\r\n\r\nnext")
	got, kept := h.exchange(t, http.MethodGet, size)
	require.NoError(t, got.err)
	require.Equal(t, "next", string(got.body))
	require.Equal(t, 299, got.status)
	require.True(t, kept)
}
