// Package netreply is an HTTP client that reports every step of a request. It is built on
// net/http and modelled on Qt's QNetworkReply.
//
// A [Manager] sends a [Request] and returns a [Reply] at once. The Reply is an io.Reader of
// the body while it arrives, has typed errors, and emits a signal for every step:
//
//	m, err := netreply.NewManager(netreply.Config{})
//	…
//	defer m.Close()
//	req, err := netreply.NewRequest("https://example.org/big.iso")
//	…
//	reply := m.Get(ctx, req)
//	defer reply.Close()
//	go func() {
//		for p := range reply.DownloadProgress() {
//			bar.Set(p.Done, p.Total)
//		}
//	}()
//	_, err = io.Copy(file, reply) // fails for a 404, too
//
// A program that needs no signals needs no channel: [Reply.ReadAll] waits and returns body
// and error, and [Manager.Fetch] does the whole exchange on the calling goroutine.
//
// # Signals
//
// Signals are recorded in order, and the channels and [Reply.Events] are views of the
// record. The contract:
//
//  1. A late subscriber misses nothing: a channel is filled from the record when its method
//     is first called.
//  2. The library never blocks on an observer and starts no goroutine for one. No signal is
//     lost, except that of ReadyRead and progress only the newest is kept; the last is never
//     lost.
//  3. Only the library sends on the channels and closes them. The channels of questions are
//     closed when no more questions can come, with the head of the final response; all others
//     when the reply is over, that of Finished last.
//  4. There is one channel for each signal of a reply. For several observers, or for the
//     order of different signals, use Events: each call has its own position in the record.
//  5. Between two other signals the record has at most one ReadyRead, UploadProgress and
//     DownloadProgress, the newest: its size does not depend on that of the body. An observer
//     that keeps up, and OnSignal, get each of them.
//  6. State is set before the signal is emitted: an observer of the signal gets the new
//     values from the getters, which are valid at any time.
//  7. OnSignal is serial: calls for one reply do not overlap, and come in the order of Events.
//  8. Every event knows its time since the start of the reply, see Event.
//
// [Request.OnSignal] is called when a signal is emitted, for decisions at that point: Qt's
// direct connection. [Manager.Events] and [Manager.Finished] yield the signals of all
// replies. The hooks of a [net/http/httptrace.ClientTrace] in the context of a request are called
// where net/http would call them.
//
// # Questions
//
// What only the program can decide is a [Question]: a redirect, a certificate, a password, a
// pre-shared key. [Request.Answer] is called with every question and may take its time; a program
// that prefers channels says by [Request.Ask] what it answers, and receives from
// [Reply.Questions]. Without an answer the reply continues with the safe one.
//
// # Errors
//
// [Reply.Err] is an *[Error] with a [NetworkError] code, which is a target of errors.Is,
// the phase, and whether trying again is safe. A status of 400 and above is an error, too;
// its body can be read nevertheless. [Reply.Read] returns every received byte, and then
// io.EOF if Err is nil and the *Error otherwise, so that io.Copy and io.ReadAll report a
// 404 and a broken transfer.
//
// # Memory and back-pressure
//
// Without a limit a reply receives its body into memory as fast as it arrives, so that
// waiting for Finished and then reading cannot deadlock. With [Request.ReadBufferSize]
// receiving pauses while that many bytes are unread, and flow control of TCP or HTTP/2
// stops the peer; the program must read then. A reply that is not read keeps its
// connection.
//
// # Content codings, cookies, authentication
//
// Bodies are delivered decoded; [Reply.WireBytes] and [OriginalContentLength] describe the
// encoded form. A Manager has a cookie jar, see [Config.CookieJar] and package cookies. The
// password for a server is taken from the URL, from the credentials that the server
// accepted before, from [Config.Credentials], or from the answer to an [Authenticator]; the
// reply waits for that answer only if [Request.Answer] or [Request.Ask] is set.
//
// # TLS
//
// Certificate flaws are reported as [SSLErrors] before anything is sent: all flaws, and the
// question whether to continue, for [Request.Answer] or under [AskSSLErrors]. An answer is
// valid for one reply. [SSLConfiguration] has the other settings: versions, roots, client
// certificates, pins, sessions, pre-shared keys.
//
// # Caching
//
// [Config.Cache] is a private cache by RFC 9111, see package httpcache; without it nothing is
// stored. [Request.CacheLoadControl] says what may be answered from it, [SourceIsFromCache] and
// [Reply.CacheStatus] what was. A reply from the cache emits the signals of any other, its bytes
// count, and it obeys the read buffer.
//
// # Proxies
//
// [Config.Proxy], [Config.ProxyFactory] and [Request.Proxy] choose the proxy; the
// environment is used only with [ProxyFromEnvironment]. Failures of proxies have their own
// codes, and their questions are of type [ProxyAuthenticator].
//
// [Reply.JSON] and [Reply.Text] decode a body further. [JSONBody], [FormBody], [FileBody],
// [CompressedBody] and [Multipart] are bodies of requests that describe themselves.
//
// # Other schemes, other libraries
//
// URLs of data: and file: work like those of http, see [Config.FileAccess], and a [Backend]
// writes the replies of any other scheme, see [Config.Backends]. [Manager.RoundTripper] lets
// an http.Client, and libraries that take one, run on a Manager.
//
// # Rules
//
// Comments refer to rules such as S20 or D33; docs/behaviour.md lists them.
// docs/qt-parity.md lists the equivalent of each member of the Qt classes.
package netreply
