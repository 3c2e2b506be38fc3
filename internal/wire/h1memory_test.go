package wire

import (
	"bufio"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// allocated is the number of bytes that f allocates, at least.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 5 { // other goroutines allocate, too
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// TestHeadMemory: a head costs little more memory than with net/http alone, whatever it
// consists of.
func TestHeadMemory(t *testing.T) {
	const size = DefaultMaxHeaderBytes - 100
	var many strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&many, "\r\nA%d: x", i)
	}
	for name, line := range map[string]string{
		"one name": "A:1\r\n", "folded": "\r\n ", "folded, bare LF": "\n\t", "interim": "\r\n\r\nHTTP/1.1 103\r\nA:", "trailer": "\r\nTrailer: a", "long": strings.Repeat("a", 1000) + ": x\r\n",
		"many names": many.String(), "lengths": "\r\nContent-Length: 0", "left out": "A :1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			status := "200 OK"
			if name == "interim" {
				status = "103"
			}
			raw := "HTTP/1.1 " + status + "\r\nB:" + strings.TrimSuffix(strings.Repeat(line, size/len(line)), "\r\n") + "\r\nX: x\r\n\r\n"
			req := &http.Request{Method: "GET"}
			own := allocated(func() {
				tap := headTap{limit: DefaultMaxHeaderBytes, pauses: true, lenient: true}
				tap.reset("GET")
				tap.limit, tap.pauses, tap.lenient = DefaultMaxHeaderBytes, true, true
				for rest := []byte(raw); len(rest) > 0; {
					n := tap.feedHead(rest)
					require.NoError(t, tap.fault)
					rest = rest[n:]
					if n == 0 || tap.stage == over || tap.stage == inBody {
						break
					}
					head, into := string(tap.head), new(parsedHead)
					into.parseFields(head)
					_, err := tap.parse(head, req, into)
					require.NoError(t, err)
					tap.nextHead()
				}
				if tap.stage != inHead {
					head, into := string(tap.head), new(parsedHead)
					into.parseFields(head)
					_, err := tap.parse(head, req, into)
					require.NoError(t, err)
				}
			})
			std := allocated(func() {
				r := bufio.NewReader(strings.NewReader(raw))
				for {
					resp, err := http.ReadResponse(r, req)
					if err != nil || resp.StatusCode != 103 {
						break
					}
				}
			})
			t.Logf("%d bytes of head: %d, net/http %d", len(raw), own, std)
			assert.LessOrEqual(t, own, 3*std/2+uint64(8*len(raw)))
		})
	}
}
