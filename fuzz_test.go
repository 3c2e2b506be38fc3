package netreply_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/netreply/netreply"
)

// canned is a connection whose server sends bytes and closes.
type canned struct {
	net.Conn // nil: nothing else is called
	answer   *bytes.Reader
	asked    chan struct{}
}

func (c *canned) Read(p []byte) (int, error) {
	<-c.asked
	return c.answer.Read(p)
}

func (c *canned) Write(p []byte) (int, error) {
	select {
	case <-c.asked:
	default:
		close(c.asked)
	}
	return len(p), nil
}

func (c *canned) Close() error {
	select {
	case <-c.asked:
	default:
		close(c.asked)
	}
	return nil
}
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *canned) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// fuzzAnswer feeds a server's bytes to a request: it must end, and what is read
// must have been sent.
func fuzzAnswer(t *testing.T, answer []byte, version netreply.HTTPVersion) {
	m, err := netreply.NewManager(netreply.Config{MaxHeaderBytes: 4096, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return &canned{answer: bytes.NewReader(answer), asked: make(chan struct{})}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest("http://server/")
	if err != nil {
		t.Fatal(err)
	}
	req.HTTP = version
	req.TransferTimeout = 10 * time.Second
	req.MaxRedirects = 2
	r := m.Get(context.Background(), req)
	body, err := io.ReadAll(r)
	if err == nil && r.Err() == nil && r.StatusCode() == 0 {
		t.Error("neither a response nor an error")
	}
	if len(body) > len(answer) {
		t.Errorf("%d bytes of body out of an answer of %d", len(body), len(answer))
	}
	for e := range r.Events(context.Background()) {
		_ = signalName(e)
	}
	r.RawHeaderPairs()
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.0 200\n\nx", "HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 204 N\r\n\r\n", "HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "nonsense", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) { fuzzAnswer(t, answer, netreply.HTTP1Only) })
}

func FuzzAnswerH2(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) { fuzzAnswer(t, answer, netreply.HTTP2Direct) })
}

// FuzzKnownHeaders: any value can be parsed or not, without a panic, and a parsed value can
// be set.
func FuzzKnownHeaders(f *testing.F) {
	for _, s := range []string{"Thu, 01 Nov 2007 18:08:30 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", `W/"x", "y"`, "*", "a=b; c=d", "12", "http://x/", `a="b"; Path=/; Max-Age=1`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all := netreply.NewHeaders("Content-Length", s, "Location", s, "Last-Modified", s, "ETag", s, "If-Match", s, "If-None-Match", s, "Cookie", s, "Set-Cookie", s)
		if v, ok := netreply.ContentLengthHeader.Get(all); ok {
			netreply.ContentLengthHeader.Set(&all, v)
		}
		if v, ok := netreply.LocationHeader.Get(all); ok && (v == nil || v.Scheme == "") {
			t.Error("a Location without a scheme")
		}
		if v, ok := netreply.LastModifiedHeader.Get(all); ok {
			netreply.LastModifiedHeader.Set(&all, v)
			if w, ok := netreply.LastModifiedHeader.Get(all); !ok || w.Unix() != v.Unix() {
				if y := v.Year(); y >= 0 && y <= 9999 {
					t.Errorf("%q: %v became %v", s, v, w)
				}
			}
		}
		netreply.ETagHeader.Get(all)
		netreply.IfMatchHeader.Get(all)
		netreply.IfNoneMatchHeader.Get(all)
		if v, ok := netreply.CookieHeader.Get(all); ok && len(v) == 0 {
			t.Error("no cookies")
		}
		netreply.SetCookieHeader.Get(all)
	})
}

// FuzzSessionTicket: any ticket is an error or a session.
func FuzzSessionTicket(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 7, 3, 4, 2, 0x13, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, ticket []byte) {
		m, err := netreply.NewManager(netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{SessionTicket: ticket}})
		var fe *netreply.FieldError
		switch {
		case err == nil:
			m.Close()
		case !errors.As(err, &fe) || fe.Value != "":
			t.Fatal(err)
		}
	})
}
