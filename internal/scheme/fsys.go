package scheme

import (
	"errors"
	"io/fs"
	"net/url"
	"path"
	"strings"
)

// OpenFS opens the file of a URL in fsys for reading: that of its path, whatever its scheme,
// query and fragment.
func OpenFS(fsys fs.FS, u *url.URL) (*Content, error) {
	p, err := localPath(u)
	if err != nil {
		return nil, err
	}
	name := path.Clean("/" + p)[1:]
	label := u.Scheme + ":/" + name // not the URL, any part of which may be a password
	if name == "" {
		name = "."
	}
	check := func(info fs.FileInfo) error {
		if err := refuse(info.Mode(), label); err != nil {
			return err
		}
		if strings.HasSuffix(p, "/") { // the path of a directory
			return notOpened(fs.ErrNotExist, label)
		}
		return nil
	}
	if !fs.ValidPath(name) { // not UTF-8
		return nil, notOpened(fs.ErrNotExist, label)
	}
	if s, ok := fsys.(fs.StatFS); ok { // before it is opened: a pipe of os.DirFS would block
		info, err := s.Stat(name)
		if err != nil {
			return nil, notOpened(err, label)
		}
		if err := check(info); err != nil {
			return nil, err
		}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, notOpened(err, label)
	}
	if f == nil {
		return nil, notOpened(errors.New("no file and no error"), label)
	}
	info, err := f.Stat()
	if err == nil {
		err = check(info)
	} else {
		err = notOpened(err, label)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return newContent(f, info, label)
}
