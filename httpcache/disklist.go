package httpcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// RemovePrefix removes the entries of all keys that begin with prefix. It reads the files of
// all keys.
func (d *Disk) RemovePrefix(ctx context.Context, prefix string) error {
	if err := d.usable(ctx); err != nil {
		return err
	}
	var failed error
	unread := d.walk(ctx, func(hash string, k *keyFile) bool {
		if strings.HasPrefix(k.key, prefix) {
			if err := d.change(ctx, hash, k.key, 0, removeAll); failed == nil {
				failed = err
			}
		}
		return ctx.Err() == nil
	})
	return cmp.Or(failed, ctx.Err(), unread)
}

// All yields all entries.
func (d *Disk) All(ctx context.Context) iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		if d.closed() {
			return
		}
		d.walk(ctx, func(_ string, k *keyFile) bool {
			for _, v := range k.variants {
				if ctx.Err() != nil || !yield(k.key, &diskEntry{d, k.key, v}) {
					return false
				}
			}
			return true
		})
	}
}

// walk calls f for each key, until it returns false. The error is the first of those with which
// something could not be read; the rest is walked all the same.
func (d *Disk) walk(ctx context.Context, f func(hash string, k *keyFile) bool) (unread error) {
	for i := range shards {
		if ctx.Err() != nil {
			return unread
		}
		names, err := namesIn(filepath.Join(d.dir, fmt.Sprintf("%02x", i)))
		unread = cmp.Or(unread, err)
		for _, name := range names {
			hash, ok := strings.CutSuffix(name, keySuffix)
			if !ok || !isHash(hash) {
				continue
			}
			k, _, err := d.read(hash)
			if err != nil && !errors.Is(err, errDirectory) { // which is no entry
				unread = cmp.Or(unread, err)
			}
			if err == nil && k != nil && !f(hash, k) {
				return unread
			}
		}
	}
	return unread
}

// namesIn lists a directory, which may be missing.
func namesIn(dir string) ([]string, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|plainFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Size is the number of bytes that files of entries take, with those that are being written.
// Until entries are expired the next time it may be too large: by what a process was writing that
// was killed, and by what was stored while entries were expired the last time.
func (d *Disk) Size(ctx context.Context) (int64, error) {
	if err := d.usable(ctx); err != nil {
		return 0, err
	}
	return max(0, d.sizes.get().all()), nil
}
