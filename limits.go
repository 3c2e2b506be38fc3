package netreply

import (
	"fmt"
	"io"
	"math"
	"net/http"

	"github.com/netreply/netreply/internal/coding"
)

// SizeLimitError is the cause of a reply that failed with UnknownContentError because of a
// size limit, or of an error of Reply.JSON and Reply.Text.
type SizeLimitError struct {
	// Limit is the name of the setting: MaxBodySize or MaxDecoderMemory.
	Limit string
	// Max is its value in bytes.
	Max int64
	// Size is the Content-Length that exceeds it; -1 if there was none.
	Size int64
}

func (e *SizeLimitError) Error() string {
	switch {
	case e.Limit == decoderMemory:
		return fmt.Sprintf("the decoder needs more memory than is left of %s (%d bytes for all replies)", e.Limit, e.Max)
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

// limitedBody returns an error instead of any bytes after a limit.
type limitedBody struct {
	io.ReadCloser
	remaining int64
	over      error
	extra     [1]byte
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.remaining == 0 {
		n, err := b.ReadCloser.Read(b.extra[:])
		if n > 0 {
			err = b.over
		}
		return 0, err
	}
	if int64(len(p)) > b.remaining {
		p = p[:b.remaining]
	}
	n, err := b.ReadCloser.Read(p)
	b.remaining -= int64(n)
	return n, err
}

// defaultSafetyThreshold is Qt's (rule A43).
const defaultSafetyThreshold = 10 << 20

// limitBody applies a limit to the body of the final response, as it is delivered. A
// Content-Length above the limit is an error at once; otherwise the bytes up to the limit
// are delivered.
func limitBody(resp *http.Response, limit int64) error {
	if limit <= 0 || resp.Request.Method == http.MethodHead || resp.Body == http.NoBody {
		return nil
	}
	over := &SizeLimitError{bodySize, limit, resp.ContentLength}
	switch {
	case resp.ContentLength > limit:
		return over
	case resp.ContentLength < 0:
		resp.Body = &limitedBody{ReadCloser: resp.Body, remaining: limit, over: over}
	}
	return nil
}
