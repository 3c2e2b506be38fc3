package peers

import (
	"net/http"
	"os"

	gregjones "github.com/gregjones/httpcache"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// Clients with a cache. All have room for everything. Those of this library are netreply and
// netreply-fetch with a store; gregjones is net/http with an http.RoundTripper that caches.
func init() {
	room := httpcache.Limits{Size: 64 << 30, Entry: 16 << 30}
	memory := func(Config) (httpcache.Store, func(), error) {
		return httpcache.NewMemory(room), func() {}, nil
	}
	disk := func(Config) (httpcache.Store, func(), error) {
		dir, err := os.MkdirTemp("", "benchcache")
		if err != nil {
			return nil, nil, err
		}
		d, err := httpcache.OpenDisk(dir, room)
		if err != nil {
			os.RemoveAll(dir)
			return nil, nil, err
		}
		return d, func() { d.Close(); os.RemoveAll(dir) }, nil
	}
	for name, open := range map[string]func(Config) (httpcache.Store, func(), error){"memory": memory, "disk": disk} {
		for prefix, fetch := range map[string]bool{"netreply-": false, "netreply-fetch-": true} {
			RegisterCaching(prefix+name, func(cfg Config) (Peer, error) {
				store, end, err := open(cfg)
				if err != nil {
					return nil, err
				}
				m, err := netreply.NewManager(netreply.Config{
					SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg.TLS()}, ConnectionsPerHost: 4096, ReadBufferSize: 1 << 20,
					Cache: httpcache.New(store),
				})
				return &cachingPeer{netreplyPeer{m, fetch}, end}, err
			})
		}
	}
	RegisterCaching("gregjones-memory", func(cfg Config) (Peer, error) {
		c := stdClient(cfg)
		t := gregjones.NewTransport(gregjones.NewMemoryCache())
		t.Transport = c.Transport
		return &nethttp{&http.Client{Transport: t, CheckRedirect: max20}}, nil
	})
}

// cachingPeer is netreplyPeer with a store.
type cachingPeer struct {
	netreplyPeer
	end func()
}

func (p *cachingPeer) Close() {
	p.netreplyPeer.Close()
	p.end()
}
