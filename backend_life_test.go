package netreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// fullBackend has every optional interface. Functions that are nil do nothing.
type fullBackend struct {
	netreply.BackendFunc
	aborted func(*netreply.BackendRequest)
	ignore  func(*netreply.BackendRequest, []netreply.SSLError)
	set     func(*netreply.BackendRequest, *netreply.SSLConfiguration)
	state   func(*netreply.BackendRequest) netreply.SSLState
}

func (b fullBackend) Abort(q *netreply.BackendRequest) {
	if b.aborted != nil {
		b.aborted(q)
	}
}

func (b fullBackend) IgnoreSSLErrors(q *netreply.BackendRequest, list []netreply.SSLError) {
	if b.ignore != nil {
		b.ignore(q, list)
	}
}

func (b fullBackend) SetSSLConfiguration(q *netreply.BackendRequest, c *netreply.SSLConfiguration) {
	if b.set != nil {
		b.set(q, c)
	}
}

func (b fullBackend) SSLConfiguration(q *netreply.BackendRequest) netreply.SSLState {
	if b.state != nil {
		return b.state(q)
	}
	return netreply.SSLState{}
}

// fullManager makes a Manager whose scheme test is served by b.
func fullManager(t *testing.T, b netreply.Backend) *netreply.Manager {
	return newManager(t, netreply.Config{Backends: map[string]netreply.Backend{"test": b}})
}

// TestBackendAbort: Aborter.Abort is called once for every reply that ends before Serve
// returns, with its request, and never for others.
func TestBackendAbort(t *testing.T) {
	for name, end := range map[string]func(*netreply.Manager, *netreply.Reply, context.CancelFunc){
		"Abort":         func(_ *netreply.Manager, r *netreply.Reply, _ context.CancelFunc) { r.Abort() },
		"Close":         func(_ *netreply.Manager, r *netreply.Reply, _ context.CancelFunc) { r.Close() },
		"cancel":        func(_ *netreply.Manager, _ *netreply.Reply, cancel context.CancelFunc) { cancel() },
		"Manager.Close": func(m *netreply.Manager, _ *netreply.Reply, _ context.CancelFunc) { m.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			running, told, over := make(chan struct{}), make(chan *netreply.BackendRequest, 2), make(chan struct{})
			m := fullManager(t, fullBackend{
				BackendFunc: func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
					defer close(over)
					io.WriteString(w, "part")
					close(running)
					<-told // a Serve that ends by Abort alone
					return nil
				},
				aborted: func(q *netreply.BackendRequest) { told <- q; told <- q },
			})
			ctx, cancel := context.WithCancel(deadline(t))
			defer cancel()
			r := m.Get(ctx, newRequest(t, "test:x"))
			<-running
			end(m, r, cancel)
			assert.ErrorIs(t, r.Wait(context.Background()), netreply.OperationCanceledError)
			assert.Zero(t, r.BytesAvailable())
			<-over
			assert.Equal(t, "test:x", (<-told).URL.String())
			assert.Empty(t, told)
		})
	}
	var called atomic.Int32
	m := fullManager(t, fullBackend{
		BackendFunc: func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if q.URL.Opaque == "finish" {
				return w.SetFinished()
			}
			return nil
		},
		aborted: func(*netreply.BackendRequest) { called.Add(1) },
	})
	for _, address := range []string{"test:finish", "test:return"} {
		r := m.Get(deadline(t), newRequest(t, address))
		assert.NoError(t, r.Wait(deadline(t)))
		r.Abort()
	}
	m.Close()
	assert.Zero(t, called.Load())
}

// TestBackendEndsAtOnce: the end of a reply does not wait for a Serve that ignores it.
func TestBackendEndsAtOnce(t *testing.T) {
	for _, fetch := range []bool{false, true} {
		release, returned := make(chan struct{}), make(chan struct{})
		running := make(chan *netreply.Reply, 1)
		m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			defer close(returned)
			w.MetaDataChanged()
			<-release
			return nil
		})
		req := newRequest(t, "test:x")
		req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			if signalName(e) == "head" {
				running <- r
			}
		}
		if fetch {
			go m.Fetch(deadline(t), "GET", req, nil)
		} else {
			m.Get(deadline(t), req)
		}
		r := <-running
		r.Abort()
		assert.True(t, r.IsFinished())
		_, err := r.ReadAll()
		assert.ErrorIs(t, err, netreply.OperationCanceledError)
		close(release)
		<-returned
	}
}

// TestBackendFetch: the reply has finished when Fetch returns, and its whole body is there,
// whatever ReadBufferSize says.
func TestBackendFetch(t *testing.T) {
	goroutine := make(chan string, 2)
	m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		goroutine <- goroutineName()
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		return err
	})
	req := newRequest(t, "test:x")
	req.ReadBufferSize = 10
	r := m.Fetch(deadline(t), "GET", req, nil)
	assert.True(t, r.IsFinished())
	assert.Equal(t, goroutineName(), <-goroutine)
	b, err := r.ReadAll()
	assert.NoError(t, err)
	assert.Len(t, b, 1<<20)
}

func goroutineName() string {
	name, _, _ := strings.Cut(string(debugStack()), "[")
	return name
}

func debugStack() []byte {
	b := make([]byte, 64)
	return b[:runtime.Stack(b, false)]
}

// TestBackendReading: WaitHead, ReadAvailable and Read while the Backend writes, piece by piece.
func TestBackendReading(t *testing.T) {
	next := make(chan struct{})
	m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		<-next
		assert.NoError(t, w.SetAttribute(netreply.HTTPStatusCode, 404))
		assert.NoError(t, w.MetaDataChanged())
		for _, s := range []string{"one", "two"} {
			<-next
			io.WriteString(w, s)
		}
		<-next
		return nil
	})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, r.WaitHead(ended), context.Canceled)
	next <- struct{}{}
	assert.NoError(t, r.WaitHead(deadline(t)), "also for a 404")
	assert.Equal(t, 404, r.StatusCode())
	assert.Nil(t, r.ReadAvailable())
	next <- struct{}{}
	<-r.ReadyRead()
	assert.Equal(t, "one", string(r.ReadAvailable()))
	next <- struct{}{}
	b := make([]byte, 10)
	n, err := r.Read(b)
	assert.NoError(t, err)
	assert.Equal(t, "two", string(b[:n]))
	next <- struct{}{}
	n, err = r.Read(b)
	assert.Zero(t, n)
	assert.ErrorIs(t, err, netreply.ContentNotFoundError)
	assert.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentNotFoundError)
}

// TestBackendBackPressure: a Backend that writes for ever is never far ahead of the reader.
func TestBackendBackPressure(t *testing.T) {
	const limit = 64 << 10
	for name, write := range map[string]func(netreply.ReplyWriter) error{
		"Write": func(w netreply.ReplyWriter) error {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		},
		"ReadFrom": func(w netreply.ReplyWriter) error {
			_, err := w.ReadFrom(endless{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
				err := write(w)
				ended <- err
				return err
			})
			req := newRequest(t, "test:x")
			req.ReadBufferSize = limit
			r := m.Get(deadline(t), req)
			b := make([]byte, 100<<10)
			for range 200 {
				_, err := r.Read(b)
				require.NoError(t, err)
				assert.LessOrEqual(t, r.BytesAvailable(), int64(3*limit))
			}
			r.Abort()
			assert.ErrorIs(t, <-ended, netreply.OperationCanceledError)
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestBackendMaxBodySize: the limit holds for the Content-Length and for the bytes, and ends the
// reply even if the Backend goes on.
func TestBackendMaxBodySize(t *testing.T) {
	for name, c := range map[string]struct {
		length  int64
		write   int
		body    int
		isError bool
	}{
		"exactly":        {-1, 10, 10, false},
		"exactly, known": {10, 10, 10, false},
		"more":           {-1, 11, 10, true},
		"announced":      {11, 11, 0, true},
		"huge":           {1 << 40, 1, 0, true},
	} {
		for way, write := range map[string]func(netreply.ReplyWriter, string) error{
			"Write":    func(w netreply.ReplyWriter, s string) error { _, err := io.WriteString(w, s); return err },
			"ReadFrom": func(w netreply.ReplyWriter, s string) error { _, err := w.ReadFrom(strings.NewReader(s)); return err },
		} {
			t.Run(name+"/"+way, func(t *testing.T) {
				over := make(chan struct{})
				m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
					if c.length >= 0 {
						assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, c.length))
					}
					err := write(w, strings.Repeat("x", c.write))
					if !c.isError {
						return err
					}
					var size *netreply.SizeLimitError
					assert.ErrorAs(t, err, &size)
					assert.ErrorAs(t, write(w, "x"), &size, "also later")
					assert.ErrorAs(t, w.SetFinished(), &size)
					<-q.Context().Done()
					<-over // the reply has finished
					return nil
				})
				req := newRequest(t, "test:x")
				req.MaxBodySize = 10
				r := m.Get(deadline(t), req)
				b, err := r.ReadAll()
				r.Wait(deadline(t))
				close(over)
				assert.Len(t, b, c.body)
				var size *netreply.SizeLimitError
				assert.Equal(t, c.isError, errors.As(err, &size), "%v", err)
				assert.Equal(t, c.isError, errors.Is(err, netreply.UnknownContentError))
			})
		}
	}
}

// TestBackendRequest: what a Backend is told about the request.
func TestBackendRequest(t *testing.T) {
	mine := netreply.NewUserAttribute[string]("mine")
	req := newRequest(t, "test://user:pw@host/path?q#f")
	req.Headers.Set("X-Mine", "1")
	mine.Set(req, "value")
	r, _ := sendTest(t, "post", req, netreply.StringBody("body"), func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.Equal(t, "POST", q.Method)
		assert.Equal(t, netreply.PostOperation, q.Operation())
		assert.Equal(t, "test://user:pw@host/path?q#f", q.URL.String())
		assert.Equal(t, "1", q.Headers.Get("X-Mine"))
		assert.EqualValues(t, 4, q.ContentLength)
		v, _ := mine.Of(q.Request)
		assert.Equal(t, "value", v)
		for _, verb := range []string{"%v", "%+v", "%s", "%#v"} {
			assert.NotContains(t, fmt.Sprintf(verb, q), "pw", verb)
		}
		b, err := io.ReadAll(q.Body)
		assert.Equal(t, "body", string(b))
		n, eof := q.Body.Read(make([]byte, 1))
		assert.Zero(t, n)
		assert.Equal(t, io.EOF, eof)
		// a Backend that does not keep to not changing it changes nothing else
		*q.URL = url.URL{Scheme: "test", Opaque: "changed"}
		q.Method, q.Request.URL.Path = "HEAD", "changed"
		q.Headers.Set("X-Mine", "changed")
		_, err2 := io.WriteString(w, "x")
		return errors.Join(err, err2)
	})
	require.NoError(t, r.Err())
	assert.Equal(t, "/path", r.URL().Path)
	assert.Equal(t, "/path", r.Request().URL.Path)
	assert.Equal(t, "1", r.Request().Headers.Get("X-Mine"))
	assert.Equal(t, "POST", r.Method())
	var none *netreply.BackendRequest
	assert.Equal(t, netreply.UnknownOperation, none.Operation())
	assert.NotNil(t, none.Context())
}

// TestBackendBodyErrors: an error of the body's source is that of Read, and fails the reply if
// Serve returns it.
func TestBackendBodyErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		body netreply.Body
		want string
	}{
		"open":  {netreply.SourceBody(4, func() (io.ReadCloser, error) { return nil, broken }), "opening the body: broken"},
		"read":  {netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(errorReader{broken}), nil }), "reading the body: broken"},
		"short": {netreply.SourceBody(9, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("four")), nil }), "4 of the 9 bytes"},
	} {
		r, _ := sendTest(t, "POST", newRequest(t, "test:x"), c.body, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			_, err := io.ReadAll(q.Body)
			return err
		})
		require.ErrorIs(t, r.Err(), netreply.UnknownNetworkError, name)
		assert.ErrorContains(t, r.Err(), c.want, name)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// TestBackendBodyClosed: the source of a body is closed when Serve returns, also if it was not
// read to its end, and a Read that waits ends with the reply.
func TestBackendBodyClosed(t *testing.T) {
	pr, pw := io.Pipe()
	body := netreply.SourceBody(-1, func() (io.ReadCloser, error) { return pr, nil })
	r, _ := sendTest(t, "POST", newRequest(t, "test:x"), body, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		go pw.Write([]byte("ab"))
		_, err := q.Body.Read(make([]byte, 1))
		return err
	})
	require.NoError(t, r.Err())
	_, err := pw.Write([]byte("c"))
	assert.ErrorIs(t, err, io.ErrClosedPipe)

	pr, pw = io.Pipe()
	defer pw.Close()
	reading, ended := make(chan struct{}), make(chan error, 1)
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		close(reading)
		_, err := q.Body.Read(make([]byte, 1))
		ended <- err
		return err
	})
	r = m.Post(deadline(t), newRequest(t, "test:x"), body)
	<-reading
	r.Abort()
	assert.ErrorIs(t, <-ended, netreply.OperationCanceledError)
}

// TestBackendDoesNotReturn: a Serve that panics or calls runtime.Goexit, at any stage, ends its
// reply like an OnSignal that does, and leaves nothing behind.
func TestBackendDoesNotReturn(t *testing.T) {
	stages := map[string]func(*netreply.BackendRequest, netreply.ReplyWriter){
		"first":    func(*netreply.BackendRequest, netreply.ReplyWriter) {},
		"body":     func(_ *netreply.BackendRequest, w netreply.ReplyWriter) { io.WriteString(w, "part") },
		"upload":   func(q *netreply.BackendRequest, _ netreply.ReplyWriter) { q.Body.Read(make([]byte, 1)) },
		"failed":   func(_ *netreply.BackendRequest, w netreply.ReplyWriter) { w.SetError(netreply.ContentGoneError, "") },
		"redirect": func(_ *netreply.BackendRequest, w netreply.ReplyWriter) { w.Redirect("test:there", 307) },
	}
	ways := map[string]func(){"panic": func() { panic("Serve") }, "Goexit": runtime.Goexit}
	for stage, before := range stages {
		for name, way := range ways {
			var reply *netreply.Reply
			m := backendManager(t, netreply.Config{HeadTimeout: 1 << 40}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
				before(q, w)
				way()
				return nil
			})
			req := newRequest(t, "test:x")
			req.MinRate = 1
			req.OnSignal = func(r *netreply.Reply, _ netreply.Event) { reply = r }
			over := make(chan struct{})
			go func() {
				defer close(over)
				defer func() { recover() }()
				m.Fetch(deadline(t), "POST", req, netreply.StringBody("some bytes"))
			}()
			<-over
			require.NotNil(t, reply, "%s at %s", name, stage)
			assert.True(t, reply.IsFinished(), "%s at %s", name, stage)
			assert.ErrorIs(t, reply.Err(), netreply.OperationCanceledError, "%s at %s", name, stage)
			m.Close()
		}
	}
	// OnSignal, on the goroutine of Serve or of another that finishes the reply
	for _, at := range []string{"connecting", "up", "head", "ready", "redirected", "down"} {
		for name, way := range ways {
			var reply *netreply.Reply
			m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
				if q.URL.Opaque == "x" {
					w.SocketStartedConnecting()
					io.ReadAll(q.Body)
					return w.Redirect("test:there", 307)
				}
				_, err := io.WriteString(w, "body")
				return err
			})
			req := newRequest(t, "test:x")
			req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
				if signalName(e) == at {
					reply = r
					way()
				}
			}
			over := make(chan struct{})
			go func() {
				defer close(over)
				defer func() { recover() }()
				m.Fetch(deadline(t), "PUT", req, netreply.StringBody("some bytes"))
			}()
			<-over
			if assert.NotNil(t, reply, "%s at %s", name, at) {
				assert.True(t, reply.IsFinished(), "%s at %s", name, at)
				<-reply.Context().Done()
			}
			m.Close()
		}
	}
	for _, signal := range []string{"head", "down"} {
		m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			go w.SetFinished()
			<-q.Context().Done()
			return nil
		})
		req := newRequest(t, "test:x")
		req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
			if signalName(e) == signal {
				runtime.Goexit()
			}
		}
		r := m.Get(deadline(t), req)
		r.Wait(deadline(t))
		assert.True(t, r.IsFinished(), "%s", signal)
	}
}
