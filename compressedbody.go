package netreply

import (
	"context"
	"io"
	"strings"

	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/flow"
)

// CompressedBody sends body compressed with a content coding, gzip or zstd, for servers that
// are known to accept it. The coding is appended to those in the request's Content-Encoding,
// which are those that body has already. The Content-Type is that of body, and it can be sent
// again if body can.
//
// Content of at most 1 MiB that is in memory is compressed before the request starts, so that
// the length is known. Any other is compressed while it is sent, in a few MiB of memory, and
// sent chunked over HTTP/1.1. The compressor holds bytes back until it has enough of them.
// A Content-Length of the request is ignored. UploadProgress, Error.Sent and MinRate count
// compressed bytes.
//
// A nil body or an unknown coding fails the reply with ProtocolInvalidOperationError.
func CompressedBody(body Body, coding string) Body { return compressedBody{body, coding} }

type compressedBody struct {
	body   Body
	coding string
}

// compressedInMemory is the largest content that is compressed before the request starts.
const compressedInMemory = 1 << 20

func (b compressedBody) prepare(ctx context.Context, buffer bool) (*flow.Payload, error) {
	name := strings.ToLower(b.coding)
	if !coding.CanEncode(name) {
		return nil, localError(ProtocolInvalidOperationError, "Invalid body",
			&FieldError{"coding of the CompressedBody", b.coding, "must be gzip or zstd"})
	}
	if b.body == nil {
		return nil, invalidBody("a CompressedBody needs a body")
	}
	inner, err := b.body.prepare(ctx, buffer)
	if err != nil {
		return nil, err
	}
	out, err := compressPayload(inner, name)
	if err != nil {
		return nil, err
	}
	out.MIME, out.Coding = inner.MIME, name
	if inner.Coding != "" {
		out.Coding = inner.Coding + ", " + name
	}
	return out, nil
}

func compressPayload(p *flow.Payload, name string) (*flow.Payload, error) {
	if p.Memory != nil && len(p.Memory) <= compressedInMemory {
		data, err := coding.Encode(p.Memory, name)
		if err != nil {
			return nil, bodyFailure("compressing the body", err)
		}
		return memoryPayload(data), nil
	}
	out := joinPayloads([]*flow.Payload{p})
	open := out.Open // of a *pieceReader: p is larger than what is joined in memory, or not in memory
	out.Size = -1
	out.Open = func() (io.Reader, error) {
		src, err := open()
		if err != nil {
			return nil, err
		}
		return coding.NewEncoder(src.(io.ReadCloser), name), nil
	}
	return out, nil
}
