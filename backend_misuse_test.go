package netreply_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// writerCall is a call of one method of ReplyWriter with valid arguments.
type writerCall struct {
	method string
	call   func(netreply.ReplyWriter) error
}

// writerCalls has every method of ReplyWriter.
func writerCalls() []writerCall {
	return []writerCall{
		{"SetAttribute", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPStatusCode, 200) }},
		{"SetHeader", func(w netreply.ReplyWriter) error { return w.SetHeader(netreply.ServerHeader, "s") }},
		{"SetRawHeader", func(w netreply.ReplyWriter) error { return w.SetRawHeader("X", "y") }},
		{"SetHeaders", func(w netreply.ReplyWriter) error { return w.SetHeaders(netreply.NewHeaders("X", "y")) }},
		{"Redirect", func(w netreply.ReplyWriter) error { return w.Redirect("test:y", 307) }},
		{"MetaDataChanged", netreply.ReplyWriter.MetaDataChanged},
		{"SetTrailers", func(w netreply.ReplyWriter) error { return w.SetTrailers(netreply.NewHeaders("X", "y")) }},
		{"SetOperation", func(w netreply.ReplyWriter) error { return w.SetOperation(netreply.GetOperation) }},
		{"SetRequest", func(w netreply.ReplyWriter) error { return w.SetRequest(&netreply.Request{}) }},
		{"SetURL", func(w netreply.ReplyWriter) error { return w.SetURL(&url.URL{Scheme: "test"}) }},
		{"SetError", func(w netreply.ReplyWriter) error { return w.SetError(netreply.ContentGoneError, "late") }},
		{"Write", func(w netreply.ReplyWriter) error { _, err := w.Write([]byte("late")); return err }},
		{"ReadFrom", func(w netreply.ReplyWriter) error { _, err := w.ReadFrom(strings.NewReader("late")); return err }},
		{"SocketStartedConnecting", netreply.ReplyWriter.SocketStartedConnecting},
		{"Encrypted", func(w netreply.ReplyWriter) error { return w.Encrypted(tls.ConnectionState{}) }},
		{"RequestSent", netreply.ReplyWriter.RequestSent},
		{"InformationalReceived", func(w netreply.ReplyWriter) error { return w.InformationalReceived(103, netreply.Headers{}) }},
		{"Progress", func(w netreply.ReplyWriter) error { return w.Progress(1, 2) }},
		{"AuthenticationRequired", func(w netreply.ReplyWriter) error {
			_, _, err := w.AuthenticationRequired(&netreply.Authenticator{})
			return err
		}},
		{"ProxyAuthenticationRequired", func(w netreply.ReplyWriter) error {
			_, _, err := w.ProxyAuthenticationRequired(&netreply.ProxyAuthenticator{Proxy: &netreply.Proxy{}, Authenticator: &netreply.Authenticator{}})
			return err
		}},
		{"SSLErrors", func(w netreply.ReplyWriter) error {
			return w.SSLErrors(&netreply.SSLErrors{Errors: []netreply.SSLError{{Code: netreply.SSLCertificateExpired}}})
		}},
		{"PreSharedKeyAuthenticationRequired", func(w netreply.ReplyWriter) error {
			_, _, err := w.PreSharedKeyAuthenticationRequired(&netreply.PreSharedKeyAuthenticator{})
			return err
		}},
		{"SetFinished", netreply.ReplyWriter.SetFinished},
	}
}

// requireUsage checks that err is a *UsageError of a method whose reason contains a text.
func requireUsage(t *testing.T, err error, method, reason string) {
	t.Helper()
	var usage *netreply.UsageError
	if assert.ErrorAs(t, err, &usage, "%s", method) {
		assert.Equal(t, method, usage.Method)
		assert.Contains(t, usage.Reason, reason, "%s", method)
		assert.Equal(t, "netreply: ReplyWriter."+usage.Method+": "+usage.Reason, err.Error())
	}
}

// TestReplyWriterTooLate: what is called after the end of the reply is refused, and changes
// nothing.
func TestReplyWriterTooLate(t *testing.T) {
	unchanged := func(t *testing.T, r *netreply.Reply, names ...string) {
		assert.NoError(t, r.Err())
		assert.Equal(t, "test:x", r.URL().String())
		assert.Equal(t, 0, r.StatusCode())
		assert.Zero(t, r.Headers().Len())
		assert.Zero(t, r.Trailers().Len())
		assert.Equal(t, names, signalNames(t, r))
	}
	t.Run("SetFinished", func(t *testing.T) {
		r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			io.WriteString(w, "body")
			assert.NoError(t, w.SetFinished())
			for _, c := range writerCalls() {
				requireUsage(t, c.call(w), c.method, "called after the end")
			}
			return netreply.ContentGoneError
		})
		assert.Equal(t, "body", body)
		unchanged(t, r, "head", "ready", "down", "finished")
	})
	t.Run("return", func(t *testing.T) {
		var left netreply.ReplyWriter
		var q *netreply.BackendRequest
		req := newRequest(t, "test:x")
		r, _ := sendTest(t, "PUT", req, netreply.StringBody("unread"), func(b *netreply.BackendRequest, w netreply.ReplyWriter) error {
			q, left = b, w
			return nil
		})
		var all sync.WaitGroup
		for _, c := range writerCalls() {
			all.Go(func() { requireUsage(t, c.call(left), c.method, "called after the end") })
		}
		all.Go(func() {
			_, err := q.Body.Read(make([]byte, 1))
			requireUsage(t, err, "Read of the body", "called after the end")
		})
		all.Wait()
		unchanged(t, r, "head", "down", "up", "finished")
	})
	t.Run("Redirect", func(t *testing.T) {
		r, body := serveTest(t, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if q.URL.Opaque == "x" {
				_, err := io.WriteString(w, "body")
				return err
			}
			return nil
		})
		assert.Equal(t, "body", body)
		assert.NoError(t, r.Err())
		r, body = sendTest(t, "GET", newRequest(t, "test:first"), nil, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			if q.URL.Opaque == "x" {
				_, err := io.WriteString(w, "body")
				return err
			}
			assert.NoError(t, w.Redirect("test:x", 307))
			for _, c := range writerCalls() {
				requireUsage(t, c.call(w), c.method, "called after Redirect")
			}
			return nil
		})
		assert.Equal(t, "body", body)
		assert.NoError(t, r.Err())
		assert.Equal(t, "test:x", r.URL().String())
	})
	t.Run("body", func(t *testing.T) {
		r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			io.WriteString(w, "body")
			for _, c := range writerCalls()[:6] {
				requireUsage(t, c.call(w), c.method, "after MetaDataChanged")
			}
			return nil
		})
		assert.Equal(t, "body", body)
		unchanged(t, r, "head", "ready", "down", "finished")
	})
}

// TestReplyWriterAborted: after the end of the reply's context the reason is returned, as an
// *Error.
func TestReplyWriterAborted(t *testing.T) {
	running, over := make(chan struct{}), make(chan struct{})
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		close(running)
		<-q.Context().Done()
		defer close(over)
		for _, c := range writerCalls() {
			err := c.call(w)
			var e *netreply.Error
			assert.ErrorAs(t, err, &e, c.method)
			assert.ErrorIs(t, err, netreply.OperationCanceledError, c.method)
		}
		_, err := q.Body.Read(make([]byte, 1))
		assert.ErrorIs(t, err, netreply.OperationCanceledError)
		return errors.New("nobody sees it")
	})
	r := m.Post(deadline(t), newRequest(t, "test:x"), netreply.StringBody("unread"))
	<-running
	r.Abort()
	assert.ErrorIs(t, r.Err(), netreply.OperationCanceledError)
	<-over
	assert.Equal(t, []string{"OperationCanceledError", "down", "up", "finished"}, signalNames(t, r))
}

// TestReplyWriterArguments: wrong arguments are refused before anything changes.
func TestReplyWriterArguments(t *testing.T) {
	asked := &netreply.Authenticator{}
	asked.Cancel()
	var nobody *netreply.Authenticator
	proxy := &netreply.Proxy{Type: netreply.HTTPProxy, Host: "p", Port: 1}
	list := []struct {
		method, reason string
		call           func(netreply.ReplyWriter) error
	}{
		{"SetAttribute", "nil attribute", func(w netreply.ReplyWriter) error { return w.SetAttribute(nil, 1) }},
		{"SetAttribute", "HttpStatusCode: the value must be of type int, not string", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPStatusCode, "200") }},
		{"SetAttribute", "of type int, not <nil>", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPStatusCode, nil) }},
		{"SetAttribute", "99 is not the status of a final response", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPStatusCode, 99) }},
		{"SetAttribute", "103 is not", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPStatusCode, 103) }},
		{"SetAttribute", "1000 is not", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPStatusCode, 1000) }},
		{"SetAttribute", "control characters", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPReasonPhrase, "a\r\nb") }},
		{"SetAttribute", "HttpPipeliningWasUsed: cannot be set", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.HTTPPipeliningWasUsed, true) }},
		{"SetAttribute", "cannot be set", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.Attribute[int]{}, 1) }},
		{"SetAttribute", "not made by NewUserAttribute", func(w netreply.ReplyWriter) error { return w.SetAttribute(netreply.UserAttribute[int]{}, 1) }},
		{"SetAttribute", "mine: the value must be of type int, not bool", func(w netreply.ReplyWriter) error {
			return w.SetAttribute(netreply.NewUserAttribute[int]("mine"), true)
		}},
		{"SetHeader", "nil header", func(w netreply.ReplyWriter) error { return w.SetHeader(nil, 1) }},
		{"SetHeader", "Content-Length: the value must be of type int64, not int", func(w netreply.ReplyWriter) error { return w.SetHeader(netreply.ContentLengthHeader, 1) }},
		{"SetHeader", "Content-Length: not a decimal number", func(w netreply.ReplyWriter) error { return w.SetHeader(netreply.ContentLengthHeader, int64(-1)) }},
		{"SetHeader", "empty value", func(w netreply.ReplyWriter) error { return w.SetHeader(netreply.ServerHeader, "") }},
		{"SetHeader", "not a known header", func(w netreply.ReplyWriter) error {
			return w.SetHeader(netreply.KnownHeader[string]{Name: "X"}, "")
		}},
		{"SetRawHeader", "invalid header name", func(w netreply.ReplyWriter) error { return w.SetRawHeader("a b", "c") }},
		{"SetRawHeader", "invalid header name", func(w netreply.ReplyWriter) error { return w.SetRawHeader("", "c") }},
		{"SetRawHeader", "invalid value of header X", func(w netreply.ReplyWriter) error { return w.SetRawHeader("X", "a\r\nb") }},
		{"SetRawHeader", "not a decimal number", func(w netreply.ReplyWriter) error { return w.SetRawHeader("content-length", "many") }},
		{"SetHeaders", "invalid value of header X", func(w netreply.ReplyWriter) error { return w.SetHeaders(netreply.NewHeaders("X", "\n")) }},
		{"SetHeaders", "not a decimal number", func(w netreply.ReplyWriter) error {
			return w.SetHeaders(netreply.NewHeaders("Content-Length", "99999999999999999999"))
		}},
		{"SetTrailers", "invalid value of header X", func(w netreply.ReplyWriter) error { return w.SetTrailers(netreply.NewHeaders("X", "\n")) }},
		{"SetOperation", "the operation Unknown has no method", func(w netreply.ReplyWriter) error { return w.SetOperation(netreply.UnknownOperation) }},
		{"SetOperation", "the operation Custom has no method", func(w netreply.ReplyWriter) error { return w.SetOperation(netreply.CustomOperation) }},
		{"SetOperation", "has no method", func(w netreply.ReplyWriter) error { return w.SetOperation(99) }},
		{"SetRequest", "nil Request", func(w netreply.ReplyWriter) error { return w.SetRequest(nil) }},
		{"SetURL", "nil URL", func(w netreply.ReplyWriter) error { return w.SetURL(nil) }},
		{"SetError", "NoError is not an error", func(w netreply.ReplyWriter) error { return w.SetError(netreply.NoError, "") }},
		{"ReadFrom", "nil reader", func(w netreply.ReplyWriter) error { _, err := w.ReadFrom(nil); return err }},
		{"ReadFrom", "nil reader", func(w netreply.ReplyWriter) error { _, err := w.ReadFrom((*os.File)(nil)); return err }},
		{"Redirect", "200 is not the status of a redirect", func(w netreply.ReplyWriter) error { return w.Redirect("test:y", 200) }},
		{"Redirect", "304 is not", func(w netreply.ReplyWriter) error { return w.Redirect("test:y", 304) }},
		{"Redirect", "invalid value of header Location", func(w netreply.ReplyWriter) error { return w.Redirect("test:y\r\nX: y", 302) }},
		{"InformationalReceived", "200 is not the status of an interim response", func(w netreply.ReplyWriter) error {
			return w.InformationalReceived(200, netreply.Headers{})
		}},
		{"InformationalReceived", "invalid header name", func(w netreply.ReplyWriter) error {
			return w.InformationalReceived(103, netreply.NewHeaders("a b", "c"))
		}},
		{"Progress", "negative", func(w netreply.ReplyWriter) error { return w.Progress(-1, 1) }},
		{"Progress", "negative", func(w netreply.ReplyWriter) error { return w.Progress(1, -2) }},
		{"AuthenticationRequired", "nil question", func(w netreply.ReplyWriter) error { _, _, err := w.AuthenticationRequired(nobody); return err }},
		{"AuthenticationRequired", "asked or answered before", func(w netreply.ReplyWriter) error { _, _, err := w.AuthenticationRequired(asked); return err }},
		{"ProxyAuthenticationRequired", "nil question", func(w netreply.ReplyWriter) error { _, _, err := w.ProxyAuthenticationRequired(nil); return err }},
		{"ProxyAuthenticationRequired", "without an Authenticator", func(w netreply.ReplyWriter) error {
			_, _, err := w.ProxyAuthenticationRequired(&netreply.ProxyAuthenticator{Proxy: proxy})
			return err
		}},
		{"ProxyAuthenticationRequired", "without a Proxy", func(w netreply.ReplyWriter) error {
			_, _, err := w.ProxyAuthenticationRequired(&netreply.ProxyAuthenticator{Authenticator: &netreply.Authenticator{}})
			return err
		}},
		{"SSLErrors", "nil question", func(w netreply.ReplyWriter) error { return w.SSLErrors(nil) }},
		{"SSLErrors", "without Errors", func(w netreply.ReplyWriter) error {
			return w.SSLErrors(&netreply.SSLErrors{Chain: []*x509.Certificate{}})
		}},
		{"PreSharedKeyAuthenticationRequired", "nil question", func(w netreply.ReplyWriter) error {
			_, _, err := w.PreSharedKeyAuthenticationRequired(nil)
			return err
		}},
	}
	r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for _, c := range list {
			requireUsage(t, c.call(w), c.method, c.reason)
		}
		_, err := io.WriteString(w, "unaffected")
		return err
	})
	assert.NoError(t, r.Err())
	assert.Equal(t, "unaffected", body)
	assert.Equal(t, "test:x", r.URL().String())
	assert.Zero(t, r.Headers().Len())
	assert.Equal(t, []string{"head", "ready", "down", "finished"}, signalNames(t, r))
}

// TestReplyWriterUsageErrorReturned: a UsageError that Serve returns fails the reply with the
// name of the method.
func TestReplyWriterUsageErrorReturned(t *testing.T) {
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error { return w.SetURL(nil) })
	require.ErrorIs(t, r.Err(), netreply.UnknownNetworkError)
	requireUsage(t, r.Err().(*netreply.Error).Err, "SetURL", "a nil URL")
	assert.Equal(t, "netreply: ReplyWriter.SetURL: a nil URL", r.ErrorString())
}

// TestReplyWriterTooOften: signals that are never lost are counted.
func TestReplyWriterTooOften(t *testing.T) {
	limits := map[string]int{"SocketStartedConnecting": 128, "Encrypted": 128, "RequestSent": 128, "InformationalReceived": 128,
		"AuthenticationRequired": 64}
	for _, c := range writerCalls() {
		limit, counted := limits[c.method]
		if !counted {
			continue
		}
		r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			for range limit {
				var usage *netreply.UsageError
				assert.False(t, errors.As(c.call(w), &usage), c.method)
			}
			requireUsage(t, c.call(w), c.method, "more than")
			return nil
		})
		assert.NoError(t, r.Err())
		assert.Len(t, signalNames(t, r), limit+3) // head, down, finished
	}
}

// TestReplyWriterConcurrentWrites: one of two writes at a time is refused, and the body has
// whole pieces.
func TestReplyWriterConcurrentWrites(t *testing.T) {
	req := newRequest(t, "test:x")
	req.ReadBufferSize = 1 << 10
	piece := bytes.Repeat([]byte("a"), 10<<10)
	waits := make(chan struct{})
	var written int64
	r := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			n, err := w.Write(piece)
			assert.NoError(t, err)
			written = int64(n)
		}()
		<-waits
		_, err := w.Write([]byte("b"))
		requireUsage(t, err, "Write", "another goroutine writes")
		_, err = w.ReadFrom(strings.NewReader("b"))
		requireUsage(t, err, "ReadFrom", "another goroutine writes")
		waits <- struct{}{}
		<-done
		return nil
	}).Get(deadline(t), req)
	<-r.ReadyRead()
	waits <- struct{}{}
	<-waits
	b, err := r.ReadAll()
	assert.NoError(t, err)
	assert.EqualValues(t, len(piece), written)
	assert.Equal(t, piece, b)
}

// TestReplyWriterEverythingAtOnce: whatever many goroutines of a Backend call, during Serve and
// after it, the reply ends, and its next hop is not theirs.
func TestReplyWriterEverythingAtOnce(t *testing.T) {
	const goroutines = 4
	for name, end := range map[string]func(netreply.ReplyWriter) error{
		"return":      func(netreply.ReplyWriter) error { return nil },
		"error":       func(netreply.ReplyWriter) error { return netreply.ContentGoneError },
		"SetFinished": netreply.ReplyWriter.SetFinished,
		"Redirect":    func(w netreply.ReplyWriter) error { return w.Redirect("test:last", 307) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				var stray sync.WaitGroup
				stop := make(chan struct{})
				m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
					switch q.URL.Opaque {
					case "last":
						_, err := io.Copy(w, q.Body)
						return err
					case "y": // of a stray Redirect
						return netreply.ContentGoneError
					}
					for range goroutines {
						stray.Go(func() {
							for {
								for _, c := range writerCalls() {
									if c.method != "SetFinished" || name == "SetFinished" {
										c.call(w)
									}
									q.Body.Read(make([]byte, 1))
									select {
									case <-stop:
										return
									default:
									}
								}
							}
						})
					}
					return end(w)
				})
				r := m.Put(deadline(t), newRequest(t, "test:x"), netreply.StringBody("the whole body"))
				b, err := r.ReadAll()
				r.Wait(deadline(t))
				assert.True(t, r.IsFinished())
				if r.URL().Opaque == "last" {
					assert.NoError(t, err)
					assert.Equal(t, "the whole body", string(b))
				}
				close(stop)
				stray.Wait()
				m.Close()
			}
		})
	}
}
