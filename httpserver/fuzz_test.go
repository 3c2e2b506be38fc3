package httpserver_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// play does what the bytes say with a Responder: a call each, with arguments of the
// next bytes.
func play(script []byte, s *httpserver.Responder) {
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
		switch next() % 17 {
		case 0:
			s.WriteStatus(status())
		case 1:
			s.WriteHeaders(fields(), status())
		case 2:
			s.WriteJSON(string(text()), status())
		case 3:
			s.WriteData(text(), string(text()), status())
		case 4:
			s.WriteDataWith(bytes.Repeat(text(), int(next())), fields(), status())
		case 5:
			s.WriteReader(bytes.NewReader(text()), string(text()), status())
		case 6:
			s.WriteReaderWith(sequential{bytes.NewReader(text())}, fields(), status())
		case 7:
			s.SendResponse(&httpserver.Response{Status: status(), Headers: fields(), Body: text()})
		case 8:
			s.WriteBeginChunked(string(text()), status())
		case 9:
			s.WriteBeginChunkedWith(fields(), []string{string(text()), string(text())}, status())
		case 10:
			s.WriteChunk(text())
		case 11:
			s.WriteEndChunked(text())
		case 12:
			s.WriteEndChunkedWith(text(), fields())
		case 13:
			s.WriteInformational(status(), fields())
		case 14:
			s.WriteContent(string(text()), time.Time{}, bytes.NewReader(text()), fields())
		case 15:
			if e, err := s.Events(); err == nil {
				e.Send(httpserver.Event{ID: string(text()), Name: string(text()), Data: string(text())})
			}
		case 16:
			s.WriteReader(liar{strings.NewReader(string(text()))}, "a/b", status())
		}
	}
}

// FuzzResponder: whatever is called in whatever order, what stands on the wire is a
// message, or the beginning of one that is cut; and the next one on the connection is
// not touched by it.
func FuzzResponder(f *testing.F) {
	f.Add([]byte{0, 50, 0}, false)
	f.Add([]byte{8, 3, 'a', '/', 'b', 50, 0, 10, 2, 'x', 'y', 11, 1, 'z'}, false)
	f.Add([]byte{9, 0, 1, 'A', 1, 'B', 50, 0, 12, 1, 'x', 2, 1, 'A', 1, '1', 1, 'B', 1, '2'}, true)
	f.Add([]byte{4, 1, 'x', 255, 1, 14, 'C', 'o', 'n', 't', 'e', 'n', 't', '-', 'L', 'e', 'n', 'g', 't', 'h', 1, '5', 50, 0}, false)
	addr := serve(f, httpserver.HandlerFunc(func(r *http.Request, s *httpserver.Responder) {
		if r.URL.Path == "/after" {
			s.WriteData([]byte("untouched"), "text/plain")
			return
		}
		script, _ := hex.DecodeString(r.URL.Path[1:])
		play(script, s)
	}))
	f.Fuzz(func(t *testing.T, script []byte, head bool) {
		if len(script) > 1000 {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "%s /%x HTTP/1.1\r\nHost: x\r\n\r\n", method, script)
		in := bufio.NewReader(c)
		resp, err := message(in, method)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return // cut, and seen to be
		}
		if err != nil {
			t.Fatalf("%x: %v", script, err)
		}
		if resp.Close {
			if rest, _ := io.ReadAll(in); len(rest) > 0 {
				t.Fatalf("%x: behind the message: %q", script, rest)
			}
			return
		}
		io.WriteString(c, "GET /after HTTP/1.1\r\nHost: x\r\n\r\n")
		after, err := message(in, "GET")
		if err != nil || after.Header.Get("Content-Type") != "text/plain" || after.ContentLength != 9 {
			t.Fatalf("%x: the next message is %v, %v", script, after, err)
		}
	})
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
