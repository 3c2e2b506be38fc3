package cookies

import (
	"cmp"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/netreply/netreply/internal/site"
)

// Options configure a Jar. The zero value has the limits of browsers.
type Options struct {
	// PublicSuffix is a list of public suffixes, the domains below which anyone can
	// register names: no cookie is set for them. nil means the list of
	// golang.org/x/net/publicsuffix.
	PublicSuffix interface {
		PublicSuffix(domain string) string
	}
	// MaxPerDomain is the maximum number of cookies of a registrable domain; 0 means 180.
	// Expired cookies are removed first, then those that are not Secure, then the others,
	// each least recently used first.
	MaxPerDomain int
	// Max is the maximum number of all cookies; 0 means 3000. Expired cookies are removed
	// first, then those of a domain that has more than half of the maximum, then the least
	// recently used.
	Max int
	// MaxAge limits the lifetime of cookies from the time they are set; 0 means no limit.
	// RFC 6265bis requires 400 days of browsers.
	MaxAge time.Duration
}

// Jar stores cookies. It is safe for concurrent use. Operations on a cookie take
// logarithmic time in the number of cookies. The zero value is an empty jar with default
// Options. A nil URL has no cookies, and none are set for it.
type Jar struct {
	opts  Options
	count atomic.Int64 // number of cookies; written under mu

	mu      sync.Mutex // never held during I/O or callbacks
	entries *entries
}

var _ http.CookieJar = (*Jar)(nil)

// NewJar makes an empty jar.
func NewJar(o Options) *Jar { return &Jar{opts: o} }

// publicSuffix is Options.PublicSuffix or its default.
func (o *Options) publicSuffix() interface{ PublicSuffix(string) string } {
	if o.PublicSuffix == nil {
		return publicsuffix.List
	}
	return o.PublicSuffix
}

func (o *Options) newEntries() *entries {
	perDomain, all := 180, 3000
	if o.MaxPerDomain > 0 {
		perDomain = o.MaxPerDomain
	}
	if o.Max > 0 {
		all = o.Max
	}
	return newEntries(perDomain, all)
}

// Len is the number of cookies, including expired ones that were not removed yet.
func (j *Jar) Len() int { return int(j.count.Load()) }

// lock locks the entries, and makes them if necessary.
func (j *Jar) lock() {
	j.mu.Lock()
	if j.entries == nil {
		j.entries = j.opts.newEntries()
	}
}

// unlock updates count and unlocks the entries.
func (j *Jar) unlock() {
	j.count.Store(int64(len(j.entries.all)))
	j.mu.Unlock()
}

// site returns the site of a host.
func (j *Jar) site(host string) string { return site.Of(host, j.opts.publicSuffix()) }

// SetHeader stores the cookies in the Set-Cookie values of a response from u, and returns
// how many of them changed the jar.
func (j *Jar) SetHeader(u *url.URL, values []string) int {
	now := time.Now()
	n := 0
	for _, v := range values {
		if c, ok := parse(v, now); ok && j.set(u, c, now) {
			n++
		}
	}
	return n
}

// SetCookies implements http.CookieJar. Cookies that net/http has parsed are parsed again
// from their line. Cookies that net/http rejects can only be stored by SetHeader.
func (j *Jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	now := time.Now()
	for _, h := range cookies {
		if h == nil {
			continue
		}
		if c, ok := fromHTTP(h, now); ok {
			j.set(u, c, now)
		}
	}
}

// Set stores a cookie as if a response from u had set it (Qt: setCookiesFromUrl). Domain
// and Path may be empty. It returns false if the rules do not allow it.
func (j *Jar) Set(u *url.URL, c Cookie) bool {
	domain, ok := canonicalDomain(c.Domain)
	c.Domain = domain
	return ok && c.valid() && j.set(u, c, time.Now())
}

// set implements the storage model of RFC 6265bis, section 5.7. It returns false if the
// cookie is refused; an expired cookie deletes the stored one, and the result is true.
func (j *Jar) set(u *url.URL, c Cookie, now time.Time) bool {
	host, ok := hostOf(u)
	if !ok {
		return false
	}
	of := j.site(host)
	switch {
	case c.Domain == "",
		c.Domain == host && (site.IsAddress(host) || site.IsPublicSuffix(host, j.opts.publicSuffix())):
		c.Domain, c.HostOnly = host, true
	case !site.Within(host, c.Domain), !site.Within(c.Domain, of):
		// A domain above the site has other sites below it, even if it is not a public
		// suffix itself: the domains below kobe.jp are separate sites.
		return false
	default:
		c.HostOnly = false
	}
	path := c.Path
	if c.Path == "" {
		c.Path = defaultPath(pathOf(u))
	}
	secure := isSecure(u, host)
	switch {
	case len(c.Path) > maxPair,
		c.Secure && !secure,
		hasPrefix(c.Name, "__Secure-") && !c.Secure,
		hasPrefix(c.Name, "__Host-") && (!c.Secure || !c.HostOnly || path != "/"):
		return false
	}
	j.lock()
	defer j.unlock()
	return j.insert(c, of, secure, now)
}

// insert adds or replaces a cookie, or deletes it if c has expired. The caller holds the
// lock.
func (j *Jar) insert(c Cookie, of string, secure bool, now time.Time) bool {
	if !c.Secure && !secure && j.entries.shadows(&c, of) {
		return false // possibly set by an attacker on the network
	}
	if limit := j.opts.MaxAge; limit > 0 && c.Expires.After(now.Add(limit)) {
		c.Expires = now.Add(limit)
	}
	c.Created, c.LastAccess = cmp.Or(c.Created, now), cmp.Or(c.LastAccess, now)
	if !c.expired(now) {
		j.entries.put(c, of, now)
	} else if e := j.entries.all[c.identity()]; e != nil {
		j.entries.remove(e)
	}
	return true
}

// hostOf returns the canonical host of a URL; false if it has none.
func hostOf(u *url.URL) (string, bool) {
	if u == nil {
		return "", false
	}
	return site.Canonical(u.Hostname())
}

// target returns the target for a URL; false if it has no host.
func (j *Jar) target(u *url.URL) (target, bool) {
	host, ok := hostOf(u)
	if !ok {
		return target{}, false
	}
	return target{host: host, site: j.site(host), path: pathOf(u), secure: u.Scheme == "https"}, true
}

// match returns the cookies for t in the order in which they are sent: longer paths first,
// then older cookies (RFC 6265bis, section 5.8.3). The caller holds the lock.
func (j *Jar) match(t target, now time.Time) []*entry {
	j.entries.removeExpired(now)
	found := j.entries.find(t)
	slices.SortFunc(found, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created), cmp.Compare(a.seq, b.seq))
	})
	return found
}

// use is match for sending: it records the use. The caller holds the lock.
func (j *Jar) use(t target) []*entry {
	now := time.Now()
	found := j.match(t, now)
	for _, e := range found {
		j.entries.touch(e, now)
	}
	return found
}

// For returns the cookies that would be sent to u, in that order (Qt: cookiesForUrl). It
// does not count as a use.
func (j *Jar) For(u *url.URL) []Cookie {
	t, ok := j.target(u)
	if !ok {
		return nil
	}
	j.lock()
	defer j.unlock()
	return values(j.match(t, time.Now()))
}

func values(es []*entry) []Cookie {
	cs := make([]Cookie, 0, len(es))
	for _, e := range es {
		cs = append(cs, e.Cookie)
	}
	return cs
}

// Header returns the value of the Cookie field for a request to u; "" for none.
func (j *Jar) Header(u *url.URL) string {
	if j.Len() == 0 {
		return ""
	}
	t, ok := j.target(u)
	if !ok {
		return ""
	}
	j.lock()
	defer j.unlock()
	var b strings.Builder
	for _, c := range j.use(t) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.Name)
		b.WriteByte('=')
		b.WriteString(c.Value)
	}
	return b.String()
}

// Cookies implements http.CookieJar.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie {
	t, ok := j.target(u)
	if !ok {
		return nil
	}
	j.lock()
	defer j.unlock()
	var hs []*http.Cookie
	for _, c := range j.use(t) {
		h := &http.Cookie{Name: c.Name, Value: c.Value}
		if v := c.Value; len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
			h.Value, h.Quoted = v[1:len(v)-1], true
		}
		hs = append(hs, h)
	}
	return hs
}

// All yields every cookie that has not expired, sorted by domain, path and name. It yields
// the state at the start of the iteration; the jar may be changed meanwhile.
func (j *Jar) All() iter.Seq[Cookie] {
	return func(yield func(Cookie) bool) {
		for _, c := range j.snapshot() {
			if !yield(c) {
				return
			}
		}
	}
}

func (j *Jar) snapshot() []Cookie {
	now := time.Now()
	j.lock()
	j.entries.removeExpired(now)
	all := values(j.entries.byUse.Items())
	j.unlock()
	slices.SortFunc(all, func(a, b Cookie) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Name, b.Name), a.Created.Compare(b.Created))
	})
	return all
}

// Insert adds a cookie without the checks for a response (Qt: insertCookie). Domain is
// required; Path "" means "/". An expired cookie deletes the stored one. It returns false
// if the cookie is invalid or has expired.
func (j *Jar) Insert(c Cookie) bool {
	now := time.Now()
	return j.restore(c, always, now) && !c.expired(now)
}

// condition is the condition under which restore inserts a cookie.
type condition int

const (
	always condition = iota
	ifMissing
	ifPresent
)

func (j *Jar) restore(c Cookie, when condition, now time.Time) bool {
	domain, ok := canonicalDomain(c.Domain)
	if c.Path == "" {
		c.Path = "/"
	}
	if !ok || domain == "" || c.Path[0] != '/' || !c.valid() {
		return false
	}
	c.Domain = domain
	of := j.site(domain)
	j.lock()
	defer j.unlock()
	if present := j.entries.all[c.identity()] != nil; when == ifMissing && present || when == ifPresent && !present {
		return false
	}
	return j.insert(c, of, true, now)
}

// Update is Insert for an existing cookie; it returns false if there is none (Qt:
// updateCookie).
func (j *Jar) Update(c Cookie) bool {
	now := time.Now()
	return j.restore(c, ifPresent, now) && !c.expired(now)
}

// Delete removes the cookie with the name, domain and path of c, and reports whether there
// was one (Qt: deleteCookie).
func (j *Jar) Delete(c Cookie) bool {
	j.lock()
	defer j.unlock()
	e := j.entries.all[c.identity()]
	if e != nil {
		j.entries.remove(e)
	}
	return e != nil
}

// DeleteFunc removes every cookie for which del returns true, and returns their number. del
// may use the jar; a cookie that is changed after the call of del is not removed.
func (j *Jar) DeleteFunc(del func(Cookie) bool) int {
	n := 0
	for _, c := range j.snapshot() {
		if del(c) && j.deleteSame(c) {
			n++
		}
	}
	return n
}

// deleteSame deletes a cookie unless it was changed; LastAccess is ignored.
func (j *Jar) deleteSame(c Cookie) bool {
	j.lock()
	defer j.unlock()
	e := j.entries.all[c.identity()]
	if e == nil {
		return false
	}
	if c.LastAccess = e.LastAccess; c != e.Cookie {
		return false
	}
	j.entries.remove(e)
	return true
}

// Clear removes all cookies.
func (j *Jar) Clear() {
	j.lock()
	defer j.unlock()
	j.entries = j.opts.newEntries()
}

// None is a jar that stores and sends no cookies.
var None http.CookieJar = none{}

type none struct{}

func (none) SetCookies(*url.URL, []*http.Cookie) {}
func (none) Cookies(*url.URL) []*http.Cookie     { return nil }
