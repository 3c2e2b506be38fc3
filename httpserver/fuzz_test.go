package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
	"github.com/netreply/netreply/internal/oserr"
)

// outcome is what has become of an answer, by what the calls have said.
type outcome int

const (
	unanswered outcome = iota
	open               // chunks without an end
	whole
	broken
)

// play does what the bytes say with a Responder: a call each, with arguments of the
// next bytes.
func play(script []byte, s *httpserver.Responder) (became outcome) {
	answer := func(err error) {
		switch {
		case became != unanswered || !s.Responded():
		case err == nil:
			became = whole
		default:
			became = broken
		}
	}
	begin := func(err error) {
		if err == nil {
			became = open
		}
	}
	end := func(err error) {
		if err == nil {
			became = whole
		}
	}
	next := func() byte {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return b
	}
	text := func() []byte {
		n := min(int(next()), len(script))
		b := script[:n]
		script = script[n:]
		return b
	}
	fields := func() headers.Headers {
		var h headers.Headers
		for range next() % 4 {
			h.Add(string(text()), string(text()))
		}
		return h
	}
	status := func() httpserver.StatusCode { return httpserver.StatusCode(int(next())*4 + int(next())%4) }
	for calls := 0; len(script) > 0 && calls < 50; calls++ {
		switch next() % 19 {
		case 0:
			answer(s.WriteStatus(status()))
		case 1:
			answer(s.WriteHeaders(fields(), status()))
		case 2:
			answer(s.WriteJSON(string(text()), status()))
		case 3:
			answer(s.WriteData(text(), string(text()), status()))
		case 4:
			answer(s.WriteDataWith(bytes.Repeat(text(), int(next())), fields(), status()))
		case 5:
			answer(s.WriteReader(bytes.NewReader(text()), string(text()), status()))
		case 6:
			answer(s.WriteReaderWith(sequential{bytes.NewReader(text())}, fields(), status()))
		case 7:
			answer(s.SendResponse(&httpserver.Response{Status: status(), Headers: fields(), Body: text()}))
		case 8:
			begin(s.WriteBeginChunked(string(text()), status()))
		case 9:
			begin(s.WriteBeginChunkedWith(fields(), []string{string(text()), string(text())}, status()))
		case 10:
			s.WriteChunk(text())
		case 11:
			end(s.WriteEndChunked(text()))
		case 12:
			end(s.WriteEndChunkedWith(text(), fields()))
		case 13:
			s.WriteInformational(status(), fields())
		case 14:
			answer(s.WriteContent(string(text()), time.Time{}, bytes.NewReader(text()), fields()))
		case 15:
			e, err := s.Events()
			if begin(err); err == nil {
				e.Send(httpserver.Event{ID: string(text()), Name: string(text()), Data: string(text())})
			}
		case 16:
			answer(s.WriteReader(liar{strings.NewReader(string(text()))}, "a/b", status()))
		case 17:
			answer(s.WriteReader(failsAfter(int(next())<<10, int64(next())<<10), "a/b", status()))
		case 18:
			answer(s.WriteReaderWith(sequential{failsAfter(int(next())<<8, 0)}, fields(), status()))
		}
	}
	return became
}

// FuzzResponder: whatever is called in whatever order, by whatever way the Responder was made
// and on whatever protocol, the client sees a message where the calls have given one, one
// that is visibly cut where they have not, and 500 where there was none; and the next one on
// the connection is not touched by it.
func FuzzResponder(f *testing.F) {
	for _, script := range [][]byte{
		{0, 50, 0},
		{8, 3, 'a', '/', 'b', 50, 0, 10, 2, 'x', 'y', 11, 1, 'z'},
		{8, 3, 'a', '/', 'b', 50, 0, 10, 2, 'x', 'y'},
		{9, 0, 1, 'A', 1, 'B', 50, 0, 12, 1, 'x', 2, 1, 'A', 1, '1', 1, 'B', 1, '2'},
		{4, 1, 'x', 255, 1, 14, 'C', 'o', 'n', 't', 'e', 'n', 't', '-', 'L', 'e', 'n', 'g', 't', 'h', 1, '5', 50, 0},
		{17, 100, 150, 50, 0},
		{17, 0, 150, 50, 0, 0, 101, 0},
		{18, 100, 0, 50, 0},
		{15, 1, '1', 1, 'n', 1, 'd'},
		{14, 1, 'f', 1, 'x', 0},
		{13, 25, 3, 0, 0, 50, 0},
		{},
	} {
		for proto := range byte(3) {
			for way := range byte(3) {
				f.Add(script, false, proto, way)
				f.Add(script, true, proto, way)
			}
		}
	}
	var outcomes sync.Map // of outcome channels, by the request's number
	answer := func(r *http.Request, s *httpserver.Responder) {
		if r.URL.Path == "/after" {
			s.WriteData([]byte("untouched"), "text/plain")
			return
		}
		_, number, _ := strings.Cut(r.URL.Path, "/")
		number, text, _ := strings.Cut(number, "/")
		script, _ := hex.DecodeString(text)
		became := play(script, s)
		if c, ok := outcomes.Load(number); ok {
			c.(chan outcome) <- became
		}
	}
	s := newServer(f, httpserver.Config{HTTP2Cleartext: true, MaxURLSize: -1, ErrorLog: quiet()})
	s.Handle("/", answer)
	s.Use(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(around{w}, r) })
	})
	s.AfterRequest(func(_ *http.Request, p *httpserver.Response) { p.Headers.Add("X-Hook", "1") })
	addrs := []string{serve(f, httpserver.HandlerFunc(answer)), serve(f, withNew(answer)), listen(f, s)}
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	f.Cleanup(h2.CloseIdleConnections)
	var numbers atomic.Int64
	f.Fuzz(func(t *testing.T, script []byte, head bool, proto, way byte) {
		if len(script) > 1000 {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		number := strconv.FormatInt(numbers.Add(1), 10)
		told := make(chan outcome, 1)
		outcomes.Store(number, told)
		defer outcomes.Delete(number)
		addr, path := addrs[way%3], fmt.Sprintf("/%s/%x", number, script)
		ask := askHTTP1
		switch proto % 3 {
		case 1:
			ask = askHTTP10
		case 2:
			ask = func(addr, method, path string) (int, error) { return askHTTP2(h2, addr, method, path) }
		}
		status, err := ask(addr, method, path)
		switch became := within(t, told, "the handler ends"); {
		case became == whole, became == open && head:
			if err != nil {
				t.Fatalf("%x: %v, though it is whole", script, err)
			}
		case became == unanswered:
			if err != nil || status != 500 {
				t.Fatalf("%x: %d, %v, though there was no answer", script, status, err)
			}
		default:
			if err == nil {
				t.Fatalf("%x: %d looks whole, and is not", script, status)
			}
		}
	})
}

// askHTTP1 asks, and asks again on the same connection where it stays open. An error is an
// answer that is cut; any other fault is a panic.
func askHTTP1(addr, method, path string) (int, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path)
	in := bufio.NewReader(c)
	resp, err := message(in, method)
	if errors.Is(err, io.ErrUnexpectedEOF) || oserr.Is(err, oserr.Reset) {
		return 0, err
	}
	if err != nil {
		panic(err)
	}
	if resp.Close {
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			panic(fmt.Sprintf("behind the message: %q", rest))
		}
		return resp.StatusCode, nil
	}
	io.WriteString(c, "GET /after HTTP/1.1\r\nHost: x\r\n\r\n")
	after, err := message(in, "GET")
	if err != nil || after.Header.Get("Content-Type") != "text/plain" || after.ContentLength != 9 {
		panic(fmt.Sprintf("the next message is %v, %v", after, err))
	}
	return resp.StatusCode, nil
}

func askHTTP10(addr, method, path string) (int, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "%s %s HTTP/1.0\r\n\r\n", method, path)
	resp, err := message(bufio.NewReader(c), method)
	if err != nil {
		return 0, err
	}
	if len(resp.TransferEncoding) > 0 {
		panic("chunked for HTTP/1.0")
	}
	return resp.StatusCode, nil
}

func askHTTP2(rt *http.Transport, addr, method, path string) (int, error) {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil }, // as many as they like
	})
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		panic(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// message reads a final response whole.
func message(in *bufio.Reader, method string) (*http.Response, error) {
	for range 100 {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 {
			return resp, nil
		}
	}
	return nil, errors.New("interim responses without end")
}
