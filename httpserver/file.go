package httpserver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/netreply/netreply/internal/filename"
)

// FileOptions says how WriteFile answers. The zero value is a file as it is, and no
// directories.
type FileOptions struct {
	// Headers are fields of the answer, Cache-Control for instance. Content-Type and ETag
	// among them take the place of those that WriteFile finds.
	Headers Headers
	// Attachment, if it is not empty, has browsers save the file under this name instead of
	// showing it.
	Attachment string
	// Index is the name of the file that is answered for a directory, "index.html" for
	// instance. Without it a directory is not found.
	Index string
	// Hidden, if it is true, answers with files and directories whose names begin with a dot,
	// too. Without it they are not found, as .git, .env and the temporary files of
	// Upload.SaveAs should not; but for .well-known at the root (RFC 8615).
	Hidden bool
}

// WriteFile answers with a file of a file system. name is relative to its root, with
// slashes, as from http.Request.PathValue; a slash in front, as in the path of a URL, is
// taken off.
//
// Ranges (several, too) and conditions of the request are honoured. Last-Modified and ETag
// come from the file's time and size; from its content if it has no time, as in an embed.FS,
// and is no larger than 1 MiB. A file that cannot seek, as in a zip.Reader, is sent without
// ranges. One that is an *os.File, as in os.DirFS and os.Root.FS, goes by sendfile where
// net/http can.
//
// What is not there, is hidden (see FileOptions), is no regular file, or has a name that leads
// out of fsys or is not one for the operating system is answered NotFound, and what may not be read Forbidden: that is
// no error. A file that cannot be read is answered InternalServerError, and one that fails
// later cuts the answer: that is a *SourceError. That symbolic links do not lead out of fsys
// is fsys' to see to, as os.Root does.
//
// A directory with an Index is redirected to the path with a slash at its end first, so
// that the links on its page are right.
func (s *Responder) WriteFile(fsys fs.FS, name string, o FileOptions) error {
	if err := s.exchange().check(); err != nil {
		return err
	}
	if fsys == nil {
		return s.x.refuse(&SourceError{errNoSource})
	}
	local, wantsDir, ok := localName(name)
	if !ok || !o.Hidden && isHidden(local) {
		return s.noFile(fs.ErrNotExist)
	}
	st, err := fs.Stat(fsys, local) // before it is opened, which waits for a pipe's writer
	if err == nil && st.IsDir() {
		if o.Index == "" {
			return s.noFile(fs.ErrNotExist)
		}
		if to := slashed(s.exchange().r); to != "" {
			var h Headers
			h.Set("Location", to)
			return s.WriteHeaders(h, MovedPermanently)
		}
		local = path.Join(local, o.Index)
		st, err = fs.Stat(fsys, local)
	} else if err == nil && wantsDir {
		err = fs.ErrNotExist
	}
	if err == nil && !st.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	var f fs.File
	if err == nil {
		f, err = fsys.Open(local)
	}
	if err != nil {
		return s.noFile(err)
	}
	defer f.Close()
	if o.Attachment != "" {
		o.Headers = o.Headers.Clone()
		o.Headers.Set("Content-Disposition", attachment(o.Attachment))
	}
	err = s.file(f, path.Base(local), o.Headers)
	if err != nil && !s.Responded() {
		s.noFile(err)
	}
	return s.exchange().refuse(err)
}

// noFile answers that a file cannot be opened or read. The error is nil if that is the
// client's fault.
func (s *Responder) noFile(err error) error {
	status := fileStatus(err)
	answered := s.writeHTTPError(&HTTPError{Status: status, Err: err})
	if status == InternalServerError && answered == nil {
		var source *SourceError
		if errors.As(err, &source) {
			return err
		}
		return &SourceError{err}
	}
	return answered
}

// fileStatus is the status for an error of a file system.
func fileStatus(err error) StatusCode {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return NotFound
	case errors.Is(err, fs.ErrPermission):
		return Forbidden
	}
	for _, e := range noSuchName {
		if errors.Is(err, e) {
			return NotFound
		}
	}
	var failed *fs.PathError
	if errors.As(err, &failed) && (failed.Op == "openat" || failed.Op == "statat") {
		if _, system := failed.Err.(systemError); !system {
			return NotFound // an os.Root has found that the name leads out of it
		}
	}
	return InternalServerError
}

// localName is a name that a client has given, as fs.FS takes it, and whether it has to be
// that of a directory; false for one that can have no file.
func localName(name string) (local string, dir, ok bool) {
	local = strings.TrimPrefix(name, "/")
	if local == "" {
		return ".", true, true
	}
	local, dir = strings.CutSuffix(local, "/")
	if !fs.ValidPath(local) || strings.ContainsAny(local, "\\\x00") {
		return "", false, false
	}
	if _, err := filepath.Localize(local); err != nil {
		return "", false, false
	}
	if runtime.GOOS == "windows" { // which takes "a." and "a " for "a"
		for element := range strings.SplitSeq(local, "/") {
			if strings.TrimRight(element, ". ") != element && element != "." {
				return "", false, false
			}
		}
	}
	return local, dir, true
}

// isHidden tells whether a name of localName's has an element that begins with a dot.
func isHidden(local string) bool {
	if local == "." {
		return false
	}
	local = strings.TrimPrefix(local+"/", ".well-known/")
	return strings.HasPrefix(local, ".") || strings.Contains(local, "/.")
}

// slashed is the target of a request with a slash at the end of its path, relative to it; ""
// if there is one.
func slashed(r *http.Request) string {
	p, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(p, "/") {
		p = r.URL.EscapedPath()
	}
	last := p[strings.LastIndexByte(p, '/')+1:]
	if last == "" {
		return ""
	}
	to := "./" + last + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	return to
}

// maxRanges is how many ranges of a file a request may ask for: more are not looked at, as
// RFC 9110, section 14.2, allows.
const maxRanges = 100

// file answers with a file that is open. name gives its MIME type.
func (s *Responder) file(f fs.File, name string, h Headers) error {
	st, err := f.Stat()
	if err != nil {
		return &SourceError{err}
	}
	if st.IsDir() {
		return &SourceError{errDirectory}
	}
	r := s.exchange().r
	content, canSeek := f.(io.ReadSeeker)
	if !canSeek {
		content = &forward{File: f, size: st.Size()}
	}
	if asked := r.Header.Get("Range"); asked != "" &&
		(!canSeek || r.Method != http.MethodGet || strings.Count(asked, ",") >= maxRanges) { // RFC 9110, section 14.2: of GET only
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	if !h.Has("ETag") {
		tag, err := entityTag(st, content, canSeek)
		if err != nil {
			return err
		}
		if tag != "" {
			h = h.Clone()
			h.Set("ETag", tag)
		}
	}
	return s.content(r, name, st.ModTime(), content, h)
}

const (
	// recent is how long after its last change a file may be changed again without another
	// time: file systems count in steps, some of two seconds.
	recent = 2 * time.Second
	// maxHashed is the largest file that is read to make an entity tag.
	maxHashed = 1 << 20
)

// entityTag tells versions of a file apart; "" if that cannot be. While the time of a file
// may stay when it is changed, the tag is weak (RFC 9110, section 8.8.1).
func entityTag(st fs.FileInfo, content io.ReadSeeker, canSeek bool) (string, error) {
	if t := st.ModTime(); !t.IsZero() && !t.Equal(time.Unix(0, 0)) {
		tag := `"` + strconv.FormatInt(t.UnixNano(), 36) + "-" + strconv.FormatInt(st.Size(), 36) + `"`
		if time.Since(t) < recent {
			tag = "W/" + tag
		}
		return tag, nil
	}
	if !canSeek || st.Size() > maxHashed {
		return "", nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(content, maxHashed)); err != nil {
		return "", &SourceError{err}
	}
	return fmt.Sprintf(`"%.16x"`, sum.Sum(nil)), nil
}

// forward is a file that cannot seek, for those who look at its size only, and read it once.
type forward struct {
	fs.File
	size, at int64
}

func (f *forward) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.at += int64(n)
	return n, err
}

func (f *forward) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset != f.at && offset != f.size {
		return 0, errNoSeek
	}
	return offset, nil
}

// attachment is the Content-Disposition of a file that is to be saved (RFC 6266): its name
// in ASCII, and if that is not all of it also as an extended value (RFC 8187).
func attachment(name string) string {
	name = filename.Safe(name)
	if name == "" {
		return "attachment"
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%`, r) { // some take %XX for escapes
			return '_'
		}
		return r
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + extended(name)
	}
	return value
}

// extended escapes what cannot stand in an extended value.
func extended(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$&+-.^_`|~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
