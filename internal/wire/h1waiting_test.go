package wire

import (
	"context"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// TestWaitingHoldsNoInput: exchanges that wait for a response have no input buffers, also
// after an interim one. Each has had one then, so that they share them.
func TestWaitingHoldsNoInput(t *testing.T) {
	if !hasSockets {
		t.Skip("there are none here")
	}
	const n = 100
	made := atomic.Int32{}
	before := inputs.New
	inputs = sync.Pool{New: func() any { made.Add(1); return before() }}
	defer func() { inputs = sync.Pool{New: before} }()
	answer, waiting := make(chan struct{}), make(chan struct{}, n)
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		for {
			if _, ok := c.Head(); !ok {
				return
			}
			c.Say("HTTP/1.1 103 Early Hints\r\n\r\n")
			<-answer
			c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		}
	})
	b := &rig{T: t, tr: NewTransport(Config{HTTP1: OwnConn, ConnsPerHost: n, Dialer: &dial.Dialer{}})}
	defer b.tr.Close()
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			req, _ := http.NewRequestWithContext(context.Background(), "GET", s.URL(), nil)
			resp, err := b.tr.RoundTrip(req, &Exchange{Key: Key{Scheme: "http", Addr: req.URL.Host}, Observer: hinted{new(recorder), waiting}})
			if !assert.NoError(t, err) {
				return
			}
			body := make([]byte, 10)
			k, _ := resp.Body.Read(body)
			assert.Equal(t, "ok", string(body[:k]))
			assert.NoError(t, resp.Body.Close())
		})
	}
	for range n {
		<-waiting
	}
	had := made.Load()
	close(answer)
	running.Wait()
	require.Positive(t, had)
	assert.Less(t, had, int32(n))
}

// hinted tells of interim responses.
type hinted struct {
	*recorder
	got chan struct{}
}

func (h hinted) Interim(int, textproto.MIMEHeader) error {
	h.got <- struct{}{}
	return nil
}
