package netreply

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/netreply/netreply/internal/flow"
)

// Bodies that are made of a value.

// JSONBody sends what json.Marshal makes of v, at once: v may change afterwards. The
// Content-Type is application/json, unless the request has one. A v that cannot be marshalled
// fails the reply with ProtocolInvalidOperationError, which wraps the error of json.Marshal,
// and nothing is sent.
func JSONBody(v any) Body {
	data, err := json.Marshal(v)
	if err != nil {
		err = localError(ProtocolInvalidOperationError, "Invalid body",
			fmt.Errorf("%w: %w", &FieldError{Field: "body", Reason: fmt.Sprintf("a value of type %T cannot be sent as JSON", v)}, err))
	}
	return contentBody{data, "application/json", err}
}

// FormBody sends the fields of a form, as url.Values.Encode writes them: sorted by name. The
// Content-Type is application/x-www-form-urlencoded, unless the request has one. A form with
// files is a Multipart.
func FormBody(fields url.Values) Body {
	return contentBody{[]byte(fields.Encode()), "application/x-www-form-urlencoded", nil}
}

// contentBody is content of a known type.
type contentBody struct {
	data bytesBody
	mime string
	err  error // the content could not be made
}

func (b contentBody) prepare(context.Context, bool) (*flow.Payload, error) {
	if b.err != nil {
		return nil, b.err
	}
	p := memoryPayload(b.data)
	p.MIME = b.mime
	return p, nil
}

// Format prints how many bytes there are, without the content.
func (b contentBody) Format(s fmt.State, verb rune) { b.data.Format(s, verb) }

// LogValue is what log/slog prints: the same.
func (b contentBody) LogValue() slog.Value { return b.data.LogValue() }
