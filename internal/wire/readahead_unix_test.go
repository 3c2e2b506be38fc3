//go:build unix && !netreply_portable

package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestReadAheadInterrupted: deadlines and Close end a Read that waits, whether it reads ahead or
// not. After a deadline reading can go on.
func TestReadAheadInterrupted(t *testing.T) {
	newPair := tlsPairs(t)
	for _, size := range []int{100, 512 << 10} {
		for _, busy := range []bool{false, true} {
			p := newPair(t, nil, nil)
			p.client.records.ahead.busy = busy
			read := make(chan error)
			buf := make([]byte, size)
			go func() { _, err := p.client.Read(buf); read <- err }()
			p.client.SetReadDeadline(past)
			err := <-read
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			assert.Equal(t, "read", op.Op)
			assert.False(t, p.client.records.ahead.pending())

			p.client.SetReadDeadline(time.Time{})
			p.client.records.ahead.busy = busy
			_, err = p.server.Write([]byte("on"))
			require.NoError(t, err)
			n, err := io.ReadAtLeast(p.client, buf, 2)
			require.NoError(t, err)
			require.Equal(t, "on", string(buf[:n]))

			p.client.records.ahead.busy = busy
			go func() { _, err := p.client.Read(buf); read <- err }()
			require.NoError(t, p.client.Close())
			assert.ErrorIs(t, <-read, net.ErrClosed)

			p = newPair(t, nil, nil)
			p.client.records.ahead.busy = busy
			p.server.NetConn().(*net.TCPConn).SetLinger(0)
			p.server.NetConn().Close()
			_, err = p.client.Read(buf)
			assert.ErrorContains(t, err, "reset")
			require.ErrorAs(t, err, &op)
			assert.Equal(t, "read", op.Op)
		}
	}
}

// TestReadAheadOfIdle: what was read ahead belongs to a connection that is not idle any more,
// and an incomplete record keeps a connection from being used.
func TestReadAheadOfIdle(t *testing.T) {
	p := tlsPairs(t)(t, nil, nil)
	a := &p.client.records.ahead
	assert.True(t, a.socket.idle(p.client))
	a.busy = true
	assert.True(t, a.socket.idle(p.client))
	assert.False(t, a.pending())
	_, err := p.server.Write(patterned(100))
	require.NoError(t, err)
	require.Eventually(t, a.socket.pending, 10*time.Second, time.Millisecond)
	require.NoError(t, a.fill())
	assert.True(t, a.pending())
	assert.False(t, a.socket.idle(p.client))
}

// TestReadAheadMemory: what is unread is bounded, whoever reads how much.
func TestReadAheadMemory(t *testing.T) {
	newPair := tlsPairs(t)
	for _, size := range []int{700, 16 << 10, largeRead, 200_000, 512 << 10} {
		p := newPair(t, nil, nil)
		p.client.records.ahead.busy = true
		sent := make(chan error, 1)
		go func() {
			_, err := p.server.Write(patterned(8 << 20))
			sent <- err
		}()
		a, kept := &p.client.records.ahead, false
		var got []byte
		for buf := make([]byte, size); len(got) < 8<<20; {
			if len(got) > 4<<20 { // quickly
				buf = make([]byte, 512<<10)
			}
			n, err := p.client.Read(buf)
			require.NoError(t, err)
			got = append(got, buf[:n]...)
			require.LessOrEqual(t, cap(a.unread), aheadBytes)
			require.Equal(t, a.pooled != nil, len(a.unread) > 0)
			require.Equal(t, a.pending(), len(a.unread) > 0)
			require.Nil(t, a.lent)
			kept = kept || a.pending()
		}
		assert.True(t, kept || size >= largeRead, "nothing was read ahead")
		require.NoError(t, <-sent)
		require.True(t, bytes.Equal(patterned(8<<20), got))
	}
}

// records returns the connections below TLS of all that are open.
func (b *rig) records() (all []*recordConn) {
	b.tr.mu.Lock()
	defer b.tr.mu.Unlock()
	for c := b.tr.pool.all.first; c != nil; c = c.allLinks.next {
		all = append(all, c.records())
	}
	return all
}

// TestIdleConnectionWithoutBuffers: after large bodies in both directions a connection is used
// again, and has no buffers for records meanwhile.
func TestIdleConnectionWithoutBuffers(t *testing.T) {
	const size = 12 << 20
	for _, kind := range []testserver.Kind{testserver.TLS, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, with func(Config) *rig) {
				body := patterned(size)
				s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" {
						got, _ := io.ReadAll(r.Body)
						fmt.Fprint(w, bytes.Equal(got, body))
						return
					}
					if r.URL.Path != "/chunked" {
						w.Header().Set("Content-Length", strconv.Itoa(size))
					}
					w.Write(body)
				}))
				b := with(Config{})
				b.tls = &Profile{Config: cfg}
				for i, step := range []string{"GET /", "POST /", "GET /chunked", "POST /", "GET /"} {
					method, path, _ := strings.Cut(step, " ")
					c := call{method: method, url: s.URL + path}
					if method == "POST" {
						c.body, c.length = bytes.NewReader(body), size
					}
					resp, x, err := b.send(t.Context(), c)
					require.NoError(t, err)
					assert.Equal(t, i > 0, x.Conn.Reused)
					got := bytes.NewBuffer(make([]byte, 0, size))
					buf := make([]byte, 512<<10)
					if i == 4 {
						buf = buf[:4<<10]
					}
					_, err = io.CopyBuffer(struct{ io.Writer }{got}, resp.Body, buf)
					require.NoError(t, err)
					resp.Body.Close()
					if method == "POST" {
						assert.Equal(t, "true", got.String())
					} else {
						assert.True(t, bytes.Equal(body, got.Bytes()))
					}
					list := b.records()
					require.Len(t, list, 1)
					require.Eventually(t, func() bool { // on HTTP/2 a window update may be on its way
						list[0].mu.Lock()
						defer list[0].mu.Unlock()
						return list[0].held == nil && !list[0].ahead.pending()
					}, 10*time.Second, time.Millisecond)
				}
			})
		})
	}
}

// TestTunnelOverTLS: after a 101 response everything passes that the server sends with it and
// behind it, and large Writes arrive at once.
func TestTunnelOverTLS(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		greeting := patterned(700_000)
		origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
		server := origin.TLS.Clone()
		server.NextProtos = []string{"http/1.1"}
		s := testserver.NewRaw(t, server, func(c *testserver.Conn) {
			c.Head()
			c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" + string(greeting))
			io.Copy(c.Conn, c.R)
		})
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		resp, _, err := b.send(t.Context(), call{url: "https://" + s.Addr, header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
		require.NoError(t, err)
		tunnel := resp.Body.(*Upgraded)
		defer tunnel.Close()
		receive := func(want []byte, size int) {
			var got []byte
			for buf := make([]byte, size); len(got) < len(want); {
				n, err := tunnel.Read(buf)
				require.NoError(t, err)
				got = append(got, buf[:n]...)
			}
			require.True(t, bytes.Equal(want, got))
		}
		receive(greeting, 256<<10)
		for _, size := range []int{1, 100_000, 1, 3, 400_000, 20_000} {
			sent := make(chan error, 1)
			go func() {
				_, err := tunnel.Write(greeting[:size])
				sent <- err
			}()
			receive(greeting[:size], 256<<10)
			require.NoError(t, <-sent)
		}
		require.NoError(t, tunnel.CloseWrite())
		_, err = tunnel.Read(make([]byte, 256<<10))
		assert.Equal(t, io.EOF, err)
	})
}

// TestCancelDuringBulk: the end of the context ends a body that is being read ahead or sent.
func TestCancelDuringBulk(t *testing.T) {
	eachEngine(t, func(t *testing.T, with func(Config) *rig) {
		received, over := make(chan struct{}), make(chan struct{})
		s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				io.CopyN(io.Discard, r.Body, 1<<20)
				close(received)
				<-over
				return
			}
			w.Header().Set("Content-Length", strconv.Itoa(1<<30))
			w.Write(patterned(9 << 20))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		b := with(Config{})
		b.tls = &Profile{Config: cfg}
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, _, err := b.send(ctx, call{url: s.URL})
		require.NoError(t, err)
		buf := make([]byte, 512<<10)
		for total := 0; total < 9<<20; {
			n, err := resp.Body.Read(buf)
			require.NoError(t, err)
			total += n
		}
		time.AfterFunc(time.Millisecond, func() { cancel(errBroken) })
		_, err = resp.Body.Read(buf)
		assert.ErrorIs(t, err, errBroken)
		resp.Body.Close()

		ctx, cancel = context.WithCancelCause(t.Context())
		go func() {
			<-received
			cancel(errBroken)
		}()
		_, _, err = b.send(ctx, call{method: "POST", url: s.URL, length: 1 << 30, body: zeros{}})
		close(over)
		assert.ErrorIs(t, err, errBroken)
		require.Eventually(t, func() bool { return b.tr.Connections() == 0 }, 10*time.Second, time.Millisecond)
	})
}

// TestReadAheadKeepsRest: what is unread when a Read ends is kept, however much it is.
func TestReadAheadKeepsRest(t *testing.T) {
	for _, size := range []int{1, aheadBytes, aheadBytes + 1, lentBytes} {
		a := &readAhead{lent: make([]byte, lentBytes)}
		want := patterned(size)
		a.unread = a.lent[:copy(a.lent, want)]
		a.takeBack()
		got := make([]byte, size)
		n, err := a.Read(got)
		require.NoError(t, err)
		require.Equal(t, size, n)
		assert.True(t, bytes.Equal(want, got))
		assert.Nil(t, a.pooled)
	}
}
