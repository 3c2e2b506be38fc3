package httpserver

import (
	"errors"
	"io/fs"
	"net/http"
	"slices"
)

// Problem is what went wrong, for programs to read (RFC 9457).
type Problem struct {
	// Type is a URI that tells kinds of problems apart; "" for one that Status says all of.
	Type string
	// Title says what the Type is, the same for each of its kind. Without a Type it is the
	// reason phrase of the Status when empty.
	Title    string
	Status   StatusCode // 0 means InternalServerError
	Detail   string     // says what is wrong this time
	Instance string     // a URI of this occurrence
	// Extensions are further members. Their names must not be those of the others.
	Extensions map[string]any
}

// problemMembers are the names that extensions cannot have.
var problemMembers = []string{"type", "title", "status", "detail", "instance"}

const problemMIME = "application/problem+json"

var errMember = errors.New("httpserver: an extension has the name of a member of every problem")

// MarshalJSON writes the members that are set, and Status. An extension that cannot be JSON
// is an error.
func (p Problem) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(p.Extensions)+len(problemMembers))
	for name, v := range p.Extensions {
		if slices.Contains(problemMembers, name) {
			return nil, errMember
		}
		all[name] = v
	}
	title := p.Title
	if title == "" && (p.Type == "" || p.Type == "about:blank") {
		title = p.status().phrase()
	}
	for i, text := range [...]string{p.Type, title, "", p.Detail, p.Instance} {
		if text != "" {
			all[problemMembers[i]] = text
		}
	}
	all["status"] = p.status()
	return encodeJSON(all)
}

func (p *Problem) status() StatusCode {
	if p.Status == 0 {
		return InternalServerError
	}
	return p.Status
}

// ProblemResponse is a problem as application/problem+json; the error says that it has an
// extension that cannot be sent.
func ProblemResponse(p Problem) (*Response, error) {
	body, err := encodeJSON(p)
	if err != nil {
		return nil, err
	}
	return DataResponse(body, problemMIME, p.status()), nil
}

// WriteProblem answers with a problem, its Status, and application/problem+json. One that
// has an extension that cannot be sent is refused before anything is.
func (s *Responder) WriteProblem(p Problem) error {
	if err := s.exchange().check(); err != nil {
		return err
	}
	body, err := encodeJSON(p)
	if err != nil {
		return s.x.refuse(err)
	}
	return s.data(body, problemMIME, Headers{}, p.status())
}

// ProblemOf is the problem that an error is to a client. An error of the program that is, or
// wraps, one with a method Problem() Problem says so itself. Of an *InputError the problem has
// the status, says what is wrong with the request, and has the extensions "field" (the first
// 100 bytes of it) and "offset" where they are known. Of others it has the status only, so that
// it gives nothing of the program away: that of an *HTTPError, 404 for a file that is not there,
// 403 for one that may not be used, 409 for one that is there already, 413 and 408 for a body
// that is too large or too slow, 500 for the rest.
func ProblemOf(err error) Problem {
	var own interface{ Problem() Problem }
	var withStatus *HTTPError
	var input *InputError
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own.Problem()
	case errors.As(err, &withStatus):
		return Problem{Status: withStatus.status()}
	case errors.As(err, &input):
		p := Problem{Status: input.Status(), Detail: input.forClient()}
		if input.Field != "" || input.Offset > 0 {
			p.Extensions = map[string]any{}
		}
		if input.Field != "" {
			p.Extensions["field"] = shorten(input.Field, maxShown)
		}
		if input.Offset > 0 {
			p.Extensions["offset"] = input.Offset
		}
		return p
	case errors.As(err, &limit):
		return Problem{Status: PayloadTooLarge}
	case errors.Is(err, errSlowBody):
		return Problem{Status: RequestTimeout}
	case errors.Is(err, fs.ErrNotExist):
		return Problem{Status: NotFound}
	case errors.Is(err, fs.ErrPermission):
		return Problem{Status: Forbidden}
	case errors.Is(err, fs.ErrExist):
		return Problem{Status: Conflict}
	}
	return Problem{Status: InternalServerError}
}
