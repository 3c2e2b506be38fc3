package netreply

import "net/url"

// Attribute is a typed key of a fact about a reply (Qt: QNetworkRequest::Attribute). An
// attribute that is not set differs from one that is zero.
type Attribute[T any] struct {
	name string
	get  func(*Reply) (T, bool)
	set  func(*attributeValues, T) (reason string) // for a Backend; nil if it cannot be set
}

// Of returns the attribute of a reply, and whether it is set.
func (a Attribute[T]) Of(r *Reply) (T, bool) {
	if a.get == nil || r == nil {
		var none T
		return none, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return a.get(r)
}

// String is Qt's name of the attribute.
func (a Attribute[T]) String() string { return a.name }

func (a Attribute[T]) isUser() bool { return false }

func (a Attribute[T]) setIn(all *attributeValues, value any) (reason string) {
	v, ok := value.(T)
	switch {
	case a.set == nil:
		return "cannot be set"
	case !ok:
		return wrongType[T](value)
	}
	return a.set(all, v)
}

// The attributes of a reply (rules A0 to A28).
var (
	// HTTPStatusCode is the status of the last response head, including redirects.
	HTTPStatusCode = Attribute[int]{"HttpStatusCode", func(r *Reply) (int, bool) {
		return int(r.head.status), r.head.status != 0
	}, (*attributeValues).setStatus}
	// HTTPReasonPhrase is the reason phrase of that head; always empty for HTTP/2.
	HTTPReasonPhrase = Attribute[string]{"HttpReasonPhrase", func(r *Reply) (string, bool) {
		return r.head.reason(), r.head.status != 0
	}, (*attributeValues).setReason}
	// RedirectionTarget is the target of a redirect that was not followed: as the server
	// wrote it under ManualRedirectPolicy (rule R2), and absolute when the redirect was
	// refused (D10).
	RedirectionTarget = Attribute[*url.URL]{"RedirectionTarget", func(r *Reply) (*url.URL, bool) {
		to := r.head.target()
		if to == nil {
			return nil, false
		}
		target := *to // a copy: the program may change it
		return &target, true
	}, (*attributeValues).setTarget}
	// ConnectionEncrypted reports whether the scheme of the hop's URL is https.
	ConnectionEncrypted = Attribute[bool]{"ConnectionEncrypted", func(r *Reply) (bool, bool) {
		return r.secure, true
	}, func(v *attributeValues, secure bool) string { v.secure = &secure; return "" }}
	// OriginalContentLength is the Content-Length of a body that is delivered decoded.
	// Reply.Headers does not contain that field then, since it is not the length of what is
	// read (rules A21 and Z4).
	OriginalContentLength = Attribute[int64]{"OriginalContentLength", func(r *Reply) (int64, bool) {
		if !r.head.decoded {
			return 0, false
		}
		n := r.head.rare.encoded
		return n, n >= 0
	}, func(v *attributeValues, n int64) string { v.originalLength = &n; return "" }}
	// HTTP2WasUsed is set with each response head of HTTP.
	HTTP2WasUsed = Attribute[bool]{"Http2WasUsed", func(r *Reply) (bool, bool) {
		return r.head.http2, r.head.http
	}, func(v *attributeValues, used bool) string { v.http2 = &used; return "" }}
	// HTTPPipeliningWasUsed is always false (rule N14), and set where HTTP2WasUsed is.
	HTTPPipeliningWasUsed = Attribute[bool]{"HttpPipeliningWasUsed", func(r *Reply) (bool, bool) {
		return false, r.head.http
	}, nil}
)

// UserAttribute is a typed key of data that the program attaches to a Request (rule A28).
// The library does not use it. The zero value holds nothing.
type UserAttribute[T any] struct{ key *string }

// NewUserAttribute makes a key. Each call makes a different one, even for the same name.
func NewUserAttribute[T any](name string) UserAttribute[T] { return UserAttribute[T]{&name} }

// Set attaches a value to q.
func (a UserAttribute[T]) Set(q *Request, v T) {
	if a.key != nil && q != nil {
		q.setAttribute(a.key, v)
	}
}

// Clear removes the value from q.
func (a UserAttribute[T]) Clear(q *Request) {
	if q != nil {
		q.clearAttribute(a.key)
	}
}

// Of returns the value that is attached to q. The copy that Reply.Request returns has it,
// too.
func (a UserAttribute[T]) Of(q *Request) (T, bool) {
	if q == nil {
		var none T
		return none, false
	}
	v, ok := q.attributes[a.key].(T)
	return v, ok
}

// OfReply returns the value that a Backend has set for the reply with
// ReplyWriter.SetAttribute. What is attached to the Request is in Reply.Request.
func (a UserAttribute[T]) OfReply(r *Reply) (T, bool) {
	var none T
	if r == nil || a.key == nil {
		return none, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.extra == nil {
		return none, false
	}
	v, ok := r.extra.attributes[a.key].(T)
	return v, ok
}

// String is the name of the attribute.
func (a UserAttribute[T]) String() string {
	if a.key == nil {
		return ""
	}
	return *a.key
}

func (a UserAttribute[T]) setIn(all *attributeValues, value any) (reason string) {
	if _, ok := value.(T); !ok {
		return wrongType[T](value)
	}
	if a.key == nil {
		return "not made by NewUserAttribute"
	}
	if all.user == nil {
		all.user = map[any]any{}
	}
	all.user[a.key] = value
	return ""
}

func (a UserAttribute[T]) isUser() bool { return true }
