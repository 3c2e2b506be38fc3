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

// Watcher is told what happens to a transfer and asked what only the program can know. The
// calls come from the goroutine that runs the transfer, but for some that may come beside the
// others, and behind the transfer: Uploaded and Sent from the goroutine that reads the request
// body, Interim from the one that reads the connection, and HeadLate from that of a timer. A
// call may block, but for Interim on HTTP/2, where the connection is read for others, too; where
// it waits for the program the transfer's clock stands still.
type Watcher interface {
	// Enter says how far the transfer has come.
	Enter(Phase)
	// Connecting: a connection is being opened for this transfer.
	Connecting()
	// Encrypted: a handshake for this transfer is over, and nothing of the request sent yet.
	Encrypted(*tls.ConnectionState)
	// FlawsAccepted: settings have accepted what is wrong with the certificate of a host.
	FlawsAccepted(host string, f *certs.Failure)
	// Carrier is the connection that the request goes out on.
	Carrier(*wire.Conn)
	// Uploads gives the counter of the body bytes that the sending to come hands to the
	// connection. nil means that the body is dropped.
	Uploads(sent *atomic.Int64)
	// Sent: the request goes out.
	Sent()
	// Uploaded: so many bytes of the body, of total, were handed to the connection. total is
	// -1 while it is not known.
	Uploaded(sent, total int64)
	// Interim is an interim response.
	Interim(code int, h http.Header)
	// HeadLate: Config.HeadTimeout has passed. It has to end the context.
	HeadLate()
	// Head is a response head, of a redirect that is followed or the final one. It is valid
	// until the next call.
	Head(*Head)
	// Refused keeps where a redirect points to that is not followed.
	Refused(target *url.URL)
	// Redirect tells of a redirect, asks where it has to, and takes the reply to the target.
	// false means that the program does not want it. meanwhile is to be called before anybody
	// is waited for.
	Redirect(r *Redirection, meanwhile func()) (follow bool)
	// Profile is the encryption of the connections for a URL. once tells that they are for
	// this transfer alone.
	Profile(u *url.URL) (p *wire.Profile, once bool)
	// Certificate asks about a certificate that is not in order, in the middle of the
	// handshake for u. ask is false when the transfer has asked too often. It gives an
	// encryption that accepts it, nil for none.
	Certificate(u *url.URL, host string, f *certs.Failure, ask bool) *wire.Profile
	// Key asks for a pre-shared key in the middle of a handshake, whose question about is.
	Key(about any)
	// Password tells of a question for a password, and waits for the answer where that is
	// wanted. answered is false when nobody was waited for, or nothing said.
	Password(q *PasswordQuestion) (answer *auth.Credentials, answered bool)
	// Token gets a bearer token that is not the one that was refused; "" for none.
	Token(ctx context.Context, refused string) (string, error)
	// Proxies lists the proxies for a URL, to be tried in turn; nil among them, and an empty
	// list, is directly. It is called only where Request.Proxied is set.
	Proxies(u *url.URL) ([]*Proxy, error)
	// Decoding says what decodes the body, and counts its bytes as they came.
	Decoding(*coding.Reader)
}

// Head is a response head.
type Head struct {
	*http.Response
	Raw     string   // the bytes of an HTTP/1 head, "" where they were not seen
	Decoded bool     // the body's content codings are taken off
	NoBody  bool     // none can follow
	Final   bool     // not of a redirect that is followed, or refused: no question is asked any more
	Target  *url.URL // where it points to, when that is not followed
}

// Redirection is a redirect that is going to be followed.
type Redirection struct {
	From, To *url.URL
	Status   int
	Method   string // of the next request
}

// PasswordQuestion is what a server wants a password for, or a proxy.
type PasswordQuestion struct {
	auth.Question
	URL   *url.URL
	Proxy *Proxy // nil for the server
	Told  bool   // only: nobody is asked (rule A12)
}

// Phase is how far a transfer has come.
type Phase uint8

const (
	Local Phase = iota
	Queue
	Connect
	TLS
	Headers
	Body
)
