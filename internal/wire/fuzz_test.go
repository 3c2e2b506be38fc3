package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"testing"
)

// FuzzHead: the tap passes on one response, which net/http parses in the same way: the same
// head, and the same end of the body, for any sizes of the Reads.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nA: b\r\nA: c\r\n\r\nbody", "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\nX-y:z\n\n", "HTTP/1.1 200 OK\r\nA: b\r\n\t c\r\nEmpty:\r\n\r\n", "HTTP/1.0 200\n0:0\n \n\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nPragma: no-cache\r\n\r\n", "HTTP/1.1 2", "\r\n\r\n", "HTTP/1.1 100\r\n\r\n",
		"\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "HTTP/1.1 204 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\nmore",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
		"HTTP/1.1 020 X\r\nContent-Length: 1\r\nContent-Length: 01\r\n\r\nx",
	} {
		f.Add([]byte(s), 3, false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece int, head bool) {
		piece = max(1, piece%64)
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		tap := headTap{limit: 4096}
		tap.reset(method)
		var given []byte
		for rest := bytes.Clone(raw); len(rest) > 0; {
			n := min(len(rest), piece)
			kept, used := tap.feed(rest[:n])
			given = append(given, rest[:kept]...)
			rest = rest[n:]
			if used < n {
				break
			}
		}
		if tap.size > tap.limit+piece {
			t.Fatal("beyond the limit")
		}
		if tap.fault == nil && tap.stage != over && len(given) < len(raw)-maxBlank {
			t.Fatalf("kept %d of %d bytes", len(given), len(raw))
		}
		r := bufio.NewReaderSize(bytes.NewReader(given), readBuffer)
		var resp *http.Response
		for {
			var err error
			if resp, err = http.ReadResponse(r, &http.Request{Method: method}); err != nil {
				return // not checked by the tap
			}
			if resp.StatusCode/100 != 1 || resp.StatusCode == 101 {
				break
			}
		}
		spelled, ok := tap.final(resp)
		if !ok {
			t.Fatalf("net/http takes %q, the tap does not: %+v", given, tap)
		}
		agree(t, spelled, resp)
		body, err := io.ReadAll(resp.Body)
		if tap.framing == tunnel {
			return
		}
		if over := tap.stage == over; over && (err != nil || r.Buffered() > 0) {
			t.Fatalf("the tap is at the end of %q, net/http is not: %v, %d bytes left", given, err, r.Buffered())
		} else if !over && err == nil && tap.framing != byClose {
			t.Fatalf("net/http is at the end of %q with %q, the tap is not", given, body)
		}
	})
}

// agree compares the fields of a head with those of net/http.
func agree(t *testing.T, head string, resp *http.Response) {
	_, fields := ParseHead(head)
	found := http.Header{}
	for _, f := range fields {
		if f.Name == "" {
			t.Fatalf("a field without a name in %q", head)
		}
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		found[key] = append(found[key], f.Value)
	}
	for key, values := range resp.Header {
		if key == "Content-Length" || key == "Cache-Control" && len(found["Pragma"]) > 0 {
			continue // net/http keeps the first of equal ones
		}
		if len(values) != len(found[key]) {
			t.Fatalf("%s of %q: %q and %q", key, head, values, found[key])
		}
		for i, v := range values {
			// net/http leaves a space after a value whose last line is empty
			if textproto.TrimString(v) != found[key][i] {
				t.Fatalf("%s of %q: %q and %q", key, head, v, found[key][i])
			}
		}
	}
}
