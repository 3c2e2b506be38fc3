// Package filename chooses the name of the file that a response is saved to. The server
// chooses the name, so that it is made safe on every platform. The package does no I/O.
package filename

import (
	"net/url"
	"strings"
)

// Choose returns the name that the values of the field Content-Disposition contain, or else
// the last segment of the URL, or else "download" with an extension for the Content-Type. A
// name that nothing is left of when it is made safe is passed over. The result is never
// empty, see Safe.
func Choose(dispositions []string, u *url.URL, contentType string) string {
	for _, value := range dispositions {
		extended, plain := FromDisposition(value)
		for _, name := range [...]string{extended, plain} {
			if name = Safe(name); name != "" {
				return name
			}
		}
	}
	if name := Safe(fromURL(u)); name != "" {
		return name
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	return "download" + extensions[strings.ToLower(strings.TrimSpace(mediaType))]
}

// fromURL is the decoded last segment of the path of a URL; "" if it ends in a slash, and
// for data URLs, whose path is the content.
func fromURL(u *url.URL) string {
	if u == nil || u.Scheme == "data" {
		return ""
	}
	path := u.EscapedPath()
	if u.Opaque != "" {
		path = u.Opaque
	}
	segment := path[strings.LastIndexByte(path, '/')+1:]
	if name, err := url.PathUnescape(segment); err == nil {
		return name
	}
	return segment
}

// extensions are those of the usual media types: the tables of the system differ.
var extensions = map[string]string{
	"application/gzip":         ".gz",
	"application/java-archive": ".jar",
	"application/javascript":   ".js",
	"application/json":         ".json",
	"application/pdf":          ".pdf",
	"application/rtf":          ".rtf",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         ".xlsx",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   ".docx",
	"application/wasm":            ".wasm",
	"application/x-7z-compressed": ".7z",
	"application/x-bzip2":         ".bz2",
	"application/x-tar":           ".tar",
	"application/x-xz":            ".xz",
	"application/xhtml+xml":       ".xhtml",
	"application/xml":             ".xml",
	"application/zip":             ".zip",
	"application/zstd":            ".zst",
	"audio/flac":                  ".flac",
	"audio/mpeg":                  ".mp3",
	"audio/ogg":                   ".ogg",
	"audio/wav":                   ".wav",
	"font/woff2":                  ".woff2",
	"image/avif":                  ".avif",
	"image/gif":                   ".gif",
	"image/jpeg":                  ".jpg",
	"image/png":                   ".png",
	"image/svg+xml":               ".svg",
	"image/webp":                  ".webp",
	"text/calendar":               ".ics",
	"text/css":                    ".css",
	"text/csv":                    ".csv",
	"text/html":                   ".html",
	"text/javascript":             ".js",
	"text/markdown":               ".md",
	"text/plain":                  ".txt",
	"text/xml":                    ".xml",
	"video/mp4":                   ".mp4",
	"video/mpeg":                  ".mpeg",
	"video/quicktime":             ".mov",
	"video/webm":                  ".webm",
}
