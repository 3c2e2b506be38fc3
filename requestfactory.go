package netreply

import (
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
)

// RequestFactory makes the requests for one service: they have a base URL, header fields,
// credentials, parameters and settings in common (Qt: QNetworkRequestFactory).
//
// It is a plain value: set its fields, copy it to vary them. New may be called concurrently
// while no field is changed. New of the zero value returns an error, because the base URL is
// missing.
type RequestFactory struct {
	// BaseURL is where all paths begin. It may have a path, a query, and user information,
	// which all requests get; its fragment is dropped.
	BaseURL *url.URL
	// Common has the fields that all requests have: header fields, Bearer for a token that
	// is refreshed, TransferTimeout, Priority, SSLConfiguration, user attributes and so on.
	// Its URL must be nil.
	Common Request
	// Params are parameters of all requests. A path need not use a path parameter of these.
	Params []Param
	// BearerToken is sent as the Authorization field "Bearer " and the token, if it is not
	// empty. Then Common has neither Bearer nor an Authorization field.
	BearerToken string
	// User and Password are the user information of the URLs, in place of that of BaseURL,
	// unless both are empty. They are sent after a challenge of the server.
	//
	// They and the token go to the origin of BaseURL, and never to another one after a
	// redirect. Unless the scheme is https, everyone on the network path can read the token.
	User, Password string
}

// NewRequestFactory makes a RequestFactory for a base URL. The error is that of NewRequest, or
// for a URL that no path can be appended to, such as one without a scheme, that of New.
func NewRequestFactory(baseURL string) (RequestFactory, error) {
	q, err := NewRequest(baseURL)
	if err != nil {
		return RequestFactory{}, err
	}
	f := RequestFactory{BaseURL: q.URL}
	if err := f.check(); err != nil {
		return RequestFactory{}, err
	}
	return f, nil
}

// New makes a request. Its path is appended to that of the base URL, with one slash between
// them, whether or not path begins with a slash; "" is the base URL itself. Each {name} in
// path stands for the parameter of that name:
//
//	f.New("users/{id}/posts", netreply.PathParam("id", id), netreply.QueryParam("page", 2))
//
// The rest of path is percent-encoded where it has to be. It may have a query; a fragment is
// dropped. The query of the request has the parameters of BaseURL, of Params, of path, and
// of params, in this order; those of the same name are all kept. A path parameter of params
// replaces the one of Params.
//
// Values are percent-encoded, so that they cannot change the structure of the URL. New
// returns an *Error with code ProtocolInvalidOperationError and a *FieldError that names
//   - a parameter that is missing, empty, given twice, or not used by path,
//   - a value that is a dot segment, . or .., or has one behind a slash,
//   - a path that leads out of the base URL: with a scheme, two slashes at the beginning, or
//     dot segments,
//   - a field of the factory that cannot be used. Those of Common are checked when the
//     request is sent.
//
// The request is independent of the factory.
func (f RequestFactory) New(path string, params ...Param) (*Request, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	invalid := func(field, reason string) (*Request, error) {
		return nil, invalidRequest(field, reason)
	}
	values := map[string]*pathValue{}
	for _, p := range f.Params {
		if p.path {
			values[p.name] = &pathValue{text: p.value, common: true}
		}
	}
	for _, p := range params {
		switch old := values[p.name]; {
		case p.name == "":
			return invalid("parameter", noParamName)
		case !p.path:
		case old != nil && !old.common:
			return invalid(httpurl.ParamField(p.name), "given twice")
		default:
			values[p.name] = &pathValue{text: p.value}
		}
	}
	escaped, query, bad := httpurl.Expand(path, func(name string) (string, bool) {
		v := values[name]
		if v == nil {
			return "", false
		}
		v.used = true
		return v.text, true
	})
	if bad != nil {
		return invalid(bad.Field, bad.Reason)
	}
	for _, p := range params {
		if p.path && !values[p.name].used {
			return invalid(httpurl.ParamField(p.name), "not used: the path has no {"+p.name+"}")
		}
	}

	q := f.Common.Clone()
	q.URL = httpurl.Join(f.BaseURL, escaped)
	q.URL.RawQuery = joinQueries(q.URL.RawQuery, queryOf(f.Params), query, queryOf(params))
	if f.User != "" || f.Password != "" {
		q.URL.User = url.UserPassword(f.User, f.Password)
	}
	if f.BearerToken != "" {
		q.Headers.Set("Authorization", "Bearer "+f.BearerToken)
	}
	return q, nil
}

func invalidRequest(field, reason string) error {
	return localError(ProtocolInvalidOperationError, "Invalid request", &FieldError{Field: field, Reason: reason})
}

// check returns the error of a field that cannot be used.
func (f *RequestFactory) check() error {
	if field, reason := f.unusable(); field != "" {
		return invalidRequest("RequestFactory."+field, reason)
	}
	return nil
}

// pathValue is the value of a path parameter.
type pathValue struct {
	text   string
	common bool // of the factory
	used   bool
}

const noParamName = "must be made by PathParam or QueryParam, with a name"

// unusable names a field that cannot be used, "" if there is none.
func (f *RequestFactory) unusable() (field, reason string) {
	seen := map[string]bool{}
	for _, p := range f.Params {
		switch {
		case p.name == "":
			return "Params", noParamName
		case p.path && seen[p.name]:
			return "Params", "the path parameter " + p.name + " is given twice"
		}
		seen[p.name] = seen[p.name] || p.path
	}
	switch u := f.BaseURL; {
	case u == nil:
		return "BaseURL", required
	case u.Scheme == "":
		return "BaseURL", "the scheme is missing, as in https://example.org"
	case u.Opaque != "":
		return "BaseURL", "a slash must follow the scheme: otherwise there is no path that another can be appended to"
	case f.Common.URL != nil:
		return "Common.URL", "must be nil; the base URL is BaseURL"
	case f.BearerToken == "":
	case strings.IndexFunc(f.BearerToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0:
		return "BearerToken", "must consist of printable ASCII characters without spaces"
	case f.Common.Bearer != nil:
		return "BearerToken", "must not be set together with Common.Bearer"
	case f.Common.Headers.Has("Authorization"):
		return "BearerToken", "must not be set together with the field Authorization of Common.Headers"
	}
	return "", ""
}

func queryOf(params []Param) string {
	var b strings.Builder
	for _, p := range params {
		if p.path {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(httpurl.Escape(p.name) + "=" + httpurl.Escape(p.value))
	}
	return b.String()
}

func joinQueries(queries ...string) string {
	var b strings.Builder
	for _, q := range queries {
		if b.Len() > 0 && q != "" {
			b.WriteByte('&')
		}
		b.WriteString(q)
	}
	return b.String()
}

// Param is a parameter of a request that a RequestFactory makes: a value for a placeholder
// of the path, or an item of the query. Printing it, or the URL, shows its value.
type Param struct {
	name, value string
	path        bool
}

// ParamValue are the types of values of parameters. Numbers are decimal, and bool is true or
// false; others, such as dates, must be converted to the string that the service expects.
type ParamValue interface {
	~string | bool | int | int32 | int64 | uint | uint32 | uint64
}

// PathParam is the value for {name} in a path.
func PathParam[T ParamValue](name string, value T) Param {
	return Param{name, paramText(value), true}
}

// QueryParam is an item of the query, name=value.
func QueryParam[T ParamValue](name string, value T) Param {
	return Param{name, paramText(value), false}
}

func paramText[T ParamValue](value T) string {
	if v := reflect.ValueOf(value); v.Kind() == reflect.String {
		return v.String() // what a String method would return is not the value
	}
	return fmt.Sprint(value)
}

// String is {name}=value for a path parameter, and name=value for one of the query.
func (p Param) String() string {
	switch {
	case p.name == "":
		return ""
	case p.path:
		return "{" + p.name + "}=" + p.value
	}
	return p.name + "=" + p.value
}

// Format prints the quoted text of String.
func (p Param) Format(s fmt.State, verb rune) { formatText(s, verb, quote(p.String())) }

// LogValue is what log/slog prints: the same as String.
func (p Param) LogValue() slog.Value { return slog.StringValue(printable(p.String(), maxMessage)) }

// Format prints the fields that are not zero, without secrets: those of Common as a Request
// prints them, and neither BearerToken nor Password.
func (f RequestFactory) Format(s fmt.State, verb rune) {
	printoutOf(f, "BearerToken", "Password").format(s, verb)
}

// LogValue is what log/slog prints: the same.
func (f RequestFactory) LogValue() slog.Value {
	return printoutOf(f, "BearerToken", "Password").logValue()
}
