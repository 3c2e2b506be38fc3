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

// Options configure a Jar. The zero value is that of a browser.
type Options struct {
	// PublicSuffix knows the domains below which anybody can register: no cookie is
	// set for them. nil means the list of golang.org/x/net/publicsuffix.
	PublicSuffix interface {
		PublicSuffix(domain string) string
	}
	// MaxPerDomain is how many cookies a registrable domain may have; 180. What has
	// expired goes first, then what is not Secure, then the rest, each in the order of
	// the last use.
	MaxPerDomain int
	// Max is how many there may be in all; 3000. What has expired goes first, then what
	// was used longest ago; a domain that has more than half of all gives way before the
	// others do.
	Max int
	// MaxAge bounds how long a cookie is kept from when it was set; 0 means no
	// limit. RFC 6265bis wants 400 days of browsers.
	MaxAge time.Duration
}

// Jar holds cookies. It is safe for concurrent use. No cookie costs more than a time
// that grows with the logarithm of their number, but where all are listed. The zero value
// is that of NewJar without options. A URL that is nil has no cookies and sets none.
type Jar struct {
	opts  Options
	count atomic.Int64 // of all cookies; written under mu

	mu      sync.Mutex // held over no I/O and no callback
	entries *entries
}

var _ http.CookieJar = (*Jar)(nil)

// NewJar makes an empty jar.
func NewJar(o Options) *Jar { return &Jar{opts: o} }

// publicSuffix is the option, or what it is by itself.
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

// Len is how many cookies the jar holds, those that have expired and were not
// looked at since included.
func (j *Jar) Len() int { return int(j.count.Load()) }

// lock begins to look at the entries, or to change them.
func (j *Jar) lock() {
	j.mu.Lock()
	if j.entries == nil {
		j.entries = j.opts.newEntries()
	}
}

// unlock ends a change.
func (j *Jar) unlock() {
	j.count.Store(int64(len(j.entries.all)))
	j.mu.Unlock()
}

// site is where the cookies of a host are counted.
func (j *Jar) site(host string) string { return site.Of(host, j.opts.publicSuffix()) }

// SetHeader takes the values of the Set-Cookie fields of a response from u, and
// returns how many of them changed the jar.
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

// SetCookies implements http.CookieJar. Cookies that net/http parsed are taken from
// their line; those it drops never come here, which SetHeader gets.
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

// Set sets a cookie as if a response from u had (Qt: setCookiesFromUrl). Domain and
// Path may be empty. It returns false when the rules forbid it.
func (j *Jar) Set(u *url.URL, c Cookie) bool {
	domain, ok := canonicalDomain(c.Domain)
	c.Domain = domain
	return ok && c.valid() && j.set(u, c, time.Now())
}

// set is the storage model of RFC 6265bis, section 5.7. false means that the cookie
// was refused; an expired one deletes and is true.
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
		// Above the site there are others, even where the domain itself is no public
		// suffix: those below kobe.jp are sites of their own.
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

// insert puts a cookie in its place, or out of it when it has expired. The caller
// holds the lock.
func (j *Jar) insert(c Cookie, of string, secure bool, now time.Time) bool {
	if !c.Secure && !secure && j.entries.shadows(&c, of) {
		return false // by an attacker in between, perhaps
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

// hostOf is the host whose cookies those of a URL are; false for none.
func hostOf(u *url.URL) (string, bool) {
	if u == nil {
		return "", false
	}
	return site.Canonical(u.Hostname())
}

// target is what of a URL decides which cookies it gets; false for none.
func (j *Jar) target(u *url.URL) (target, bool) {
	host, ok := hostOf(u)
	if !ok {
		return target{}, false
	}
	return target{host: host, site: j.site(host), path: pathOf(u), secure: u.Scheme == "https"}, true
}

// match finds the cookies for t in the order they are sent: longer paths first,
// then older ones (RFC 6265bis, section 5.8.3). The caller holds the lock.
func (j *Jar) match(t target, now time.Time) []*entry {
	j.entries.removeExpired(now)
	found := j.entries.find(t)
	slices.SortFunc(found, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created), cmp.Compare(a.seq, b.seq))
	})
	return found
}

// use is match for a request that is sent. The caller holds the lock.
func (j *Jar) use(t target) []*entry {
	now := time.Now()
	found := j.match(t, now)
	for _, e := range found {
		j.entries.touch(e, now)
	}
	return found
}

// For lists the cookies that a request to u would send, in their order (Qt:
// cookiesForUrl). It does not count as a use.
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

// Header is the value of the Cookie field for a request to u; "" for none.
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

// All yields every cookie that has not expired, by domain, path and name. The jar
// may be changed meanwhile; what is yielded is how it was at the start.
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
	all := values(j.entries.used.Items())
	j.unlock()
	slices.SortFunc(all, func(a, b Cookie) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Name, b.Name), a.Created.Compare(b.Created))
	})
	return all
}

// Insert puts a cookie into the jar as it is, with no response that could have set
// it (Qt: insertCookie). Domain must be there; Path "" means "/". One that has
// expired deletes. It returns false when the cookie is not valid or has expired.
func (j *Jar) Insert(c Cookie) bool {
	now := time.Now()
	return j.restore(c, always, now) && !c.expired(now)
}

// condition says when a cookie is restored.
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

// Update is Insert for a cookie that is there already, and false when it is not
// (Qt: updateCookie).
func (j *Jar) Update(c Cookie) bool {
	now := time.Now()
	return j.restore(c, ifPresent, now) && !c.expired(now)
}

// Delete removes the cookie with the name, domain and path of c, and tells whether
// there was one (Qt: deleteCookie).
func (j *Jar) Delete(c Cookie) bool {
	j.lock()
	defer j.unlock()
	e := j.entries.all[c.identity()]
	if e != nil {
		j.entries.remove(e)
	}
	return e != nil
}

// DeleteFunc removes every cookie for which del is true, and counts them. del may use the
// jar; a cookie that is changed after del has seen it stays.
func (j *Jar) DeleteFunc(del func(Cookie) bool) int {
	n := 0
	for _, c := range j.snapshot() {
		if del(c) && j.deleteSame(c) {
			n++
		}
	}
	return n
}

// deleteSame deletes a cookie unless it has become another; to be used does not count.
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

// Clear empties the jar.
func (j *Jar) Clear() {
	j.lock()
	defer j.unlock()
	j.entries = j.opts.newEntries()
}

// None is the jar of a program that wants no cookies: it takes none and sends none.
var None http.CookieJar = none{}

type none struct{}

func (none) SetCookies(*url.URL, []*http.Cookie) {}
func (none) Cookies(*url.URL) []*http.Cookie     { return nil }
