package cookies

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/netreply/netreply/internal/atomicfile"
)

// formatName and formatVersion identify a file.
const (
	formatName    = "netreply cookies"
	formatVersion = 1
)

// maxFile is the maximum size of a file; larger than a full jar with the largest cookies.
const maxFile = 64 << 20

// FormatError is the error of a file that Save has not written.
type FormatError struct {
	File string
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("cookies: %s: %v", e.File, e.Err) }
func (e *FormatError) Unwrap() error { return e.Err }

type file struct {
	Format  string   `json:"format"`
	Version int      `json:"version"`
	Cookies []stored `json:"cookies"`
}

// stored is a cookie in a file. Values that are not UTF-8 are stored as bytes.
type stored struct {
	Name     string    `json:"name,omitempty"`
	Value    string    `json:"value,omitempty"`
	RawName  []byte    `json:"rawName,omitempty"`
	RawValue []byte    `json:"rawValue,omitempty"`
	Domain   string    `json:"domain"`
	HostOnly bool      `json:"hostOnly,omitempty"`
	Path     string    `json:"path"`
	Expires  time.Time `json:"expires,omitzero"`
	Secure   bool      `json:"secure,omitempty"`
	HTTPOnly bool      `json:"httpOnly,omitempty"`
	SameSite SameSite  `json:"sameSite,omitempty"`
	Created  time.Time `json:"created"`
	Accessed time.Time `json:"accessed"`
}

// Save writes the persistent cookies to a file, and with session the session cookies, too.
// The file is replaced atomically; for a symbolic link the target is replaced. Cookies are
// secrets: only its owner can read a new file; an existing file keeps its permissions. The
// jar can be used meanwhile.
func (j *Jar) Save(name string, session bool) error {
	f := file{Format: formatName, Version: formatVersion, Cookies: []stored{}}
	for _, c := range j.snapshot() {
		if c.Session() && !session {
			continue
		}
		s := stored{Domain: c.Domain, HostOnly: c.HostOnly, Path: c.Path, Expires: c.Expires, Secure: c.Secure, HTTPOnly: c.HTTPOnly,
			SameSite: c.SameSite, Created: c.Created, Accessed: c.LastAccess}
		if utf8.ValidString(c.Name) && utf8.ValidString(c.Value) {
			s.Name, s.Value = c.Name, c.Value
		} else {
			s.RawName, s.RawValue = []byte(c.Name), []byte(c.Value)
		}
		f.Cookies = append(f.Cookies, s)
	}
	atomicfile.Sweep(name) // left behind by killed processes; errors are harmless
	return atomicfile.Write(name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		e.SetEscapeHTML(false)
		return e.Encode(f)
	})
}

// Load adds the cookies of a file that have not expired; cookies that the jar has already
// are not changed. For a file that Save has not written it returns a *FormatError and does
// not change the jar. If the file does not exist, errors.Is reports fs.ErrNotExist.
func (j *Jar) Load(name string) error {
	atomicfile.Sweep(name)
	r, err := os.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return err
	}
	bad := func(err error) error { return &FormatError{name, err} }
	if len(data) > maxFile {
		return bad(fmt.Errorf("more than %d bytes", maxFile))
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return bad(err)
	}
	if f.Format != formatName || f.Version != formatVersion {
		return bad(fmt.Errorf("format %q, version %d", f.Format, f.Version))
	}
	var all []Cookie
	for i, s := range f.Cookies {
		c := Cookie{Name: s.Name, Value: s.Value, Domain: s.Domain, HostOnly: s.HostOnly, Path: s.Path, Expires: s.Expires,
			Secure: s.Secure, HTTPOnly: s.HTTPOnly, SameSite: s.SameSite, Created: s.Created, LastAccess: s.Accessed}
		if s.RawName != nil {
			c.Name, c.Value = string(s.RawName), string(s.RawValue)
		}
		if !c.valid() || c.Domain == "" || len(c.Path) == 0 || c.Path[0] != '/' {
			return bad(fmt.Errorf("cookie %d is not valid", i+1))
		}
		all = append(all, c)
	}
	now := time.Now()
	for _, c := range all {
		if !c.expired(now) {
			j.restore(c, ifMissing, now)
		}
	}
	return nil
}
