package netreply_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// TestTransferTimeoutIgnoresProgram: the transfer timeout measures the peer only (rule
// N32). In each row something of the program takes an hour; then the peer sends the rest,
// or nothing, which must be detected one second later.
func TestTransferTimeoutIgnoresProgram(t *testing.T) {
	const rest = "0123456789"
	serve := func(silent bool) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if n, _ := io.Copy(io.Discard, req.Body); silent && n > 0 {
				io.Copy(io.Discard, r) // never an answer
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"+rest)
			if silent {
				io.Copy(io.Discard, r)
			}
			io.WriteString(c, rest)
			io.Copy(io.Discard, r)
		}
	}
	hour := func() { time.Sleep(time.Hour) }
	once := func(f func()) func() {
		done := false
		return func() {
			if !done {
				done = true
				f()
			}
		}
	}
	slowSource := func(f func()) netreply.Body {
		return netreply.SourceBody(-1, func() (io.ReadCloser, error) {
			text := strings.NewReader(rest)
			return io.NopCloser(readerFunc(func(p []byte) (int, error) {
				f()
				return text.Read(p)
			})), nil
		})
	}
	for name, exchange := range map[string]func(m *netreply.Manager, req *netreply.Request) (string, error){
		"reader": func(m *netreply.Manager, req *netreply.Request) (string, error) {
			req.ReadBufferSize = 4
			r := m.Get(context.Background(), req)
			hour()
			b, err := io.ReadAll(struct{ io.Reader }{r})
			return string(b), err
		},
		"writer": func(m *netreply.Manager, req *netreply.Request) (string, error) {
			req.ReadBufferSize = 4
			var b strings.Builder
			pause := once(hour)
			_, err := m.Get(context.Background(), req).WriteTo(writerFunc(func(p []byte) (int, error) {
				pause()
				return b.Write(p)
			}))
			return b.String(), err
		},
		"source": func(m *netreply.Manager, req *netreply.Request) (string, error) {
			b, err := m.Post(context.Background(), req, slowSource(once(hour))).ReadAll()
			return string(b), err
		},
		"opening": func(m *netreply.Manager, req *netreply.Request) (string, error) {
			b, err := m.Post(context.Background(), req, netreply.SourceBody(10, func() (io.ReadCloser, error) {
				hour()
				return io.NopCloser(strings.NewReader(rest)), nil
			})).ReadAll()
			return string(b), err
		},
		"OnSignal": func(m *netreply.Manager, req *netreply.Request) (string, error) {
			pause := once(hour)
			req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if _, ok := e.(netreply.MetaDataChanged); ok {
					pause()
				}
			}
			b, err := m.Get(context.Background(), req).ReadAll()
			return string(b), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, netreply.Config{TransferTimeout: time.Second}, serve(false), func(t *testing.T, m *netreply.Manager) {
				got, err := exchange(m, get(t, "/"))
				require.NoError(t, err)
				require.Equal(t, rest+rest, got)
			})
			bubble(t, netreply.Config{TransferTimeout: time.Second}, serve(true), func(t *testing.T, m *netreply.Manager) {
				start := time.Now()
				got, err := exchange(m, get(t, "/"))
				require.ErrorIs(t, err, netreply.TimeoutError)
				if name != "source" && name != "opening" {
					assert.Equal(t, rest, got, "rule S30")
				}
				assert.Equal(t, time.Hour+time.Second, time.Since(start))
			})
		})
	}
}

// TestAbandonedSource: a source that never returns pauses the clock only during the wait
// for it, not on the next hop, which does not read it.
func TestAbandonedSource(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err == nil && req.URL.Path == "/" {
			io.WriteString(c, "HTTP/1.1 303 X\r\nLocation: /silent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		io.Copy(io.Discard, r)
	}
	bubble(t, netreply.Config{TransferTimeout: time.Second}, serve, func(t *testing.T, m *netreply.Manager) {
		hold := make(chan struct{})
		defer close(hold)
		start := time.Now()
		req := get(t, "/")
		req.DoNotBufferUploadData = true
		r := m.Post(t.Context(), req, netreply.ReaderBody(readerFunc(func([]byte) (int, error) {
			<-hold
			return 0, io.EOF
		})))
		require.ErrorIs(t, r.Wait(t.Context()), netreply.TimeoutError)
		assert.Equal(t, "/silent", r.URL().Path)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// TestBytesBeforeTimeout: bytes received before a time limit can be read, followed by its
// error; those before a cancellation cannot (rule S30).
func TestBytesBeforeTimeout(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		io.Copy(io.Discard, r)
	}
	readers := map[string]func(r *netreply.Reply) (string, error){
		"Read": func(r *netreply.Reply) (string, error) {
			b, err := io.ReadAll(struct{ io.Reader }{r})
			return string(b), err
		},
		"WriteTo": func(r *netreply.Reply) (string, error) {
			var b strings.Builder
			_, err := r.WriteTo(&b)
			return b.String(), err
		},
		"ReadAll": func(r *netreply.Reply) (string, error) {
			b, err := r.ReadAll()
			return string(b), err
		},
	}
	for _, row := range []struct {
		name string
		cfg  netreply.Config
		ctx  func() (context.Context, context.CancelFunc)
		code netreply.NetworkError
		kept string
	}{
		{"TransferTimeout", netreply.Config{TransferTimeout: time.Second}, nil, netreply.TimeoutError, "hello"},
		{"deadline", netreply.Config{}, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		}, netreply.TimeoutError, "hello"},
		{"cancelled", netreply.Config{}, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(time.Second, func() { cancel(errors.New("no more interest")) })
			return ctx, func() { cancel(nil) }
		}, netreply.OperationCanceledError, ""},
	} {
		for name, read := range readers {
			t.Run(row.name+" "+name, func(t *testing.T) {
				bubble(t, row.cfg, serve, func(t *testing.T, m *netreply.Manager) {
					ctx, cancel := context.Background(), context.CancelFunc(func() {})
					if row.ctx != nil {
						ctx, cancel = row.ctx()
					}
					defer cancel()
					r := m.Get(ctx, get(t, "/"))
					require.ErrorIs(t, r.Wait(context.Background()), row.code)
					assert.EqualValues(t, len(row.kept), r.BytesAvailable())
					got, err := read(r)
					assert.Equal(t, row.kept, got)
					assert.ErrorIs(t, err, row.code)
				})
			})
		}
	}
}

// TestQuestionStopsTheClock: a check of the transfer timeout that is due when a question is
// asked does not start the clock again.
func TestQuestionStopsTheClock(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			answer := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
			if req.URL.Path == "/" {
				time.Sleep(500 * time.Millisecond)
				answer = "HTTP/1.1 302 X\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
			}
			io.WriteString(c, answer)
		}
	}
	for range 50 {
		bubble(t, netreply.Config{TransferTimeout: time.Second, RedirectPolicy: netreply.UserVerifiedRedirectPolicy}, serve, func(t *testing.T, m *netreply.Manager) {
			req := get(t, "/")
			start := time.Now()
			req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
				if _, ok := e.(netreply.MetaDataChanged); ok {
					time.Sleep(time.Until(start.Add(time.Second))) // the check is due now
				}
			}
			r := m.Get(t.Context(), req)
			d := <-r.Redirected()
			time.Sleep(time.Hour)
			require.True(t, d.Allow())
			require.NoError(t, r.Wait(t.Context()))
		})
	}
}

// TestPluginsPauseTheClock: time in callbacks of the program does not count as the peer's
// silence (rule N32).
func TestPluginsPauseTheClock(t *testing.T) {
	serve := func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Authorization") == "" {
				io.WriteString(c, "HTTP/1.1 401 X\r\nWWW-Authenticate: Slow\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
			} else {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nWWW-Authenticate: Slow b2s=\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	for name, c := range map[string]netreply.Config{
		"jar":           {CookieJar: slowJar{jar}},
		"negotiator":    {Negotiators: []netreply.Negotiator{slowNegotiator{}}},
		"proxy factory": {ProxyFactory: func(netreply.ProxyQuery) []netreply.Proxy { time.Sleep(time.Hour); return nil }},
		"bearer":        {},
	} {
		t.Run(name, func(t *testing.T) {
			c.TransferTimeout = time.Second
			bubble(t, c, serve, func(t *testing.T, m *netreply.Manager) {
				req := get(t, "/")
				switch name {
				case "negotiator":
				case "bearer":
					req.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
						time.Sleep(time.Hour)
						return netreply.Token{Value: "t"}, nil
					})
				default:
					req.Headers.Set("Authorization", "t")
				}
				require.NoError(t, m.Get(t.Context(), req).Wait(t.Context()))
			})
		})
	}
}

type slowJar struct{ http.CookieJar }

func (j slowJar) Cookies(u *url.URL) []*http.Cookie {
	time.Sleep(time.Hour)
	return j.CookieJar.Cookies(u)
}

func (j slowJar) SetCookies(u *url.URL, list []*http.Cookie) {
	time.Sleep(time.Hour)
	j.CookieJar.SetCookies(u, list)
}

// slowNegotiator is a Negotiator, and its own Negotiation.
type slowNegotiator struct{}

func (slowNegotiator) Scheme() string { return "Slow" }
func (n slowNegotiator) Start(context.Context, string) (netreply.Negotiation, error) {
	time.Sleep(time.Hour)
	return n, nil
}
func (slowNegotiator) Next([]byte) ([]byte, error) { time.Sleep(time.Hour); return []byte("x"), nil }
func (slowNegotiator) Close() error                { return nil }
