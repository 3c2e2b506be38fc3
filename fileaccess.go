package netreply

import "log/slog"

// FileAccess is what file: URLs may do (Config.FileAccess).
type FileAccess int

const (
	// DefaultFileAccess is FullFileAccess, and NoFileAccess in a Manager with a Guard, which
	// is for URLs that others have chosen.
	DefaultFileAccess  FileAccess = iota
	NoFileAccess                  // the scheme file is unknown
	ReadOnlyFileAccess            // GET and HEAD
	FullFileAccess                // PUT, too, which creates and replaces files
)

// String returns the name of the constant.
func (a FileAccess) String() string {
	return nameOf("FileAccess", int(a), "DefaultFileAccess", "NoFileAccess", "ReadOnlyFileAccess", "FullFileAccess")
}

// LogValue is what log/slog prints: the same as String.
func (a FileAccess) LogValue() slog.Value { return slog.StringValue(a.String()) }

// noFiles is the error for a file: URL in a Manager that serves none.
func noFiles() *FieldError {
	return &FieldError{Field: "Config.FileAccess", Reason: "unsupported protocol scheme; file: URLs are not allowed, and with Config.Guard they are only if FileAccess says so"}
}
