package httpcache

import (
	"context"
	"fmt"
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
	d.walk(ctx, func(hash string, k *keyFile) bool {
		if strings.HasPrefix(k.key, prefix) {
			if err := d.change(ctx, hash, k.key, 0, removeAll); failed == nil {
				failed = err
			}
		}
		return ctx.Err() == nil
	})
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
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

// walk calls f for each key, until it returns false.
func (d *Disk) walk(ctx context.Context, f func(hash string, k *keyFile) bool) {
	for i := range shards {
		if ctx.Err() != nil {
			return
		}
		for _, name := range namesIn(filepath.Join(d.dir, fmt.Sprintf("%02x", i))) {
			hash, ok := strings.CutSuffix(name, keySuffix)
			if !ok || !isHash(hash) {
				continue
			}
			if k, _, err := d.read(hash); err == nil && k != nil && !f(hash, k) {
				return
			}
		}
	}
}

// namesIn lists a directory, which may be missing.
func namesIn(dir string) []string {
	f, err := os.OpenFile(dir, os.O_RDONLY|plainFlags, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
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
