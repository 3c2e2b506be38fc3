package netreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// sequentialReader hides the other methods of a reader.
type sequentialReader struct{ io.Reader }

// twin is a server of HTTP and a Backend that answer the same.
type twin struct {
	http    http.HandlerFunc
	backend netreply.BackendFunc
}

// answer makes a twin that reads the request body and answers with a status, a list of fields and
// a body. With resets it fails after the body, which then is shorter than its Content-Length.
func answer(status int, fields []string, body string, cut bool) twin {
	return twin{
		func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			for i := 0; i < len(fields); i += 2 {
				w.Header().Set(fields[i], fields[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
			if cut {
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		},
		func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
			err := errors.Join(w.SocketStartedConnecting(), forward(q, w), w.SetAttribute(netreply.HTTPStatusCode, status),
				w.SetAttribute(netreply.HTTPReasonPhrase, http.StatusText(status)))
			if status != 204 && status != 304 { // as net/http does
				err = errors.Join(err, w.SetHeader(netreply.ContentLengthHeader, int64(len(body))))
			}
			for i := 0; i < len(fields); i += 2 {
				err = errors.Join(err, w.SetRawHeader(fields[i], fields[i+1]))
			}
			if err != nil || body == "" || status == 304 {
				return err
			}
			_, err = io.WriteString(w, body)
			return err
		},
	}
}

// forward reads the body of a request as one that is sent over HTTP/1: RequestSent is emitted
// after the first bytes (rule S36).
func forward(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	_, err := q.Body.Read(make([]byte, 100))
	if err != nil && err != io.EOF {
		return err
	}
	err = w.RequestSent()
	if err == nil {
		_, err = io.Copy(io.Discard, q.Body)
	}
	return err
}

// outcome is what a program sees of a reply.
type outcome struct {
	Events, Called                            []string
	Body                                      string
	Code                                      netreply.NetworkError
	Status, Hop                               int
	Length, Received, ErrReceived             int64
	Method, Phrase, Text, Phase               string
	Retryable                                 bool
	RetryAfter                                string
	Encrypted, Complete, HTTP2, PhraseSet, Is bool
}

// outcomeOf sends a request and waits for its end. Texts that hold the scheme are left out.
func outcomeOf(t *testing.T, m *netreply.Manager, method string, req *netreply.Request, body netreply.Body) (o outcome) {
	told := make(chan struct{})
	req.OnSignal = func(_ *netreply.Reply, e netreply.Event) {
		name := signalName(e)
		if name != "connecting" {
			o.Called = append(o.Called, name)
		}
		if name == "finished" {
			close(told)
		}
	}
	r := m.Send(deadline(t), method, req, body)
	b, _ := r.ReadAll()
	r.Wait(deadline(t))
	<-told
	for e := range r.Events(t.Context()) {
		name := signalName(e)
		switch e := e.(type) {
		case netreply.SocketStartedConnecting:
			continue // not on a connection that is used again
		case netreply.DownloadProgress:
			name = fmt.Sprint(name, e.Progress)
		case netreply.UploadProgress:
			name = fmt.Sprint(name, e.Progress)
		case netreply.MetaDataChanged:
			name = fmt.Sprint(name, e.StatusCode)
		}
		o.Events = append(o.Events, name)
	}
	o.Body, o.Status, o.Length, o.Received, o.Method = string(b), r.StatusCode(), r.ContentLength(), r.WireBytes(), r.Method()
	o.Phrase, o.PhraseSet = netreply.HTTPReasonPhrase.Of(r)
	o.Encrypted, _ = netreply.ConnectionEncrypted.Of(r)
	var e *netreply.Error
	if errors.As(r.Err(), &e) {
		o.Code, o.Hop, o.ErrReceived, o.Retryable, o.Phase = e.Code, e.Hop, e.Received, e.Retryable, e.Phase.String()
		o.RetryAfter = e.RetryAfter.String()
		o.Is = e.StatusCode == o.Status
		o.Text = strings.ReplaceAll(e.Text, r.URL().String(), "URL")
	}
	return o
}

// TestBackendLikeHTTP: signals, body and error of a Backend's reply are those of HTTP, for every
// kind of response and request body.
func TestBackendLikeHTTP(t *testing.T) {
	twins := map[string]twin{
		"ok":        answer(200, nil, "some text", false),
		"empty":     answer(200, nil, "", false),
		"204":       answer(204, nil, "", false),
		"304":       answer(304, nil, "", false),
		"404":       answer(404, nil, "not here", false),
		"403 empty": answer(403, nil, "", false),
		"500":       answer(500, nil, "broken", false),
		"503":       answer(503, []string{"Retry-After", "120"}, "later", false),
		"429":       answer(429, []string{"Retry-After", "5"}, "slower", false),
		"401":       answer(401, nil, "who?", false),
		"cut":       answer(200, []string{"Content-Length", "100"}, "a part", true),
	}
	bodies := map[string]func() netreply.Body{
		"none":       func() netreply.Body { return nil },
		"empty":      func() netreply.Body { return netreply.StringBody("") },
		"bytes":      func() netreply.Body { return netreply.BytesBody([]byte("payload")) },
		"file":       func() netreply.Body { return netreply.ReaderBody(strings.NewReader("payload")) },
		"sequential": func() netreply.Body { return netreply.ReaderBody(sequentialReader{strings.NewReader("payload")}) },
		"source": func() netreply.Body {
			return netreply.SourceBody(7, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("payload")), nil })
		},
		"unknown": func() netreply.Body {
			return netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("payload")), nil })
		},
		"streamed": func() netreply.Body { return netreply.ReaderBody(sequentialReader{strings.NewReader("payload")}) },
	}
	for name, tw := range twins {
		s := httptest.NewUnstartedServer(tw.http)
		s.Config.ErrorLog = discardLog
		s.Start()
		t.Cleanup(s.Close)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			for kind, body := range bodies {
				sendsBody := method == "POST" || method == "PUT"
				if sendsBody == (kind == "none") || name == "cut" && method == "HEAD" {
					continue
				}
				if !sendsBody && kind != "none" {
					continue
				}
				t.Run(strings.Join([]string{name, method, kind}, "/"), func(t *testing.T) {
					m := backendManager(t, netreply.Config{}, tw.backend)
					var got [2]outcome
					for i, url := range []string{s.URL, "test://host"} {
						req := newRequest(t, url)
						req.DoNotBufferUploadData = kind == "streamed"
						got[i] = outcomeOf(t, m, method, req, body())
					}
					assert.Equal(t, got[0], got[1])
					require.NotEmpty(t, got[1].Events)
				})
			}
		}
	}
}

// TestBackendLikeHTTPRedirect: the same for redirects, under each policy.
func TestBackendLikeHTTPRedirect(t *testing.T) {
	list := map[string]struct {
		policy  netreply.RedirectPolicy
		status  int
		to      string
		max     int
		decided func(*netreply.Redirect) bool
	}{
		"302":          {status: 302, to: "/end"},
		"307":          {status: 307, to: "end"},
		"303":          {status: 303, to: "/end"},
		"404 at last":  {status: 308, to: "/404"},
		"endless":      {status: 302, to: "/", max: 3},
		"none allowed": {status: 302, to: "/end", max: -1},
		"empty":        {status: 302, to: ""},
		"not a URL":    {status: 302, to: "http://%zz/"},
		"other scheme": {status: 302, to: "gopher://x/"},
		"manual":       {status: 302, to: "/end", policy: netreply.ManualRedirectPolicy},
		"same origin":  {status: 302, to: "/end", policy: netreply.SameOriginRedirectPolicy},
		"allowed":      {status: 302, to: "/end", policy: netreply.UserVerifiedRedirectPolicy, decided: (*netreply.Redirect).Allow},
		"denied":       {status: 302, to: "/end", policy: netreply.UserVerifiedRedirectPolicy, decided: (*netreply.Redirect).Deny},
		"other origin": {status: 302, to: "http://other.invalid/", policy: netreply.SameOriginRedirectPolicy},
	}
	for name, c := range list {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				first, last := answer(c.status, []string{"Location", c.to}, "moved", false), answer(200, nil, "the end", false)
				gone := answer(404, nil, "gone", false)
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/end":
						last.http(w, r)
					case "/404":
						gone.http(w, r)
					default:
						first.http(w, r)
					}
				}))
				defer s.Close()
				m := backendManager(t, netreply.Config{}, func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
					switch q.URL.Path {
					case "/end":
						return last.backend(q, w)
					case "/404":
						return gone.backend(q, w)
					}
					err := errors.Join(forward(q, w), w.SetAttribute(netreply.HTTPReasonPhrase, http.StatusText(c.status)),
						w.SetHeader(netreply.ContentLengthHeader, int64(5)), w.Redirect(c.to, c.status))
					if c.policy == netreply.ManualRedirectPolicy {
						io.WriteString(w, "moved")
					}
					return err
				})
				var got [2]outcome
				for i, url := range []string{s.URL + "/", "test://" + s.Listener.Addr().String() + "/"} {
					req := newRequest(t, url)
					req.RedirectPolicy, req.MaxRedirects = c.policy, c.max
					if c.decided != nil {
						req.Answer = func(_ context.Context, q netreply.Question) { c.decided(q.(*netreply.Redirect)) }
					}
					var body netreply.Body
					if method == "POST" {
						body = netreply.StringBody("payload")
					}
					got[i] = outcomeOf(t, m, method, req, body)
				}
				assert.Equal(t, got[0], got[1])
			})
		}
	}
}
