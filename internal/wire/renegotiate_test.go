package wire

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

// TestReadAheadRenegotiation: where the server may begin a handshake between two records, a Read
// gets one record: behind it the Read might have to wait, for that handshake.
func TestReadAheadRenegotiation(t *testing.T) {
	const size = 8 << 20
	s, cfg := testserver.NewOrigin(t, testserver.TLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Write(make([]byte, size))
	}))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, renegotiation := range []tls.RenegotiationSupport{tls.RenegotiateNever, tls.RenegotiateOnceAsClient} {
			t.Run(fmt.Sprint(tls.VersionName(version), renegotiation), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, with func(Config) *rig) {
					b := with(Config{})
					b.tls = &Profile{Config: cfg.Clone()}
					b.tls.Config.MaxVersion, b.tls.Config.Renegotiation = version, renegotiation
					resp, x, err := b.send(t.Context(), call{url: s.URL})
					require.NoError(t, err)
					single := version == tls.VersionTLS12 && renegotiation != tls.RenegotiateNever
					assert.Equal(t, single, x.carrier.stream.(*tlsStream).single)
					total := 0
					for buf := make([]byte, 512<<10); err == nil; {
						var n int
						n, err = resp.Body.Read(buf)
						total += n
						if single {
							require.LessOrEqual(t, n, maxRecord)
						}
					}
					assert.Equal(t, io.EOF, err)
					assert.Equal(t, size, total)
					resp.Body.Close()
				})
			})
		}
	}
}
