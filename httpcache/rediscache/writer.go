package rediscache

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	errTooLarge = errors.New("rediscache: entry is too large for the store")
	errLost     = errors.New("rediscache: Redis has lost what was written")
)

// writer sends parts to Redis as they are full. If Redis is lost on the way it can be
// written and read on, but not committed.
type writer struct {
	store     *Store
	key, hash string
	id        string
	v         variant

	part   []byte // what was not sent yet, with room for its sum
	sent   int64  // parts
	lost   error  // why the entry cannot be committed
	failed error  // of the next Write or Commit
	closed bool
	keep   bool // what was sent may belong to an entry
	spool  spool
}

func newWriter(s *Store, key string, id [32]byte) *writer {
	key = strings.Clone(key)
	return &writer{store: s, key: key, hash: hashOf(key), id: hex.EncodeToString(id[:]), v: variant{body: newNumber(), revision: newNumber()}}
}

// Write appends to the body.
func (w *writer) Write(p []byte) (int, error) {
	if w.failed == nil && int64(len(p)) > w.store.o.MaxEntry-w.v.size {
		w.failed = errTooLarge
	}
	if w.failed != nil {
		return 0, w.failed
	}
	if w.failed = w.spool.write(p); w.failed != nil {
		return 0, w.failed
	}
	w.v.size += int64(len(p))
	for rest := p; len(rest) > 0 && w.lost == nil; {
		k := min(len(rest), partSize-len(w.part))
		w.part = append(w.part, rest[:k]...)
		rest = rest[k:]
		if len(w.part) == partSize {
			w.lost = w.send()
		}
	}
	return len(p), nil
}

// send sends a part.
func (w *writer) send() error {
	err := w.store.call(context.Background(), true, func(ctx context.Context) error {
		return w.store.client.Set(ctx, w.store.part(w.hash, w.v.body, w.sent), withSum(w.part), w.store.o.Grace).Err()
	})
	w.sent++
	w.part = w.part[:0]
	return err
}

// ReadAt reads what is written.
func (w *writer) ReadAt(p []byte, off int64) (int, error) { return w.spool.ReadAt(p, off) }

// Commit makes the parts last, and then the index name them.
func (w *writer) Commit(meta []byte) error {
	if w.failed != nil {
		return w.failed
	}
	w.failed = errClosed
	if w.lost == nil && len(w.part) > 0 {
		w.lost = w.send()
	}
	ttl := w.store.ttlOf(meta)
	if w.lost == nil {
		w.lost = w.lasting(ttl + w.store.o.Grace)
	}
	if w.lost != nil {
		return w.lost
	}
	w.v.meta = meta
	s := w.store
	var old string
	w.keep = true // also if the answer is lost
	err := s.call(context.Background(), false, func(ctx context.Context) (err error) {
		old, err = commitScript.Run(ctx, s.client, []string{s.index(w.hash)}, w.id, w.v.value(), w.key, ttl.Milliseconds()).Text()
		return err
	})
	if answer := redis.Error(nil); errors.As(err, &answer) {
		w.keep = false
	}
	if v, ok := parseVariant(old); err == nil && ok {
		s.expire(context.Background(), w.hash, v, s.o.Grace) // else it goes with its TTL
	}
	return err
}

// lasting gives all parts a TTL, and fails if one is missing.
func (w *writer) lasting(ttl time.Duration) error {
	if w.sent == 0 {
		return nil
	}
	s := w.store
	return s.call(context.Background(), false, func(ctx context.Context) error {
		all := s.client.Pipeline()
		there := make([]*redis.BoolCmd, w.sent)
		for n := range there {
			there[n] = all.PExpire(ctx, s.part(w.hash, w.v.body, int64(n)), ttl)
		}
		if _, err := all.Exec(ctx); err != nil {
			return err
		}
		for _, t := range there {
			if !t.Val() {
				return errLost
			}
		}
		return nil
	})
}

// Close removes what was sent in vain.
func (w *writer) Close() error {
	w.failed = errClosed
	if w.closed {
		return nil
	}
	w.closed = true
	if !w.keep && w.sent > 0 {
		w.store.call(context.Background(), false, func(ctx context.Context) error {
			names := make([]string, w.sent)
			for n := range names {
				names[n] = w.store.part(w.hash, w.v.body, int64(n))
			}
			return w.store.client.Unlink(ctx, names...).Err()
		}) // else they go after Grace
	}
	return w.spool.close()
}

// maxInMemory is what a spool has in memory.
const maxInMemory = 1 << 20

// spool keeps what was written for those who read along.
type spool struct {
	mu   sync.Mutex // held for the fields, not for reading and writing the file
	mem  []byte     // the first bytes
	rest int64      // how many are in the file
	file *os.File   // nil if there are none
}

func (s *spool) write(p []byte) error {
	if k := min(len(p), maxInMemory-len(s.mem)); s.file == nil && k > 0 {
		s.mu.Lock()
		s.mem = append(s.mem, p[:k]...)
		s.mu.Unlock()
		p = p[k:]
	}
	if len(p) == 0 {
		return nil
	}
	file := s.file
	if file == nil {
		var err error
		if file, err = os.CreateTemp("", "netreply-*"); err != nil {
			return err
		}
		os.Remove(file.Name()) // where open files can be removed
	}
	_, err := file.WriteAt(p, s.rest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = file
	if err == nil {
		s.rest += int64(len(p))
	}
	return err
}

// ReadAt reads what is written.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	mem, rest, file := s.mem, s.rest, s.file
	s.mu.Unlock()
	if off < 0 {
		return 0, errOffset
	}
	n := 0
	if off < int64(len(mem)) {
		n = copy(p, mem[off:])
	}
	from := off + int64(n) - int64(len(mem))
	want := min(int64(len(p)-n), rest-from)
	if want > 0 {
		k, err := file.ReadAt(p[n:n+int(want)], from)
		n += k
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	os.Remove(s.file.Name())
	return err
}

// Reserve announces that an entry is about to be fetched. While another process has
// announced the same it waits, at most Options.Wait.
func (s *Store) Reserve(ctx context.Context, key string) (release func(), waited bool) {
	name := s.lease(hashOf(key))
	token := newNumber()
	nothing := func() {}
	free := false
	err := s.call(ctx, false, func(ctx context.Context) (err error) {
		free, err = s.client.SetNX(ctx, name, token, s.o.Lease).Result()
		return err
	})
	switch {
	case err != nil:
		return nothing, false
	case free:
		return sync.OnceFunc(func() {
			s.call(context.Background(), false, func(ctx context.Context) error {
				return releaseScript.Run(ctx, s.client, []string{name}, token).Err()
			}) // else it expires
		}), false
	}
	end := time.NewTimer(s.o.Wait)
	defer end.Stop()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		select {
		case <-ctx.Done():
			return nothing, true
		case <-end.C:
			return nothing, true
		case <-time.After(pause):
		}
		var left time.Duration // negative for no lease, and for one that does not expire, which is none
		err := s.call(ctx, false, func(ctx context.Context) (err error) {
			left, err = s.client.PTTL(ctx, name).Result()
			return err
		})
		if err != nil || left < 0 {
			return nothing, true
		}
	}
}

// Pauses between two looks at a lease.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)
