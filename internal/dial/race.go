package dial

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/netreply/netreply/internal/oserr"
)

// headStart is the Connection Attempt Delay of RFC 8305, section 5.
const headStart = 250 * time.Millisecond

// Attempt is a failed attempt to connect to an address.
type Attempt struct {
	Addr netip.AddrPort
	Err  error
}

// Attempts are the failed attempts for all addresses of a name, in the order of failure.
type Attempts []Attempt

func (a Attempts) Error() string {
	texts := make([]string, len(a))
	for i := range a {
		texts[i] = a[i].Err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the most informative error: a refused connection, or else the first.
func (a Attempts) Unwrap() error {
	for i := range a {
		if oserr.Is(a[i].Err, oserr.Refused) {
			return a[i].Err
		}
	}
	return a[0].Err
}

// race tries the addresses in turn, each when the previous one has failed or after
// headStart. It returns the first connection; later ones are closed.
func race(ctx context.Context, list []netip.AddrPort, dial func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	if len(list) == 1 {
		c, err := dial(ctx, list[0].String())
		if err != nil {
			return nil, Attempts{{list[0], err}}
		}
		return c, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		Attempt
	}
	results := make(chan result)
	next, running := 0, 0
	start := func() {
		a := list[next]
		next, running = next+1, running+1
		go func() { // ends with ctx; the result is always received
			c, err := dial(ctx, a.String())
			results <- result{c, Attempt{a, err}}
		}()
	}
	start()
	turn := time.NewTimer(headStart)
	defer turn.Stop()
	var failed Attempts
	for running > 0 {
		late := turn.C
		if next == len(list) {
			late = nil
		}
		select {
		case <-late:
		case r := <-results:
			running--
			if r.Err == nil {
				cancel()
				go func() {
					for range running {
						if r := <-results; r.Err == nil {
							r.conn.Close()
						}
					}
				}()
				return r.conn, nil
			}
			failed = append(failed, r.Attempt)
		}
		if next < len(list) && ctx.Err() == nil {
			start()
			turn.Reset(headStart)
		}
	}
	return nil, failed
}
