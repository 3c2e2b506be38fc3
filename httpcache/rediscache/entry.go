package rediscache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/netreply/netreply/httpcache"
)

// maxLoaded is the largest body that Open loads.
const maxLoaded = 1 << 20

var errOffset = errors.New("rediscache: negative offset")

// entry is an entry that was looked up.
type entry struct {
	store         *Store
	hash, key, id string
	variant
}

// Meta is the metadata.
func (e *entry) Meta() []byte { return e.meta }

// Open loads a small body. Of a larger one it sees that all parts are there.
func (e *entry) Open(ctx context.Context) (httpcache.Body, error) {
	if e.size > maxLoaded {
		return e.openLarge(ctx)
	}
	if e.size == 0 {
		return loaded(nil), ctx.Err()
	}
	gets := make([]*redis.StringCmd, e.parts())
	err := e.store.call(ctx, true, func(ctx context.Context) error {
		all := e.store.client.Pipeline()
		for n := range gets {
			gets[n] = all.Get(ctx, e.store.part(e.hash, e.body, int64(n)))
		}
		_, err := all.Exec(ctx)
		return err
	})
	if err != nil && !errors.Is(err, redis.Nil) && !isWrongType(err) {
		return nil, err
	}
	body := make(loaded, 0, e.size)
	for n, get := range gets {
		part, err := e.check(get, int64(n))
		if err != nil {
			return nil, err
		}
		body = append(body, part...)
	}
	return body, nil
}

func (e *entry) openLarge(ctx context.Context) (httpcache.Body, error) {
	names := make([]string, e.parts())
	for n := range names {
		names[n] = e.store.part(e.hash, e.body, int64(n))
	}
	var there int64
	err := e.store.call(ctx, false, func(ctx context.Context) (err error) {
		there, err = e.store.client.Exists(ctx, names...).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	if there < e.parts() {
		return nil, e.damaged(-1)
	}
	return &body{entry: e}, nil
}

// check returns a part without its sum.
func (e *entry) check(get *redis.StringCmd, n int64) ([]byte, error) {
	b, err := get.Bytes()
	if err != nil && !errors.Is(err, redis.Nil) && !isWrongType(err) {
		return nil, err
	}
	part, ok := withoutSum(b)
	if !ok || int64(len(part)) != e.partLength(n) {
		return nil, e.damaged(n)
	}
	return part, nil
}

// damaged removes the entry and returns the error that says so.
func (e *entry) damaged(n int64) error {
	e.store.drop(e.hash, e.id, string(binary.BigEndian.AppendUint64(nil, e.body)))
	return fmt.Errorf("%w: part %d of the body is missing or wrong", httpcache.ErrDamaged, n)
}

// loaded is a body in memory.
type loaded []byte

// Size is the number of bytes.
func (l loaded) Size() int64 { return int64(len(l)) }

// Close does nothing.
func (l loaded) Close() error { return nil }

// ReadAt copies bytes.
func (l loaded) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	n := copy(p, l[min(off, int64(len(l))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// body is a body that is loaded in parts.
type body struct {
	entry *entry
	last  atomic.Pointer[loadedPart] // the part that was used last
}

type loadedPart struct {
	n     int64
	bytes []byte
}

// Size is the number of bytes.
func (b *body) Size() int64 { return b.entry.size }

// Close does nothing.
func (b *body) Close() error { return nil }

// ReadAt loads the parts that it needs.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	n := 0
	for n < len(p) && off < b.entry.size {
		part, err := b.part(off / partSize)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], part[off%partSize:])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *body) part(n int64) ([]byte, error) {
	if last := b.last.Load(); last != nil && last.n == n {
		return last.bytes, nil
	}
	e := b.entry
	var get *redis.StringCmd
	err := e.store.call(context.Background(), true, func(ctx context.Context) error {
		get = e.store.client.Get(ctx, e.store.part(e.hash, e.body, n))
		return get.Err()
	})
	if err != nil && !errors.Is(err, redis.Nil) && !isWrongType(err) {
		return nil, err
	}
	part, err := e.check(get, n)
	if err != nil {
		return nil, err
	}
	b.last.Store(&loadedPart{n, part})
	return part, nil
}
