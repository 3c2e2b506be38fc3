package auth

import "io"

// Kind is what a Step wants done.
type Kind int

const (
	// Send the request, with Step.Line in the field Role.Credentials unless it is empty;
	// through a tunnel, open that with Step.Credentials.
	Send Kind = iota
	// Ask the program Step.Question, and call Answered.
	Ask
	// Wait until Step.Until is closed, since another request asks the same, and call Waited.
	Wait
	// FetchToken: get a bearer token that is not Step.Refused, and call Token.
	FetchToken
	// HashBody: write the request body to Step.Body, and call Hashed.
	HashBody
	// GiveUp: the challenge is the response.
	GiveUp
	// Fail with Step.Err.
	Fail
)

// Step is what is to be done next.
type Step struct {
	Kind Kind

	Line        string       // Send
	Credentials *Credentials // Send, through a tunnel; nil for none
	Question    Question     // Ask
	Until       <-chan struct{}
	Refused     string    // FetchToken; "" for none
	Body        io.Writer // HashBody
	Err         *Error    // Fail

	// Session says which connection the next sending takes, from now on.
	Session Session
	// Owner is whose connections it may take; nil for those that nobody has authenticated.
	Owner any
}

// Session is how sendings are tied to one connection.
type Session int

const (
	AnyConnection  Session = iota // no connection is held
	NewConnection                 // one is held from the next sending on
	SameConnection                // the one that is held
)

// Question is what a program is asked.
type Question struct {
	Realm, Scheme string
	// User is the user that was tried last, or that the URL names.
	User string
	// PreviousFailed: credentials for this realm have just been refused.
	PreviousFailed bool
	// Options are the parameters of the challenge, by lower-case name.
	Options map[string]string
}
