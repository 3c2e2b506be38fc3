// Package netreply is an HTTP client for programs that care about what happens
// during a request. It wraps net/http and mirrors Qt's QNetworkReply.
//
// A [Manager] sends a [Request] and returns a [Reply] at once. The Reply is an
// io.Reader of the body while it arrives, has typed errors, and shows every step
// as a signal:
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
// A program that does not care needs no channel: [Reply.ReadAll] waits and gives
// body and error, and [Manager.Fetch] does the whole exchange on the calling
// goroutine.
//
// # Signals
//
// Signals are written once to an ordered record of the reply, of which the
// channels and [Reply.Events] are views. The contract:
//
//  1. Subscribing late loses nothing: a channel is filled from the record when it
//     is first asked for.
//  2. The library never blocks on an observer and starts no goroutine for one.
//     Discrete signals are lossless; progress holds the newest value and never
//     loses the last.
//  3. Only the transfer sends and closes. Every channel is closed when the reply
//     is over, that of Finished last.
//  4. There is one channel for each signal of a reply. For several observers, or
//     for the order across signals, each call of Events has its own place in the
//     record.
//  5. Adjacent progress overwrites itself: the record grows with the discrete
//     events, not with the body.
//  6. State first, signal second: when a signal is seen the getters have its value,
//     and they are valid at any time.
//
// [Request.OnSignal] is called at the very point of a signal, for what must be
// decided there: Qt's direct connection. [Manager.Events] and [Manager.Finished]
// spread the signals of all replies.
//
// # Errors
//
// [Reply.Err] is an *[Error] with a [NetworkError] code, which is a target of
// errors.Is, the phase, and whether trying again is safe. A status of 400 and
// above is an error, too; its body can be read all the same. [Reply.Read] gives every
// byte that came, and then ends in io.EOF where Err is nil and in the *Error
// otherwise, so that io.Copy and io.ReadAll tell a 404 and a broken transfer.
//
// # Memory and back-pressure
//
// Without a limit a reply reads its body into memory as fast as it comes, so that
// waiting for Finished and then reading cannot deadlock. With
// [Request.ReadBufferSize] the peer is stopped while that many bytes are unread,
// by the flow control of TCP or HTTP/2; somebody must read then. A reply that is
// not read keeps its connection.
//
// # Content codings, cookies, authentication
//
// Bodies come decoded; [Reply.WireBytes] and [OriginalContentLength] tell what was
// sent. A Manager has a cookie jar, see [Config.CookieJar] and package cookies. A
// server that wants a password gets one from the URL, from what it accepted before,
// from [Config.Credentials], or from whoever answers the [Authenticator]; the reply
// waits for that answer only if there is a [Request.Answer], or [Request.Ask] says so.
//
// # TLS
//
// A certificate that is not in order makes [SSLErrors], before anything is sent: all
// that is wrong, and the question whether to go on, which goes to [Request.Answer] or is
// waited for under [AskSSLErrors]. An answer holds for one reply. [SSLConfiguration] is for everything
// else: versions, roots, client certificates, pins, sessions, pre-shared keys.
//
// # Proxies
//
// [Config.Proxy], [Config.ProxyFactory] and [Request.Proxy] choose one; nothing is taken
// from the environment unless [ProxyFromEnvironment] is. Its failures have codes of
// their own, and its questions come as [ProxyAuthenticator].
//
// # Rules
//
// Comments name rules such as S20 or D33; docs/behaviour.md lists them, and
// docs/qt-parity.md lists what became of each member of the Qt classes.
package netreply
