package wire

import (
	"io"
	"net/http/httptrace"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHookAtTheEndDoesNotReturn: a hook at the end of a body may panic, or end its goroutine:
// once the program has closed the body, the connection is free.
func TestHookAtTheEndDoesNotReturn(t *testing.T) {
	s := says(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0)
	ways := map[string]func(){"panic": func() { panic("a bug") }, "Goexit": runtime.Goexit}
	for name, way := range ways {
		for _, read := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				b := ownRig(t)
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{PutIdleConn: func(error) { way() }})
				resp, _, err := b.send(ctx, call{url: s.URL()})
				require.NoError(t, err)
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { recover() }()
					defer resp.Body.Close()
					if read {
						io.ReadAll(resp.Body)
					}
				}()
				<-done
				resp.Body.Close()
				_, err = resp.Body.Read(make([]byte, 1))
				assert.Error(t, err)
				_, _, err = b.fetch(call{url: s.URL()})
				require.NoError(t, err)
				assert.LessOrEqual(t, b.tr.Connections(), 1)
				b.tr.Close()
				assert.Zero(t, b.tr.Connections())
			})
		}
	}
}
