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

// Store stores policies. It is safe for concurrent use. Only Open, Reload, Flush and Close
// wait for file I/O. The zero value is an empty store in memory.
type Store struct {
	count atomic.Int64 // number of records; written under mu

	mu      sync.Mutex // never held during I/O
	table   *table
	cleared time.Time // records up to then are void
	last    time.Time // the latest stamp so far

	// For a store with a file; otherwise nil. file is used only by save, which never runs
	// concurrently.
	saver *saver
	file  *sharedFile
}

// NewStore makes an empty store in memory.
func NewStore() *Store { return &Store{} }

// lock locks the table, and makes it if necessary.
func (s *Store) lock() {
	s.mu.Lock()
	if s.table == nil {
		s.table = newTable(maxPolicies)
	}
}

// Open makes a store that is saved to a file. Changes take effect at once, and are saved
// shortly afterwards, several together, on a goroutine that exists only during the save.
// Each save replaces the file atomically. Close saves pending changes; a program that ends
// without Close or Flush loses the changes of usually at most a few tenths of a second. A
// failed save is repeated, with growing pauses up to five minutes; the changes stay in
// memory, and Err returns the error.
//
// Any number of processes may use the file, even by different symbolic links. Each gets the
// changes of the others at its next save, or by Reload. A missing file is created. If the
// file is deleted later, the next save restores it with all policies. The store uses a
// separate lock file, with ".lock" appended to the name, and does not remove it.
//
// For a file that a Store has not written Open returns a *FormatError; an empty name is an
// error, too. If the file cannot be created, Open succeeds and Err returns the error.
func Open(file string) (*Store, error) {
	s := NewStore()
	if file == "" {
		return s, errors.New("hsts: Open needs a file name; use NewStore for a store without a file")
	}
	s.file = &sharedFile{name: file}
	s.saver = &saver{save: s.save}
	atomicfile.Sweep(file) // left behind by killed processes; errors are harmless
	if err := s.Reload(); err != nil {
		return s, err
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		once, cancel := context.WithCancel(context.Background())
		cancel()
		// if another process has the lock, it creates the file
		if err := s.save(once); !errors.Is(err, errLocked) {
			s.saver.err = err
		}
	}
	return s, nil
}

// Known reports whether a host must be reached over TLS only: by its own policy, or by that
// of a parent domain that includes subdomains (RFC 6797, section 8.2).
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

// Upgrade returns the https URL for an http URL of a known host, and u otherwise. Port 80
// becomes 443, other ports are kept (RFC 6797, section 8.3).
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

// Learn stores the policy in the Strict-Transport-Security values of a response from host,
// which must have been received over TLS without errors. Only the first valid value is
// used. It reports whether the store has changed.
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
	// A host sends its policy with every response: a slightly later expiry is not saved.
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

// Add adds policies, preloaded ones for instance. An expired policy removes its host (rule
// K8). Invalid hosts are ignored.
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

// Remove removes the policy of a host; Learn may add it again.
func (s *Store) Remove(host string) { s.Add(Policy{Host: host}) }

// Clear removes all policies, also those in the shared file.
func (s *Store) Clear() {
	s.lock()
	s.cleared = s.stamp(time.Now())
	s.table = newTable(maxPolicies)
	s.count.Store(0)
	s.mu.Unlock()
	s.changed()
}

// set stores a policy, or its removal if it has expired. The caller holds the lock.
func (s *Store) set(p Policy, now time.Time) {
	old := s.table.hosts[p.Host]
	r := record{Policy: p, stamp: s.stamp(now), keep: p.Expires}
	switch {
	case s.file == nil: // without a file no other store has copies
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

// unknownKeep is how long a removal is stored for a host whose policy was not known:
// another process may know one.
const unknownKeep = 30 * 24 * time.Hour

// stamp returns a unique time for a change, later than all earlier stamps even if the clock
// was set back.
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

// All yields the policies that have not expired, sorted by host.
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

// Err is the error of the last save, nil after success. Unsaved changes are effective in
// memory, and saving is tried again.
func (s *Store) Err() error {
	if s.saver == nil {
		return nil
	}
	return s.saver.lastError()
}

// Flush saves all changes and waits for that. It returns the error of the save, or the
// cause of ctx if that ends before; the save continues then. A nil ctx never ends. Without
// a file it does nothing.
func (s *Store) Flush(ctx context.Context) error {
	if s.saver == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return s.saver.flush(ctx)
}

// Close is Flush, for at most five seconds, and ends saving: the store can still be used,
// but later changes stay in memory. It returns the error of the save.
func (s *Store) Close() error {
	if s.saver == nil {
		return nil
	}
	return s.saver.close()
}

// Reload reads the file and merges its policies. If it fails the store is unchanged. A
// missing file is treated as empty.
func (s *Store) Reload() error {
	if s.file == nil {
		return nil
	}
	c, err := readFile(s.file.name)
	if err == nil {
		s.mergeFile(c)
	}
	return err
}

// save saves the store. It is called by saver, and by Open before the first change.
func (s *Store) save(ctx context.Context) error {
	return s.file.update(ctx, s.mergeFile, s.fileContent)
}

// mergeBatch is how many records are merged while the lock is held.
const mergeBatch = 100

// mergeFile merges the content of the file.
func (s *Store) mergeFile(c content) {
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
	for batch := range slices.Chunk(c.records, mergeBatch) {
		s.lock()
		for _, r := range batch {
			s.merge(r, now)
		}
		s.count.Store(int64(len(s.table.hosts)))
		s.mu.Unlock()
	}
}

// merge merges a record of another store. The caller holds the lock.
func (s *Store) merge(r record, now time.Time) {
	if r.stamp.After(s.cleared) || s.cleared.IsZero() {
		s.last = latest(s.last, r.stamp)
		s.table.merge(r, now)
	}
}

// fileContent returns the content for the file.
func (s *Store) fileContent() content {
	s.lock()
	defer s.mu.Unlock()
	return content{s.cleared, s.table.records(time.Now())}
}
