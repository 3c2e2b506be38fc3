package hsts

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/atomicfile"
)

// maxPolicies bounds a store; those that end first go first.
const maxPolicies = 10_000

// Store holds policies. It is safe for concurrent use.
type Store struct {
	file  string
	count atomic.Int64

	mu       sync.Mutex
	policies map[string]Policy
	err      error // of the last writing
}

// NewStore makes an empty store in memory.
func NewStore() *Store { return &Store{policies: map[string]Policy{}} }

// Open makes a store that is kept in a file, which need not be there. Every change is
// written at once, in one step: a crash leaves the file as it was before or after. Any
// number of processes may have the file open; each sees what the others have learned
// with its own next change, or by Reload. A file that is not one of a Store is refused
// with a *FormatError.
func Open(file string) (*Store, error) {
	s := NewStore()
	s.file = file
	return s, s.Reload()
}

// FormatError tells that a file holds no policies of this package.
type FormatError struct {
	File string
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("hsts: %s: %v", e.File, e.Err) }
func (e *FormatError) Unwrap() error { return e.Err }

// Known tells whether a host is to be reached over TLS only: by its own policy or by
// one of a domain above that includes it (RFC 6797, section 8.2).
func (s *Store) Known(host string) bool {
	if s.count.Load() == 0 {
		return false
	}
	host = canonical(host)
	if host == "" {
		return false
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, own := host, true; ; own = false {
		if p, ok := s.policies[name]; ok && !p.expired(now) && (own || p.IncludeSubdomains) {
			return true
		}
		_, above, ok := strings.Cut(name, ".")
		if !ok {
			return false
		}
		name = above
	}
}

// Upgrade gives the URL to use instead of u: u itself, or for a known host of an http
// URL the one of https. Port 80 becomes 443, any other stays (RFC 6797, section 8.3).
func (s *Store) Upgrade(u *url.URL) *url.URL {
	if u.Scheme != "http" || !s.Known(u.Hostname()) {
		return u
	}
	secure := *u
	secure.Scheme = "https"
	if host, found := strings.CutSuffix(u.Host, ":80"); found {
		secure.Host = host + ":443"
	}
	return &secure
}

// Learn takes the Strict-Transport-Security fields of a response from host, which must
// have come over TLS without any error. The first valid one counts. It returns whether
// the store has changed.
func (s *Store) Learn(host string, values []string) bool {
	host = canonical(host)
	if host == "" {
		return false
	}
	for _, v := range values {
		age, sub, ok := Parse(v)
		if !ok {
			continue
		}
		now := time.Now()
		s.mu.Lock()
		old, known := s.policies[host]
		s.mu.Unlock()
		if age == 0 && !known {
			return false
		}
		p := Policy{host, sub, now.Add(age)}
		// A busy host says the same with every response: the file is not written for
		// a little more time.
		if known && old.IncludeSubdomains == sub && age > 0 && p.Expires.Sub(old.Expires) < age/100 && !old.Expires.After(p.Expires) {
			return false
		}
		s.change(p)
		return true
	}
	return false
}

// Add puts policies into the store, preloaded ones for instance. One that has
// expired removes its host (rule K8). Names that can have none are left out.
func (s *Store) Add(policies ...Policy) { s.change(policies...) }

// Remove forgets a host, which may tell its policy again.
func (s *Store) Remove(host string) { s.change(Policy{Host: host}) }

// Clear forgets all.
func (s *Store) Clear() {
	s.mu.Lock()
	gone := make([]Policy, 0, len(s.policies))
	for host := range s.policies {
		gone = append(gone, Policy{Host: host})
	}
	s.mu.Unlock()
	s.change(gone...)
}

// All yields the policies that hold, by host.
func (s *Store) All() iter.Seq[Policy] {
	return func(yield func(Policy) bool) {
		now := time.Now()
		s.mu.Lock()
		all := slices.Collect(maps.Values(s.policies))
		s.mu.Unlock()
		slices.SortFunc(all, func(a, b Policy) int { return cmp.Compare(a.Host, b.Host) })
		for _, p := range all {
			if !p.expired(now) && !yield(p) {
				return
			}
		}
	}
}

// Err is the error of the last writing to the file, nil when it went well. What was
// learned counts in memory all the same.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// change makes changes, in the file too: with what others have written there since.
func (s *Store) change(changes ...Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		apply(s.policies, changes)
		s.count.Store(int64(len(s.policies)))
		return
	}
	unlock, err := lock(s.file + ".lock")
	if err == nil {
		defer unlock()
		var there map[string]Policy
		if there, err = read(s.file); err == nil {
			s.policies = there
		}
	}
	apply(s.policies, changes)
	s.count.Store(int64(len(s.policies)))
	if err == nil {
		err = write(s.file, s.policies)
	}
	s.err = err
}

// apply puts changes into a set of policies and takes out what has expired.
func apply(to map[string]Policy, changes []Policy) {
	now := time.Now()
	for _, p := range changes {
		if p.Host = canonical(p.Host); p.Host != "" {
			to[p.Host] = p
		}
	}
	maps.DeleteFunc(to, func(_ string, p Policy) bool { return p.expired(now) })
	for len(to) > maxPolicies {
		first := Policy{}
		for _, p := range to {
			if first.Host == "" || p.Expires.Before(first.Expires) {
				first = p
			}
		}
		delete(to, first.Host)
	}
}

// Reload takes what is in the file now.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		return nil
	}
	there, err := read(s.file)
	if err != nil {
		return err
	}
	apply(there, nil)
	s.policies = there
	s.count.Store(int64(len(there)))
	return nil
}

const (
	formatName    = "netreply hsts"
	formatVersion = 1
	maxFile       = 16 << 20
)

type document struct {
	Format   string   `json:"format"`
	Version  int      `json:"version"`
	Policies []stored `json:"policies"`
}

type stored struct {
	Host       string    `json:"host"`
	Subdomains bool      `json:"includeSubdomains,omitempty"`
	Expires    time.Time `json:"expires"`
}

// read gives the policies of a file, none when it is not there.
func read(name string) (map[string]Policy, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]Policy{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var d document
	if err := json.NewDecoder(io.LimitReader(f, maxFile)).Decode(&d); err != nil {
		return nil, &FormatError{name, err}
	}
	if d.Format != formatName || d.Version != formatVersion {
		return nil, &FormatError{name, fmt.Errorf("format %q, version %d", d.Format, d.Version)}
	}
	all := map[string]Policy{}
	for _, p := range d.Policies {
		host := canonical(p.Host)
		if host == "" || host != p.Host {
			return nil, &FormatError{name, fmt.Errorf("%.40q is no host", p.Host)}
		}
		all[host] = Policy{host, p.Subdomains, p.Expires}
	}
	return all, nil
}

func write(name string, policies map[string]Policy) error {
	d := document{Format: formatName, Version: formatVersion, Policies: []stored{}}
	for _, host := range slices.Sorted(maps.Keys(policies)) {
		p := policies[host]
		d.Policies = append(d.Policies, stored{p.Host, p.IncludeSubdomains, p.Expires.UTC()})
	}
	return atomicfile.Write(name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(d)
	})
}
