package wire

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

// FuzzHead: the head that the tap keeps is the one that net/http reads, whatever
// the pieces it comes in.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nA: b\r\nA: c\r\n\r\nbody", "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\nX-y:z\n\n", "HTTP/1.1 200 OK\r\nA: b\r\n\t c\r\nEmpty:\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nPragma: no-cache\r\n\r\n", "HTTP/1.1 2", "\r\n\r\n", "HTTP/1.1 100\r\n\r\n",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece int) {
		piece = max(1, piece%64)
		tap := headTap{limit: 4096}
		for rest := raw; len(rest) > 0; {
			n := min(len(rest), piece)
			tap.feed(rest[:n])
			rest = rest[n:]
		}
		if len(tap.buf) > tap.limit {
			t.Fatal("beyond the limit")
		}
		headFault(raw)
		r := bufio.NewReader(bytes.NewReader(raw))
		var resp *http.Response
		for range 100 {
			var err error
			if resp, err = http.ReadResponse(r, nil); err != nil {
				return
			}
			if resp.StatusCode/100 != 1 || resp.StatusCode == 101 {
				break
			}
		}
		head, ok := tap.head(resp)
		if !ok {
			return // stricter than net/http, or too large
		}
		reason, fields := ParseHead(head)
		if resp.Status[min(4, len(resp.Status)):] != reason && len(resp.Status) >= 4 {
			t.Errorf("reason %q of %q", reason, resp.Status)
		}
		for _, f := range fields {
			if f.Name == "" {
				t.Errorf("a field without a name in %q", head)
			}
		}
	})
}
