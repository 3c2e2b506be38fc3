package netreply_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// hostileKinds are responses as servers send them that do not care about the client.
var hostileKinds = append(slices.Repeat(kindlyKinds, 4), "http10", "close", "extra", "cut", "reset", "early", "upgrade", "unchanged")

// kindlyKinds leave the connection open.
var kindlyKinds = []string{"plain", "empty", "chunked", "extensions", "trailers", "bytes", "interim", "nothing", "fields", "gzip", "cookie", "large", "missing"}

// hostile answers requests, and returns what is wrong with one, "" for nothing. Fields of other
// requests must not be in it.
func hostile(c *testserver.Conn) (wrong string) {
	for {
		req, ok := c.Head()
		if !ok {
			return ""
		}
		id := req.Header.Get("X-Id")
		kind, _, _ := strings.Cut(id, "-")
		early := kind == "early" && req.ContentLength != 0
		body := []byte(nil)
		if !early {
			var err error
			if body, err = io.ReadAll(req.Body); err != nil {
				return ""
			}
		}
		for name, values := range req.Header {
			mine := id
			switch {
			case name == "X-Body" || name == "X-Id" || name == "Authorization":
			case strings.HasPrefix(name, "X-Only-"):
				mine = strings.TrimPrefix(name, "X-Only-")
				if !strings.EqualFold(mine, id) {
					return fmt.Sprintf("%s has the field %s", id, name)
				}
				continue
			default:
				continue
			}
			if len(values) != 1 || values[0] != mine {
				return fmt.Sprintf("%s has %s: %q", id, name, values)
			}
		}
		if !early && req.Header.Get("X-Body") != "" && !strings.HasPrefix(string(body), id) {
			return fmt.Sprintf("%s has the body %.80q", id, body)
		}
		if (req.Header.Get("X-Body") == "") != (req.ContentLength == 0) {
			return fmt.Sprintf("%s has a body of %d bytes", id, req.ContentLength)
		}
		if !answerHostile(c, kind, id) || early {
			return ""
		}
	}
}

// bodyFor is the body of the response to a request.
func bodyFor(kind, id string) string {
	switch kind {
	case "empty", "nothing", "unchanged", "upgrade":
		return ""
	case "large":
		return strings.Repeat(id+"\n", 20000)
	}
	return strings.Repeat(id+"\n", 1+len(id)%7*40)
}

// answerHostile sends one response, and reports whether the connection goes on.
func answerHostile(c *testserver.Conn, kind, id string) bool {
	body := bodyFor(kind, id)
	own := "X-Id: " + id + "\r\nX-Only-" + id + ": " + id + "\r\n"
	plain := fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", own, len(body), body)
	chunk := func(ext string) string {
		half := len(body) / 2
		return fmt.Sprintf("%x%s\r\n%s\r\n%x%s\r\n%s\r\n0%s\r\n", half, ext, body[:half], len(body)-half, ext, body[half:], ext)
	}
	switch kind {
	case "chunked":
		c.Say("HTTP/1.1 200 OK\r\n" + own + "Transfer-Encoding: chunked\r\n\r\n" + chunk("") + "\r\n")
	case "extensions":
		c.Say("HTTP/1.1 200 OK\r\n" + own + "Transfer-Encoding: chunked\r\n\r\n" + chunk(`;a="b";c`) + "\r\n")
	case "trailers":
		c.Say("HTTP/1.1 200 OK\r\n" + own + "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n" + chunk("") + "X-End: " + id + "\r\nX-Unannounced: " + id + "\r\n\r\n")
	case "http10":
		c.Say("HTTP/1.0 200 OK\r\n" + own + "\r\n" + body)
		return false
	case "close":
		c.Say("HTTP/1.1 200 OK\r\n" + own + "Connection: close\r\n\r\n" + body)
		return false
	case "bytes":
		for i := range min(len(plain), 200) {
			c.Say(plain[i : i+1])
		}
		c.Say(plain[min(len(plain), 200):])
	case "extra":
		c.Say(plain + "HTTP/1.1 200 OK\r\nX-Id: evil\r\nContent-Length: 4\r\n\r\nevil")
	case "cut":
		c.Say(plain[:len(plain)-1])
		return false
	case "reset":
		c.Say(plain[:len(plain)-len(body)/2])
		c.Conn.(*net.TCPConn).SetLinger(0)
		return false
	case "interim":
		for range 3 {
			c.Say("HTTP/1.1 103 Early Hints\r\n" + own + "Link: <" + id + ">\r\n\r\n")
		}
		c.Say(plain)
	case "upgrade":
		c.Say("HTTP/1.1 101 Switching Protocols\r\n" + own + "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n" + id)
		io.Copy(c.Conn, c.R)
		return false
	case "nothing":
		c.Say("HTTP/1.1 204 No Content\r\n" + own + "\r\n")
	case "unchanged":
		c.Say("HTTP/1.1 304 Not Modified\r\n" + own + "Content-Length: 10\r\n\r\n")
		return false
	case "fields":
		for i := range 100 {
			own += fmt.Sprintf("X-Field-%d: %s\r\n", i, id)
		}
		c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", own, len(body), body))
	case "gzip":
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, body)
		z.Close()
		c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", own, b.Len(), b.Bytes()))
	case "cookie":
		c.Say("HTTP/1.1 200 OK\r\nSet-Cookie: last=" + id + "\r\n" + strings.TrimPrefix(plain, "HTTP/1.1 200 OK\r\n"))
	case "missing":
		c.Say("HTTP/1.1 404 Not Found\r\n" + strings.TrimPrefix(plain, "HTTP/1.1 200 OK\r\n"))
	default:
		c.Say(plain)
	}
	return true
}

// TestNothingOfAnotherRequestHostile: whatever servers send and whatever ends requests, requests
// that use memory of each other's transfers are sent as the program has made them, and what they
// show, and what was kept of them, stays their own.
func TestNothingOfAnotherRequestHostile(t *testing.T) {
	var mu sync.Mutex
	var wrong []string
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		if w := hostile(c); w != "" {
			mu.Lock()
			wrong = append(wrong, w)
			mu.Unlock()
		}
	})
	closing := newManager(t, netreply.Config{ConnectionsPerHost: 64})
	end := time.Now().Add(2 * time.Second)
	time.AfterFunc(1500*time.Millisecond, func() { closing.Close() })
	m := newManager(t, netreply.Config{ConnectionsPerHost: 64})
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			u := &hostileUser{t: t, m: m, url: s.URL(), dice: rand.New(rand.NewPCG(uint64(worker), 7)), again: new(netreply.Reply)}
			if worker < 3 {
				u.m = closing
			}
			for i := 0; time.Now().Before(end); i++ {
				u.request(fmt.Sprintf("%s-%d-%d", hostileKinds[u.dice.IntN(len(hostileKinds))], worker, i))
				if len(u.kept) > 50 {
					u.check()
				}
			}
			u.check()
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	assert.Empty(t, wrong)
}

// hostileUser sends requests one after another, and keeps what it gets.
type hostileUser struct {
	t     *testing.T
	m     *netreply.Manager
	url   string
	dice  *rand.Rand
	again *netreply.Reply
	kept  []func() // which check what was kept
}

func (u *hostileUser) check() {
	for _, f := range u.kept {
		f()
	}
	u.kept = nil
}

// trace returns hooks that keep what they are given.
func (u *hostileUser) trace(id string) *httptrace.ClientTrace {
	var mu sync.Mutex
	var interim []textproto.MIMEHeader
	fields := map[string][]string{}
	bad := u.dice.IntN(40)
	if !netreply.OwnHTTP1 {
		bad = -1 // these hooks run on goroutines of net/http
	}
	u.kept = append(u.kept, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, h := range interim {
			assert.Equal(u.t, id, h.Get("X-Id"))
			assert.Equal(u.t, id, h.Get("X-Only-"+id))
		}
		if v, ok := fields["X-Id"]; ok {
			assert.Equal(u.t, []string{id}, v)
		}
	})
	quit := func(at int) {
		if bad == at {
			runtime.Goexit()
		}
	}
	return &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			mu.Lock()
			defer mu.Unlock()
			interim = append(interim, h)
			return nil
		},
		WroteHeaderField: func(name string, values []string) {
			mu.Lock()
			defer mu.Unlock()
			fields[name] = values
		},
		GotConn:              func(httptrace.GotConnInfo) { quit(0) },
		WroteHeaders:         func() { quit(1) },
		WroteRequest:         func(httptrace.WroteRequestInfo) {},
		GotFirstResponseByte: func() { quit(2) },
		PutIdleConn:          func(error) { quit(3) },
	}
}

// request sends one request in any way, ends it at any time, and checks what it shows.
func (u *hostileUser) request(id string) {
	kind, _, _ := strings.Cut(id, "-")
	req := newRequest(u.t, u.url+"/")
	req.Headers.Set("X-Id", id)
	req.Headers.Set("X-Only-"+id, id)
	verb, body := "GET", netreply.Body(nil)
	if kind == "upgrade" {
		req.Headers.Set("Connection", "Upgrade")
		req.Headers.Set("Upgrade", "echo")
	}
	if u.dice.IntN(3) == 0 {
		req.Headers.Set("Authorization", id)
	}
	if kind == "early" || u.dice.IntN(4) == 0 {
		verb = "POST"
		req.Headers.Set("X-Body", id)
		body = netreply.BytesBody([]byte(id))
		if u.dice.IntN(2) == 0 {
			body = netreply.BytesBody([]byte(id + strings.Repeat("x", 100<<10)))
		}
	}
	switch u.dice.IntN(4) {
	case 0:
		req.ReadBufferSize = int64(1 + u.dice.IntN(3000))
	case 1:
		req.MaxBodySize = 1 << 20
	case 2:
		req.TransferTimeout = time.Duration(1+u.dice.IntN(60)) * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	soon := func() time.Duration { return time.Duration(u.dice.IntN(3000)) * time.Microsecond }
	if u.dice.IntN(4) == 0 {
		ctx = httptrace.WithClientTrace(ctx, u.trace(id))
	}
	switch u.dice.IntN(8) {
	case 0:
		time.AfterFunc(soon(), cancel)
	case 1:
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, soon())
		defer stop()
	case 2:
		n := u.dice.IntN(6)
		req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
			if n--; n == 0 {
				r.Abort()
			}
		}
	case 3:
		n := u.dice.IntN(6)
		req.OnSignal = func(*netreply.Reply, netreply.Event) {
			if n--; n == 0 {
				runtime.Goexit()
			}
		}
	}
	done := make(chan struct{})
	go func() { // which a callback may end
		defer close(done)
		u.send(ctx, verb, req, body, kind, id)
	}()
	<-done
}

func (u *hostileUser) send(ctx context.Context, verb string, req *netreply.Request, body netreply.Body, kind, id string) {
	var got bytes.Buffer
	var reply *netreply.Reply
	var err error
	switch how := u.dice.IntN(7); how {
	case 0:
		reply = u.m.Fetch(ctx, verb, req, body)
		_, err = reply.WriteTo(&got)
	case 1:
		reply = u.again
		if failed := u.m.FetchInto(ctx, reply, verb, req, body); errors.Is(failed, netreply.ErrReplyInUse) {
			u.again = new(netreply.Reply) // a hook has ended a goroutine that read or wrote it
			return
		}
		_, err = reply.WriteTo(&got)
		u.show(reply, err, &got, kind, id)
		return
	case 2:
		u.roundTrip(ctx, verb, req, kind, id)
		return
	case 3:
		reply = u.m.Send(ctx, verb, req, body)
		_, err = reply.WriteTo(&got)
	case 4:
		reply = u.m.Send(ctx, verb, req, body)
		var all []byte
		all, err = reply.ReadAll()
		got.Write(all)
	default:
		reply = u.m.Send(ctx, verb, req, body)
		d := time.Duration(u.dice.IntN(2000)) * time.Microsecond
		ended := make(chan struct{})
		time.AfterFunc(d, func() {
			defer close(ended)
			if how == 5 {
				reply.Close()
			} else {
				reply.Abort()
			}
		})
		_, err = reply.WriteTo(&got)
		<-ended
	}
	reply.Wait(context.Background())
	if c, failed := reply.Upgraded(); failed == nil {
		first := make([]byte, len(id))
		if _, err := io.ReadFull(c, first); err == nil {
			assert.Equal(u.t, id, string(first))
			io.WriteString(c, "ping")
			if n, err := io.ReadFull(c, first[:4]); err == nil {
				assert.Equal(u.t, "ping", string(first[:n]))
			}
		}
		c.Close()
	}
	u.show(reply, err, &got, kind, id)
	text := got.String()
	u.kept = append(u.kept, func() {
		u.show(reply, err, bytes.NewBufferString(text), kind, id)
		for e := range reply.Events(context.Background()) {
			if i, ok := e.(netreply.InformationalReceived); ok {
				assert.Equal(u.t, id, i.Headers.Get("X-Only-"+id))
			}
		}
	})
}

// show checks what a reply shows.
func (u *hostileUser) show(r *netreply.Reply, err error, got *bytes.Buffer, kind, id string) {
	h := r.Headers()
	if h.Len() > 0 {
		assert.Equal(u.t, id, h.Get("X-Id"))
		for name, value := range h.All() {
			if strings.HasPrefix(name, "X-") {
				assert.Equal(u.t, id, value, name)
			}
		}
	}
	trailers := r.Trailers()
	for name, value := range trailers.All() {
		assert.Equal(u.t, id, value, name)
	}
	want := bodyFor(kind, id)
	if !strings.HasPrefix(want, got.String()) {
		assert.Fail(u.t, "another body", "%s: %.80q", id, got.String())
	}
	if err == nil && r.Err() == nil && kind != "upgrade" {
		assert.Equal(u.t, len(want), got.Len(), id)
		assert.Equal(u.t, id, h.Get("X-Only-"+id))
	}
	if kind == "cut" || kind == "reset" {
		assert.Error(u.t, r.Err(), id)
	}
}

// roundTrip sends the request by an http.RoundTripper, and keeps the response.
func (u *hostileUser) roundTrip(ctx context.Context, verb string, req *netreply.Request, kind, id string) {
	var body io.Reader
	if verb == "POST" {
		body = strings.NewReader(id)
	}
	hr, _ := http.NewRequestWithContext(ctx, verb, u.url+"/", body)
	for name, value := range req.Headers.All() {
		hr.Header.Set(name, value)
	}
	resp, err := u.m.RoundTripper(netreply.RoundTripperOptions{Request: req}).RoundTrip(hr)
	if err != nil {
		return
	}
	if kind == "upgrade" {
		resp.Body.Close()
		return
	}
	all, err := io.ReadAll(resp.Body)
	if u.dice.IntN(2) == 0 {
		resp.Body.Close()
	}
	check := func() {
		assert.Equal(u.t, id, resp.Header.Get("X-Id"))
		assert.Equal(u.t, id, resp.Header.Get("X-Only-"+id))
		assert.Equal(u.t, id, resp.Request.Header.Get("X-Id"))
		assert.Same(u.t, hr, resp.Request)
		for _, v := range resp.Trailer {
			if len(v) > 0 {
				assert.Equal(u.t, []string{id}, v)
			}
		}
		if kind != "gzip" && !strings.HasPrefix(bodyFor(kind, id), string(all)) {
			assert.Fail(u.t, "another body", "%s: %.80q", id, all)
		}
	}
	check()
	u.kept = append(u.kept, check)
	if err != nil {
		resp.Body.Close()
	}
}
