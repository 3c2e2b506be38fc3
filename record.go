package netreply

import (
	"slices"
)

// record is the ordered list of what happened to a reply. The channels and the
// iterator are views of it, so that subscribing late loses nothing. It grows
// with the discrete events only: progress overwrites itself.
type record struct {
	inline  [5]entry // what a GET on a kept connection needs
	entries []entry
	last    uint32
	views   *views
	changed chan struct{} // closed at the next entry; nil when nobody waits
	closed  bool
}

// views holds the channels that were asked for.
type views struct {
	plain         [signals]chan struct{}
	upload        chan Progress
	download      chan Progress
	informational chan Informational
	redirected    chan *Redirect
	authenticate  chan *Authenticator
	proxy         chan *ProxyAuthenticator
	sslErrors     chan *SSLErrors
	preSharedKey  chan *PreSharedKeyAuthenticator
	failed        chan NetworkError
}

// maxInformational bounds the interim responses of one reply, and so the
// buffer of their channel.
const maxInformational = 128

// note appends an entry. The caller holds the reply's lock.
func (c *record) note(k signal, a, b int64, ref any) entry {
	if c.entries == nil {
		c.entries = c.inline[:0]
	}
	if k.conflates() {
		for i := len(c.entries) - 1; i >= 0 && c.entries[i].kind.conflates(); i-- {
			if c.entries[i].kind == k {
				c.entries = slices.Delete(c.entries, i, i+1)
				break
			}
		}
	}
	c.last++
	e := entry{c.last, k, a, b, ref}
	c.entries = append(c.entries, e)
	if c.views != nil {
		c.views.deliver(e)
	}
	if k == sigFinished {
		c.close()
	}
	c.wake()
	return e
}

func (c *record) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// close ends every channel; the one of Finished comes last.
func (c *record) close() {
	c.closed = true
	if v := c.views; v != nil {
		for k := range v.plain {
			if v.plain[k] != nil && signal(k) != sigFinished {
				close(v.plain[k])
			}
		}
		closeIf(v.upload)
		closeIf(v.download)
		closeIf(v.informational)
		closeIf(v.redirected)
		closeIf(v.authenticate)
		closeIf(v.proxy)
		closeIf(v.sslErrors)
		closeIf(v.preSharedKey)
		closeIf(v.failed)
		closeIf(v.plain[sigFinished])
	}
}

func closeIf[T any](ch chan T) {
	if ch != nil {
		close(ch)
	}
}

// deliver puts an entry into its channel if there is one. No send blocks: the
// buffers hold all discrete events there can be, and progress makes way for
// newer progress.
func (v *views) deliver(e entry) {
	switch e.kind {
	case sigUploadProgress:
		latest(v.upload, Progress{e.a, e.b})
	case sigDownloadProgress:
		latest(v.download, Progress{e.a, e.b})
	case sigInformational:
		offer(v.informational, *e.ref.(*Informational))
	case sigRedirected:
		offer(v.redirected, e.ref.(*Redirect))
	case sigAuthentication:
		offer(v.authenticate, e.ref.(*Authenticator))
	case sigProxyAuthentication:
		offer(v.proxy, e.ref.(*ProxyAuthenticator))
	case sigSSLErrors:
		offer(v.sslErrors, e.ref.(*SSLErrors))
	case sigPreSharedKey:
		offer(v.preSharedKey, e.ref.(*PreSharedKeyAuthenticator))
	case sigError:
		offer(v.failed, NetworkError(e.a))
	default:
		offer(v.plain[e.kind], struct{}{})
	}
}

func latest(ch chan Progress, p Progress) {
	if ch == nil {
		return
	}
	select {
	case <-ch:
	default:
	}
	ch <- p // only the transfer sends, under the lock: there is room now
}

func offer[T any](ch chan T, v T) {
	if ch == nil {
		return
	}
	select {
	case ch <- v:
	default: // a flag that is up already, see capacity
	}
}

// after finds the first entry that is newer than seq.
func (c *record) after(seq uint32) (entry, bool) {
	i, _ := slices.BinarySearchFunc(c.entries, seq+1, func(e entry, want uint32) int {
		return int(int64(e.seq) - int64(want))
	})
	if i == len(c.entries) {
		return entry{}, false
	}
	return c.entries[i], true
}
