package hsts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/netreply/netreply/internal/atomicfile"
)

const (
	formatName    = "netreply hsts"
	formatVersion = 1
	maxFile       = 16 << 20
)

// document is the content of a file. Versions of this package without Cleared, Changed and
// Keep treat a record without a policy as an expired one.
type document struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Cleared  time.Time `json:"cleared,omitzero"` // changes up to then are void
	Policies []stored  `json:"policies"`
}

type stored struct {
	Host       string    `json:"host"`
	Subdomains bool      `json:"includeSubdomains,omitempty"`
	Expires    time.Time `json:"expires"`
	Changed    time.Time `json:"changed,omitzero"`
	Keep       time.Time `json:"keep,omitzero"` // if later than Expires
}

// FormatError is the error of a file that a Store has not written.
type FormatError struct {
	File string
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("hsts: %s: %v", e.File, e.Err) }
func (e *FormatError) Unwrap() error { return e.Err }

// content is the parsed content of a file.
type content struct {
	cleared time.Time
	records []record
}

// readFile reads a file; a missing one is empty.
func readFile(name string) (content, error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return content{}, nil
	}
	if err != nil {
		return content{}, err
	}
	if !st.Mode().IsRegular() { // a pipe would block
		return content{}, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	var d document
	if err := json.NewDecoder(io.LimitReader(f, maxFile)).Decode(&d); err != nil {
		return content{}, &FormatError{name, err}
	}
	if d.Format != formatName || d.Version != formatVersion {
		return content{}, &FormatError{name, fmt.Errorf("format %q, version %d", d.Format, d.Version)}
	}
	c := content{d.Cleared, make([]record, 0, len(d.Policies))}
	for _, p := range d.Policies {
		host := canonical(p.Host)
		if host == "" || host != p.Host {
			return content{}, &FormatError{name, fmt.Errorf("%.40q is not a valid host", p.Host)}
		}
		c.records = append(c.records, record{Policy{host, p.Subdomains, p.Expires}, p.Changed, latest(p.Keep, p.Expires)})
	}
	return c, nil
}

// writeFile replaces a file atomically.
func writeFile(name string, c content) error {
	slices.SortFunc(c.records, func(a, b record) int { return cmp.Compare(a.Host, b.Host) })
	d := document{Format: formatName, Version: formatVersion, Cleared: c.cleared.UTC(), Policies: make([]stored, 0, len(c.records))}
	for _, r := range c.records {
		s := stored{Host: r.Host, Subdomains: r.IncludeSubdomains, Expires: r.Expires.UTC(), Changed: r.stamp.UTC()}
		if r.keep.After(r.Expires) {
			s.Keep = r.keep.UTC()
		}
		d.Policies = append(d.Policies, s)
	}
	return atomicfile.Write(name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(d)
	})
}

// sharedFile is a file that several processes read and write.
type sharedFile struct {
	name string
	seen fs.FileInfo // state of the file after the last read or write; nil at first
}

// update calls merge with the content of the file, if the file has changed since the last
// update, and then replaces it with the result of merged. The file is locked meanwhile. The
// context bounds the wait for the lock.
func (f *sharedFile) update(ctx context.Context, merge func(content), merged func() content) error {
	target, err := atomicfile.Target(f.name)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, target+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if st, err := os.Stat(target); err != nil || f.seen == nil || !unchanged(st, f.seen) {
		c, err := readFile(target)
		if err != nil {
			return err
		}
		merge(c)
	}
	f.seen = nil
	if err := writeFile(target, merged()); err != nil {
		return err
	}
	f.seen, _ = os.Stat(target)
	return nil
}

// unchanged reports whether a file was neither replaced nor written to.
func unchanged(now, then fs.FileInfo) bool {
	return os.SameFile(now, then) && now.ModTime().Equal(then.ModTime()) && now.Size() == then.Size()
}
