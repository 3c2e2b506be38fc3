package netreply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/netreplytest"
)

func TestGet(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "hello %s", r.UserAgent())
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for i := range 3 {
			r := s.m.Get(t.Context(), s.request("/"))
			body, err := r.ReadAll()
			require.NoError(t, err)
			assert.Equal(t, "hello netreply/"+netreply.Version, string(body))
			assert.Equal(t, 200, r.StatusCode())
			assert.True(t, r.IsFinished())
			assert.False(t, r.IsRunning())
			assert.Empty(t, r.ErrorString())
			assert.Equal(t, netreply.GetOperation, r.Operation())
			assert.Same(t, s.m, r.Manager())
			assert.NotNil(t, r.RemoteAddr())
			typ, ok := netreply.ContentTypeHeader.Get(r.Headers())
			assert.True(t, ok)
			assert.Equal(t, "text/plain", typ)
			h2, ok := netreply.HTTP2WasUsed.Of(r)
			assert.True(t, ok)
			assert.Equal(t, s.kind == testserver.H2 || s.kind == testserver.H2C, h2)
			secure, _ := netreply.ConnectionEncrypted.Of(r)
			assert.Equal(t, s.kind == testserver.H2 || s.kind == testserver.TLS, secure)
			assert.Equal(t, secure, r.SSLConfiguration().Version != 0)

			want := []string{"sent", "head", "ready", "down", "finished"}
			if i == 0 {
				if secure {
					want = append([]string{"encrypted"}, want...)
				}
				want = append([]string{"connecting"}, want...)
			}
			assert.Equal(t, want, signalNames(t, r), "rules S20 and S23")
		}
	})
}

// TestFetch: the result of Fetch is that of Send and ReadAll.
func TestFetch(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(bytes.Repeat(body, 1000))
	}, netreply.Config{ReadBufferSize: 10}, func(t *testing.T, s *fixture) {
		r := s.m.Fetch(t.Context(), "POST", s.request("/"), netreply.StringBody("0123456789"))
		assert.True(t, r.IsFinished())
		body, err := r.ReadAll()
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat("0123456789", 1000), string(body))
	})
}

// TestReading: every method of reading returns the whole body.
func TestReading(t *testing.T) {
	data := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	ways := map[string]func(*netreply.Reply) ([]byte, error){
		"ReadAll": (*netreply.Reply).ReadAll,
		"Read":    func(r *netreply.Reply) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{r}) },
		"WriteTo": func(r *netreply.Reply) ([]byte, error) {
			var b bytes.Buffer
			n, err := r.WriteTo(&b)
			if int(n) != b.Len() {
				return nil, errors.New("wrong count")
			}
			return b.Bytes(), err
		},
		"after Finished": func(r *netreply.Reply) ([]byte, error) {
			if r.ReadBufferSize() == 0 {
				<-r.Finished()
			}
			return r.ReadAll()
		},
		"some and WriteTo": func(r *netreply.Reply) ([]byte, error) {
			head := make([]byte, 1000)
			if _, err := io.ReadFull(r, head); err != nil {
				return nil, err
			}
			var b bytes.Buffer
			_, err := r.WriteTo(&b)
			return append(head, b.Bytes()...), err
		},
	}
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		}
		for p := data; len(p) > 0; {
			n := min(len(p), 10_000)
			w.Write(p[:n])
			p = p[n:]
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for name, read := range ways {
			for _, limit := range []int64{0, 4096, 1 << 20} {
				for _, path := range []string{"/length", "/unknown"} {
					req := s.request(path)
					req.ReadBufferSize = limit
					r := s.m.Get(t.Context(), req)
					body, err := read(r)
					require.NoError(t, err, name)
					require.True(t, bytes.Equal(data, body), "%s, %d, %s: %d bytes", name, limit, path, len(body))
					require.NoError(t, r.Wait(t.Context()))
				}
			}
		}
	})
}

// TestWriteToError: after an error of the destination the rest can be read.
func TestWriteToError(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { w.Write(data) }, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, limit := range []int64{0, 64 << 10} {
			req := s.request("/")
			req.ReadBufferSize = limit
			r := s.m.Get(t.Context(), req)
			full := errors.New("disk full")
			var got bytes.Buffer
			for fail := true; ; fail = !fail {
				_, err := r.WriteTo(writerFunc(func(p []byte) (int, error) {
					if fail && len(p) > 10 {
						got.Write(p[:10])
						return 10, full
					}
					fail = true
					return got.Write(p)
				}))
				if err == nil {
					break
				}
				require.ErrorIs(t, err, full)
			}
			require.True(t, bytes.Equal(data, got.Bytes()))
			require.NoError(t, r.Wait(t.Context()))
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestStatus: rule E3, and the body of an error response is readable (rule S24).
func TestStatus(t *testing.T) {
	want := map[int]netreply.NetworkError{200: 0, 204: 0, 300: 0, 304: 0, 400: 302, 401: 204, 402: 299, 403: 201, 404: 203, 405: 202,
		407: 105, 408: 299, 409: 206, 410: 207, 413: 299, 418: 302, 429: 299, 451: 299, 500: 401, 501: 402, 502: 499, 503: 403, 504: 499, 505: 499, 599: 499, 600: 499, 999: 499}
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
		if code != 204 && code != 304 {
			io.WriteString(w, "why")
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for status, code := range want {
			r := s.m.Get(t.Context(), s.request(fmt.Sprintf("/%d", status)))
			body, err := io.ReadAll(r)
			if code == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, code, "rule G10: a copy of a body ends in the error, after its last byte")
			}
			if status != 204 && status != 304 {
				assert.Equal(t, "why", string(body))
			}
			err = r.Wait(t.Context())
			assert.Equal(t, status, r.StatusCode())
			if code == 0 {
				assert.NoError(t, err)
				continue
			}
			assert.ErrorIs(t, err, code, "status %d", status)
			var e *netreply.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, status, e.StatusCode)
			if status == 401 || status == 407 {
				assert.Contains(t, r.ErrorString(), "requires authentication")
			} else {
				assert.Contains(t, r.ErrorString(), "server replied")
			}
		}
	})
}

// TestAbort: rules S60 to S64.
func TestAbort(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, end := range []func(*netreply.Reply){(*netreply.Reply).Abort, func(r *netreply.Reply) { r.Close() }} {
			r := s.m.Get(t.Context(), s.request("/"))
			<-r.ReadyRead()
			end(r)
			assert.True(t, r.IsFinished())
			assert.Zero(t, r.BytesAvailable())
			assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
			assert.ErrorIs(t, r.Err(), context.Canceled)
			_, err := r.Read(make([]byte, 1))
			assert.ErrorIs(t, err, netreply.OperationCanceledError)
			list := signalNames(t, r)
			assert.Equal(t, []string{"OperationCanceledError", "down", "finished"}, list[len(list)-3:])
			r.Abort()
			assert.Equal(t, list, signalNames(t, r), "once")
		}
	})
}

func TestAbortAfterFinish(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "kept") }, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/"))
		require.NoError(t, r.Wait(t.Context()))
		r.Abort()
		require.NoError(t, r.Err())
		peeked := make([]byte, 9)
		assert.Equal(t, 4, r.Peek(peeked))
		assert.EqualValues(t, 4, r.BytesAvailable())
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, "kept", string(body), "rule S61")

		r = s.m.Get(t.Context(), s.request("/"))
		require.NoError(t, r.Wait(t.Context()))
		require.NoError(t, r.Close())
		_, err = io.ReadAll(r)
		assert.ErrorIs(t, err, fs.ErrClosed, "D7")
		require.NoError(t, r.Err())
	})
}

// TestContext: the context covers the body, too.
func TestContext(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := s.m.Get(ctx, s.request("/"))
		<-r.ReadyRead()
		cause := errors.New("the window was closed")
		cancel(cause)
		err := r.Wait(t.Context())
		assert.ErrorIs(t, err, netreply.OperationCanceledError)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, cause)

		ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		err = s.m.Get(ctx, s.request("/")).Wait(t.Context())
		assert.ErrorIs(t, err, netreply.TimeoutError)
		assert.ErrorIs(t, err, context.DeadlineExceeded)

		r = s.m.Get(t.Context(), s.request("/"))
		ctx, stop = context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		assert.ErrorIs(t, r.Wait(ctx), context.DeadlineExceeded, "of the waiting")
		assert.NoError(t, r.Err(), "not of the reply")
		r.Abort()
	})
}

// TestTransportFailure: the bytes before the failure can be read, then the error is
// returned (rule S31).
func TestTransportFailure(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		s := netreplytest.NewServer(t, kind)
		s.Handle("/", netreplytest.Answer{netreplytest.Header("Content-Length", "10"), netreplytest.Body("half"), netreplytest.Close()})
		r := s.Manager().Get(t.Context(), s.Request("/"))
		body, err := io.ReadAll(r)
		assert.Equal(t, "half", string(body))
		assert.ErrorIs(t, err, netreply.RemoteHostClosedError)
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, netreply.PhaseBody, e.Phase)
		assert.EqualValues(t, 4, e.Received)
		assert.True(t, e.Retryable)
		var last netreply.Progress
		for last = range r.DownloadProgress() {
		}
		assert.Equal(t, netreply.Progress{Done: 4, Total: 10}, last)
	}
}

// TestHead: the progress is (0, 0) if the response has no body (D1).
func TestHead(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "99")
		w.Header()["x-Odd-CASE"] = []string{"1"}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Head(t.Context(), s.request("/"))
		require.NoError(t, r.Wait(t.Context()))
		assert.EqualValues(t, 99, r.ContentLength())
		assert.Equal(t, netreply.Progress{}, <-r.DownloadProgress())
		assert.NotContains(t, signalNames(t, r), "ready")
		if s.kind == testserver.Plain || s.kind == testserver.TLS {
			assert.Contains(t, r.RawHeaderList(), "x-Odd-CASE")
		} else {
			assert.Contains(t, r.RawHeaderList(), "x-odd-case")
		}
		assert.Equal(t, "1", r.RawHeader("X-odd-case"))
	})
}

func TestTrailers(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/"))
		require.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, "42", r.Trailers().Get("x-sum"))
	})
}

func TestInformational(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			w.Header().Set("Link", fmt.Sprintf("</%d>", i))
			w.WriteHeader(103)
		}
		w.WriteHeader(200)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		r := s.m.Get(t.Context(), s.request("/"))
		require.NoError(t, r.Wait(t.Context()))
		var links []string
		for i := range r.InformationalReceived() {
			assert.Equal(t, 103, i.StatusCode)
			links = append(links, i.Headers.Get("Link"))
		}
		assert.Equal(t, []string{"</0>", "</1>", "</2>"}, links)
		assert.Equal(t, 200, r.StatusCode())
	})
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		for range 10000 {
			if _, err := io.WriteString(c.Conn, "HTTP/1.1 102 Wait\r\n\r\n"); err != nil {
				return
			}
		}
	})
	m := newManager(t, netreply.Config{})
	err := m.Get(t.Context(), newRequest(t, s.URL())).Wait(deadline(t))
	assert.ErrorIs(t, err, netreply.ProtocolFailure)
}

// TestFlowControl: the peer stops sending, and the buffer stays below its limit (rules B2, B5
// and B6).
func TestFlowControl(t *testing.T) {
	const limit = 64 << 10
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 32<<10)
		for {
			if _, err := w.Write(buf); err != nil {
				return
			}
			served.Add(int64(len(buf)))
		}
	}, netreply.Config{ReadBufferSize: limit}, func(t *testing.T, s *fixture) {
		served.Store(0)
		r := s.m.Get(t.Context(), s.request("/"))
		<-r.ReadyRead()
		settled := func() int64 {
			last := int64(-1)
			require.Eventually(t, func() bool {
				now := served.Load()
				same := now == last
				last = now
				return same
			}, 20*time.Second, 50*time.Millisecond, "the server never stops")
			return last
		}
		first := settled()
		assert.LessOrEqual(t, r.BytesAvailable(), int64(limit))
		assert.Less(t, first, int64(32<<20))
		for read := int64(0); read <= first+(8<<20); {
			n, err := r.Read(make([]byte, 64<<10))
			require.NoError(t, err)
			read += int64(n)
		}
		assert.Greater(t, settled(), first, "reading continues")
		r.SetReadBufferSize(limit * 2)
		assert.EqualValues(t, limit*2, r.ReadBufferSize())
		r.Close()
	})
}

var served atomic.Int64

// TestGetters: all can be called at any time, from any goroutine.
func TestGetters(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
			return
		}
		w.Write(make([]byte, 200_000))
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for range 20 {
			r := s.m.Get(t.Context(), s.request("/"))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for r.IsRunning() {
						_ = r.URL().String() + r.Method() + r.ErrorString() + r.Operation().String()
						_, _, _, _ = r.Headers(), r.Trailers(), r.RawHeaderPairs(), r.StatusCode()
						_, _, _, _ = r.SSLConfiguration(), r.LocalAddr(), r.Request(), r.ContentLength()
						_, _ = r.Err(), r.BytesAvailable()
						_, _ = netreply.HTTPStatusCode.Of(r)
						_, _ = netreply.RedirectionTarget.Of(r)
					}
				})
			}
			_, err := io.Copy(io.Discard, r)
			require.NoError(t, err)
			wg.Wait()
			assert.Equal(t, "/next", r.URL().Path)
			assert.Equal(t, "/", r.Request().URL.Path, "rule S10")
		}
	})
}
