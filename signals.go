package netreply

import (
	"context"
	"iter"
)

// Event is one signal of a reply, as Events and OnSignal give it. It is one of
// SocketStartedConnecting, Encrypted, RequestSent, UploadProgress,
// SSLErrorsOccurred, PreSharedKeyAuthenticationRequired, InformationalReceived,
// MetaDataChanged, AuthenticationRequired, ProxyAuthenticationRequired, Redirected,
// ReadyRead, DownloadProgress, ErrorOccurred and Finished.
type Event interface{ kind() signal }

type (
	// SocketStartedConnecting: a TCP connection is being opened for this reply;
	// not on a connection that is used again (rule S41).
	SocketStartedConnecting struct{}
	// SSLErrorsOccurred: something is wrong with the server's certificate; nothing of the
	// request has been sent (rule T1).
	SSLErrorsOccurred struct{ *SSLErrors }
	// PreSharedKeyAuthenticationRequired: the handshake needs a pre-shared key (rule T15).
	PreSharedKeyAuthenticationRequired struct{ *PreSharedKeyAuthenticator }
	// Encrypted: a TLS handshake made for this reply is over, and nothing of the
	// request has been sent yet (rule S43).
	Encrypted struct{}
	// RequestSent: the request goes out; once more for each redirect and each
	// repetition (rule S42). The upload may still be going on.
	RequestSent struct{}
	// UploadProgress: bytes of the request body were handed to the connection.
	UploadProgress struct{ Progress }
	// InformationalReceived: an interim response (1xx except 101) came, early
	// hints (103) for instance.
	InformationalReceived struct{ Informational }
	// MetaDataChanged: a response head is there, of a redirect or the final one
	// (rule S44).
	MetaDataChanged struct{ StatusCode int }
	// AuthenticationRequired: the server wants a password (rule U5).
	AuthenticationRequired struct{ *Authenticator }
	// ProxyAuthenticationRequired: the proxy wants a password.
	ProxyAuthenticationRequired struct{ *ProxyAuthenticator }
	// Redirected: the reply goes to another URL, or wants to (rule R21).
	Redirected struct{ *Redirect }
	// ReadyRead: there are bytes to read that were not there before (rule S45).
	ReadyRead struct{}
	// DownloadProgress: bytes of the response body arrived.
	DownloadProgress struct{ Progress }
	// ErrorOccurred: the reply has failed; Finished follows.
	ErrorOccurred struct{ Code NetworkError }
	// Finished: the reply is over, and nothing about it will change.
	Finished struct{}
)

// Informational is an interim response (RFC 9110, section 15.2).
type Informational struct {
	StatusCode int
	Headers    Headers
}

type signal uint8

const (
	sigConnecting signal = iota
	sigSSLErrors
	sigPreSharedKey
	sigEncrypted
	sigRequestSent
	sigUploadProgress
	sigInformational
	sigMetaData
	sigAuthentication
	sigProxyAuthentication
	sigRedirected
	sigReadyRead
	sigDownloadProgress
	sigError
	sigFinished
	signals
)

func (SocketStartedConnecting) kind() signal            { return sigConnecting }
func (SSLErrorsOccurred) kind() signal                  { return sigSSLErrors }
func (PreSharedKeyAuthenticationRequired) kind() signal { return sigPreSharedKey }
func (Encrypted) kind() signal                          { return sigEncrypted }
func (RequestSent) kind() signal                        { return sigRequestSent }
func (UploadProgress) kind() signal                     { return sigUploadProgress }
func (InformationalReceived) kind() signal              { return sigInformational }
func (MetaDataChanged) kind() signal                    { return sigMetaData }
func (AuthenticationRequired) kind() signal             { return sigAuthentication }
func (ProxyAuthenticationRequired) kind() signal        { return sigProxyAuthentication }
func (Redirected) kind() signal                         { return sigRedirected }
func (ReadyRead) kind() signal                          { return sigReadyRead }
func (DownloadProgress) kind() signal                   { return sigDownloadProgress }
func (ErrorOccurred) kind() signal                      { return sigError }
func (Finished) kind() signal                           { return sigFinished }

// conflates tells whether a newer entry of the kind replaces an older one when
// nothing but such kinds lies between them.
func (s signal) conflates() bool {
	return s == sigReadyRead || s == sigDownloadProgress || s == sigUploadProgress
}

// entry is an event as the record keeps it, without an allocation of its own.
type entry struct {
	seq  uint32
	kind signal
	a, b int64
	ref  any
}

func (e entry) event() Event {
	switch e.kind {
	case sigConnecting:
		return SocketStartedConnecting{}
	case sigSSLErrors:
		return SSLErrorsOccurred{e.ref.(*SSLErrors)}
	case sigPreSharedKey:
		return PreSharedKeyAuthenticationRequired{e.ref.(*PreSharedKeyAuthenticator)}
	case sigEncrypted:
		return Encrypted{}
	case sigRequestSent:
		return RequestSent{}
	case sigUploadProgress:
		return UploadProgress{Progress{e.a, e.b}}
	case sigInformational:
		return InformationalReceived{*e.ref.(*Informational)}
	case sigMetaData:
		return MetaDataChanged{int(e.a)}
	case sigAuthentication:
		return AuthenticationRequired{e.ref.(*Authenticator)}
	case sigProxyAuthentication:
		return ProxyAuthenticationRequired{e.ref.(*ProxyAuthenticator)}
	case sigRedirected:
		return Redirected{e.ref.(*Redirect)}
	case sigReadyRead:
		return ReadyRead{}
	case sigDownloadProgress:
		return DownloadProgress{Progress{e.a, e.b}}
	case sigError:
		return ErrorOccurred{NetworkError(e.a)}
	}
	return Finished{}
}

// view returns the channel at *slot, and makes and fills it on the first call.
func view[T any](r *Reply, slot func(*views) *chan T, size int, fill func(*views, entry)) <-chan T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record.views == nil {
		r.record.views = new(views)
	}
	v := r.record.views
	ch := slot(v)
	if *ch == nil {
		*ch = make(chan T, size)
		for _, e := range r.record.entries {
			fill(v, e)
		}
		if r.record.closed || r.m == nil {
			close(*ch)
		}
	}
	return *ch
}

func (r *Reply) plainView(k signal) <-chan struct{} {
	// elements of no size: the buffer costs nothing, however large
	size := (r.req.maxRedirects() + 2) * (maxRepeats + 2) * (maxAuthRounds + 1)
	if k == sigReadyRead {
		size = 1
	}
	return view(r, func(v *views) *chan struct{} { return &v.plain[k] }, size, func(v *views, e entry) {
		if e.kind == k {
			v.deliver(e)
		}
	})
}

// SocketStartedConnecting tells that a TCP connection is being opened for this
// reply (rule S41).
func (r *Reply) SocketStartedConnecting() <-chan struct{} { return r.plainView(sigConnecting) }

// Encrypted tells that a TLS handshake for this reply has succeeded (rule S43).
// To be sure that nothing is sent before a decision, use Request.OnSignal.
func (r *Reply) Encrypted() <-chan struct{} { return r.plainView(sigEncrypted) }

// RequestSent tells that the request goes out (rule S42).
func (r *Reply) RequestSent() <-chan struct{} { return r.plainView(sigRequestSent) }

// MetaDataChanged tells that a response head is there (rule S44).
func (r *Reply) MetaDataChanged() <-chan struct{} { return r.plainView(sigMetaData) }

// ReadyRead tells that there is something new to read. It is a flag: several
// arrivals may raise it once (rule S45).
func (r *Reply) ReadyRead() <-chan struct{} { return r.plainView(sigReadyRead) }

// Finished is closed, after every other channel of the reply, when the reply
// is over; one value is received before that.
func (r *Reply) Finished() <-chan struct{} { return r.plainView(sigFinished) }

// UploadProgress holds the newest progress of the upload, at most every 100 ms,
// and always the last one (rule P10).
func (r *Reply) UploadProgress() <-chan Progress {
	return view(r, func(v *views) *chan Progress { return &v.upload }, 1, func(v *views, e entry) {
		if e.kind == sigUploadProgress {
			v.deliver(e)
		}
	})
}

// DownloadProgress holds the newest progress of the download, at most every
// 100 ms, and always the last one (rules P2 and P3).
func (r *Reply) DownloadProgress() <-chan Progress {
	return view(r, func(v *views) *chan Progress { return &v.download }, 1, func(v *views, e entry) {
		if e.kind == sigDownloadProgress {
			v.deliver(e)
		}
	})
}

// Redirected gives every redirect before it is followed. Under
// UserVerifiedRedirectPolicy the reply waits for Allow or Deny (rule R6).
func (r *Reply) Redirected() <-chan *Redirect {
	return view(r, func(v *views) *chan *Redirect { return &v.redirected }, r.req.maxRedirects()+1, func(v *views, e entry) {
		if e.kind == sigRedirected {
			v.deliver(e)
		}
	})
}

// AuthenticationRequired gives every question for a password. The reply waits for
// its answer under AskAuthentication. It never asks more than 64 times.
func (r *Reply) AuthenticationRequired() <-chan *Authenticator {
	return view(r, func(v *views) *chan *Authenticator { return &v.authenticate }, maxQuestions, func(v *views, e entry) {
		if e.kind == sigAuthentication {
			v.deliver(e)
		}
	})
}

// ProxyAuthenticationRequired gives every question of a proxy for a password, as
// AuthenticationRequired does those of servers. The reply waits for its answer under
// AskProxyAuthentication.
func (r *Reply) ProxyAuthenticationRequired() <-chan *ProxyAuthenticator {
	return view(r, func(v *views) *chan *ProxyAuthenticator { return &v.proxy }, maxQuestions, func(v *views, e entry) {
		if e.kind == sigProxyAuthentication {
			v.deliver(e)
		}
	})
}

// SSLErrors gives everything that is wrong with a server's certificate, before anything
// was sent to it. The reply waits for the answer under AskSSLErrors.
func (r *Reply) SSLErrors() <-chan *SSLErrors {
	return view(r, func(v *views) *chan *SSLErrors { return &v.sslErrors }, r.connections(), func(v *views, e entry) {
		if e.kind == sigSSLErrors {
			v.deliver(e)
		}
	})
}

// PreSharedKeyAuthenticationRequired gives every question for a pre-shared key. The
// handshake waits for its answer under AskPreSharedKey.
func (r *Reply) PreSharedKeyAuthenticationRequired() <-chan *PreSharedKeyAuthenticator {
	return view(r, func(v *views) *chan *PreSharedKeyAuthenticator { return &v.preSharedKey }, r.connections(), func(v *views, e entry) {
		if e.kind == sigPreSharedKey {
			v.deliver(e)
		}
	})
}

// connections bounds how many connections a reply has opened for it, within reason: on
// each of its hops one, a repetition, and a few that it was asked about.
func (r *Reply) connections() int { return (r.req.maxRedirects()+1)*(maxRepeats+1) + maxQuestions }

// InformationalReceived gives every interim response. More than 128 of them
// fail the reply with ProtocolFailure.
func (r *Reply) InformationalReceived() <-chan Informational {
	return view(r, func(v *views) *chan Informational { return &v.informational }, maxInformational, func(v *views, e entry) {
		if e.kind == sigInformational {
			v.deliver(e)
		}
	})
}

// ErrorOccurred gives the code of a failure, once, and is closed without a
// value when the reply succeeds.
func (r *Reply) ErrorOccurred() <-chan NetworkError {
	return view(r, func(v *views) *chan NetworkError { return &v.failed }, 1, func(v *views, e entry) {
		if e.kind == sigError {
			v.deliver(e)
		}
	})
}

// Events yields every signal of the reply in order, from its beginning to
// Finished, or until ctx ends. Each call has its own place in the list; of
// progress it sees the newest at the time it looks. Inside OnSignal it ends where it
// would have to wait. A nil ctx never ends.
func (r *Reply) Events(ctx context.Context) iter.Seq[Event] {
	if ctx == nil {
		ctx = context.Background()
	}
	return func(yield func(Event) bool) {
		var seen uint32
		for {
			r.mu.Lock()
			e, ok := r.record.after(seen)
			var changed chan struct{}
			if !ok {
				if r.record.closed || r.m == nil || r.insideCallback() {
					r.mu.Unlock()
					return
				}
				if r.record.changed == nil {
					r.record.changed = make(chan struct{})
				}
				changed = r.record.changed
			}
			r.mu.Unlock()
			if ok {
				seen = e.seq
				if !yield(e.event()) {
					return
				}
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// emit records a signal of a running reply and tells those who asked to be
// called. It must be called without the lock.
func (r *Reply) emit(k signal, a, b int64, ref any) {
	r.mu.Lock()
	if r.state != running {
		r.mu.Unlock()
		return
	}
	r.emitLocked(k, a, b, ref)
}

// emitLocked is emit for whoever holds the lock, which it gives up.
func (r *Reply) emitLocked(k signal, a, b int64, ref any) {
	r.m.hub.publish(r, k, a, b, ref)
	e := r.record.note(k, a, b, ref)
	r.mu.Unlock()
	if r.m.cfg.OnSignal != nil || r.req.OnSignal != nil {
		r.callBack(e)
	}
}
