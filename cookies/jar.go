package cookies

import (
	"cmp"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Options configure a Jar. The zero value is that of a browser.
type Options struct {
	// PublicSuffix knows the domains below which anybody can register: no cookie is
	// set for them. nil means the list of golang.org/x/net/publicsuffix.
	PublicSuffix interface {
		PublicSuffix(domain string) string
	}
	// MaxPerDomain is how many cookies a registrable domain may have; 180. Those
	// that were sent longest ago go first.
	MaxPerDomain int
	// Max is how many there may be in all; 3000.
	Max int
	// MaxAge bounds how long a cookie is kept from when it was set; 0 means no
	// limit. RFC 6265bis wants 400 days of browsers.
	MaxAge time.Duration
}

// Jar holds cookies. It is safe for concurrent use.
type Jar struct {
	opts  Options
	count atomic.Int64 // of all cookies; written under mu

	mu      sync.Mutex
	domains map[string][]*Cookie // by registrable domain, oldest first
}

var _ http.CookieJar = (*Jar)(nil)

// NewJar makes an empty jar.
func NewJar(o Options) *Jar {
	if o.PublicSuffix == nil {
		o.PublicSuffix = publicsuffix.List
	}
	if o.MaxPerDomain <= 0 {
		o.MaxPerDomain = 180
	}
	if o.Max <= 0 {
		o.Max = 3000
	}
	return &Jar{opts: o, domains: map[string][]*Cookie{}}
}

// Len is how many cookies the jar holds, those that have expired and were not
// looked at since included.
func (j *Jar) Len() int { return int(j.count.Load()) }

// canonicalHost gives a name in lower case and ASCII, "" for "".
func canonicalHost(host string) (string, bool) {
	if host == "" {
		return "", true
	}
	ascii := true
	for i := range len(host) {
		switch c := host[i]; {
		case c >= 0x80:
			ascii = false
		case c <= ' ' || c == 0x7f || strings.IndexByte("/\\?#@%;,\"<>", c) >= 0:
			return "", false
		}
	}
	if ascii {
		return strings.ToLower(host), true
	}
	a, err := idna.Lookup.ToASCII(host)
	return a, err == nil && a != ""
}

func hostOf(u *url.URL) (string, bool) {
	host, ok := canonicalHost(u.Hostname())
	return host, ok && host != ""
}

// registrable is the key under which the cookies of a host are kept: the public
// suffix and one label more.
func (j *Jar) registrable(host string) string {
	if isIP(host) {
		return host
	}
	suffix := j.opts.PublicSuffix.PublicSuffix(host)
	if suffix == host || suffix == "" {
		return host
	}
	i := len(host) - len(suffix)
	if i <= 1 || host[i-1] != '.' {
		return host
	}
	return host[strings.LastIndexByte(host[:i-1], '.')+1:]
}

func isIP(host string) bool { return net.ParseIP(host) != nil || strings.Contains(host, ":") }

// domainMatch is RFC 6265bis, section 5.1.3.
func domainMatch(host, domain string) bool {
	return host == domain ||
		len(host) > len(domain) && strings.HasSuffix(host, domain) && host[len(host)-len(domain)-1] == '.' && !isIP(host)
}

// pathMatch is RFC 6265bis, section 5.1.4.
func pathMatch(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) &&
		(len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/')
}

func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); strings.HasPrefix(p, "/") {
		return p
	}
	return "/"
}

// defaultPath is the folder of a path.
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// isSecure tells whether a URL may set Secure cookies: besides https, whatever
// comes from this very machine, which nobody in between can have changed.
func isSecure(u *url.URL, host string) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

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
		if c, ok := fromHTTP(h, now); ok {
			j.set(u, c, now)
		}
	}
}

// Set sets a cookie as if a response from u had (Qt: setCookiesFromUrl). Domain and
// Path may be empty. It returns false when the rules forbid it.
func (j *Jar) Set(u *url.URL, c Cookie) bool {
	domain, ok := canonicalHost(strings.TrimPrefix(c.Domain, "."))
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
	secure := isSecure(u, host)
	if c.Domain != "" && !isIP(c.Domain) && j.opts.PublicSuffix.PublicSuffix(c.Domain) == c.Domain {
		if c.Domain != host {
			return false
		}
		c.Domain = ""
	}
	switch {
	case c.Domain == "":
		c.Domain, c.HostOnly = host, true
	case !domainMatch(host, c.Domain):
		return false
	default:
		c.HostOnly = false
	}
	hostPrefix, path := hasPrefix(c.Name, "__Host-"), c.Path
	if c.Path == "" {
		c.Path = defaultPath(pathOf(u))
	}
	switch {
	case c.Secure && !secure,
		hasPrefix(c.Name, "__Secure-") && !c.Secure,
		hostPrefix && (!c.Secure || !c.HostOnly || path != "/"):
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.insert(c, secure, now)
}

func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// insert puts a cookie in its place, or out of it when it has expired. The caller
// holds the lock.
func (j *Jar) insert(c Cookie, secure bool, now time.Time) bool {
	key := j.registrable(c.Domain)
	list := j.domains[key]
	if !c.Secure && !secure { // an attacker in between must not replace a Secure one
		for _, o := range list {
			if o.Secure && o.Name == c.Name && pathMatch(c.Path, o.Path) && (domainMatch(o.Domain, c.Domain) || domainMatch(c.Domain, o.Domain)) {
				return false
			}
		}
	}
	if limit := j.opts.MaxAge; limit > 0 && c.Expires.After(now.Add(limit)) {
		c.Expires = now.Add(limit)
	}
	c.Created, c.LastAccess = cmp.Or(c.Created, now), cmp.Or(c.LastAccess, now)
	i := slices.IndexFunc(list, c.same)
	switch {
	case c.expired(now):
		if i >= 0 {
			j.put(key, slices.Delete(list, i, i+1))
		}
	case i >= 0:
		c.Created = list[i].Created
		*list[i] = c
	default:
		j.put(key, append(list, &c))
		j.evict(key, now)
	}
	return true
}

// same tells whether o has the identity of c (rule C8).
func (c *Cookie) same(o *Cookie) bool {
	return o.Name == c.Name && o.Domain == c.Domain && o.Path == c.Path && o.HostOnly == c.HostOnly
}

// put replaces the list of a domain and keeps the count.
func (j *Jar) put(key string, list []*Cookie) {
	j.count.Add(int64(len(list) - len(j.domains[key])))
	if len(list) == 0 {
		delete(j.domains, key)
		return
	}
	j.domains[key] = list
}

// evict holds the limits: what has expired goes first, then what is not Secure,
// then the rest, each in the order of their last use.
func (j *Jar) evict(key string, now time.Time) {
	if list := j.domains[key]; len(list) > j.opts.MaxPerDomain {
		j.purge(key, now)
		if list = j.domains[key]; len(list) > j.opts.MaxPerDomain {
			victim := slices.MinFunc(list, func(a, b *Cookie) int {
				if a.Secure != b.Secure {
					if a.Secure {
						return 1
					}
					return -1
				}
				return a.LastAccess.Compare(b.LastAccess)
			})
			j.put(key, slices.DeleteFunc(slices.Clone(list), func(c *Cookie) bool { return c == victim }))
		}
	}
	if j.Len() <= j.opts.Max {
		return
	}
	for key := range j.domains {
		j.purge(key, now)
	}
	for j.Len() > j.opts.Max {
		var from string
		var victim *Cookie
		for key, list := range j.domains {
			for _, c := range list {
				if victim == nil || c.LastAccess.Before(victim.LastAccess) {
					from, victim = key, c
				}
			}
		}
		j.put(from, slices.DeleteFunc(slices.Clone(j.domains[from]), func(c *Cookie) bool { return c == victim }))
	}
}

func (j *Jar) purge(key string, now time.Time) {
	j.put(key, slices.DeleteFunc(slices.Clone(j.domains[key]), func(c *Cookie) bool { return c.expired(now) }))
}

// match finds the cookies for u in the order they are sent: longer paths first,
// then older ones (RFC 6265bis, section 5.8.3). The caller holds the lock.
func (j *Jar) match(u *url.URL, now time.Time) []*Cookie {
	host, ok := hostOf(u)
	if !ok {
		return nil
	}
	key := j.registrable(host)
	list := j.domains[key]
	if len(list) == 0 {
		return nil
	}
	if slices.ContainsFunc(list, func(c *Cookie) bool { return c.expired(now) }) {
		j.purge(key, now)
		list = j.domains[key]
	}
	path := pathOf(u)
	var found []*Cookie
	for _, c := range list {
		if (c.Domain == host || !c.HostOnly && domainMatch(host, c.Domain)) && pathMatch(path, c.Path) && (!c.Secure || u.Scheme == "https") {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, func(a, b *Cookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created))
	})
	return found
}

// Header is the value of the Cookie field for a request to u; "" for none.
func (j *Jar) Header(u *url.URL) string {
	if j.Len() == 0 {
		return ""
	}
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for _, c := range j.match(u, now) {
		c.LastAccess = now
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.Name)
		b.WriteByte('=')
		b.WriteString(c.Value)
	}
	return b.String()
}

// For lists the cookies that a request to u would send, in their order (Qt:
// cookiesForUrl). It does not count as a use.
func (j *Jar) For(u *url.URL) []Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	return values(j.match(u, time.Now()))
}

func values(ps []*Cookie) []Cookie {
	cs := make([]Cookie, 0, len(ps))
	for _, p := range ps {
		cs = append(cs, *p)
	}
	return cs
}

// Cookies implements http.CookieJar.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	var hs []*http.Cookie
	for _, c := range j.match(u, now) {
		c.LastAccess = now
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
	j.mu.Lock()
	var all []Cookie
	for _, list := range j.domains {
		for _, c := range list {
			if !c.expired(now) {
				all = append(all, *c)
			}
		}
	}
	j.mu.Unlock()
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
	return j.restore(c, now) && !c.expired(now)
}

func (j *Jar) restore(c Cookie, now time.Time) bool {
	domain, ok := canonicalHost(strings.TrimPrefix(c.Domain, "."))
	if c.Path == "" {
		c.Path = "/"
	}
	if !ok || domain == "" || c.Path[0] != '/' || !c.valid() {
		return false
	}
	c.Domain = domain
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.insert(c, true, now)
}

// Update is Insert for a cookie that is there already, and false when it is not
// (Qt: updateCookie).
func (j *Jar) Update(c Cookie) bool { return j.has(c) && j.Insert(c) }

func (j *Jar) has(c Cookie) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.domains[j.registrable(c.Domain)], c.same)
}

// Delete removes the cookie with the name, domain and path of c, and tells whether
// there was one (Qt: deleteCookie).
func (j *Jar) Delete(c Cookie) bool {
	return j.DeleteFunc(func(o Cookie) bool { return c.same(&o) }) > 0
}

// DeleteFunc removes every cookie for which del is true, and counts them.
func (j *Jar) DeleteFunc(del func(Cookie) bool) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.Len()
	for key, list := range j.domains {
		j.put(key, slices.DeleteFunc(slices.Clone(list), func(c *Cookie) bool { return del(*c) }))
	}
	return before - j.Len()
}

// Clear empties the jar.
func (j *Jar) Clear() { j.DeleteFunc(func(Cookie) bool { return true }) }

// None is the jar of a program that wants no cookies: it takes none and sends none.
var None http.CookieJar = none{}

type none struct{}

func (none) SetCookies(*url.URL, []*http.Cookie) {}
func (none) Cookies(*url.URL) []*http.Cookie     { return nil }
