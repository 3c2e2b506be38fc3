package netreply_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

type closeCounter struct {
	io.Reader
	closed atomic.Int64
}

func (c *closeCounter) Close() error { c.closed.Add(1); return nil }

// TestBodies: every kind of body arrives completely, with the right framing.
func TestBodies(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %d %x", r.ContentLength, n, h.Sum(nil))
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		f, err := os.Open(file)
		require.NoError(t, err)
		defer f.Close()
		f.Seek(1000, io.SeekStart)
		own := &closeCounter{Reader: bytes.NewReader(data)}
		theirs := &closeCounter{Reader: io.MultiReader(bytes.NewReader(data))}
		for _, r := range []struct {
			name   string
			body   netreply.Body
			stream bool
			length string // Content-Length set by the caller
			want   []byte
			framed bool
		}{
			{name: "bytes", body: netreply.BytesBody(data), want: data, framed: true},
			{name: "short", body: netreply.StringBody("x"), want: []byte("x"), framed: true},
			{name: "empty", body: netreply.StringBody(""), framed: true},
			{name: "none", framed: true},
			{name: "file from its position", body: netreply.ReaderBody(f), want: data[1000:], framed: true},
			{name: "buffer", body: netreply.ReaderBody(bytes.NewBuffer(bytes.Clone(data))), want: data, framed: true},
			{name: "sequential", body: netreply.ReaderBody(theirs), want: data, framed: true},
			{name: "streamed", body: netreply.ReaderBody(io.MultiReader(bytes.NewReader(data))), stream: true, want: data},
			{name: "streamed, length known", body: netreply.ReaderBody(io.MultiReader(bytes.NewReader(data))), stream: true, length: "300000", want: data, framed: true},
			{name: "source", body: netreply.SourceBody(-1, func() (io.ReadCloser, error) { return own, nil }), want: data},
			{name: "cut by Content-Length", body: netreply.BytesBody(data), length: "5", want: data[:5], framed: true},
			{name: "too large Content-Length", body: netreply.StringBody("abc"), length: "5", want: []byte("abc"), framed: true},
		} {
			req := s.request("/")
			req.DoNotBufferUploadData = r.stream
			if r.length != "" {
				req.Headers.Set("Content-Length", r.length)
			}
			reply := s.m.Post(t.Context(), req, r.body)
			got, err := reply.ReadAll()
			require.NoError(t, err, r.name)
			length := -1
			if r.framed {
				length = len(r.want)
			}
			assert.Equal(t, fmt.Sprintf("%d %d %x", length, len(r.want), sha256.Sum256(r.want)), string(got), r.name)
			var last *netreply.Progress
			for p := range reply.UploadProgress() {
				last = &p
			}
			switch {
			case r.body == nil:
				assert.Nil(t, last, "rule P13")
			case len(r.want) == 0:
				assert.Equal(t, &netreply.Progress{}, last, "D3")
			default:
				n := int64(len(r.want))
				assert.Equal(t, &netreply.Progress{Done: n, Total: n}, last, "%s: rule P10", r.name)
			}
		}
		assert.Zero(t, theirs.closed.Load(), "the caller's reader is the caller's")
		assert.EqualValues(t, 1, own.closed.Load())
	})
}

// TestPipeIsSequential: an *os.File that cannot seek is sequential.
func TestPipeIsSequential(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, stream := range []bool{false, true} {
			out, in, err := os.Pipe()
			require.NoError(t, err)
			go func() {
				io.WriteString(in, "through a pipe")
				in.Close()
			}()
			req := s.request("/")
			req.DoNotBufferUploadData = stream
			body, err := s.m.Post(t.Context(), req, netreply.ReaderBody(out)).ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "through a pipe", string(body))
			out.Close()
		}
	})
}

// TestUploadProgress: unknown totals are -1 until the end (D14), and the count
// stands while the server does not read.
func TestUploadProgress(t *testing.T) {
	hold := make(chan struct{})
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		<-hold
		io.Copy(io.Discard, r.Body)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		hold = make(chan struct{})
		var all []netreply.Progress
		req := s.request("/")
		req.DoNotBufferUploadData = true
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if p, ok := e.(netreply.UploadProgress); ok {
				all = append(all, p.Progress)
			}
		}
		const size = 64 << 20
		r := s.m.Post(t.Context(), req, netreply.ReaderBody(io.LimitReader(zeros{}, size)))
		<-r.UploadProgress()
		assert.False(t, r.IsFinished())
		close(hold)
		require.NoError(t, r.Wait(deadline(t)))
		for i, p := range all[:len(all)-1] {
			assert.EqualValues(t, -1, p.Total)
			assert.LessOrEqual(t, p.Done, all[i+1].Done)
		}
		assert.Equal(t, netreply.Progress{Done: size, Total: size}, all[len(all)-1])
	})
}

// TestEarlyResponse: the response to a refused upload is never lost, over any protocol.
func TestEarlyResponse(t *testing.T) {
	const tries = 100
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(413)
		io.WriteString(w, "too large")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		data := make([]byte, 8<<20)
		for i := range tries {
			r := s.m.Post(t.Context(), s.request("/"), netreply.BytesBody(data))
			body, err := r.ReadAll()
			require.ErrorIs(t, err, netreply.UnknownContentError, "try %d", i)
			require.Equal(t, "too large", string(body))
			require.Equal(t, 413, r.StatusCode())
		}
	})
}

// TestInvalidBodies: a body that cannot be sent fails, with an error that names it.
func TestInvalidBodies(t *testing.T) {
	bad := errors.New("the disk is gone")
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		closed, err := os.Open(os.DevNull)
		require.NoError(t, err)
		closed.Close()
		failing := func() io.Reader {
			return io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) { return 0, bad }))
		}
		for name, r := range map[string]struct {
			body   netreply.Body
			stream bool
			code   netreply.NetworkError
			cause  error
		}{
			"nil reader":      {body: netreply.ReaderBody(nil), code: netreply.ProtocolInvalidOperationError},
			"closed file":     {body: netreply.ReaderBody(closed), code: netreply.ProtocolInvalidOperationError, cause: os.ErrClosed},
			"fails, buffered": {body: netreply.ReaderBody(failing()), code: netreply.UnknownNetworkError, cause: bad},
			"fails, streamed": {body: netreply.ReaderBody(failing()), stream: true, code: netreply.UnknownNetworkError, cause: bad},
			"does not open":   {body: netreply.SourceBody(-1, func() (io.ReadCloser, error) { return nil, bad }), code: netreply.UnknownNetworkError, cause: bad},
			"no source":       {body: netreply.SourceBody(-1, nil), code: netreply.ProtocolInvalidOperationError},
			"too short":       {body: netreply.SourceBody(9, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("some")), nil }), code: netreply.UnknownNetworkError, cause: io.ErrUnexpectedEOF},
			"bad boundary":    {body: &netreply.Multipart{Boundary: "a\r\nb"}, code: netreply.ProtocolInvalidOperationError},
		} {
			req := s.request("/")
			req.DoNotBufferUploadData = r.stream
			err := s.m.Post(t.Context(), req, r.body).Wait(deadline(t))
			require.ErrorIs(t, err, r.code, name)
			if r.cause != nil {
				assert.ErrorIs(t, err, r.cause, name)
			}
			var e *netreply.Error
			require.ErrorAs(t, err, &e)
			assert.False(t, e.Retryable && r.code == netreply.ProtocolInvalidOperationError, name)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestBlockedSource: a source that never returns keeps its goroutine, not the
// reply.
func TestBlockedSource(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	blocked := readerFunc(func([]byte) (int, error) { <-never; return 0, io.EOF })
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, stream := range []bool{false, true} {
			req := s.request("/")
			req.DoNotBufferUploadData = stream
			r := s.m.Post(t.Context(), req, netreply.ReaderBody(blocked))
			time.AfterFunc(10*time.Millisecond, r.Abort)
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.OperationCanceledError)

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			r = s.m.Post(ctx, req, netreply.ReaderBody(blocked))
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.TimeoutError)
			cancel()
		}
	})
}

// TestMultipart: rules L11 to L14.
func TestMultipart(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		typ, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			w.WriteHeader(400)
			return
		}
		fmt.Fprintf(w, "%s %v", typ, r.Header.Get("Mime-Version"))
		for mr := multipart.NewReader(r.Body, params["boundary"]); ; {
			p, err := mr.NextPart()
			if err != nil {
				return
			}
			body, _ := io.ReadAll(p)
			fmt.Fprintf(w, "|%s %s %d", p.FormName(), p.FileName(), len(body))
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		m := &netreply.Multipart{Type: netreply.FormDataType}
		m.AddField("a", "1")
		m.AddFile("f", `od"d.txt`, "text/plain", netreply.ReaderBody(io.MultiReader(strings.NewReader("streamed"))))
		m.AddFile("g", "g.bin", "application/octet-stream", netreply.BytesBody(make([]byte, 100_000)))
		body, err := s.m.Post(t.Context(), s.request("/"), m).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "multipart/form-data 1.0|a  1|f od%22d.txt 8|g g.bin 100000", string(body))

		m = &netreply.Multipart{}
		m.AddField("a", "1")
		body, err = s.m.Post(t.Context(), s.request("/"), m).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "multipart/form-data 1.0|a  1", string(body), "what has fields is a form")
		m.Add(netreply.NewHeaders("X-A", "b"), nil)
		body, err = s.m.Post(t.Context(), s.request("/"), m).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "multipart/mixed 1.0|a  1|  0", string(body))

		req := s.request("/")
		req.DoNotBufferUploadData = true
		m = &netreply.Multipart{Type: netreply.RelatedType}
		m.Add(netreply.NewHeaders("X-A", "b"), netreply.ReaderBody(io.MultiReader(strings.NewReader("streamed"))))
		m.Add(netreply.NewHeaders("X-A", "b"), nil)
		body, err = s.m.Post(t.Context(), req, m).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, "multipart/related 1.0|  8|  0", string(body))
	})
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		_, body, _ := c.Request()
		c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	})
	m := newManager(t, netreply.Config{})
	parts := &netreply.Multipart{Boundary: "b"}
	parts.Add(netreply.NewHeaders("X-One", "1", "x-two", "2"), netreply.StringBody("body"))
	body, err := m.Post(t.Context(), newRequest(t, s.URL()), parts).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, "--b\r\nX-One: 1\r\nx-two: 2\r\n\r\nbody\r\n--b--\r\n", string(body))
}
