package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// addrPorts parses addresses with ports.
func addrPorts(list ...string) (all []netip.AddrPort) {
	for _, s := range list {
		all = append(all, netip.MustParseAddrPort(s))
	}
	return all
}

// closing is a connection that reports whether it was closed.
type closing struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func newClosing() *closing                         { return &closing{closed: make(chan struct{})} }
func (c *closing) Close() error                    { c.once.Do(func() { close(c.closed) }); return nil }
func (c *closing) SetDeadline(time.Time) error     { return nil }
func (c *closing) Read([]byte) (int, error)        { select {} }
func (c *closing) RemoteAddr() net.Addr            { return nil }
func (c *closing) Write(p []byte) (int, error)     { return len(p), nil }
func (c *closing) SetReadDeadline(time.Time) error { return nil }

// TestHeadStart: the next address is tried 250 ms after the previous one, or at once after
// its failure, for both families.
func TestHeadStart(t *testing.T) {
	const silent, works, refuses = "silent", "works", "refuses"
	for name, c := range map[string]struct {
		plan    []string
		started []time.Duration // start time of each address
		winner  int             // -1 for none
	}{
		"first works":     {[]string{works, works}, []time.Duration{0}, 0},
		"first silent":    {[]string{silent, works, works}, []time.Duration{0, 250 * time.Millisecond}, 1},
		"two silent":      {[]string{silent, silent, works}, []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond}, 2},
		"first refuses":   {[]string{refuses, works}, []time.Duration{0, 0}, 1},
		"one in between":  {[]string{silent, refuses, works}, []time.Duration{0, 250 * time.Millisecond, 250 * time.Millisecond}, 2},
		"only one":        {[]string{works}, []time.Duration{0}, 0},
		"all refuse":      {[]string{refuses, refuses}, []time.Duration{0, 0}, -1},
		"last is silent":  {[]string{refuses, silent}, []time.Duration{0, 0}, -1},
		"all are silent":  {[]string{silent, silent}, []time.Duration{0, 250 * time.Millisecond}, -1},
		"all of a family": {[]string{silent, silent, silent, works}, []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				begin := time.Now()
				var list []netip.AddrPort
				for i := range c.plan {
					list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 80))
				}
				var mu sync.Mutex
				var started []time.Duration
				conns := map[string]*closing{}
				conn, err := race(ctx, list, func(ctx context.Context, addr string) (net.Conn, error) {
					i := int(netip.MustParseAddrPort(addr).Addr().As4()[3])
					mu.Lock()
					started = append(started, time.Since(begin))
					mu.Unlock()
					switch c.plan[i] {
					case refuses:
						return nil, errors.New("refused " + strconv.Itoa(i))
					case silent:
						<-ctx.Done()
						return nil, ctx.Err()
					}
					nc := newClosing()
					mu.Lock()
					conns[addr] = nc
					mu.Unlock()
					return nc, nil
				})
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				assert.Equal(t, c.started, started)
				if c.winner < 0 {
					var tried Attempts
					require.ErrorAs(t, err, &tried)
					assert.Len(t, tried, len(c.plan))
					return
				}
				require.NoError(t, err)
				assert.Same(t, conns[list[c.winner].String()], conn)
			})
		})
	}
}

// TestLateConnectionIsClosed: a connection that is opened after another one has won is closed.
func TestLateConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := newClosing()
		second := newClosing()
		conn, err := race(t.Context(), addrPorts("192.0.2.1:80", "192.0.2.2:80"), func(ctx context.Context, addr string) (net.Conn, error) {
			if addr == "192.0.2.1:80" {
				<-ctx.Done() // it ignores its context
				time.Sleep(time.Second)
				return late, nil
			}
			return second, nil
		})
		require.NoError(t, err)
		require.Same(t, second, conn)
		<-late.closed
		select {
		case <-second.closed:
			t.Error("the one that won is closed")
		default:
		}
	})
}

// TestAlternate: the families alternate, each in its own order.
func TestAlternate(t *testing.T) {
	four := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, i}) }
	six := func(i byte) netip.Addr { return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 15: i}) }
	for _, c := range []struct{ in, out []netip.Addr }{
		{nil, []netip.Addr{}},
		{[]netip.Addr{four(1)}, []netip.Addr{four(1)}},
		{[]netip.Addr{six(1), six(2), four(1), four(2)}, []netip.Addr{six(1), four(1), six(2), four(2)}},
		{[]netip.Addr{four(1), four(2), four(3), six(1)}, []netip.Addr{four(1), six(1), four(2), four(3)}},
		{[]netip.Addr{six(1), four(1), four(2), four(3)}, []netip.Addr{six(1), four(1), four(2), four(3)}},
	} {
		assert.Equal(t, c.out, alternate(c.in))
	}
}
