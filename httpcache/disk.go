package httpcache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700

	// format is the directory of everything. A later, incompatible form gets another one.
	format = "1"
	// unfinished is the directory of bodies that are being written.
	unfinished = "new"

	keySuffix  = ".key"
	bodySuffix = ".body"
	nextSuffix = ".next" // what becomes the file of a key

	shards = 256
	// touchEvery is how exactly the time of the last use is known.
	touchEvery = time.Second
	// maxStep is how much of the Store's size a Writer takes at once.
	maxStep = 1 << 20
)

// removeOpen reports whether open files can be renamed and removed.
const removeOpen = runtime.GOOS != "windows"

// Disk is a Store in a directory, which several processes may share: they see each other's
// entries at once. A process can be killed at any moment, and the disk can be full, without
// an entry being wrong: every body and its metadata have checksums, and what does not fit is
// dropped when it is found. After a crash of the system entries that were stored shortly before may
// be missing.
//
// When the entries take more than Limits.Size, those that have not been used for longest
// go, in the background, until nine tenths of it are left. While that is not enough, because
// entries are written faster than others can go, or too much is being written at once, Write
// fails once they take 125 % of the limit. Each process that stores something trims to its own
// Limits: those that share a directory should have the same.
//
// Files can be read by their owner only. Systems without file locks (Windows among them) know
// others by files that a process leaves behind when it is killed; its entries cannot be
// changed for half a minute then.
//
// Lookup, Create, Update and Remove take constant time in the number of entries; so does
// OpenDisk, which needs no index. A Disk is also a Lister, but no Reserver: processes that miss
// the same thing at the same time fetch it each.
type Disk struct {
	dir    string // with the format
	limits Limits
	sizes  *sizeFile
	locks  [shards]lockFile

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex
	expiry  *expiry // that runs, or nil
	running sync.WaitGroup
}

// OpenDisk opens a Store in a directory, which is made if it is missing. Nothing else should
// be in it.
func OpenDisk(dir string, l Limits) (*Disk, error) {
	if dir == "" {
		return nil, errNoDirectory
	}
	dir, err := filepath.Abs(filepath.Join(dir, format))
	if err != nil {
		return nil, err
	}
	if err := makeDirOf(dir); err != nil {
		return nil, err
	}
	isNew, err := makeOwnDir(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, unfinished), dirMode); err != nil {
		return nil, err
	}
	d := &Disk{dir: dir, limits: l.withDefaults(), sizes: newSizeFile(filepath.Join(dir, "size"))}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	for i := range d.locks {
		d.locks[i] = newLockFile(filepath.Join(dir, fmt.Sprintf("%02x", i), "lock"))
	}
	if isNew {
		d.sizes.change(func(s *sizes) { s.known = true })
	}
	d.sweep()
	if now := d.sizes.get(); !now.known || now.all() > d.limits.Size {
		d.expire()
	}
	return d, nil
}

// Close ends what runs in the background, and waits for it. Bodies that are open can still be
// read, Writers cannot commit any more. It always returns nil.
func (d *Disk) Close() error {
	if d == nil || d.cancel == nil {
		return nil
	}
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock()
	d.running.Wait()
	return nil
}

// closed reports whether the Disk was closed, or never opened.
func (d *Disk) closed() bool { return d.ctx == nil || d.ctx.Err() != nil }

// usable returns why nothing can be done.
func (d *Disk) usable(ctx context.Context) error {
	if d.closed() {
		return errClosed
	}
	return ctx.Err()
}

// hashOf is the name of a key on the disk.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// isHash reports whether s can be of hashOf.
func isHash(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// shard returns the lock of a hash.
func (d *Disk) shard(hash string) lockFile {
	i, _ := hex.DecodeString(hash[:2])
	return d.locks[i[0]]
}

func (d *Disk) keyName(hash string) string {
	return d.dir + string(filepath.Separator) + hash[:2] + string(filepath.Separator) + hash + keySuffix
}

func (d *Disk) bodyName(hash string, body uint64) string {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], body)
	return strings.TrimSuffix(d.keyName(hash), keySuffix) + "-" + hex.EncodeToString(number[:]) + bodySuffix
}

// Lookup returns the entries of a key.
func (d *Disk) Lookup(ctx context.Context, key string) ([]Entry, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	hash := hashOf(key)
	k, used, err := d.read(hash)
	if err != nil {
		return nil, err
	}
	if k == nil || k.key != key {
		return nil, nil
	}
	if now := time.Now(); now.Sub(used).Abs() > touchEvery { // the clock may have been put back
		os.Chtimes(d.keyName(hash), now, now)
	}
	list := make([]Entry, len(k.variants))
	entries := make([]diskEntry, len(k.variants))
	for i, v := range k.variants {
		entries[i] = diskEntry{d, key, v}
		list[i] = &entries[i]
	}
	return list, nil
}

// read returns the file of a key and when it was used, or nil if there is none. A damaged one
// is removed.
func (d *Disk) read(hash string) (*keyFile, time.Time, error) {
	name := d.keyName(hash)
	b, used, err := readKeyFile(name)
	var k *keyFile
	if err == nil {
		k, err = parseKeyFile(b)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, used, nil
	case errors.Is(err, ErrDamaged):
		d.dropKey(hash)
		return nil, used, nil
	}
	return k, used, err
}

// change changes the entries of a key: under its lock it calls f, with an empty keyFile if
// there is none, and writes what f has made of it, if f returns true. Bodies that are no
// longer named are removed. Then reserved bytes are given back.
func (d *Disk) change(ctx context.Context, hash, key string, reserved int64, f func(*keyFile) (bool, error)) error {
	shard := d.shard(hash)
	lock, err := shard.lock(ctx)
	if err != nil {
		return err
	}
	defer shard.unlock(lock)
	if d.closed() {
		return errClosed
	}
	name := d.keyName(hash)
	old, _, err := readKeyFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return err
	}
	k, damage := parseKeyFile(old)
	if damage != nil {
		k = &keyFile{key: key}
	}
	before := *k
	if k.key != key { // another key with the same hash; the last one counts
		k = &keyFile{key: key}
	}
	before.variants = slices.Clone(before.variants)
	changed, err := f(k)
	if err != nil || !changed {
		return err
	}
	most := min(d.limits.Size, maxKeyFile)
	for len(k.variants) > 1 && k.length() > most {
		k.variants = k.variants[1:]
	}
	var next []byte
	if len(k.variants) > 0 {
		if next = k.bytesOf(); int64(len(next)) > most {
			return errTooLarge
		}
		err = d.replace(name, hash, next)
	} else if err = os.Remove(name); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	delta := int64(len(next) - len(old))
	kept := map[uint64]bool{}
	for i := range k.variants {
		kept[k.variants[i].body] = true
		delta += k.variants[i].fileSize()
	}
	for i := range before.variants {
		v := &before.variants[i]
		delta -= v.fileSize()
		if v.size > 0 && !kept[v.body] {
			os.Remove(d.bodyName(hash, v.body)) // if that fails, expire finds it
		}
	}
	if now := d.sizes.add(delta, -reserved); !now.known || now.all() > d.limits.Size {
		d.expire()
	}
	return nil
}

// replace gives a file new content, at once.
func (d *Disk) replace(name, hash string, content []byte) error {
	next := filepath.Join(filepath.Dir(name), hash+nextSuffix)
	f, err := createPlain(next)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	for try := 0; err == nil; try++ {
		err = os.Rename(next, name)
		if err == nil {
			return nil
		}
		if removeOpen || try == 20 { // a reader may have it open for a moment
			break
		}
		time.Sleep(time.Millisecond)
		err = nil
	}
	os.Remove(next)
	return err
}

// Create begins a new entry.
func (d *Disk) Create(ctx context.Context, key string, v Variant) (Writer, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	if v.Size > d.limits.Entry {
		return nil, nil
	}
	key = strings.Clone(key)
	return &diskWriter{store: d, key: key, hash: hashOf(key), expect: v.Size,
		v: variant{id: v.ID, body: rand.Uint64(), revision: rand.Uint64()}}, nil
}

// newBody makes the file of a body that is being written.
func (d *Disk) newBody(hash string, body uint64) (*os.File, error) {
	name := d.bodyName(hash, body)
	if removeOpen {
		name = filepath.Join(d.dir, unfinished, filepath.Base(name))
	}
	for range maxClaims {
		f, err := openIn(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return nil, err
		}
		if claim(f) {
			return f, nil
		}
		f.Close()
		os.Remove(name)
	}
	return nil, errLocked
}

// maxClaims bounds how often a sweep can be faster.
const maxClaims = 10

// commit makes the file of a key name what a Writer has written.
func (d *Disk) commit(w *diskWriter) error {
	err := d.change(context.Background(), w.hash, w.key, w.reserved, func(k *keyFile) (bool, error) {
		if name := d.bodyName(w.hash, w.v.body); w.file != nil && w.name != name {
			err := os.Rename(w.name, name)
			if errors.Is(err, fs.ErrNotExist) && makeDirOf(name) == nil {
				err = os.Rename(w.name, name)
			}
			if err != nil {
				return false, err
			}
			w.name = name
		}
		k.variants = slices.DeleteFunc(k.variants, func(v variant) bool { return v.id == w.v.id })
		k.variants = append(k.variants, w.v)
		return true, nil
	})
	if err == nil {
		w.reserved = 0
	}
	return err
}

// Update replaces the metadata of an entry.
func (d *Disk) Update(ctx context.Context, e Entry, meta []byte) error {
	old, ok := e.(*diskEntry)
	if !ok || d.dir == "" || old.store.dir != d.dir {
		return nil
	}
	if err := d.usable(ctx); err != nil {
		return err
	}
	return d.change(ctx, hashOf(old.key), old.key, 0, func(k *keyFile) (bool, error) {
		i := slices.IndexFunc(k.variants, func(v variant) bool { return v.sameAs(&old.variant) })
		if i < 0 {
			return false, nil
		}
		v := k.variants[i]
		v.meta, v.revision = meta, rand.Uint64()
		k.variants = append(slices.Delete(k.variants, i, i+1), v)
		return true, nil
	})
}

// drop removes an entry that turned out to be damaged, if it is still there.
func (d *Disk) drop(e *diskEntry) {
	d.change(d.ctx, hashOf(e.key), e.key, 0, func(k *keyFile) (bool, error) {
		n := len(k.variants)
		k.variants = slices.DeleteFunc(k.variants, func(v variant) bool { return v.body == e.body })
		return len(k.variants) < n, nil
	})
}

// dropKey removes the file of a key if it is damaged.
func (d *Disk) dropKey(hash string) {
	shard := d.shard(hash)
	lock, err := shard.lock(d.ctx)
	if err != nil {
		return
	}
	defer shard.unlock(lock)
	name := d.keyName(hash)
	b, _, err := readKeyFile(name)
	if err == nil {
		_, err = parseKeyFile(b)
	}
	if errors.Is(err, ErrDamaged) && os.Remove(name) == nil {
		d.sizes.add(-int64(len(b)), 0)
	}
}

// Remove removes the entries of a key.
func (d *Disk) Remove(ctx context.Context, key string) error {
	if err := d.usable(ctx); err != nil {
		return err
	}
	hash := hashOf(key)
	if _, err := os.Lstat(d.keyName(hash)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return d.change(ctx, hash, key, 0, removeAll)
}

func removeAll(k *keyFile) (bool, error) {
	k.variants = nil
	return true, nil
}
