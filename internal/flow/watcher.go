package flow

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/certs"
	"github.com/netreply/netreply/internal/coding"
	"github.com/netreply/netreply/internal/wire"
)

// Watcher receives the events of a transfer, and takes the decisions that only the program
// can take. Calls come from the goroutine that runs the transfer, with exceptions that may
// run concurrently and after its end: Uploaded and Sent from the goroutine that reads the
// request body, Interim from the goroutine that reads the connection, and HeadLate from a
// timer. A call may block, except Interim on HTTP/2, where the connection is shared. While
// it waits for the program the transfer's clock is paused.
type Watcher interface {
	// Enter reports the phase of the transfer.
	Enter(Phase)
	// Connecting reports that a connection is being opened for this transfer.
	Connecting()
	// Encrypted reports a finished TLS handshake for this transfer, before anything of the
	// request is sent.
	Encrypted(*tls.ConnectionState)
	// FlawsAccepted reports certificate flaws that settings have accepted.
	FlawsAccepted(host string, f *certs.Failure)
	// Carrier reports the connection on which the request is sent.
	Carrier(*wire.Conn)
	// Uploads provides the counter of body bytes that the next exchange hands to the
	// connection. nil means that the body is dropped.
	Uploads(sent *atomic.Int64)
	// Sent reports that the request is being sent.
	Sent()
	// Uploaded reports that sent of total bytes of the body were handed to the connection.
	// total is -1 while unknown.
	Uploaded(sent, total int64)
	// Interim reports an interim response.
	Interim(code int, h http.Header)
	// HeadLate reports that Config.HeadTimeout was exceeded. It must end the context.
	HeadLate()
	// Head reports a response head, of a redirect that is followed or the final one. It is
	// valid until the next call.
	Head(*Head)
	// Refused reports the target of a redirect that is not followed.
	Refused(target *url.URL)
	// Redirect reports a redirect, asks the program if the policy says so, and changes the
	// URL of the reply. It returns false if the program denies it. It calls meanwhile
	// before it waits for the program.
	Redirect(r *Redirection, meanwhile func()) (follow bool)
	// Profile returns the TLS profile for a URL. once reports that connections with it are
	// for this transfer only.
	Profile(u *url.URL) (p *wire.Profile, once bool)
	// Certificate asks about certificate flaws during the handshake for u. ask is false
	// when the transfer has asked too often. It returns a profile that accepts the
	// certificate, nil for none.
	Certificate(u *url.URL, host string, f *certs.Failure, ask bool) *wire.Profile
	// Key asks for a pre-shared key during a handshake; about is the question.
	Key(about any)
	// Password reports a question for a password, and waits for the answer if the program
	// is to answer it. answered is false if it did not wait, or got no answer.
	Password(q *PasswordQuestion) (answer *auth.Credentials, answered bool)
	// Tokens returns the source of bearer tokens. It is called only if Request.Bearer is set.
	// What it returns may be used after the transfer.
	Tokens() TokenSource
	// Proxies lists the proxies to try for a URL; nil in the list, and an empty list, mean
	// a direct connection. It is called only if Request.Proxied is set.
	Proxies(u *url.URL) ([]*Proxy, error)
	// Via describes the proxy that the request has in place of the usual ones, "" for none. It
	// can put anything into responses that TLS does not protect: the cache keeps these for
	// requests with the same proxy.
	Via() string
	// Local reports that only the first n bytes of the body, as it is encoded, do not come from the
	// network. It is called where the rest of a body is requested that the store or another
	// request was to provide, perhaps from the goroutine that reads the body. n is negative if
	// more was received than is delivered.
	Local(n int64)
	// Uncached reports, as the detail of a Cache-Status, why nothing is stored that answers the
	// request, which must not be sent.
	Uncached(detail string)
	// Decoding provides the decoder of the body, which counts the encoded bytes.
	Decoding(*coding.Reader)
}

// TokenSource returns bearer tokens.
type TokenSource interface {
	// Token returns a token other than refused, which is "" if none was refused.
	Token(ctx context.Context, refused string) (string, error)
}

// Head is a response head.
type Head struct {
	*http.Response
	Raw     string        // the bytes of an HTTP/1 head, "" if not available
	Decoded bool          // the body is delivered decoded
	NoBody  bool          // the response has no body
	Final   bool          // not of a redirect, followed or refused: no more questions follow
	Target  *url.URL      // of a redirect that is not followed
	Cache   *CacheOutcome // nil without a cache
}

// Redirection is a redirect that the policy allows.
type Redirection struct {
	From, To *url.URL
	Status   int
	Method   string // of the next request
}

// PasswordQuestion is a question for a password for a server or a proxy.
type PasswordQuestion struct {
	auth.Question
	URL        *url.URL
	Proxy      *Proxy // nil for the server
	ReportOnly bool   // only reported: an answer is not used (rule A12)
}

// Phase is the phase of a transfer.
type Phase uint8

const (
	Local Phase = iota
	Queue
	Connect
	TLS
	Headers
	Body
)
