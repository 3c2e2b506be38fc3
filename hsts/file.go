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

// document is what a file holds. A reader that does not know Cleared, Changed and Keep
// takes a host without a policy for one whose policy has ended.
type document struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Cleared  time.Time `json:"cleared,omitzero"` // nothing up to then counts
	Policies []stored  `json:"policies"`
}

type stored struct {
	Host       string    `json:"host"`
	Subdomains bool      `json:"includeSubdomains,omitempty"`
	Expires    time.Time `json:"expires"`
	Changed    time.Time `json:"changed,omitzero"`
	Keep       time.Time `json:"keep,omitzero"` // "" for Expires
}

// FormatError tells that a file holds no policies of this package.
type FormatError struct {
	File string
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("hsts: %s: %v", e.File, e.Err) }
func (e *FormatError) Unwrap() error { return e.Err }

// content is what a file says.
type content struct {
	cleared time.Time
	records []record
}

// readFile gives the content of a file, none when it is not there.
func readFile(name string) (content, error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return content{}, nil
	}
	if err != nil {
		return content{}, err
	}
	if !st.Mode().IsRegular() { // a pipe would be waited for
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
			return content{}, &FormatError{name, fmt.Errorf("%.40q is no host", p.Host)}
		}
		c.records = append(c.records, record{Policy{host, p.Subdomains, p.Expires}, p.Changed, latest(p.Keep, p.Expires)})
	}
	return c, nil
}

// writeFile replaces a file in one step.
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
	seen fs.FileInfo // how the file was when it was last read or written; nil at first
}

// update gives what is in the file to merge, unless nobody has changed it since it was
// last given, and replaces it by what merged returns then. No other process writes in
// between. The context bounds the wait for the lock.
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

// unchanged tells whether nobody has replaced a file or written to it.
func unchanged(now, then fs.FileInfo) bool {
	return os.SameFile(now, then) && now.ModTime().Equal(then.ModTime()) && now.Size() == then.Size()
}
