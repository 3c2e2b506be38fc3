package hsts

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netreply/netreply/internal/atomicfile"
)

// Store holds policies. It is safe for concurrent use. Nothing but Open, Reload, Flush
// and Close waits for a file. The zero value is an empty one in memory.
type Store struct {
	count atomic.Int64 // of the records; written under mu

	mu      sync.Mutex // held over no I/O
	table   *table
	cleared time.Time // records up to then do not count
	last    time.Time // the latest stamp of all that was seen

	// Only of a store with a file. file is used by save alone, and so never by two
	// goroutines at a time.
	saver *saver
	file  *sharedFile
}

// NewStore makes an empty store in memory.
func NewStore() *Store { return &Store{} }

// lock begins to look at the table, or to change it.
func (s *Store) lock() {
	s.mu.Lock()
	if s.table == nil {
		s.table = newTable(maxPolicies)
	}
}

// Open makes a store that is kept in a file. What changes counts at once and is written
// a moment later, together with what else has changed by then, on a goroutine that lives
// for the writing only. Each writing is one step: a crash leaves the file as it was
// before or after. Close writes what is still to be written; a program that ends without
// Close or Flush loses what it learned in the last moment, at most a few tenths of a second
// as a rule. What cannot be written is tried again, with growing pauses up to five
// minutes, and is not forgotten meanwhile; Err tells why.
//
// Any number of processes may have the file open, even under the names of several
// symbolic links; each sees what the others have learned with its own next writing, or by
// Reload. A file that is missing is made, and one that is deleted later says nothing: the
// next writing brings it back whole. The lock of the file is another one beside it, with
// ".lock" behind its name, which stays.
//
// A file that is not one of a Store is refused with a *FormatError, and an empty name with
// an error, too. A file that cannot be made is Err's, and no error of Open.
func Open(file string) (*Store, error) {
	s := NewStore()
	if file == "" {
		return s, errors.New("hsts: Open wants the name of a file, and got none; NewStore makes a store without one")
	}
	s.file = &sharedFile{name: file}
	s.saver = &saver{save: s.save}
	atomicfile.Sweep(file) // what a killed process has left; no harm if it stays
	if err := s.Reload(); err != nil {
		return s, err
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		once, cancel := context.WithCancel(context.Background())
		cancel()
		// Another process that has the lock is making it, too.
		if err := s.save(once); !errors.Is(err, errLocked) {
			s.saver.err = err
		}
	}
	return s, nil
}

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
	s.lock()
	defer s.mu.Unlock()
	for name, own := host, true; ; own = false {
		if e := s.table.hosts[name]; e != nil && !e.expired(now) && (own || e.IncludeSubdomains) {
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
	if u == nil || u.Scheme != "http" || !s.Known(u.Hostname()) {
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
		if age, sub, ok := Parse(v); ok {
			return s.learn(host, sub, age)
		}
	}
	return false
}

func (s *Store) learn(host string, sub bool, age time.Duration) bool {
	now := time.Now()
	p := Policy{host, sub, now.Add(age)}
	s.lock()
	old := s.table.hosts[host]
	known := old != nil && !old.expired(now)
	// A busy host says the same with every response: nothing is written for a little
	// more time.
	same := known && age > 0 && old.IncludeSubdomains == sub &&
		p.Expires.Sub(old.Expires) < age/100 && !old.Expires.After(p.Expires)
	if same || age == 0 && !known {
		s.mu.Unlock()
		return false
	}
	s.set(p, now)
	s.mu.Unlock()
	s.changed()
	return true
}

// Add puts policies into the store, preloaded ones for instance. One that has
// expired removes its host (rule K8). Names that can have none are left out.
func (s *Store) Add(policies ...Policy) {
	now := time.Now()
	for _, p := range policies {
		if p.Host = canonical(p.Host); p.Host != "" {
			s.lock()
			s.set(p, now)
			s.mu.Unlock()
		}
	}
	s.changed()
}

// Remove forgets a host, which may tell its policy again.
func (s *Store) Remove(host string) { s.Add(Policy{Host: host}) }

// Clear forgets all, of the other processes, too.
func (s *Store) Clear() {
	s.lock()
	s.cleared = s.stamp(time.Now())
	s.table = newTable(maxPolicies)
	s.count.Store(0)
	s.mu.Unlock()
	s.changed()
}

// set takes a new policy, or the end of one. The caller holds the lock.
func (s *Store) set(p Policy, now time.Time) {
	old := s.table.hosts[p.Host]
	r := record{Policy: p, stamp: s.stamp(now), keep: p.Expires}
	switch {
	case s.file == nil: // there are no copies that could come back
		if p.expired(now) {
			if old != nil {
				s.table.remove(old)
			}
			break
		}
		s.table.put(r, now)
	default:
		if old != nil {
			r.keep = latest(r.keep, old.keep)
		} else if p.expired(now) {
			r.keep = now.Add(unknownKeep)
		}
		s.table.put(r, now)
	}
	s.count.Store(int64(len(s.table.hosts)))
}

// unknownKeep is how long it is remembered that a host has no policy any more when it
// is not known that it had one: another process may know.
const unknownKeep = 30 * 24 * time.Hour

// stamp gives each change a time of its own, later than all that were seen, even when
// the clock has been put back.
func (s *Store) stamp(now time.Time) time.Time {
	now = now.Round(0).UTC()
	if !now.After(s.last) {
		now = s.last.Add(1)
	}
	s.last = now
	return now
}

func (s *Store) changed() {
	if s.saver != nil {
		s.saver.changed()
	}
}

// All yields the policies that hold, by host.
func (s *Store) All() iter.Seq[Policy] {
	return func(yield func(Policy) bool) {
		now := time.Now()
		s.lock()
		all := make([]Policy, 0, len(s.table.hosts))
		for _, e := range s.table.hosts {
			all = append(all, e.Policy)
		}
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
// learned counts in memory all the same, and is written when that is possible again.
func (s *Store) Err() error {
	if s.saver == nil {
		return nil
	}
	return s.saver.lastError()
}

// Flush writes what has changed so far to the file and waits until it is there. It
// returns the error of that writing, or that of the context when it ends before; then the
// writing goes on. A nil ctx never ends. Without a file it does nothing.
func (s *Store) Flush(ctx context.Context) error {
	if s.saver == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return s.saver.flush(ctx)
}

// Close is Flush, for five seconds at most, and the end of writing: the store can still
// be used, but what it learns from then on stays in memory. It returns the error that
// kept changes out of the file.
func (s *Store) Close() error {
	if s.saver == nil {
		return nil
	}
	return s.saver.close()
}

// Reload takes what is in the file now, and waits for it. When it fails the store is as
// before. A file that is not there says nothing.
func (s *Store) Reload() error {
	if s.file == nil {
		return nil
	}
	c, err := readFile(s.file.name)
	if err == nil {
		s.take(c)
	}
	return err
}

// save is the saver's, and Open's before there is anything for that to do.
func (s *Store) save(ctx context.Context) error { return s.file.update(ctx, s.take, s.give) }

// takeBatch is how many records are merged before others may have the lock.
const takeBatch = 100

// take merges what is in the file.
func (s *Store) take(c content) {
	now := time.Now()
	s.lock()
	if c.cleared.After(s.cleared) {
		s.cleared = c.cleared
		s.last = latest(s.last, c.cleared)
		old := s.table
		s.table = newTable(maxPolicies)
		for _, r := range old.records(now) {
			s.merge(r, now)
		}
	}
	s.mu.Unlock()
	for batch := range slices.Chunk(c.records, takeBatch) {
		s.lock()
		for _, r := range batch {
			s.merge(r, now)
		}
		s.count.Store(int64(len(s.table.hosts)))
		s.mu.Unlock()
	}
}

// merge takes a record that was made elsewhere. The caller holds the lock.
func (s *Store) merge(r record, now time.Time) {
	if r.stamp.After(s.cleared) || s.cleared.IsZero() {
		s.last = latest(s.last, r.stamp)
		s.table.merge(r, now)
	}
}

// give is what is to be in the file.
func (s *Store) give() content {
	s.lock()
	defer s.mu.Unlock()
	return content{s.cleared, s.table.records(time.Now())}
}
