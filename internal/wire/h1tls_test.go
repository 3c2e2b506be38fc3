package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestTLSEnds: how the end of TLS ends a response, for each framing. A missing close_notify
// is only an error inside a record, as by crypto/tls.
func TestTLSEnds(t *testing.T) {
	origin, cfg := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	server := origin.TLS.Clone()
	server.NextProtos = []string{"http/1.1"}
	under := func(c *testserver.Conn) net.Conn { return c.Conn.(*tls.Conn).NetConn() }
	const whole = Fault(-1)
	heads := []string{"\r\n", "Content-Length: 9\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n9\r\n"}
	for _, r := range []struct {
		name string
		end  func(*testserver.Conn)
		want [3]Fault // by head
	}{
		{"close_notify", func(c *testserver.Conn) { c.Close() }, [3]Fault{whole, Closed, Closed}},
		{"between records", func(c *testserver.Conn) { under(c).Close() }, [3]Fault{whole, Closed, Closed}},
		{"inside a record", func(c *testserver.Conn) { under(c).Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}); under(c).Close() }, [3]Fault{Closed, Closed, Closed}},
		{"inside the header of a record", func(c *testserver.Conn) { under(c).Write([]byte{23, 3}); under(c).Close() }, [3]Fault{Closed, Closed, Closed}},
		{"a record of another key", func(c *testserver.Conn) {
			under(c).Write(append([]byte{23, 3, 3, 0, 30}, make([]byte, 30)...))
			c.R.ReadByte()
		}, [3]Fault{Alert, Alert, Alert}},
		{"no TLS", func(c *testserver.Conn) { under(c).Write([]byte("no TLS")); c.R.ReadByte() }, [3]Fault{Alert, Alert, Alert}},
		{"an alert in the clear", func(c *testserver.Conn) {
			under(c).Write([]byte{21, 3, 3, 0, 2, 2, 40})
			c.R.ReadByte()
		}, [3]Fault{Alert, Alert, Alert}},
	} {
		for i, head := range heads {
			t.Run(r.name+"/"+strings.TrimSpace(head), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, with func(Config) *rig) {
					said := make(chan struct{})
					s := testserver.NewRaw(t, server, func(c *testserver.Conn) {
						if _, ok := c.Head(); !ok {
							return
						}
						c.Say("HTTP/1.1 200 OK\r\n" + head + "hello")
						<-said
						r.end(c)
					})
					b := with(Config{})
					b.tls = &Profile{Config: cfg}
					resp, _, err := b.send(t.Context(), call{url: "https://" + s.Addr})
					require.NoError(t, err)
					defer resp.Body.Close()
					p := make([]byte, 5)
					_, err = io.ReadFull(resp.Body, p)
					require.NoError(t, err)
					close(said)
					rest, err := io.ReadAll(resp.Body)
					assert.Empty(t, rest)
					var e *Error
					if errors.As(err, &e) {
						assert.Equal(t, r.want[i], e.Fault, "%v", err)
					} else {
						require.NoError(t, err)
						assert.Equal(t, whole, r.want[i])
					}
				})
			})
		}
	}
}
