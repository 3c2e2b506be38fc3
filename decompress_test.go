package netreply_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// encoded applies codings to data, in the given order.
func encoded(t testing.TB, data []byte, codings ...string) []byte {
	var b bytes.Buffer
	w := encoder(&b, codings...)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// stack applies a coding to the output of another.
type stack struct {
	io.WriteCloser
	below io.Closer
}

func (s stack) Close() error { return errors.Join(s.WriteCloser.Close(), s.below.Close()) }

// encoder applies the codings to its input, in the given order.
func encoder(w io.Writer, codings ...string) io.WriteCloser {
	var below io.Closer = io.NopCloser(nil)
	for i := len(codings) - 1; i >= 0; i-- {
		var e io.WriteCloser
		switch codings[i] {
		case "gzip":
			e = gzip.NewWriter(w)
		case "deflate":
			e = zlib.NewWriter(w)
		case "br":
			e = brotli.NewWriter(w)
		case "zstd":
			e, _ = zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		}
		w, below = e, stack{e, below}
	}
	return below.(io.WriteCloser)
}

// encodingServer answers /gzip,br?… with the data in these codings; with ?cut
// without its last bytes, with ?chunked without a length.
func encodingServer(t testing.TB, data []byte) http.HandlerFunc {
	var mu sync.Mutex
	made := map[string][]byte{} // encoding is slow, so it is done once for each name
	return func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		mu.Lock()
		body, ok := made[name]
		if !ok {
			body = encoded(t, data, strings.Split(name, ",")...)
			made[name] = body
		}
		mu.Unlock()
		if r.URL.Query().Has("cut") {
			body = body[:len(body)-5]
		}
		w.Header().Set("Content-Encoding", name)
		w.Header().Set("Accepted", r.Header.Get("Accept-Encoding"))
		if r.URL.Query().Has("chunked") {
			w.(http.Flusher).Flush()
		}
		w.Write(body)
	}
}

// TestDecode: the body is decoded, and the reply says so.
func TestDecode(t *testing.T) {
	data := bytes.Repeat([]byte("a body that is worth encoding; "), 3000)
	eachProtocol(t, encodingServer(t, data), netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, c := range []string{"gzip", "deflate", "br", "zstd", "gzip,br"} {
			wire := int64(len(encoded(t, data, strings.Split(c, ",")...)))
			r := s.m.Get(t.Context(), s.request("/"+c))
			body, err := r.ReadAll()
			require.NoError(t, err, c)
			require.True(t, bytes.Equal(data, body), c)
			h := r.Headers()
			assert.Equal(t, "zstd, br, gzip, deflate", h.Get("Accepted"))
			assert.Equal(t, c, h.Get("Content-Encoding"))
			assert.False(t, h.Has("Content-Length"), c)
			assert.EqualValues(t, -1, r.ContentLength())
			assert.Equal(t, wire, r.WireBytes(), c)
			n, ok := netreply.OriginalContentLength.Of(r)
			if ok { // short bodies have a length
				assert.Equal(t, wire, n)
			}
			assert.Equal(t, netreply.Progress{Done: int64(len(data)), Total: int64(len(data))}, <-r.DownloadProgress())
		}
		r := s.m.Get(t.Context(), s.request("/gzip?chunked"))
		_, err := r.ReadAll()
		require.NoError(t, err)
		_, ok := netreply.OriginalContentLength.Of(r)
		assert.False(t, ok)

		r = s.m.Head(t.Context(), s.request("/gzip"))
		require.NoError(t, r.Wait(deadline(t)))
		assert.False(t, r.HasRawHeader("Content-Length"), "rule Z4")
		assert.Equal(t, "gzip", r.RawHeader("Content-Encoding"))
	})
}

// TestDecodeOff: a request with its own Accept-Encoding or Range gets the bytes as they are.
func TestDecodeOff(t *testing.T) {
	data := []byte(strings.Repeat("x", 1000))
	eachProtocol(t, encodingServer(t, data), netreply.Config{}, func(t *testing.T, s *fixture) {
		for field, value := range map[string]string{"Accept-Encoding": "gzip", "accept-encoding": "identity", "Range": "bytes=0-"} {
			req := s.request("/gzip")
			req.Headers.Set(field, value)
			r := s.m.Get(t.Context(), req)
			body, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, encoded(t, data, "gzip"), body, field)
			assert.EqualValues(t, len(body), r.ContentLength())
			assert.EqualValues(t, len(body), r.WireBytes())
			_, ok := netreply.OriginalContentLength.Of(r)
			assert.False(t, ok)
			if field == "Range" {
				assert.Empty(t, r.RawHeader("Accepted"))
			} else {
				assert.Equal(t, value, r.RawHeader("Accepted"))
			}
		}
		req := s.request("/gzip")
		req.Headers.Set("Accept-Encoding", "") // an empty value is ignored
		body, err := s.m.Get(t.Context(), req).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, data, body)
	})
}

// TestDecodeEveryStatus: rule Z3, and that a redirect's body does not matter.
func TestDecodeEveryStatus(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		switch r.URL.Path {
		case "/moved":
			w.Header().Set("Location", "/404")
			w.WriteHeader(302)
			w.Write([]byte("no gzip at all"))
		case "/404":
			w.WriteHeader(404)
			w.Write(encoded(t, []byte("not here"), "gzip"))
		case "/204":
			w.WriteHeader(204)
		case "/empty":
			w.Header().Set("Content-Length", "0")
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		body, err := s.m.Get(t.Context(), s.request("/moved")).ReadAll()
		require.ErrorIs(t, err, netreply.ContentNotFoundError)
		assert.Equal(t, "not here", string(body))
		for _, path := range []string{"/204", "/empty"} {
			body, err = s.m.Get(t.Context(), s.request(path)).ReadAll()
			require.NoError(t, err, path)
			assert.Empty(t, body)
		}
	})
}

// TestDecodeMalformed: the error names the coding, and the bytes before it can be read.
func TestDecodeMalformed(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	eachProtocol(t, encodingServer(t, data), netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, c := range []string{"gzip", "deflate", "br", "zstd", "gzip,zstd"} {
			req := s.request("/" + c + "?cut")
			req.DecompressedSafetyCheckThreshold = -1
			r := s.m.Get(t.Context(), req)
			body, err := io.ReadAll(r)
			var e *netreply.Error
			require.ErrorAs(t, err, &e, c)
			assert.Equal(t, netreply.UnknownContentError, e.Code, c)
			assert.Equal(t, netreply.PhaseDecode, e.Phase)
			assert.False(t, e.Retryable)
			assert.Equal(t, 200, e.StatusCode)
			last := c[strings.LastIndexByte(c, ',')+1:]
			assert.Contains(t, e.Error(), last)
			assert.Equal(t, "Decompression failed: "+last+": the data is truncated", r.ErrorString())
			assert.True(t, bytes.HasPrefix(data, body), c)
			assert.EqualValues(t, len(body), e.Received)
		}
		// a wrong coding, and an unknown one
		req := s.request("/gzip,gzip,gzip,gzip,gzip,gzip")
		require.ErrorIs(t, s.m.Get(t.Context(), req).Wait(deadline(t)), netreply.UnknownContentError)
	})
}

// TestDecodeCutConnection: a broken connection is reported as such, whatever the decoder's
// error (D28).
func TestDecodeCutConnection(t *testing.T) {
	body := encoded(t, bytes.Repeat([]byte("a line of text\n"), 1000), "gzip")
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5000\r\n\r\n" + string(body[:len(body)/2]))
	})
	m := newManager(t, netreply.Config{})
	err := m.Get(t.Context(), newRequest(t, s.URL())).Wait(deadline(t))
	require.ErrorIs(t, err, netreply.RemoteHostClosedError)
}

// TestDecodeBomb: a decompression bomb is refused by default, let through on request, and
// limited by Config.MaxDecodedSize.
func TestDecodeBomb(t *testing.T) {
	data := make([]byte, 20<<20)
	eachProtocol(t, encodingServer(t, data), netreply.Config{MaxDecodedSize: 30 << 20}, func(t *testing.T, s *fixture) {
		for _, c := range []string{"gzip", "deflate", "br", "zstd", "gzip,gzip"} {
			r := s.m.Get(t.Context(), s.request("/"+c))
			n, err := io.Copy(io.Discard, r)
			require.ErrorIs(t, err, netreply.UnknownContentError, c)
			assert.Contains(t, err.Error(), "ratio")
			assert.LessOrEqual(t, n, int64(11<<20), c)

			req := s.request("/" + c)
			req.DecompressedSafetyCheckThreshold = -1
			n, err = io.Copy(io.Discard, s.m.Get(t.Context(), req))
			require.NoError(t, err, c)
			assert.EqualValues(t, len(data), n)
		}
	})
	eachProtocol(t, encodingServer(t, data), netreply.Config{MaxDecodedSize: 5 << 20}, func(t *testing.T, s *fixture) {
		req := s.request("/zstd")
		req.DecompressedSafetyCheckThreshold = -1
		r := s.m.Get(t.Context(), req)
		n, err := io.Copy(io.Discard, r)
		require.ErrorIs(t, err, netreply.UnknownContentError)
		assert.Contains(t, err.Error(), "larger than allowed")
		assert.LessOrEqual(t, n, int64(5<<20))
	})
}

// TestDecodeThrottled: ReadBufferSize counts decoded bytes.
func TestDecodeThrottled(t *testing.T) {
	data := bytes.Repeat([]byte("flow control counts what is read, not what was sent. "), 10_000)
	eachProtocol(t, encodingServer(t, data), netreply.Config{ReadBufferSize: 4096}, func(t *testing.T, s *fixture) {
		for _, c := range []string{"gzip", "br", "zstd"} {
			r := s.m.Get(t.Context(), s.request("/"+c))
			var all bytes.Buffer
			buf := make([]byte, 1000)
			for {
				assert.LessOrEqual(t, r.BytesAvailable(), int64(4096))
				n, err := r.Read(buf)
				all.Write(buf[:n])
				if err != nil {
					require.ErrorIs(t, err, io.EOF)
					break
				}
			}
			require.True(t, bytes.Equal(data, all.Bytes()), c)
			// also with WriteTo on a lent body
			var b bytes.Buffer
			_, err := io.Copy(&b, s.m.Get(t.Context(), s.request("/"+c)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, b.Bytes()), c)
		}
	})
}

// TestDecodeFlushedBytes: bytes that the server has flushed can be read before the rest is
// sent.
func TestDecodeFlushedBytes(t *testing.T) {
	release := make(chan struct{})
	writers := map[string]func(io.Writer) interface {
		io.WriteCloser
		Flush() error
	}{
		"gzip": func(w io.Writer) interface {
			io.WriteCloser
			Flush() error
		} {
			return gzip.NewWriter(w)
		},
		"br": func(w io.Writer) interface {
			io.WriteCloser
			Flush() error
		} {
			return brotli.NewWriter(w)
		},
		"zstd": func(w io.Writer) interface {
			io.WriteCloser
			Flush() error
		} {
			e, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			return e
		},
	}
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[1:]
		w.Header().Set("Content-Encoding", name)
		z := writers[name](w)
		io.WriteString(z, "first")
		z.Flush()
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(z, " second")
		z.Close()
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name := range writers {
			r := s.m.Get(t.Context(), s.request("/"+name))
			buf := make([]byte, 5)
			_, err := io.ReadFull(r, buf)
			require.NoError(t, err)
			require.Equal(t, "first", string(buf))
			release <- struct{}{}
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, " second", string(rest))
		}
	})
}

// TestDecodeAbort: an Abort during decoding, with a reader that holds a chunk of the body.
func TestDecodeAbort(t *testing.T) {
	var first bytes.Buffer
	z := gzip.NewWriter(&first)
	io.WriteString(z, "first")
	z.Flush()
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(first.Bytes())
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, netreply.Config{ReadBufferSize: 1 << 10}, func(t *testing.T, s *fixture) {
		for range 20 {
			r := s.m.Get(t.Context(), s.request("/"))
			done := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, r)
				done <- err
			}()
			<-r.ReadyRead()
			r.Abort()
			select {
			case err := <-done:
				require.ErrorIs(t, err, netreply.OperationCanceledError)
			case <-time.After(10 * time.Second):
				t.Fatal("the reader still waits")
			}
		}
	})
}

func TestDecodeConfig(t *testing.T) {
	var fe *netreply.FieldError
	_, err := netreply.NewManager(netreply.Config{MaxDecodedSize: -1})
	require.True(t, errors.As(err, &fe))
	assert.Equal(t, "Config.MaxDecodedSize", fe.Field)
}
