package flow

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/wire"
)

// refreshTime is how long a validation in the background may take.
const refreshTime = time.Minute

// refresh validates the selected response in the background, with the same request but for
// its Range. There is one at a time for a key.
func (h *Hop) refresh() {
	c, host, e := h.cached.key, h.req.URL.Host, h.e.cache
	if !e.beginRefresh(c, host) {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, refreshTime)
	n, err := h.repetition(ctx)
	if err != nil {
		cancel()
		e.endRefresh(c, host)
		return
	}
	n.refreshes = true
	n.Headers.Del("Range")
	n.Headers.Del("If-Range")
	go func() {
		defer e.endRefresh(c, host)
		defer cancel()
		defer n.Close()
		resp, err := n.Begin()
		if err != nil {
			return
		}
		if p, ok := resp.Body.(*part); ok { // otherwise it is not stored
			p.store()
		}
		resp.Body.Close()
	}()
}

// beginRefresh reports whether a key may be refreshed. endRefresh must follow.
func (c *cache) beginRefresh(key, host string) bool {
	if !c.begin(host) {
		return false
	}
	c.mu.Lock()
	busy := c.refreshing[key]
	if !busy {
		if c.refreshing == nil {
			c.refreshing = map[string]bool{}
		}
		c.refreshing[key] = true
	}
	c.mu.Unlock()
	if busy {
		c.done(host)
	}
	return !busy
}

func (c *cache) endRefresh(key, host string) {
	c.mu.Lock()
	delete(c.refreshing, key)
	c.mu.Unlock()
	c.done(host)
}

// background is the Watcher of a repetition, of which the program sees nothing: nothing is asked, and
// what was chosen for the request counts. It has no reference to the Watcher of the request, which
// may be that of another request meanwhile.
type background struct {
	profile *wire.Profile
	proxies []*Proxy
	via     string
	tokens  TokenSource // nil for none
}

var _ Watcher = (*background)(nil)

func (*background) Enter(Phase)                                 {}
func (*background) Connecting()                                 {}
func (*background) Encrypted(*tls.ConnectionState)              {}
func (*background) FlawsAccepted(string, *certs.Failure)        {}
func (*background) Carrier(*wire.Conn)                          {}
func (*background) Uploads(*atomic.Int64)                       {}
func (*background) Sent()                                       {}
func (*background) Uploaded(int64, int64)                       {}
func (*background) Interim(int, http.Header)                    {}
func (*background) HeadLate()                                   {}
func (*background) Head(*Head)                                  {}
func (*background) Refused(*url.URL)                            {}
func (*background) Redirect(*Redirection, func()) (follow bool) { return false }
func (*background) Key(any)                                     {}
func (*background) Local(int64)                                 {}
func (*background) Uncached(string)                             {}
func (*background) Decoding(*coding.Reader)                     {}

func (b *background) Profile(*url.URL) (*wire.Profile, bool) { return b.profile, false }
func (b *background) Proxies(*url.URL) ([]*Proxy, error)     { return b.proxies, nil }
func (b *background) Via() string                            { return b.via }
func (b *background) Tokens() TokenSource                    { return b.tokens }

func (*background) Certificate(*url.URL, string, *certs.Failure, bool) *wire.Profile { return nil }

func (*background) Password(*PasswordQuestion) (*auth.Credentials, bool) { return nil, false }
