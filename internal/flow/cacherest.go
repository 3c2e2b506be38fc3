package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/netreply/netreply/httpcache"
	"github.com/netreply/netreply/internal/cacherules"
	"github.com/netreply/netreply/internal/httpurl"
)

// What a store loses of a body after the head was told, because a file turns out to be damaged, or
// a server is gone, is fetched from there on, with a request that the program does not see. So is
// what a store could not take, by those who share a body and have not received it themselves.

// broken says where a body breaks off.
type broken struct {
	req     *http.Request // whose response it is
	stored  *cacherules.Stored
	at, end int64 // positions in the whole body: of the rest; end is -1 if unknown
	told    int64 // how many bytes were delivered
	// before has what is before at, or an error.
	before io.ReaderAt
	err    error // of the store
	// shared: it was shared, and err is of the request of another one. Then the cache takes part
	// again, so that those who have shared it do it once more.
	shared bool
}

// failure is the error of the reply, with why there is no rest.
func (b *broken) failure(why error) error {
	if b.shared {
		if why == errChanged || why == errNoRest || why == errOnlyOnce {
			return b.err
		}
		return why
	}
	text := fmt.Sprintf("the stored body cannot be read from byte %d on (%v)", b.at, b.err)
	causes := []error{why} // not the store's: a time limit of the store is none of the reply
	if errors.Is(b.err, httpcache.ErrDamaged) {
		file := strings.TrimPrefix(b.err.Error(), httpcache.ErrDamaged.Error()+": ")
		text = fmt.Sprintf("the stored body is damaged at byte %d (%s)", b.at, file)
		causes = append(causes, httpcache.ErrDamaged)
	}
	if why == errOnlyCache {
		text += ", and AlwaysCache forbids fetching the rest"
	} else {
		text = fmt.Sprintf("%s, and the rest cannot be fetched: %v", text, why)
	}
	return &Error{Kind: StoreFailed, Err: &lostRest{text, causes}}
}

// lostRest is the error of a stored body without its rest.
type lostRest struct {
	text   string
	causes []error
}

func (l *lostRest) Error() string   { return l.text }
func (l *lostRest) Unwrap() []error { return l.causes }

// rest is the rest of a body, from the network.
type rest struct {
	resp *http.Response
	t    *Transfer
	left int64 // bytes to come, -1 if unknown
}

// Read reads what is left.
func (r *rest) Read(p []byte) (n int, err error) {
	if r.left >= 0 && int64(len(p)) > r.left {
		p = p[:r.left]
	}
	if r.left != 0 {
		n, err = r.resp.Body.Read(p)
	}
	if r.left < 0 {
		return n, err
	}
	switch r.left -= int64(n); {
	case r.left == 0:
		err = io.EOF
	case err == io.EOF:
		err = &Error{Kind: StoreFailed, Err: errChanged}
	}
	return n, err
}

// Close ends the request.
func (r *rest) Close() error {
	err := r.resp.Body.Close()
	r.t.Close()
	return err
}

var (
	errNoRest    = errors.New("it is no longer the response")
	errOnlyCache = errors.New("the network must not be used")
	errOnlyOnce  = errors.New("the program has accepted the certificate for one response only")
	errChanged   = errors.New("the server has another body by now")
)

// fetchRest fetches the rest of a body. The error is that of the reply.
func (h *Hop) fetchRest(b *broken) (*rest, error) {
	t := h.t
	if t.ctx.Err() != nil {
		return nil, context.Cause(t.ctx)
	}
	switch {
	case t.Load == cacherules.AlwaysCache:
		return nil, b.failure(errOnlyCache)
	case h.req != b.req || b.stored.Status/100 == 3: // it was redirected
		return nil, b.failure(errNoRest)
	}
	n, err := h.repetition(t.ctx)
	if err != nil {
		return nil, b.failure(err)
	}
	n.Clock, n.fetchesRest, n.Load = t.Clock, true, cacherules.PreferNetwork
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		n.Headers.Del(name)
	}
	if b.shared {
		n.fetchesRest, n.fetchesAgain = false, true
	} else if conditions := b.stored.RestConditions(b.at, b.end); conditions.Range != "" {
		n.Headers.Set("Range", conditions.Range)
		n.Headers.Set("If-Range", conditions.IfRange)
	}
	resp, err := n.Begin()
	if err != nil {
		n.Close()
		return nil, h.restFailure(b, err)
	}
	r := &rest{resp, n, -1}
	skip, sure, ok := b.stored.Rest(resp.StatusCode, resp.Header, resp.ContentLength, b.at, b.end)
	if !ok {
		err = errChanged
	} else {
		err = h.skip(resp.Body, skip, b, sure)
	}
	if err != nil {
		r.Close()
		return nil, h.restFailure(b, err)
	}
	h.refetched(n, b.told, skip)
	if b.end >= 0 {
		r.left = b.end - b.at
	}
	return r, nil
}

// refetched notes that what follows the first told bytes of the body is received by n, behind
// skip bytes.
func (h *Hop) refetched(n *Transfer, told, skip int64) {
	c := h.cached
	c.local = min(c.local, told) - skip
	if o := n.hop.outcome(); o != nil {
		c.local += min(o.Local, math.MaxInt64-max(c.local, 0))
	}
	h.t.watcher.Local(c.local)
}

// restFailure is the error of the reply if its rest cannot be fetched.
func (h *Hop) restFailure(b *broken, err error) error {
	if h.t.ctx.Err() != nil {
		return context.Cause(h.t.ctx)
	}
	return b.failure(err)
}

// skip reads the first n bytes of a response, which must be those before the rest.
func (h *Hop) skip(r io.Reader, n int64, b *broken, sure bool) error {
	buf, same := make([]byte, 32<<10), make([]byte, 32<<10)
	for at := int64(0); at < n; {
		k, err := io.ReadAtLeast(r, buf[:min(int64(len(buf)), n-at)], 1)
		if err != nil {
			return err
		}
		h.t.Clock.Touch()
		if !sure {
			m, err := b.before.ReadAt(same[:k], at)
			if m < k {
				return errors.Join(errChanged, err)
			}
			if !bytes.Equal(buf[:k], same[:k]) {
				return errChanged
			}
		}
		at += int64(k)
	}
	return nil
}

// repetition is a transfer of the same request, of which the program sees nothing.
func (h *Hop) repetition(ctx context.Context) (*Transfer, error) {
	t := h.t
	profile, once := t.watcher.Profile(h.req.URL)
	if once {
		return nil, errOnlyOnce
	}
	w := &background{profile: profile, via: t.watcher.Via()}
	if t.Bearer {
		w.tokens = t.watcher.Tokens()
	}
	if t.Proxied {
		var err error
		if w.proxies, err = t.watcher.Proxies(h.req.URL); err != nil {
			return nil, err
		}
	}
	n := h.e.NewTransfer(ctx, w)
	n.Request = t.Request
	n.Method, n.URL, n.Headers = http.MethodGet, t.url, t.Headers.Clone()
	n.Redirects, n.AsksPassword, n.AsksProxyPassword = httpurl.Manual, false, false
	n.Bearer = n.Bearer && t.sameOrigin(t.url)
	n.NoDecoding = true // nobody reads it decoded here, but Accept-Encoding is the same
	if t.decode {
		n.Headers.Set("Accept-Encoding", acceptEncoding[0])
	}
	return n, nil
}
