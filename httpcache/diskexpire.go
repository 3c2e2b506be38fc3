package httpcache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/internal/filelock"
)

// reserve adds n bytes that are to be written, if there is room for them.
func (d *Disk) reserve(n int64) error {
	now := d.sizes.add(0, n)
	most := d.limits.Size + d.limits.Size/4
	for range 2 { // the first run may have begun before there was something to remove
		if !now.known || now.all() <= most {
			return nil
		}
		select {
		case <-d.expire():
		case <-time.After(lockWait):
		}
		now = d.sizes.get()
	}
	if now.known && now.all() > most {
		d.sizes.add(0, -n)
		return errFull
	}
	return nil
}

// expiry is one run of expire.
type expiry struct {
	done  chan struct{} // closed at its end
	again bool          // another one is wanted; guarded by Disk.mu
}

// expire starts to count what there is and to remove what is too much. If that is running it is
// done once more afterwards. What it returns is closed at the end of the run.
func (d *Disk) expire() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expiry != nil {
		d.expiry.again = true
		return d.expiry.done
	}
	run := &expiry{done: make(chan struct{})}
	if d.closed() {
		close(run.done)
		return run.done
	}
	d.expiry = run
	d.running.Go(func() { // ends with Close
		for run != nil {
			run = d.runOnce(run)
		}
	})
	return run.done
}

// runOnce is one run of expire. It returns the next one, nil for none.
func (d *Disk) runOnce(run *expiry) (next *expiry) {
	again := d.runExpiry()
	d.mu.Lock()
	defer d.mu.Unlock()
	if (again || run.again) && !d.closed() {
		next = &expiry{done: make(chan struct{})}
	}
	d.expiry = next
	close(run.done)
	return next
}

// runExpiry is for one process at a time. Another one has nothing to do afterwards. It reports
// whether so much has come meanwhile that it is worth another run.
func (d *Disk) runExpiry() (again bool) {
	turn := newLockFile(filepath.Join(d.dir, "expiry"))
	lock, err := turn.lock(d.ctx)
	if err != nil {
		return false
	}
	defer turn.unlock(lock)
	before := d.sizes.get()
	if before.known && before.all() <= d.limits.Size {
		return false
	}
	counted := filepath.Join(d.dir, "counted") // whose time is that of the last count
	var last time.Time
	if st, err := os.Lstat(counted); err == nil {
		last = st.ModTime()
	}
	now := time.Now()
	if last.After(now) { // the clock was put back
		last = time.Time{}
	}
	d.sweep()
	if names, err := namesIn(filepath.Join(d.dir, unfinished)); err == nil && len(names) == 0 {
		before.unfinished = 0 // of processes that were killed
		d.sizes.change(func(s *sizes) { s.unfinished = 0 })
	}
	keys, size := d.count(last.Add(-countSlack))
	if d.closed() {
		return false
	}
	if f, err := openShared(counted); err == nil {
		f.Close()
		os.Chtimes(counted, now, now)
	}
	if all := size + before.unfinished; all > d.limits.Size {
		size -= d.shrink(keys, all-d.limits.Size/10*9)
	}
	came := int64(0) // some of it was counted: it counts twice
	after := d.sizes.change(func(s *sizes) {
		came = max(0, s.grown-before.grown)
		s.stored, s.known = size+came, true
	})
	return after.known && after.all() > d.limits.Size && came > 0
}

// countSlack is by how much times of files may be inexact.
const countSlack = time.Minute

// usedKey is a key and what it takes.
type usedKey struct {
	hash string
	used time.Time
	size int64
}

// count looks at all files. It removes bodies that no key names. A body is left behind when
// its key has changed: of keys with one body it looks at those that have changed since the
// last count.
func (d *Disk) count(last time.Time) (keys []usedKey, size int64) {
	for i := range shards {
		if d.closed() {
			return nil, 0
		}
		dir := filepath.Join(d.dir, fmt.Sprintf("%02x", i))
		type found struct {
			usedKey
			bodies []string
			others bool // there are files that may have been left behind
		}
		all := map[string]*found{}
		names, _ := namesIn(dir)
		for _, name := range names {
			hash := name[:min(len(name), 32)]
			if !isHash(hash) {
				continue
			}
			k := all[hash]
			if k == nil {
				k = &found{usedKey: usedKey{hash: hash}}
				all[hash] = k
			}
			st, err := os.Lstat(filepath.Join(dir, name))
			if err != nil || !st.Mode().IsRegular() {
				continue
			}
			k.size += st.Size()
			switch name[32:] {
			case keySuffix:
				k.used = st.ModTime()
			case nextSuffix:
				k.others = true
			default:
				k.bodies = append(k.bodies, name)
			}
		}
		for hash, k := range all {
			if k.others || k.used.IsZero() || len(k.bodies) > 1 || len(k.bodies) == 1 && k.used.After(last) {
				k.size -= d.removeOrphans(hash, k.bodies)
			}
			if !k.used.IsZero() {
				keys = append(keys, k.usedKey)
			}
			size += k.size
		}
	}
	return keys, size
}

func sizeOf(name string) int64 {
	st, err := os.Lstat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

// removeOrphans removes those of bodies that the file of a key does not name, and what was to
// become that file, and returns their size. Who has the lock of the key is not writing any of them.
func (d *Disk) removeOrphans(hash string, bodies []string) (freed int64) {
	shard := d.shard(hash)
	lock, err := shard.lock(d.ctx)
	if err != nil {
		return 0
	}
	defer shard.unlock(lock)
	named := map[string]bool{}
	name := d.keyName(hash)
	b, _, err := readKeyFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return 0
	}
	if k, err := parseKeyFile(b); err == nil {
		for _, v := range k.variants {
			named[filepath.Base(d.bodyName(hash, v.body))] = true
		}
	}
	remove := func(base string) {
		file := filepath.Join(filepath.Dir(name), base)
		if size := sizeOf(file); os.Remove(file) == nil { // on Windows it fails for what is being written
			freed += size
		}
	}
	remove(hash + nextSuffix)
	for _, base := range bodies {
		if !named[base] && isBody(base) {
			remove(base)
		}
	}
	return freed
}

// isBody reports whether a file in the directory of a shard is a body.
func isBody(base string) bool {
	number, ok := strings.CutSuffix(base, bodySuffix)
	if !ok || len(number) != 32+1+16 || number[32] != '-' {
		return false
	}
	_, err := strconv.ParseUint(number[33:], 16, 64)
	return err == nil
}

// shrink removes entries that have not been used for longest, until enough bytes are
// free, and returns how many are. Those that were used in the future, because the clock was put
// back since, are the first to go.
func (d *Disk) shrink(keys []usedKey, enough int64) (freed int64) {
	latest := time.Now().Add(countSlack)
	future := func(k usedKey) int {
		if k.used.After(latest) {
			return 0
		}
		return 1
	}
	slices.SortFunc(keys, func(a, b usedKey) int {
		return cmp.Or(future(a)-future(b), a.used.Compare(b.used), cmp.Compare(a.hash, b.hash))
	})
	for _, k := range keys {
		if freed >= enough || d.closed() {
			break
		}
		freed += d.shrinkKey(k, enough-freed)
	}
	return freed
}

// shrinkKey removes entries of a key, first those that were stored or updated first, until
// enough bytes are free. It leaves a key alone that was used meanwhile.
func (d *Disk) shrinkKey(used usedKey, enough int64) (freed int64) {
	shard := d.shard(used.hash)
	lock, err := shard.lock(d.ctx)
	if err != nil {
		return 0
	}
	defer shard.unlock(lock)
	name := d.keyName(used.hash)
	b, at, err := readKeyFile(name)
	if !at.Equal(used.used) {
		return 0
	}
	var k *keyFile
	if err == nil {
		k, err = parseKeyFile(b)
	}
	if err != nil {
		size := sizeOf(name)
		if !errors.Is(err, ErrDamaged) || os.Remove(name) != nil {
			return 0
		}
		return size
	}
	gone := 0
	for ; gone < len(k.variants) && freed < enough; gone++ {
		v := &k.variants[gone]
		freed += v.fileSize() + int64(len(v.meta))
	}
	dead := k.variants[:gone]
	k.variants = k.variants[gone:]
	if len(k.variants) > 0 {
		if err := d.replace(name, used.hash, k.bytesOf()); err != nil {
			return 0
		}
		os.Chtimes(name, used.used, used.used)
	} else {
		if os.Remove(name) != nil {
			return 0
		}
		freed = used.size
	}
	for i := range dead {
		if dead[i].size > 0 {
			os.Remove(d.bodyName(used.hash, dead[i].body))
		}
	}
	return freed
}

// sweep removes bodies whose writers are gone.
func (d *Disk) sweep() {
	dir := filepath.Join(d.dir, unfinished)
	names, _ := namesIn(dir)
	for _, base := range names {
		if isBody(base) {
			removeDead(filepath.Join(dir, base))
		}
	}
}

// claim marks a new file as being written until it is closed. It fails if a sweep was faster,
// which has the file open still, or has removed it already.
func claim(f *os.File) bool {
	if ok, err := filelock.Try(f); !ok && err == nil {
		return false
	}
	_, err := os.Lstat(f.Name())
	return err == nil
}

// staleBody is the age from which a body that is being written counts as left behind, on
// systems without locks.
const staleBody = time.Hour

// removeDead removes a file that no living process has claimed.
func removeDead(name string) {
	f, st, err := openPlain(name)
	if errors.Is(err, ErrDamaged) {
		os.Remove(name)
	}
	if err != nil {
		return
	}
	defer f.Close()
	dead, err := filelock.Try(f)
	if err != nil {
		dead = time.Since(st.ModTime()) > staleBody
	}
	if dead {
		os.Remove(name)
	}
}
