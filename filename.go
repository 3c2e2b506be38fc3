package netreply

import "github.com/netreply/netreply/internal/filename"

// FileName is a name for the file that the body is saved to: that in the field
// Content-Disposition of the response (RFC 6266), or else the last segment of the URL of the
// last hop, or else "download" with an extension for the Content-Type. It is final when the
// final head is there, see WaitHead.
//
// Servers choose the name, so that it is made safe for all platforms: it is one element of a
// path, never empty, and at most 255 bytes long; it has no control characters, none that
// change the direction of writing, and none that Windows reserves; it neither begins nor
// ends with a dot or a space, and is no device of Windows. That a file of that name exists,
// or that one of its type is dangerous to open, is left to the program.
func (r *Reply) FileName() string {
	h := r.Headers()
	return filename.Choose(h.Values(ContentDispositionHeader.Name), r.URL(), h.Get(ContentTypeHeader.Name))
}
