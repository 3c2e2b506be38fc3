// Package rediscache is a store of HTTP responses in Redis, so that many processes share one
// cache.
//
// It is a module of its own, so that only those who use Redis have its client among their
// dependencies.
package rediscache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/netreply/netreply/httpcache"
)

// Options are settings of a Store. Zero values mean the defaults.
type Options struct {
	// Prefix is what the names of all keys in Redis begin with. Stores with the same one
	// share their entries. The default is "netreply:". In a cluster it should have no braces.
	Prefix string
	// TTL is how long an entry is kept at most after it was stored or updated; 24 hours by
	// default. One that cannot be validated goes earlier, when it is of no more use
	// (httpcache.UsefulUntil). To keep Redis from becoming too large give it a maxmemory and one
	// of the policies allkeys-lru and volatile-lru.
	TTL time.Duration
	// MaxEntry is the largest body in bytes, 16 MiB by default. Larger ones, which another
	// Store may have stored, are not used.
	MaxEntry int64
	// Timeout bounds each exchange with Redis, connecting included; 100 ms by default, and
	// four times that for parts of bodies. When three exchanges have failed in a row none is
	// tried for a second.
	Timeout time.Duration
	// Grace is how long bodies that are open stay readable when their entry was removed or
	// replaced, and how long a body may take to be written; 10 minutes by default.
	Grace time.Duration
	// Lease is how long a reservation holds if it is not released, as when its process has
	// died; 10 s by default.
	Lease time.Duration
	// Wait bounds how long Reserve waits for another process; 2 s by default.
	Wait time.Duration
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.TTL, 24 * time.Hour}, {&o.Timeout, 100 * time.Millisecond}, {&o.Grace, 10 * time.Minute},
		{&o.Lease, 10 * time.Second}, {&o.Wait, 2 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if o.Prefix == "" {
		o.Prefix = "netreply:"
	}
	if o.MaxEntry <= 0 {
		o.MaxEntry = 16 << 20
	}
	return o
}

// Store is a httpcache.Store in Redis. It is also a httpcache.Lister, for which it looks at
// all keys of the database, and a httpcache.Reserver.
//
// Without Redis nothing is found and nothing stored; no method waits longer than Options
// say, but for RemovePrefix, All and Size, which end with their context. A body of up to
// 1 MiB is loaded when it is opened. A larger one is loaded in parts while it is read: if
// Redis is lost meanwhile, its ReadAt fails. What is being written is kept in memory up to
// 1 MiB, and in a temporary file from there on, so that it can be read without Redis.
//
// Redis may lose keys at any time: an entry that is not whole any more is removed when that
// is found. Cluster and sentinels work, too: what belongs to a key of the cache is in one
// slot.
type Store struct {
	o       Options
	client  redis.UniversalClient
	breaker breaker
}

var (
	errDown   = errors.New("rediscache: no connection to Redis a moment ago")
	errClosed = errors.New("rediscache: the store or writer is closed")
)

// New returns a Store on the Redis that r describes, to which it connects when it is used.
// While Redis cannot be reached the client writes that to its log, which is the standard error
// output unless redis.SetLogger has set another.
// Of r, ContextTimeoutEnabled, MaxRetries and DialerRetries do not count, and no
// MaintNotificationsConfig means that those are disabled.
func New(r redis.UniversalOptions, o Options) *Store {
	r.ContextTimeoutEnabled = true
	r.MaxRetries = -1
	r.DialerRetries = 1
	if r.MaintNotificationsConfig == nil { // it looks up names without a bound
		r.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	o = o.withDefaults()
	if r.DialTimeout == 0 {
		r.DialTimeout = 4 * o.Timeout
	}
	return &Store{o: o, client: redis.NewUniversalClient(&r)}
}

// Close closes the connections to Redis. Entries stay.
func (s *Store) Close() error {
	if s == nil || s.client == nil {
		return nil
	}
	return s.client.Close()
}

// call makes one exchange with Redis, which takes longer if it is large.
func (s *Store) call(ctx context.Context, large bool, f func(ctx context.Context) error) error {
	if s.client == nil {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.breaker.allow() {
		return errDown
	}
	timeout := s.o.Timeout
	if large {
		timeout *= 4
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(bounded)
	if errors.Is(err, io.EOF) { // of the connection, not of a body
		err = fmt.Errorf("rediscache: %w", io.ErrUnexpectedEOF)
	}
	var answer redis.Error // of the server
	switch {
	case err == nil || errors.As(err, &answer):
		s.breaker.succeeded()
	case ctx.Err() == nil:
		s.breaker.failed()
	}
	return err
}

// Lookup returns the entries of a key.
func (s *Store) Lookup(ctx context.Context, key string) ([]httpcache.Entry, error) {
	var fields map[string]string
	hash := hashOf(key)
	err := s.call(ctx, false, func(ctx context.Context) (err error) {
		fields, err = s.client.HGetAll(ctx, s.index(hash)).Result()
		return err
	})
	if isWrongType(err) { // not ours: Commit replaces it
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if fields[keyField] != key {
		return nil, nil
	}
	return s.entries(hash, key, fields), nil
}

// entries makes Entries of the fields of an index. What is damaged is removed.
func (s *Store) entries(hash, key string, fields map[string]string) []httpcache.Entry {
	list := make([]httpcache.Entry, 0, len(fields))
	for id, value := range fields {
		if id == keyField {
			continue
		}
		if v, ok := parseVariant(value); ok {
			if v.size > s.o.MaxEntry {
				continue
			}
			list = append(list, &entry{store: s, hash: hash, key: key, id: id, variant: v})
		} else {
			s.drop(hash, id, value[:min(len(value), 8)])
		}
	}
	return list
}

// Create begins a new entry. It needs no connection.
func (s *Store) Create(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
	if s.client == nil {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if v.Size > s.o.MaxEntry || s.breaker.isOpen() {
		return nil, nil
	}
	return newWriter(s, key, v.ID), nil
}

// Update replaces the metadata of an entry.
func (s *Store) Update(ctx context.Context, e httpcache.Entry, meta []byte) error {
	old, ok := e.(*entry)
	if !ok || old.store.o.Prefix != s.o.Prefix {
		return nil
	}
	ttl := s.ttlOf(meta)
	if err := s.expire(ctx, old.hash, old.variant, ttl+s.o.Grace); err != nil {
		return err
	}
	v := old.variant
	v.meta, v.revision = meta, newNumber()
	changed := 0
	err := s.call(ctx, false, func(ctx context.Context) (err error) {
		changed, err = updateScript.Run(ctx, s.client, []string{s.index(old.hash)},
			old.id, old.value()[:16], v.value(), ttl.Milliseconds()).Int()
		return err
	})
	if isWrongType(err) {
		return nil
	}
	if err == nil && changed == 0 { // the body may belong to nothing any more
		return s.retire(ctx, old.hash, old.id, old.variant)
	}
	return err
}

// Remove removes the entries of a key.
func (s *Store) Remove(ctx context.Context, key string) error {
	return s.removeIndex(ctx, hashOf(key))
}

func (s *Store) removeIndex(ctx context.Context, hash string) error {
	var fields []string
	err := s.call(ctx, false, func(ctx context.Context) (err error) {
		fields, err = removeScript.Run(ctx, s.client, []string{s.index(hash)}).StringSlice()
		return err
	})
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if v, ok := parseVariant(fields[i+1]); ok && fields[i] != keyField {
			s.expire(ctx, hash, v, s.o.Grace) // else they go with their TTL
		}
	}
	return nil
}

// minTTL is how long an entry is kept that is of no use when it is stored.
const minTTL = time.Second

// ttlOf is how long an entry with these metadata is kept.
func (s *Store) ttlOf(meta []byte) time.Duration {
	until, ok := httpcache.UsefulUntil(meta)
	if !ok {
		return s.o.TTL
	}
	return min(s.o.TTL, max(time.Until(until), minTTL))
}

// isWrongType reports whether a key has a value of another kind than those of a Store.
func isWrongType(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && strings.HasPrefix(answer.Error(), "WRONGTYPE")
}

// drop removes an entry that turned out not to be whole, if it is still there.
func (s *Store) drop(hash, id, body string) {
	s.call(context.Background(), false, func(ctx context.Context) error {
		return dropScript.Run(ctx, s.client, []string{s.index(hash)}, id, body).Err()
	})
}

// retire lets the body of an entry go after Grace, unless the entry has it still.
func (s *Store) retire(ctx context.Context, hash, id string, v variant) error {
	var now string
	err := s.call(ctx, false, func(ctx context.Context) (err error) {
		now, err = s.client.HGet(ctx, s.index(hash), id).Result()
		return err
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if current, ok := parseVariant(now); ok && current.body == v.body {
		return nil
	}
	return s.expire(ctx, hash, v, s.o.Grace)
}

// expire sets how long the parts of a body are kept from now on.
func (s *Store) expire(ctx context.Context, hash string, v variant, d time.Duration) error {
	if v.size == 0 {
		return nil
	}
	return s.call(ctx, false, func(ctx context.Context) error {
		all := s.client.Pipeline()
		for n := range v.parts() {
			all.PExpire(ctx, s.part(hash, v.body, n), d)
		}
		_, err := all.Exec(ctx)
		return err
	})
}
