package netreply_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// Tests of what a Backend can do, one for each protected member of QNetworkReply. Misuse is in
// backend_misuse_test.go.

// serveTest carries out GET test:x with serve, and returns the finished reply and its body.
func serveTest(t *testing.T, serve netreply.BackendFunc) (*netreply.Reply, string) {
	t.Helper()
	return sendTest(t, "GET", newRequest(t, "test:x"), nil, serve)
}

// sendTest is serveTest for any request for the scheme test.
func sendTest(t *testing.T, method string, req *netreply.Request, body netreply.Body, serve netreply.BackendFunc) (*netreply.Reply, string) {
	t.Helper()
	r := backendManager(t, netreply.Config{}, serve).Send(deadline(t), method, req, body)
	b, _ := r.ReadAll()
	r.Wait(deadline(t))
	require.True(t, r.IsFinished())
	return r, string(b)
}

// TestReplyWriterSetAttribute: Reply shows each attribute that a Backend has set, from
// MetaDataChanged on.
func TestReplyWriterSetAttribute(t *testing.T) {
	mine := netreply.NewUserAttribute[int]("mine")
	target, err := url.Parse("test:there")
	require.NoError(t, err)
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		for _, set := range []struct {
			netreply.AttributeKey
			value any
		}{
			{netreply.HTTPStatusCode, 206}, {netreply.HTTPReasonPhrase, "Some of it"}, {netreply.RedirectionTarget, target},
			{netreply.ConnectionEncrypted, true}, {netreply.OriginalContentLength, int64(77)}, {netreply.HTTP2WasUsed, true}, {mine, 5},
		} {
			assert.NoError(t, w.SetAttribute(set.AttributeKey, set.value), "%s", set)
		}
		target.Opaque = "changed"
		assert.NoError(t, w.MetaDataChanged())
		assert.NoError(t, w.SetAttribute(mine, 6))
		return nil
	})
	require.NoError(t, r.Err())
	assert.Equal(t, 206, r.StatusCode())
	phrase, _ := netreply.HTTPReasonPhrase.Of(r)
	assert.Equal(t, "Some of it", phrase)
	to, _ := netreply.RedirectionTarget.Of(r)
	assert.Equal(t, "test:there", to.String())
	secure, _ := netreply.ConnectionEncrypted.Of(r)
	assert.True(t, secure)
	length, ok := netreply.OriginalContentLength.Of(r)
	assert.True(t, ok)
	assert.EqualValues(t, 77, length)
	http2, _ := netreply.HTTP2WasUsed.Of(r)
	assert.True(t, http2)
	n, ok := mine.OfReply(r)
	assert.True(t, ok)
	assert.Equal(t, 6, n)
	_, ok = mine.Of(r.Request())
	assert.False(t, ok, "attributes of the request are others")
}

// TestReplyWriterSetAttributeLength: a body that is delivered decoded has no Content-Length,
// and may have any number of bytes.
func TestReplyWriterSetAttributeLength(t *testing.T) {
	r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(2)))
		assert.NoError(t, w.SetAttribute(netreply.OriginalContentLength, int64(2)))
		_, err := io.WriteString(w, "decoded")
		return err
	})
	require.NoError(t, r.Err())
	assert.Equal(t, "decoded", body)
	assert.EqualValues(t, -1, r.ContentLength())
	assert.False(t, r.HasRawHeader("Content-Length"))
}

// TestReplyWriterNoStatus: a Backend need not set a status.
func TestReplyWriterNoStatus(t *testing.T) {
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetRawHeader("Content-Type", "text/plain"))
		return nil
	})
	require.NoError(t, r.Err())
	_, set := netreply.HTTPStatusCode.Of(r)
	assert.False(t, set)
	assert.Equal(t, 0, r.StatusCode())
	assert.Equal(t, "text/plain", r.RawHeader("Content-Type"))
	assert.EqualValues(t, -1, r.ContentLength())
}

// TestReplyWriterSetHeader: typed values, the last one counts.
func TestReplyWriterSetHeader(t *testing.T) {
	r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(9)))
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(2)))
		assert.NoError(t, w.SetHeader(netreply.ContentTypeHeader, "a/b"))
		assert.NoError(t, w.SetHeader(netreply.ETagHeader, `"v1"`))
		_, err := io.WriteString(w, "ab")
		return err
	})
	require.NoError(t, r.Err())
	assert.Equal(t, "ab", body)
	assert.EqualValues(t, 2, r.ContentLength())
	assert.True(t, r.Headers().Equal(netreply.NewHeaders("Content-Length", "2", "Content-Type", "a/b", "ETag", `"v1"`)), "%v", r.Headers())
}

// TestReplyWriterSetRawHeader: an empty value removes a field, also the Content-Length.
func TestReplyWriterSetRawHeader(t *testing.T) {
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetRawHeader("X-One", "1"))
		assert.NoError(t, w.SetRawHeader("x-one", "2"))
		assert.NoError(t, w.SetRawHeader("X-Gone", "3"))
		assert.NoError(t, w.SetRawHeader("X-Gone", ""))
		assert.NoError(t, w.SetRawHeader("content-length", "1"))
		assert.NoError(t, w.SetRawHeader("Content-Length", ""))
		_, err := io.WriteString(w, "longer than that")
		return err
	})
	require.NoError(t, r.Err())
	assert.True(t, r.Headers().Equal(netreply.NewHeaders("x-one", "2")), "%v", r.Headers())
	assert.EqualValues(t, -1, r.ContentLength())
}

// TestReplyWriterSetHeaders: all fields are replaced, and the Backend keeps its own list.
func TestReplyWriterSetHeaders(t *testing.T) {
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetRawHeader("X-Gone", "3"))
		h := netreply.NewHeaders("Set-Cookie", "a=1", "Set-Cookie", "b=2", "Content-Length", "0")
		assert.NoError(t, w.SetHeaders(h))
		h.Set("X-Late", "1")
		return nil
	})
	require.NoError(t, r.Err())
	assert.True(t, r.Headers().Equal(netreply.NewHeaders("Set-Cookie", "a=1", "Set-Cookie", "b=2", "Content-Length", "0")), "%v", r.Headers())
	assert.EqualValues(t, 0, r.ContentLength())
}

// TestReplyWriterSetTrailers: trailers belong to a complete body.
func TestReplyWriterSetTrailers(t *testing.T) {
	for _, fails := range []error{nil, errors.New("broken")} {
		r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			io.WriteString(w, "body")
			assert.NoError(t, w.SetTrailers(netreply.NewHeaders("X-Digest", "old")))
			assert.NoError(t, w.SetTrailers(netreply.NewHeaders("X-Digest", "abc")))
			return fails
		})
		want := "abc"
		if fails != nil {
			want = ""
		}
		assert.Equal(t, want, r.Trailers().Get("X-Digest"))
	}
}

// TestReplyWriterSetOperation: Reply shows the operation that the Backend has carried out.
func TestReplyWriterSetOperation(t *testing.T) {
	for o, method := range map[netreply.Operation]string{netreply.HeadOperation: "HEAD", netreply.GetOperation: "GET", netreply.PutOperation: "PUT",
		netreply.PostOperation: "POST", netreply.DeleteOperation: "DELETE", netreply.CustomOperation: "REPORT"} {
		r, body := sendTest(t, "REPORT", newRequest(t, "test:x"), nil, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			assert.Equal(t, netreply.CustomOperation, q.Operation())
			assert.NoError(t, w.SetOperation(o))
			_, err := io.WriteString(w, "body")
			return err
		})
		assert.Equal(t, o, r.Operation())
		assert.Equal(t, method, r.Method())
		assert.Equal(t, "body", body, "the method that was sent decides whether there is a body")
	}
}

// TestReplyWriterSetRequest: Reply.Request returns copies of it.
func TestReplyWriterSetRequest(t *testing.T) {
	other := newRequest(t, "test:other")
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetRequest(other))
		other.URL.Opaque = "changed"
		return nil
	})
	assert.Equal(t, "test:other", r.Request().URL.String())
	r.Request().URL.Opaque = "changed"
	assert.Equal(t, "test:other", r.Request().URL.String())
	assert.Equal(t, "test:x", r.URL().String())
}

// TestReplyWriterSetURL: Reply.URL and the error have a copy of it.
func TestReplyWriterSetURL(t *testing.T) {
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		u := &url.URL{Scheme: "test", Host: "h", Path: "/real", User: url.UserPassword("u", "secret")}
		assert.NoError(t, w.SetURL(u))
		u.Path = "/changed"
		return errors.New("broken")
	})
	assert.Equal(t, "/real", r.URL().Path)
	var e *netreply.Error
	require.ErrorAs(t, r.Err(), &e)
	assert.Contains(t, e.URL, "test://")
	assert.Contains(t, e.URL, "h/real")
	assert.NotContains(t, e.URL, "secret")
}

// TestReplyWriterSetError: the first error counts, before what Serve returns; the body stays.
func TestReplyWriterSetError(t *testing.T) {
	for name, end := range map[string]func(netreply.ReplyWriter) error{
		"nil":         func(netreply.ReplyWriter) error { return nil },
		"error":       func(netreply.ReplyWriter) error { return netreply.ContentGoneError },
		"SetFinished": netreply.ReplyWriter.SetFinished,
	} {
		r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			assert.NoError(t, w.SetAttribute(netreply.HTTPStatusCode, 403))
			assert.NoError(t, w.SetError(netreply.ContentAccessDenied, "not for\nyou"))
			assert.NoError(t, w.SetError(netreply.ContentConflictError, ""))
			_, err := io.WriteString(w, "why")
			assert.NoError(t, err)
			return end(w)
		})
		assert.Equal(t, "why", body, name)
		require.ErrorIs(t, r.Err(), netreply.ContentAccessDenied, name)
		assert.NotErrorIs(t, r.Err(), netreply.ContentConflictError, name)
		assert.Equal(t, 403, r.StatusCode())
		assert.True(t, strings.HasPrefix(r.ErrorString(), "not for"), r.ErrorString())
		assert.NotContains(t, r.ErrorString(), "\n")
		assert.Equal(t, []string{"head", "ready", "ContentAccessDenied", "down", "finished"}, signalNames(t, r), name)
	}
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		return w.SetError(netreply.ConnectionRefusedError, "")
	})
	assert.Equal(t, "Connection refused", r.ErrorString())
	assert.Equal(t, 1, strings.Count(r.Err().Error(), "ConnectionRefusedError"), r.Err().Error())
	assert.Equal(t, []string{"ConnectionRefusedError", "down", "finished"}, signalNames(t, r), "no head without any of it")
}

// TestReplyWriterFailedHead: a head is shown also for a reply that fails before its body.
func TestReplyWriterFailedHead(t *testing.T) {
	for name, end := range map[string]func(netreply.ReplyWriter) error{
		"error":    func(netreply.ReplyWriter) error { return netreply.ContentNotFoundError },
		"SetError": func(w netreply.ReplyWriter) error { return w.SetError(netreply.ContentNotFoundError, "") },
		"SetFinished": func(w netreply.ReplyWriter) error {
			return errors.Join(w.SetError(netreply.ContentNotFoundError, ""), w.SetFinished())
		},
	} {
		r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			assert.NoError(t, w.SetAttribute(netreply.HTTPStatusCode, 404))
			return end(w)
		})
		require.ErrorIs(t, r.Err(), netreply.ContentNotFoundError, name)
		assert.Equal(t, 404, r.StatusCode(), name)
		assert.NoError(t, r.WaitHead(t.Context()))
		assert.Equal(t, []string{"head", "ContentNotFoundError", "down", "finished"}, signalNames(t, r), name)
	}
}

// TestReplyWriterSetFinished: the reply finishes before Serve returns, and its context ends.
func TestReplyWriterSetFinished(t *testing.T) {
	finished := make(chan struct{})
	m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		io.WriteString(w, "body")
		assert.NoError(t, w.SetFinished())
		<-q.Context().Done()
		<-finished
		return errors.New("nobody sees it")
	})
	r := m.Get(deadline(t), newRequest(t, "test:x"))
	b, err := r.ReadAll()
	assert.NoError(t, err)
	assert.Equal(t, "body", string(b))
	assert.NoError(t, r.Wait(deadline(t)))
	close(finished)
	assert.Equal(t, []string{"head", "ready", "down", "finished"}, signalNames(t, r))
}

// TestReplyWriterSetFinishedElsewhere: another goroutine ends the reply while Write waits.
func TestReplyWriterSetFinishedElsewhere(t *testing.T) {
	full := make(chan struct{})
	req := newRequest(t, "test:x")
	req.ReadBufferSize = 4
	writes := make(chan error, 1)
	m := backendManager(t, netreply.Config{}, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		go func() {
			<-full
			assert.NoError(t, w.SetError(netreply.ContentGoneError, ""))
			assert.NoError(t, w.SetFinished())
		}()
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		writes <- err
		return err
	})
	r := m.Get(deadline(t), req)
	require.NoError(t, r.WaitHead(deadline(t)))
	<-r.ReadyRead()
	close(full)
	var usage *netreply.UsageError
	require.ErrorAs(t, <-writes, &usage)
	assert.Contains(t, usage.Reason, "SetFinished")
	assert.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentGoneError)
}

// TestReplyWriterReadData: what Write and ReadFrom have added is read, in order.
func TestReplyWriterReadData(t *testing.T) {
	long := strings.Repeat("0123456789", 50_000)
	r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		n, err := w.Write([]byte(long))
		assert.Equal(t, len(long), n)
		assert.NoError(t, err)
		n64, err := w.ReadFrom(iotest.OneByteReader(strings.NewReader("abc")))
		assert.EqualValues(t, 3, n64)
		assert.NoError(t, err)
		n64, err = io.Copy(w, iotest.DataErrReader(strings.NewReader(long)))
		assert.EqualValues(t, len(long), n64)
		assert.NoError(t, err)
		n, err = w.Write(nil)
		assert.Equal(t, 0, n)
		return err
	})
	require.NoError(t, r.Err())
	assert.Equal(t, len(long+"abc"+long), len(body))
	assert.True(t, body == long+"abc"+long)
	assert.EqualValues(t, len(body), r.WireBytes())
}

// TestReplyWriterReadFromErrors: an error of the source is ReadFrom's, and what came before it
// stays. Sources that violate io.Reader do no harm.
func TestReplyWriterReadFromErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		src  io.Reader
		want error
		body string
	}{
		"error":         {io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), broken, "ab"},
		"no progress":   {badReader{0}, io.ErrNoProgress, ""},
		"negative":      {badReader{-1}, nil, ""},
		"more than fit": {badReader{1 << 30}, nil, ""},
	} {
		r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			n, err := w.ReadFrom(c.src)
			assert.EqualValues(t, len(c.body), n, name)
			assert.Error(t, err, name)
			return err
		})
		assert.Equal(t, c.body, body, name)
		require.ErrorIs(t, r.Err(), netreply.UnknownNetworkError, name)
		if c.want != nil {
			assert.ErrorIs(t, r.Err(), c.want, name)
		}
	}
	r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		func() {
			defer func() { assert.Equal(t, "source", recover()) }()
			w.ReadFrom(panicReader{})
		}()
		_, err := io.WriteString(w, "goes on")
		return err
	})
	assert.NoError(t, r.Err())
	assert.Equal(t, "goes on", body)
}

type badReader struct{ n int }

func (r badReader) Read([]byte) (int, error) { return r.n, nil }

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("source") }

// TestReplyWriterContentLength: the body must have exactly as many bytes.
func TestReplyWriterContentLength(t *testing.T) {
	r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(10)))
		_, err := io.WriteString(w, "four")
		return err
	})
	assert.Equal(t, "four", body)
	require.ErrorIs(t, r.Err(), netreply.RemoteHostClosedError)
	require.ErrorIs(t, r.Err(), io.ErrUnexpectedEOF)
	assert.ErrorContains(t, r.Err(), "4 of the 10 bytes")

	for name, write := range map[string]func(netreply.ReplyWriter) (int64, error){
		"Write": func(w netreply.ReplyWriter) (int64, error) {
			n, err := io.WriteString(w, "five5")
			return int64(n), err
		},
		"ReadFrom": func(w netreply.ReplyWriter) (int64, error) { return w.ReadFrom(strings.NewReader("five5")) },
	} {
		r, body = serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(4)))
			n, err := write(w)
			assert.EqualValues(t, 4, n, name)
			var usage *netreply.UsageError
			if assert.ErrorAs(t, err, &usage, name) {
				assert.Equal(t, name, usage.Method)
				assert.Contains(t, usage.Reason, "Content-Length of 4")
			}
			return nil
		})
		assert.NoError(t, r.Err(), name)
		assert.Equal(t, "five", body, name)
	}
}

// TestReplyWriterNoBody: HEAD drops the body, 204 and 304 refuse it.
func TestReplyWriterNoBody(t *testing.T) {
	r, body := sendTest(t, "HEAD", newRequest(t, "test:x"), nil, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SetHeader(netreply.ContentLengthHeader, int64(500)))
		n, err := io.WriteString(w, "dropped")
		assert.Equal(t, 7, n)
		assert.NoError(t, err)
		_, err = w.ReadFrom(strings.NewReader("dropped"))
		return err
	})
	require.NoError(t, r.Err())
	assert.Empty(t, body)
	assert.EqualValues(t, 500, r.ContentLength())
	for _, status := range []int{204, 304} {
		r, body := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
			assert.NoError(t, w.SetAttribute(netreply.HTTPStatusCode, status))
			for range 2 {
				_, err := io.WriteString(w, "no")
				var usage *netreply.UsageError
				assert.ErrorAs(t, err, &usage)
			}
			_, err := w.ReadFrom(strings.NewReader("no"))
			assert.Error(t, err)
			return nil
		})
		assert.NoError(t, r.Err())
		assert.Empty(t, body)
	}
}

// TestReplyWriterSignals: a Backend emits the signals of its connection itself.
func TestReplyWriterSignals(t *testing.T) {
	r, _ := serveTest(t, func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		assert.NoError(t, w.SocketStartedConnecting())
		assert.NoError(t, w.Encrypted(tls.ConnectionState{Version: tls.VersionTLS13, ServerName: "here"}))
		assert.NoError(t, w.RequestSent())
		assert.NoError(t, w.InformationalReceived(103, netreply.NewHeaders("Link", "</style.css>")))
		assert.NoError(t, w.MetaDataChanged())
		_, err := io.WriteString(w, "x")
		return err
	})
	require.NoError(t, r.Err())
	assert.Equal(t, []string{"connecting", "encrypted", "sent", "informational", "head", "ready", "down", "finished"}, signalNames(t, r))
	info := <-r.InformationalReceived()
	assert.Equal(t, 103, info.StatusCode)
	assert.Equal(t, "</style.css>", info.Headers.Get("Link"))
	state := r.SSLConfiguration()
	assert.EqualValues(t, tls.VersionTLS13, state.Version)
}
