package wire

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
)

// BenchmarkH2: responses of 1 KiB, 64 at a time on one connection.
func BenchmarkH2(b *testing.B) {
	body := make([]byte, 1024)
	for _, kind := range []testserver.Kind{testserver.H2C, testserver.H2} {
		b.Run(string(kind), func(b *testing.B) {
			s, cfg := testserver.NewOrigin(b, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
			tr := NewTransport(Config{Dialer: &dial.Dialer{}})
			defer tr.Close()
			key := Key{Scheme: "http", Addr: s.Listener.Addr().String(), Protocol: HTTP2}
			if kind == testserver.H2 {
				cfg = cfg.Clone()
				cfg.NextProtos = []string{"h2"}
				key.Scheme, key.Protocol, key.Profile = "https", Negotiate, &Profile{Config: cfg}
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			get := func() error {
				req, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/", nil)
				resp, err := tr.RoundTrip(req, &Exchange{Key: key, Observer: &recorder{}})
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				return err
			}
			if err := get(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := get(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
