package netreply

import (
	"fmt"
	"io"
	"math"
	"net/http"

	"github.com/netreply/netreply/internal/coding"
)

// SizeLimitError is the cause of a reply that has failed, with UnknownContentError, for a
// limit of the Manager or the Request.
type SizeLimitError struct {
	// Limit is the setting: MaxBodySize or MaxDecoderMemory.
	Limit string
	// Max is its value in bytes.
	Max int64
	// Size is the Content-Length that is larger; -1 where none was sent.
	Size int64
}

func (e *SizeLimitError) Error() string {
	switch {
	case e.Limit == decoderMemory:
		return fmt.Sprintf("its decoder needs more memory than %s, %d bytes for all, has left", e.Limit, e.Max)
	case e.Size >= 0:
		return fmt.Sprintf("the body has %d bytes, %s allows %d", e.Size, e.Limit, e.Max)
	}
	return fmt.Sprintf("the body has more than the %d bytes that %s allows", e.Max, e.Limit)
}

const (
	bodySize      = "MaxBodySize"
	decoderMemory = "MaxDecoderMemory"
)

func newDecoderBudget(limit int64) *coding.Budget {
	if limit < 0 {
		limit = math.MaxInt64
	}
	return coding.NewBudget(limit, &SizeLimitError{decoderMemory, limit, -1})
}

// limitedBody ends in an error behind a number of bytes, unless they are all.
type limitedBody struct {
	io.ReadCloser
	left  int64
	over  error
	extra [1]byte
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		n, err := b.ReadCloser.Read(b.extra[:])
		if n > 0 {
			err = b.over
		}
		return 0, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// defaultSafetyThreshold is Qt's (rule A43).
const defaultSafetyThreshold = 10 << 20

// limitBody holds the final response to the limit of its body: as it is delivered, its
// codings taken off. A length that is too large fails at once; bytes up to the limit are
// delivered in any case.
func limitBody(resp *http.Response, limit int64) error {
	if limit <= 0 || resp.Request.Method == http.MethodHead || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	over := &SizeLimitError{bodySize, limit, resp.ContentLength}
	switch {
	case resp.ContentLength > limit:
		return over
	case resp.ContentLength < 0:
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: limit, over: over}
	}
	return nil
}
