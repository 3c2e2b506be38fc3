package peers

import (
	"bytes"
	"context"
	"sync"

	"github.com/netreply/netreply"
)

// reusingPeer is netreplyPeer whose small requests use FetchInto with Replies that are used
// again. The body is copied for the caller, as that of fasthttp.
type reusingPeer struct {
	netreplyPeer
	calls sync.Pool
}

// call is what a small request needs.
type call struct {
	reply netreply.Reply
	body  bytes.Buffer
	url   string
	req   *netreply.Request
}

func init() {
	Register("netreply-reuse", func(cfg Config) (Peer, error) {
		m, err := netreply.NewManager(netreply.Config{
			SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg.TLS()}, ConnectionsPerHost: 4096, ReadBufferSize: 1 << 20,
		})
		return &reusingPeer{netreplyPeer: netreplyPeer{m, true}}, err
	})
}

func (p *reusingPeer) Get(ctx context.Context, url string) ([]byte, error) {
	c, _ := p.calls.Get().(*call)
	if c == nil {
		c = new(call)
	}
	defer p.calls.Put(c)
	if c.url != url {
		req, err := p.request(url)
		if err != nil {
			return nil, err
		}
		c.url, c.req = url, req
	}
	if err := p.m.FetchInto(ctx, &c.reply, "GET", c.req, nil); err != nil {
		return nil, err
	}
	c.body.Reset()
	_, err := c.reply.WriteTo(&c.body)
	return bytes.Clone(c.body.Bytes()), err
}
