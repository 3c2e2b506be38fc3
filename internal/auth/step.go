package auth

import "io"

// Kind is the kind of a Step.
type Kind int

const (
	// Send: send the request, with Step.Line in the field Role.Credentials unless it is
	// empty; a tunnel is opened with Step.Credentials.
	Send Kind = iota
	// Ask: ask the program Step.Question, and call Answered.
	Ask
	// Wait: another request is asking; wait until Step.Until is closed, and call Waited.
	Wait
	// FetchToken: get a bearer token other than Step.Refused, and call Token.
	FetchToken
	// HashBody: write the request body to Step.Body, and call Hashed.
	HashBody
	// GiveUp: the challenge is the final response.
	GiveUp
	// Fail: fail the request with Step.Err.
	Fail
)

// Step is the next action for the caller.
type Step struct {
	Kind Kind

	Line        string       // Send
	Credentials *Credentials // Send, through a tunnel; nil for none
	Question    Question     // Ask
	Until       <-chan struct{}
	Refused     string    // FetchToken; "" for none
	Body        io.Writer // HashBody
	Err         *Error    // Fail

	// Session says which connection the next requests use.
	Session Session
	// Owner is the owner of the connections that may be used; nil for connections that are
	// not authenticated.
	Owner any
}

// Session says whether requests need a particular connection.
type Session int

const (
	AnyConnection  Session = iota // no particular connection
	NewConnection                 // a new connection, which is reserved from then on
	SameConnection                // the reserved connection
)

// Question is a question to the program.
type Question struct {
	Realm, Scheme string
	// User is the user that was tried last, or the user in the URL.
	User string
	// PreviousFailed reports that credentials for this realm have just been refused.
	PreviousFailed bool
	// Options are the parameters of the challenge, by lower-case name.
	Options map[string]string
}
