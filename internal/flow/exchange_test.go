package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/flow"
	"github.com/netreply/netreply/internal/pipe"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// TestPhases: the phases of a transfer, in order.
func TestPhases(t *testing.T) {
	eachKind(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, s *server) {
		// phases without repetitions
		told := func(r result) []string { return slices.Compact(r.told()) }
		encrypted := []string{"encrypted"}
		if !strings.HasPrefix(s.URL, "https") {
			encrypted = nil
		}
		assert.Equal(t, slices.Concat(
			[]string{"enter headers", "enter connect", "connecting"}, encrypted,
			[]string{"carrier new", "enter headers", "sent", "enter body", "head 200 final"}),
			told(s.ok(new(watcher), s.get("/"))))
		assert.Equal(t, []string{"enter headers", "carrier reused", "enter headers", "sent", "enter body", "head 200 final"},
			told(s.ok(new(watcher), s.get("/"))))
	})
}

// TestPhaseQueue: waiting for a free connection is not waiting for the peer.
func TestPhaseQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		c := newMemoryClient(t, func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				if req.URL.Path == "/slow" {
					<-answer
				}
				c.Say("HTTP/1.1 204 No Content\r\n\r\n")
			}
		})
		defer c.close()
		done := make(chan result)
		for range wire.DefaultConnsPerHost {
			go func() { done <- c.doIn(context.Background(), new(watcher), get("http://a/slow"), nil) }()
		}
		synctest.Wait()
		var expired atomic.Bool
		clock := flow.NewClock(time.Second, func() { expired.Store(true) })
		clock.Start()
		queued := make(chan result)
		go func() {
			queued <- c.doIn(context.Background(), new(watcher), get("http://a/"), func(t *flow.Transfer) { t.Clock = clock })
		}()
		time.Sleep(time.Hour)
		close(answer)
		r := <-queued
		clock.Stop()
		require.NoError(t, r.err)
		assert.False(t, expired.Load())
		assert.Equal(t, []string{"enter headers", "enter queue", "enter headers", "enter body"}, slices.Compact(r.told("enter")))
		assert.Empty(t, r.told("connecting"))
		for range wire.DefaultConnsPerHost {
			require.NoError(t, (<-done).err)
		}
	})
}

// TestBadAddresses: invalid hosts, and names that cannot be resolved by definition; the
// latter are passed to a dialer that resolves names itself.
func TestBadAddresses(t *testing.T) {
	for address, kind := range map[string]flow.Kind{
		"http://a.invalid/": flow.Unresolvable, "http://1.2.3.4.5/": flow.Unresolvable, "http://ö_/": flow.BadAddress,
	} {
		c := newClient(t, nil, "", func(c *flow.Config) { c.Resolves = true })
		r := c.do(new(watcher), get(address))
		var e *flow.Error
		require.ErrorAs(t, r.err, &e, address)
		assert.Equal(t, kind, e.Kind)
		assert.Equal(t, get(address).URL.Hostname(), e.Host)
		assert.Empty(t, r.told("connecting", "sent"))
	}
	s := newServer(t, testserver.Plain, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t, nil, s.URL[len("http://"):])
	c.ok(new(watcher), get("http://a.invalid/"))
}

// TestRequestForm: the parts of a URL and of a request that are sent.
func TestRequestForm(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q %q %q", r.Host, r.RequestURI, r.UserAgent(), r.Header.Get("Authorization"), r.Header.Values("A"))
	}, func(t *testing.T, s *server) {
		host := s.get("/").URL.Host
		q := s.get("/a/../b/./c?d#e")
		q.URL.User = get("http://u:p@a/").URL.User
		assert.Equal(t, host+` /b/c?d "" "" []`, s.ok(new(watcher), q).body)
		q = s.get("/a%2fb")
		q.Headers = headers.New("Host", "named.example", "user-agent", "me", "a", "1", "a", "2", "Content-Length", "7")
		assert.Equal(t, `named.example /a%2fb "me" "" ["1" "2"]`, s.ok(new(watcher), q).body)
	})
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.UserAgent()) },
		func(c *flow.Config) { c.UserAgent = "engine" })
	assert.Equal(t, "engine", s.ok(new(watcher), s.get("/")).body)
}

// TestHead: the fields of Head.
func TestHead(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("a", "1")
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
	}, func(t *testing.T, s *server) {
		for code, noBody := range map[int]bool{200: false, 204: true, 304: true, 404: false} {
			h := s.ok(new(watcher), s.get(fmt.Sprint("/", code))).heads[0]
			assert.Equal(t, noBody, h.NoBody, code)
			assert.True(t, h.Final)
			if s.http2() {
				assert.Empty(t, h.Raw)
			} else {
				assert.True(t, strings.HasPrefix(h.Raw, fmt.Sprintf("HTTP/1.1 %d ", code)), h.Raw)
			}
		}
		q := s.get("/200")
		q.Method = http.MethodHead
		assert.True(t, s.ok(new(watcher), q).heads[0].NoBody)
	})
}

// TestHeadLate: the time limit for a head begins at the end of the request, again for each
// exchange.
func TestHeadLate(t *testing.T) {
	late := errors.New("late")
	// slow is a body that takes an hour
	slow := func() *flow.Payload {
		return &flow.Payload{Size: 4, Blocks: true, Open: func() (io.Reader, error) {
			return readerFunc(func(p []byte) (int, error) { time.Sleep(time.Hour); return copy(p, "text"), io.EOF }), nil
		}}
	}
	never := func(c *testserver.Conn) { c.Request(); c.Request() }
	after := func(d time.Duration) func(*testserver.Conn) {
		return func(c *testserver.Conn) {
			for {
				req, _, ok := c.Request()
				if !ok {
					return
				}
				time.Sleep(d)
				if req.URL.Path == "/redirect" {
					c.Say("HTTP/1.1 307 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
				} else {
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
		}
	}
	for name, row := range map[string]struct {
		path  string
		body  func() *flow.Payload
		serve func(*testserver.Conn)
		late  time.Duration // time of HeadLate; 0 for never
	}{
		"in time":            {"/", nil, after(time.Second - 1), 0},
		"never":              {"/", nil, never, time.Second},
		"too late":           {"/", nil, after(time.Second + 1), time.Second},
		"redirects":          {"/redirect", nil, after(time.Second - 1), 0},
		"an upload, in time": {"/", slow, after(time.Second - 1), 0},
		"an upload":          {"/", slow, never, time.Hour + time.Second},
		"before the upload is over": {"/", slow, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, c.R)
		}, 0},
		"before the upload is over, which ends": {"/", slow, func(c *testserver.Conn) {
			req, _ := c.Head()
			c.Say("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nte")
			io.Copy(io.Discard, req.Body)
			time.Sleep(time.Hour)
			c.Say("xt")
		}, 0},
		"an interim response is none": {"/", nil, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 103 Early\r\n\r\n")
			time.Sleep(time.Hour)
		}, time.Second},
		"the body may take its time": {"/", nil, func(c *testserver.Conn) {
			c.Request()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			time.Sleep(time.Hour)
			c.Say("text")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newMemoryClient(t, row.serve, func(c *flow.Config) { c.HeadTimeout = time.Second })
				defer c.close()
				ctx, cancel := context.WithCancelCause(t.Context())
				begin := time.Now()
				w := &watcher{headLate: func() {
					assert.Equal(t, row.late, time.Since(begin))
					cancel(late)
				}}
				var p *flow.Payload
				if row.body != nil {
					p = row.body()
				}
				r := c.doIn(ctx, w, request(http.MethodPost, "http://a"+row.path, p), nil)
				if row.late == 0 {
					require.NoError(t, r.err)
				} else {
					assert.Equal(t, late, r.err)
				}
				time.Sleep(10 * time.Hour)
				assert.Equal(t, row.late != 0, len(r.told("head-late")) == 1)
			})
		})
	}
}

// TestInterim: interim responses are reported, up to MaxInterim.
func TestInterim(t *testing.T) {
	for _, n := range []int{3, flow.MaxInterim, flow.MaxInterim + 1} {
		servers := map[string]func() (string, wire.Protocol){
			"h1": func() (string, wire.Protocol) {
				return testserver.NewRaw(t, nil, func(c *testserver.Conn) {
					c.Request()
					for i := range n {
						c.Say(fmt.Sprintf("HTTP/1.1 103 Early Hints\r\nN: %d\r\n\r\n", i))
					}
					c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
				}).URL(), wire.HTTP1
			},
			"h2": func() (string, wire.Protocol) {
				return newH2Server(t, func(p *h2Peer, stream uint32) {
					for i := range n {
						p.buf.Reset()
						p.enc.WriteField(hpack.HeaderField{Name: ":status", Value: "103"})
						p.enc.WriteField(hpack.HeaderField{Name: "n", Value: fmt.Sprint(i)})
						p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.buf.Bytes(), EndHeaders: true})
					}
					p.ok(stream, "body")
				}).URL(), wire.HTTP2
			},
		}
		for name, server := range servers {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				address, protocol := server()
				q := get(address)
				q.HTTP = protocol
				r := newClient(t, nil, "").do(new(watcher), q)
				log := r.told("interim")
				assert.Len(t, log, min(n, flow.MaxInterim))
				for i, line := range log {
					assert.Equal(t, fmt.Sprint("interim 103 ", i), line)
				}
				if n <= flow.MaxInterim {
					require.NoError(t, r.err)
					assert.Equal(t, "body", r.body)
					return
				}
				var we *wire.Error
				require.ErrorAs(t, r.err, &we)
				assert.Equal(t, wire.Malformed, we.Fault)
				assert.ErrorContains(t, r.err, "too many interim responses")
			})
		}
	}
}

// TestContext: a transfer ends with its context and the cause of that: before anything is
// sent, while it connects, and while it waits for a head.
func TestContext(t *testing.T) {
	eachKind(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, s *server) {
		for _, at := range []string{"", "connecting", "carrier new", "sent"} {
			c := newClient(t, s.profile.Config, "")
			aborted := errors.New("aborted")
			ctx, cancel := context.WithCancelCause(t.Context())
			if at == "" {
				cancel(aborted)
			}
			r := c.doIn(ctx, &watcher{on: func(line string) {
				if line == at {
					cancel(aborted)
				}
			}}, s.get("/"), nil)
			assert.Equal(t, aborted, r.err, "%q: %q", at, r.told())
			if at == "" || at == "connecting" {
				assert.Empty(t, r.told("sent"))
			}
		}
	})
}

// TestOpen: later requests use connections that Open has opened, also through proxies,
// which are tried in turn.
func TestOpen(t *testing.T) {
	dead := &flow.Proxy{Addr: testserver.Refusing(t), Name: "dead"}
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			p := newProxied(t, kind, via)
			address := map[bool]string{true: "http://", false: "https://"}[kind == testserver.Plain] + p.server
			open := func(list ...*flow.Proxy) error {
				return p.engine.Open(t.Context(), get(address).URL, p.profile, list)
			}
			use := func(list ...*flow.Proxy) {
				r := p.ok(&watcher{proxies: through(list...)}, p.get(address))
				assert.Empty(t, r.told("connecting"))
				p.wire.CloseIdle()
			}
			require.NoError(t, open())
			use(nil)
			require.NoError(t, open(dead, nil))
			use(nil)
			live := httpProxy(p.proxy)
			require.NoError(t, open(dead, live))
			use(live)
			require.NoError(t, open(live, dead))
			use(live)

			var f *flow.ProxyFailure
			require.ErrorAs(t, open(dead), &f)
			assert.Equal(t, dead, f.Proxy)
			assert.Equal(t, "127.0.0.1", f.Host)
			if kind == testserver.Plain {
				return // asked only for a request
			}
			p.proxy.RequireLogin("u", "p")
			require.ErrorAs(t, open(live), &f)
			var pe *dial.ProxyError
			require.ErrorAs(t, f, &pe)
			assert.Equal(t, dial.ProxyAuthRequired, pe.Fault)
			live.User, live.Password = "u", "p"
			require.NoError(t, open(live))
			use(live)
		})
	}
	c := newClient(t, nil, "", func(c *flow.Config) { c.Resolves = true })
	var e *flow.Error
	require.ErrorAs(t, c.engine.Open(t.Context(), get("http://a.invalid/").URL, nil, nil), &e)
	assert.Equal(t, flow.Unresolvable, e.Kind)
	require.ErrorAs(t, c.engine.Open(t.Context(), get("http://ö_/").URL, nil, nil), &e)
	assert.Equal(t, flow.BadAddress, e.Kind)
}

// pipeOwner is an Owner that does nothing.
type pipeOwner struct{}

func (pipeOwner) Arrived(int64)  {}
func (pipeOwner) MayWait() error { return nil }

// receive is doIn with Receive for the body.
func (c *client) receive(ctx context.Context, q flow.Request, set func(*flow.Transfer)) (string, error) {
	t := c.engine.NewTransfer(ctx, &watcher{profile: c.profile})
	t.Request = q
	set(t)
	defer t.Close()
	resp, err := t.Begin()
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var p pipe.Pipe
	p.Init(pipeOwner{}, 0)
	err = t.Receive(resp, &p)
	p.End(err)
	body, _ := p.All()
	return string(body), err
}

// TestReceive: the body of the final response, if there is one.
func TestReceive(t *testing.T) {
	text := strings.Repeat("text", 1<<16)
	eachKind(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			io.WriteString(w, text)
		case "/flushed":
			w.(http.Flusher).Flush()
			io.WriteString(w, text)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/cut":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "text")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}, func(t *testing.T, s *server) {
		for path, want := range map[string]string{"/length": text, "/flushed": text, "/none": "", "/empty": ""} {
			body, err := s.receive(t.Context(), s.get(path), func(*flow.Transfer) {})
			require.NoError(t, err)
			assert.Equal(t, want, body)
		}
		body, err := s.receive(t.Context(), s.get("/cut"), func(*flow.Transfer) {})
		var we *wire.Error
		require.ErrorAs(t, err, &we)
		assert.Equal(t, wire.Body, we.Phase)
		assert.Equal(t, "text", body)
	})
}

// TestRateMeasured: the rate is measured while a body is sent or received, and not while
// the transfer waits for a head.
func TestRateMeasured(t *testing.T) {
	slow := errors.New("slow")
	hour := func(next func()) func(*testserver.Conn) {
		return func(c *testserver.Conn) {
			c.Request()
			time.Sleep(time.Hour)
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nte")
			next()
			c.Say("xt")
		}
	}
	for name, row := range map[string]struct {
		serve func(*testserver.Conn)
		body  *flow.Payload
		err   error
	}{
		"waiting for a head":                 {hour(func() {}), nil, nil},
		"waiting for a head after an upload": {hour(func() {}), fromSource("text"), nil},
		"receiving":                          {hour(func() { time.Sleep(time.Hour) }), nil, slow},
		"receiving, after an upload that ends meanwhile": {func(c *testserver.Conn) {
			req, _ := c.Head()
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nte")
			io.Copy(io.Discard, req.Body)
			time.Sleep(time.Hour)
			c.Say("xt")
		}, &flow.Payload{Size: 4, Blocks: true, Open: func() (io.Reader, error) {
			return readerFunc(func(p []byte) (int, error) { time.Sleep(time.Second); return copy(p, "text"), io.EOF }), nil
		}}, slow},
		"sending": {func(c *testserver.Conn) {
			c.Head()
			time.Sleep(time.Hour)
		}, fromSource(strings.Repeat("text", 1<<10)), slow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newMemoryClient(t, row.serve)
				defer c.close()
				ctx, cancel := context.WithCancelCause(t.Context())
				clock := flow.NewClock(0, func() {})
				clock.Start()
				_, err := c.receive(ctx, request(http.MethodPost, "http://a/", row.body), func(t *flow.Transfer) {
					t.Clock = clock
					t.Rate = flow.NewRateGuard(1, clock, func() int64 { return 0 }, func() { cancel(slow) })
				})
				clock.Stop()
				assert.Equal(t, row.err, err)
				time.Sleep(2 * time.Hour) // of the server
			})
		})
	}
}

// TestAbandon: after a panic of the Watcher, response and source are closed.
func TestAbandon(t *testing.T) {
	s := newServer(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("text", 1<<16))
	})
	for _, at := range []string{"uploads", "connecting", "carrier new", "head 200 final"} {
		var closed atomic.Int64
		q := s.request(http.MethodPut, "/", &flow.Payload{Size: -1, Owned: true, Open: func() (io.Reader, error) {
			return countedSource{strings.NewReader("text"), &closed}, nil
		}})
		tr := s.engine.NewTransfer(t.Context(), &watcher{on: func(line string) {
			if line == at {
				panic(line)
			}
		}})
		tr.Request = q
		assert.PanicsWithValue(t, at, func() { tr.Begin() })
		tr.Abandon()
		assert.EqualValues(t, map[bool]int64{true: 0, false: 1}[at == "uploads"], closed.Load(), "%s: what was opened is closed", at)
		s.wire.CloseIdle()
		assert.Eventually(t, func() bool { return s.wire.Connections() == 0 }, 10*time.Second, time.Millisecond, at)
	}
}
