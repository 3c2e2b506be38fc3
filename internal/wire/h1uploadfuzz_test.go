package wire

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sentRequest is a request as a server understands it.
type sentRequest struct {
	body    string
	length  int64
	chunked bool
	trailer http.Header
	whole   bool // nothing follows it, and its body has its length
}

func parseRequest(t *testing.T, raw []byte) (r sentRequest) {
	in := bufio.NewReader(bytes.NewReader(raw))
	req, err := http.ReadRequest(in)
	require.NoError(t, err)
	body, err := io.ReadAll(req.Body)
	r.whole = err == nil
	if _, err = in.ReadByte(); err != io.EOF {
		r.whole = false
	}
	r.body, r.length, r.chunked = string(body), req.ContentLength, len(req.TransferEncoding) > 0
	if r.trailer = req.Trailer; len(r.trailer) == 0 {
		r.trailer = nil
	}
	return r
}

// FuzzRequestBody: a request with a body is sent as by net/http, whatever pieces its source
// returns, and whether its length is right.
func FuzzRequestBody(f *testing.F) {
	f.Add(uint8(0), []byte("a body"), uint8(1), int64(6), "X-A", "b", false)
	f.Add(uint8(1), []byte("a body"), uint8(2), int64(-1), "X-A", " b ", true)
	f.Add(uint8(2), []byte(""), uint8(2), int64(0), "X-A", "", true)
	f.Add(uint8(3), []byte("too long"), uint8(3), int64(7), "", "", false)
	f.Add(uint8(4), []byte("too short"), uint8(3), int64(10), "", "", true)
	methods := []string{"GET", "POST", "PUT", "DELETE", "X"}
	f.Fuzz(func(t *testing.T, method uint8, data []byte, piece uint8, length int64, trailer, value string, eof bool) {
		if length > 1<<20 || len(data) > 1<<20 {
			return
		}
		newRequest := func() *http.Request {
			rest := data
			body := readerFunc(func(p []byte) (int, error) {
				n := copy(p[:min(len(p), max(1, int(piece)))], rest)
				rest = rest[n:]
				if n == 0 || eof && len(rest) == 0 { // the end with the last bytes, or by itself
					return n, io.EOF
				}
				return n, nil
			})
			req, err := http.NewRequestWithContext(context.Background(), methods[int(method)%len(methods)], "http://a.example/", io.NopCloser(body))
			require.NoError(t, err)
			req.ContentLength = length
			if trailer != "" {
				req.Trailer = http.Header{http.CanonicalHeaderKey(trailer): {value}}
			}
			return req
		}
		if new(headWriter).check(newRequest()) != nil {
			return // net/http checks it elsewhere
		}
		if _, err := framingOf(newRequest()); err != nil {
			return
		}
		var buf bytes.Buffer
		stdErr := newRequest().Write(&buf)

		nc := &scriptedConn{rest: []byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), piece: 100}
		h := newH1Conn(&conn{stream: nc}, 4096)
		x := &Exchange{Observer: &recorder{}}
		_, err := h.roundTrip(newRequest(), x)
		if x.h1.upload != nil {
			<-x.h1.upload.done
			if err == nil {
				err = x.h1.upload.err
			}
		}
		assert.Equal(t, stdErr != nil, err != nil, "%v, %v", stdErr, err)
		want := parseRequest(t, buf.Bytes())
		if stdErr != nil {
			want.whole = false
		}
		got := parseRequest(t, nc.wrote.Bytes())
		if err != nil { // how much is sent before the error is open
			got.whole, got.body, want.body = false, "", ""
		}
		assert.Equal(t, want, got)
	})
}
