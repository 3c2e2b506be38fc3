package netreply_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// TestRoundTripperChaos: whatever ends a request at whatever time, there is a response or an
// error, the body of the request is closed, and a body that was read to its end is whole.
func TestRoundTripperChaos(t *testing.T) {
	const size = 300 << 10
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			io.Copy(io.Discard, r.Body)
		}
		for range size >> 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		s.Config.ErrorLog = discardLog
		rt := s.m.RoundTripper(netreply.RoundTripperOptions{Request: s.request("/")})
		var wg sync.WaitGroup
		for i := range uint64(60) {
			wg.Go(func() {
				dice := rand.New(rand.NewPCG(i, 1))
				ctx, cancel := context.WithCancel(deadline(t))
				defer cancel()
				path := [...]string{"/read", "/unread"}[dice.IntN(2)]
				req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+path, nil)
				body := observed(struct{ io.Reader }{strings.NewReader(strings.Repeat("x", dice.IntN(200<<10)))})
				req.Body = body
				switch dice.IntN(4) {
				case 0:
					time.AfterFunc(time.Duration(dice.IntN(3000))*time.Microsecond, cancel)
				case 1:
					req.Header.Set("Expect", "100-continue")
				}
				resp, err := rt.RoundTrip(req)
				if assert.Equal(t, err != nil, resp == nil) && err == nil {
					defer resp.Body.Close()
					if dice.IntN(2) == 0 {
						time.AfterFunc(time.Duration(dice.IntN(2000))*time.Microsecond, func() { resp.Body.Close() })
					}
					n, err := io.Copy(io.Discard, resp.Body)
					assert.True(t, err != nil || n == size, n)
					resp.Body.Close()
				}
				body.awaitClose(t)
			})
		}
		wg.Wait()
	})
}
