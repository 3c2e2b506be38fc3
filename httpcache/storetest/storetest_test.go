package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/httpcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// judge is a testing.TB that notes a failure instead of telling it.
type judge struct {
	testing.TB
	mu      sync.Mutex
	said    []string
	skipped bool
}

func (j *judge) Helper() {}

func (j *judge) Error(args ...any) { j.Errorf("%s", fmt.Sprint(args...)) }

func (j *judge) Errorf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.said = append(j.said, fmt.Sprintf(format, args...))
}

func (j *judge) Failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.said) > 0
}

func (j *judge) Fatal(args ...any) {
	j.Error(args...)
	runtime.Goexit()
}

func (j *judge) Fatalf(format string, args ...any) {
	j.Errorf(format, args...)
	runtime.Goexit()
}

func (j *judge) Skip(...any) {
	j.skipped = true
	runtime.Goexit()
}

// ask tests one requirement, and returns what is wrong.
func ask(t *testing.T, r requirement, s Subject) *judge {
	j := &judge{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				j.Errorf("panic: %v", p)
			}
		}()
		r.check(j, s)
	}()
	<-done
	return j
}

// broken is a Store that does one thing wrong: what it does not override is right.
type broken struct {
	httpcache.Store
	lookup func(ctx context.Context, key string) ([]httpcache.Entry, error)
	create func(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error)
	update func(ctx context.Context, e httpcache.Entry, meta []byte) error
	remove func(ctx context.Context, key string) error
	prefix func(ctx context.Context, prefix string) error
	all    func(ctx context.Context) iter.Seq2[string, httpcache.Entry]
	size   func(ctx context.Context) (int64, error)
	await  func(ctx context.Context, key string) (func(), bool)
}

func (b *broken) Lookup(ctx context.Context, key string) ([]httpcache.Entry, error) {
	if b.lookup != nil {
		return b.lookup(ctx, key)
	}
	return b.Store.Lookup(ctx, key)
}

func (b *broken) Create(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
	if b.create != nil {
		return b.create(ctx, key, v)
	}
	return b.Store.Create(ctx, key, v)
}

func (b *broken) Update(ctx context.Context, e httpcache.Entry, meta []byte) error {
	if b.update != nil {
		return b.update(ctx, e, meta)
	}
	return b.Store.Update(ctx, e, meta)
}

func (b *broken) Remove(ctx context.Context, key string) error {
	if b.remove != nil {
		return b.remove(ctx, key)
	}
	return b.Store.Remove(ctx, key)
}

func (b *broken) RemovePrefix(ctx context.Context, prefix string) error {
	if b.prefix != nil {
		return b.prefix(ctx, prefix)
	}
	return b.Store.RemovePrefix(ctx, prefix)
}

func (b *broken) All(ctx context.Context) iter.Seq2[string, httpcache.Entry] {
	if b.all != nil {
		return b.all(ctx)
	}
	return b.Store.(httpcache.Lister).All(ctx)
}

func (b *broken) Size(ctx context.Context) (int64, error) {
	if b.size != nil {
		return b.size(ctx)
	}
	return b.Store.(httpcache.Lister).Size(ctx)
}

func (b *broken) Reserve(ctx context.Context, key string) (func(), bool) {
	if b.await != nil {
		return b.await(ctx, key)
	}
	return func() {}, false
}

// writer is a Writer that does one thing wrong.
type writer struct {
	httpcache.Writer
	write  func(p []byte) (int, error)
	readAt func(p []byte, off int64) (int, error)
	commit func(meta []byte) error
	close  func() error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.write != nil {
		return w.write(p)
	}
	return w.Writer.Write(p)
}

func (w *writer) ReadAt(p []byte, off int64) (int, error) {
	if w.readAt != nil {
		return w.readAt(p, off)
	}
	return w.Writer.ReadAt(p, off)
}

func (w *writer) Commit(meta []byte) error {
	if w.commit != nil {
		return w.commit(meta)
	}
	return w.Writer.Commit(meta)
}

func (w *writer) Close() error {
	if w.close != nil {
		return w.close()
	}
	return w.Writer.Close()
}

// entry is an Entry whose Open or Meta is wrong.
type entry struct {
	httpcache.Entry
	meta func() []byte
	open func(ctx context.Context) (httpcache.Body, error)
}

func (e *entry) Meta() []byte {
	if e.meta != nil {
		return e.meta()
	}
	return e.Entry.Meta()
}

func (e *entry) Open(ctx context.Context) (httpcache.Body, error) {
	if e.open != nil {
		return e.open(ctx)
	}
	return e.Entry.Open(ctx)
}

// unwrap returns the entry that the Store below knows.
func unwrap(e httpcache.Entry) httpcache.Entry {
	if e, ok := e.(*entry); ok {
		return e.Entry
	}
	return e
}

// body is a Body whose ReadAt is wrong.
type body struct {
	httpcache.Body
	readAt func(p []byte, off int64) (int, error)
}

func (b body) ReadAt(p []byte, off int64) (int, error) { return b.readAt(p, off) }

// bodies returns a Store whose bodies are made by f.
func bodies(f func(httpcache.Body, httpcache.Entry) httpcache.Body) *broken {
	b := &broken{Store: &httpcache.Memory{}}
	b.lookup = func(ctx context.Context, key string) ([]httpcache.Entry, error) {
		list, err := b.Store.Lookup(ctx, key)
		var wrapped []httpcache.Entry
		for _, e := range list {
			wrapped = append(wrapped, &entry{Entry: e, open: func(ctx context.Context) (httpcache.Body, error) {
				body, err := e.Open(ctx)
				if err != nil {
					return nil, err
				}
				return f(body, e), nil
			}})
		}
		return wrapped, err
	}
	b.update = func(ctx context.Context, e httpcache.Entry, meta []byte) error {
		return b.Store.Update(ctx, unwrap(e), meta)
	}
	return b
}

// writers returns a Store whose Writers are changed by f.
func writers(f func(w *writer, key string, v httpcache.Variant)) *broken {
	b := &broken{Store: httpcache.NewMemory(httpcache.Limits{})}
	b.create = func(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
		inner, err := b.Store.Create(ctx, key, v)
		if inner == nil || err != nil {
			return inner, err
		}
		w := &writer{Writer: inner}
		f(w, key, v)
		return w, nil
	}
	return b
}

// flaws are Stores that are wrong, by the requirement that must find it.
var flaws = map[string]func() *broken{
	"Empty": func() *broken {
		return &broken{Store: &httpcache.Memory{}, remove: func(context.Context, string) error { return io.ErrNoProgress }}
	},
	"RoundTrip": func() *broken { // loses the last byte of what is larger than a block
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			w.write = func(p []byte) (int, error) {
				_, err := w.Writer.Write(p[:min(len(p), 64<<10)])
				return len(p), err
			}
		})
	},
	"WrongSizeAnnounced": func() *broken { // believes the announced size
		return writers(func(w *writer, _ string, v httpcache.Variant) {
			size := 0
			w.write = func(p []byte) (int, error) {
				size += len(p)
				return w.Writer.Write(p)
			}
			w.commit = func(meta []byte) error {
				if v.Size >= 0 && int64(size) != v.Size {
					return io.ErrShortWrite
				}
				return w.Writer.Commit(meta)
			}
		})
	},
	"AnyKey": func() *broken { // as a file system that does not distinguish case
		b := &broken{Store: &httpcache.Memory{}}
		b.lookup = func(ctx context.Context, key string) ([]httpcache.Entry, error) {
			return b.Store.Lookup(ctx, strings.ToLower(key))
		}
		b.create = func(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
			return b.Store.Create(ctx, strings.ToLower(key), v)
		}
		return b
	},
	"AnyMeta": func() *broken {
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			w.commit = func(meta []byte) error { return w.Writer.Commit(bytes.TrimSpace(meta)) }
		})
	},
	"BytesAreCopied": func() *broken {
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			var kept [][]byte
			w.write = func(p []byte) (int, error) { kept = append(kept, p); return len(p), nil }
			w.commit = func(meta []byte) error { w.Writer.Write(bytes.Join(kept, nil)); return w.Writer.Commit(meta) }
		})
	},
	"NothingBeforeCommit": func() *broken {
		return writers(func(w *writer, key string, v httpcache.Variant) {
			w.write = func(p []byte) (int, error) {
				n, err := w.Writer.Write(p)
				w.Writer.Commit(nil)
				return n, err
			}
			w.commit = func([]byte) error { return nil }
		})
	},
	"CloseWithoutCommit": func() *broken {
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			w.close = func() error { w.Writer.Commit(nil); return w.Writer.Close() }
		})
	},
	"Replace": func() *broken { // the first one stays
		b := writers(func(*writer, string, httpcache.Variant) {})
		create := b.create
		b.create = func(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
			w, err := create(ctx, key, v)
			if err == nil {
				w.(*writer).commit = func(meta []byte) error {
					if list, _ := b.Store.Lookup(ctx, key); len(list) > 0 {
						return nil
					}
					return w.(*writer).Writer.Commit(meta)
				}
			}
			return w, err
		}
		return b
	},
	"Variants": func() *broken { // one for each key
		b := &broken{Store: &httpcache.Memory{}}
		b.create = func(ctx context.Context, key string, _ httpcache.Variant) (httpcache.Writer, error) {
			return b.Store.Create(ctx, key, httpcache.Variant{Size: -1})
		}
		return b
	},
	"Update": func() *broken {
		return &broken{Store: &httpcache.Memory{}, update: func(context.Context, httpcache.Entry, []byte) error { return nil }}
	},
	"UpdateOnlyCurrent": lateUpdates,
	"UpdateOfOtherStore": func() *broken {
		b := &broken{Store: &httpcache.Memory{}}
		b.update = func(ctx context.Context, _ httpcache.Entry, meta []byte) error {
			list, err := b.Store.Lookup(ctx, "k")
			if err != nil || len(list) == 0 {
				return err
			}
			return b.Store.Update(ctx, list[0], meta)
		}
		return b
	},
	"Remove": func() *broken {
		b := &broken{Store: &httpcache.Memory{}}
		b.remove = func(ctx context.Context, key string) error { return b.Store.RemovePrefix(ctx, key) }
		return b
	},
	"RemovePrefix": func() *broken { // takes a * for anything
		b := &broken{Store: &httpcache.Memory{}}
		b.prefix = func(ctx context.Context, prefix string) error {
			before, _, _ := strings.Cut(prefix, "*")
			return b.Store.RemovePrefix(ctx, before)
		}
		return b
	},
	"RemoveDoesNotStopWriter": func() *broken {
		removed := map[string]bool{}
		b := writers(func(w *writer, key string, _ httpcache.Variant) {
			delete(removed, key)
			w.commit = func(meta []byte) error {
				if removed[key] {
					return nil
				}
				return w.Writer.Commit(meta)
			}
		})
		b.remove = func(ctx context.Context, key string) error { removed[key] = true; return b.Store.Remove(ctx, key) }
		return b
	},
	"OpenBodyStays": func() *broken { // reads what is there now
		var b *broken
		b = bodies(func(inner httpcache.Body, e httpcache.Entry) httpcache.Body {
			return body{inner, func(p []byte, off int64) (int, error) {
				list, _ := b.Store.Lookup(context.Background(), "k")
				if len(list) != 1 {
					return 0, io.ErrClosedPipe
				}
				now, _ := list[0].Open(context.Background())
				return now.ReadAt(p, off)
			}}
		})
		return b
	},
	"EntryStays": func() *broken {
		b := &broken{Store: &httpcache.Memory{}}
		b.lookup = func(ctx context.Context, key string) ([]httpcache.Entry, error) {
			list, err := b.Store.Lookup(ctx, key)
			if len(list) == 0 {
				return list, err
			}
			return []httpcache.Entry{&entry{Entry: list[0], meta: func() []byte {
				if now, _ := b.Store.Lookup(ctx, key); len(now) > 0 {
					return now[0].Meta()
				}
				return nil
			}}}, nil
		}
		b.update = func(ctx context.Context, e httpcache.Entry, meta []byte) error {
			return b.Store.Update(ctx, unwrap(e), meta)
		}
		return b
	},
	"ReadAt": func() *broken { // does not say that it is the end
		return bodies(func(inner httpcache.Body, _ httpcache.Entry) httpcache.Body {
			return body{inner, func(p []byte, off int64) (int, error) {
				n, err := inner.ReadAt(p, off)
				if n > 0 {
					err = nil
				}
				return n, err
			}}
		})
	},
	"ReadWhileWritten": func() *broken { // only when it is written
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			var committed atomic.Bool
			w.commit = func(meta []byte) error { committed.Store(true); return w.Writer.Commit(meta) }
			w.readAt = func(p []byte, off int64) (int, error) {
				if !committed.Load() {
					return 0, io.EOF
				}
				return w.Writer.ReadAt(p, off)
			}
		})
	},
	"ReadAfterCommit": func() *broken {
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			committed := false
			w.commit = func(meta []byte) error { committed = true; return w.Writer.Commit(meta) }
			w.readAt = func(p []byte, off int64) (int, error) {
				if committed {
					return 0, io.ErrClosedPipe
				}
				return w.Writer.ReadAt(p, off)
			}
		})
	},
	"LargeBody": func() *broken { // offsets of 23 bits
		return bodies(func(inner httpcache.Body, _ httpcache.Entry) httpcache.Body {
			return body{inner, func(p []byte, off int64) (int, error) { return inner.ReadAt(p, off%(8<<20)) }}
		})
	},
	"EndedContext": func() *broken {
		b := &broken{Store: &httpcache.Memory{}}
		b.lookup = func(ctx context.Context, key string) ([]httpcache.Entry, error) {
			if ctx.Err() != nil {
				b.Store.Remove(ctx, key)
			}
			return b.Store.Lookup(ctx, key)
		}
		return b
	},
	"ConcurrentReadAt": func() *broken { // one buffer for all
		return bodies(func(inner httpcache.Body, _ httpcache.Entry) httpcache.Body {
			var mu sync.Mutex
			var buffer [1 << 20]byte
			return body{inner, func(p []byte, off int64) (int, error) {
				mu.Lock()
				n, err := inner.ReadAt(buffer[:len(p)], off)
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				defer mu.Unlock()
				return copy(p, buffer[:n]), err
			}}
		})
	},
	"ConcurrentReplacement": removesFirst,
	"ConcurrentRemoval": func() *broken { // forgets one in removal of many
		b := &broken{Store: &httpcache.Memory{}}
		b.prefix = func(ctx context.Context, prefix string) error {
			for n := range 2 {
				b.Store.Remove(ctx, fmt.Sprint("k", n))
			}
			return nil
		}
		return b
	},
	"ConcurrentUpdate": lateUpdates,
	"List": func() *broken {
		b := &broken{Store: &httpcache.Memory{}}
		b.all = func(ctx context.Context) iter.Seq2[string, httpcache.Entry] {
			return func(yield func(string, httpcache.Entry) bool) {
				n := 0
				for key, e := range b.Store.(*httpcache.Memory).All(ctx) {
					if n++; n > 19 || !yield(key, e) {
						return
					}
				}
			}
		}
		return b
	},
	"Size": func() *broken { // what was replaced counts on
		b := &broken{Store: &httpcache.Memory{}}
		grown := int64(0)
		b.size = func(ctx context.Context) (int64, error) {
			n, err := b.Store.(*httpcache.Memory).Size(ctx)
			grown = max(grown, n)
			return grown, err
		}
		return b
	},
	"Full":             func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"TooLarge":         func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"FullOfUnfinished": func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"Reopen":           func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"ReopenUnfinished": func() *broken {
		return writers(func(w *writer, _ string, _ httpcache.Variant) {
			w.write = func(p []byte) (int, error) {
				n, err := w.Writer.Write(p)
				w.Writer.Commit([]byte("1 150000 \"k\""))
				return n, err
			}
			w.commit = func(meta []byte) error { return nil }
		})
	},
	"Shared":            func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"SharedUpdate":      lateUpdates,
	"SharedReplacement": removesFirst,
	"Reserve":           func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"Damage":            func() *broken { return &broken{Store: &httpcache.Memory{}} },
	"Memo":              nil, // see memoStays
}

// lateUpdates returns a Store whose Update changes whatever is there.
func lateUpdates() *broken {
	b := &broken{Store: &httpcache.Memory{}}
	b.update = func(ctx context.Context, e httpcache.Entry, meta []byte) error {
		list, err := b.Store.Lookup(ctx, "k")
		if err != nil || len(list) == 0 {
			return err
		}
		return b.Store.Update(ctx, list[0], meta)
	}
	return b
}

// removesFirst returns a Store that removes an entry before it commits the next.
func removesFirst() *broken {
	b := writers(func(*writer, string, httpcache.Variant) {})
	create := b.create
	b.create = func(ctx context.Context, key string, v httpcache.Variant) (httpcache.Writer, error) {
		w, err := create(ctx, key, v)
		w.(*writer).commit = func(meta []byte) error {
			b.Store.Remove(ctx, key)
			runtime.Gosched()
			return w.(*writer).Writer.Commit(meta)
		}
		return w, err
	}
	return b
}

// memoStays is an Entry that keeps its Memo in an Update.
type memoStays struct {
	httpcache.Entry
	memo *atomic.Value
}

func (m memoStays) Memo() *atomic.Value { return m.memo }

func init() {
	flaws["Memo"] = func() *broken {
		b := &broken{Store: &httpcache.Memory{}}
		memo := &atomic.Value{}
		b.lookup = func(ctx context.Context, key string) ([]httpcache.Entry, error) {
			list, err := b.Store.Lookup(ctx, key)
			return []httpcache.Entry{memoStays{list[0], memo}}, err
		}
		b.update = func(ctx context.Context, e httpcache.Entry, meta []byte) error {
			return b.Store.Update(ctx, e.(memoStays).Entry, meta)
		}
		return b
	}
}

// TestRequirementsFail: each requirement finds a Store that does not meet it.
func TestRequirementsFail(t *testing.T) {
	defer func(before time.Duration) { patience = before }(patience)
	patience = 50 * time.Millisecond
	for _, r := range requirements {
		t.Run(r.name, func(t *testing.T) {
			flaw := flaws[r.name]
			if !assert.NotNil(t, flaw, "there is no Store that is wrong in this") {
				return
			}
			var store *broken
			s := Subject{
				New:     func(testing.TB) httpcache.Store { store = flaw(); return store },
				Limited: func(testing.TB, int64) httpcache.Store { return flaw() },
				Reopen: func(testing.TB, httpcache.Store) httpcache.Store {
					if r.name == "ReopenUnfinished" {
						return store
					}
					return &httpcache.Memory{}
				},
				Join: func(testing.TB, httpcache.Store) httpcache.Store {
					if r.name == "Shared" {
						return &httpcache.Memory{}
					}
					return store
				},
				Damage: func(_ testing.TB, s httpcache.Store) { // changes the first byte of each body
					b := s.(*broken)
					damaged := bodies(func(inner httpcache.Body, _ httpcache.Entry) httpcache.Body {
						return body{inner, func(p []byte, off int64) (int, error) {
							n, err := inner.ReadAt(p, off)
							if off == 0 && n > 0 {
								p[0] ^= 1
							}
							return n, err
						}}
					})
					damaged.Store, b.lookup = b.Store, damaged.lookup
				},
			}
			if r.name == "UpdateOfOtherStore" { // needs two
				s.New = func(testing.TB) httpcache.Store { return flaw() }
			}
			j := ask(t, r, s)
			for range 20 { // a flaw of concurrent calls is not seen each time
				if len(j.said) > 0 {
					break
				}
				j = ask(t, r, s)
			}
			assert.False(t, j.skipped)
			assert.NotEmpty(t, j.said)
		})
	}
}
