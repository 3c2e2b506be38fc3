package netreply

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/netreply/netreply/internal/journal"
)

// Event is one signal of a reply, from Events or OnSignal. It is one of
// SocketStartedConnecting, Encrypted, RequestSent, UploadProgress, SSLErrorsOccurred,
// PreSharedKeyAuthenticationRequired, InformationalReceived, MetaDataChanged,
// AuthenticationRequired, ProxyAuthenticationRequired, Redirected, ReadyRead,
// DownloadProgress, ErrorOccurred and Finished. What package fmt prints of it says what
// happened and when.
type Event interface {
	// Elapsed is the time from the start of the reply, which is the call of Get or another
	// verb, to the event. The difference between two events of a reply is the time between
	// them.
	Elapsed() time.Duration
	isEvent()
}

// elapsed is the common part of all events.
type elapsed struct{ time time.Duration }

// Elapsed is the time from the start of the reply to the event.
func (e elapsed) Elapsed() time.Duration { return e.time }

func (elapsed) isEvent() {}

// text is the text of String: the name of the signal, its details, and the time.
func (e elapsed) text(k signal, about ...any) string {
	words := append(append([]any{k}, about...), "after", e.time.Round(time.Microsecond))
	text := fmt.Sprintln(words...)
	return text[:len(text)-1]
}

type (
	// SocketStartedConnecting is emitted when a TCP connection is being opened for this reply;
	// not on a connection that is used again (rule S41).
	SocketStartedConnecting struct{ elapsed }
	// SSLErrorsOccurred is emitted when the server's certificate has flaws, before anything
	// of the request is sent (rule T1).
	SSLErrorsOccurred struct {
		elapsed
		*SSLErrors
	}
	// PreSharedKeyAuthenticationRequired is emitted when the handshake needs a pre-shared key
	// (rule T15).
	PreSharedKeyAuthenticationRequired struct {
		elapsed
		*PreSharedKeyAuthenticator
	}
	// Encrypted is emitted when a TLS handshake for this reply has succeeded, before
	// anything of the request is sent (rule S43).
	Encrypted struct{ elapsed }
	// RequestSent is emitted when the request is sent, again for each redirect and each
	// repetition (rule S42). The upload may still be running.
	RequestSent struct{ elapsed }
	// UploadProgress is emitted when bytes of the request body were handed to the connection.
	UploadProgress struct {
		elapsed
		Progress
	}
	// InformationalReceived is emitted for an interim response (1xx except 101), early
	// hints (103) for instance.
	InformationalReceived struct {
		elapsed
		Informational
	}
	// MetaDataChanged is emitted when a response head was received, of a redirect or the
	// final one (rule S44).
	MetaDataChanged struct {
		elapsed
		StatusCode int
	}
	// AuthenticationRequired is emitted when the server requires a password (rule U5).
	AuthenticationRequired struct {
		elapsed
		*Authenticator
	}
	// ProxyAuthenticationRequired is emitted when the proxy requires a password.
	ProxyAuthenticationRequired struct {
		elapsed
		*ProxyAuthenticator
	}
	// Redirected is emitted when the reply follows a redirect, or asks whether to (rule
	// R21).
	Redirected struct {
		elapsed
		*Redirect
	}
	// ReadyRead is emitted when new bytes can be read (rule S45). Several arrivals may be one
	// ReadyRead, of which Elapsed is that of the newest: how many there are depends on timing, and on
	// whether the observer keeps up.
	ReadyRead struct{ elapsed }
	// DownloadProgress is emitted when bytes of the response body arrived, at most every 100 ms, not
	// in the first 100 ms, and in any case at the end.
	DownloadProgress struct {
		elapsed
		Progress
	}
	// ErrorOccurred is emitted when the reply has failed; Finished follows.
	ErrorOccurred struct {
		elapsed
		Code NetworkError
	}
	// Finished is emitted when the reply is over; nothing about it changes afterwards.
	Finished struct{ elapsed }
)

// String is the event in words.
func (e SocketStartedConnecting) String() string { return e.text(sigConnecting) }

// LogValue is what log/slog prints: the same as String.
func (e SocketStartedConnecting) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words.
func (e Encrypted) String() string { return e.text(sigEncrypted) }

// LogValue is what log/slog prints: the same as String.
func (e Encrypted) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words.
func (e RequestSent) String() string { return e.text(sigRequestSent) }

// LogValue is what log/slog prints: the same as String.
func (e RequestSent) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words, with the bytes.
func (e UploadProgress) String() string { return e.text(sigUploadProgress, e.Progress) }

// LogValue is what log/slog prints: the same as String.
func (e UploadProgress) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words, with the status.
func (e MetaDataChanged) String() string { return e.text(sigMetaData, e.StatusCode) }

// LogValue is what log/slog prints: the same as String.
func (e MetaDataChanged) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words.
func (e ReadyRead) String() string { return e.text(sigReadyRead) }

// LogValue is what log/slog prints: the same as String.
func (e ReadyRead) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words, with the bytes.
func (e DownloadProgress) String() string { return e.text(sigDownloadProgress, e.Progress) }

// LogValue is what log/slog prints: the same as String.
func (e DownloadProgress) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words, with the code.
func (e ErrorOccurred) String() string { return e.text(sigError, e.Code) }

// LogValue is what log/slog prints: the same as String.
func (e ErrorOccurred) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String is the event in words.
func (e Finished) String() string { return e.text(sigFinished) }

// LogValue is what log/slog prints: the same as String.
func (e Finished) LogValue() slog.Value { return slog.StringValue(e.String()) }

// What embeds something with a Format of its own needs one, too.

// Format prints the event in words, with what is wrong with the certificate.
func (e SSLErrorsOccurred) Format(s fmt.State, verb rune) {
	formatText(s, verb, e.text(sigSSLErrors, e.SSLErrors))
}

// LogValue is what log/slog prints: the same.
func (e SSLErrorsOccurred) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// Format prints the event in words, with the question.
func (e PreSharedKeyAuthenticationRequired) Format(s fmt.State, verb rune) {
	formatText(s, verb, e.text(sigPreSharedKey, e.PreSharedKeyAuthenticator))
}

// LogValue is what log/slog prints: the same.
func (e PreSharedKeyAuthenticationRequired) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprint(e))
}

// Format prints the event in words, with the status and the header fields that are no secrets.
func (e InformationalReceived) Format(s fmt.State, verb rune) {
	formatText(s, verb, e.text(sigInformational, e.Informational))
}

// LogValue is what log/slog prints: the same.
func (e InformationalReceived) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// Format prints the event in words, with the question.
func (e AuthenticationRequired) Format(s fmt.State, verb rune) {
	formatText(s, verb, e.text(sigAuthentication, e.Authenticator))
}

// LogValue is what log/slog prints: the same.
func (e AuthenticationRequired) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// Format prints the event in words, with the question.
func (e ProxyAuthenticationRequired) Format(s fmt.State, verb rune) {
	formatText(s, verb, e.text(sigProxyAuthentication, e.ProxyAuthenticator))
}

// LogValue is what log/slog prints: the same.
func (e ProxyAuthenticationRequired) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// Format prints the event in words, with where the redirect leads.
func (e Redirected) Format(s fmt.State, verb rune) {
	formatText(s, verb, e.text(sigRedirected, e.Redirect))
}

// LogValue is what log/slog prints: the same.
func (e Redirected) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// Informational is an interim response (RFC 9110, section 15.2).
type Informational struct {
	StatusCode int
	Headers    Headers
}

// Events yields every signal of the reply in order, from the first to Finished, or until
// ctx ends. The iterators of several calls are independent. Of ReadyRead and progress between
// two other signals an iterator yields what is the newest at the time: a late one yields one
// each. Request.OnSignal gets all of them. Inside OnSignal and Answer it ends where it would have to
// wait. A nil ctx never ends.
func (r *Reply) Events(ctx context.Context) iter.Seq[Event] {
	if ctx == nil {
		ctx = context.Background()
	}
	return func(yield func(Event) bool) {
		var at journal.Cursor
		for {
			r.mu.Lock()
			e, ok := r.record.next(&at)
			var changed <-chan struct{}
			if !ok {
				if r.record.Closed() || r.m == nil || r.insideCallback() {
					r.mu.Unlock()
					return
				}
				changed = r.record.Changed()
			}
			r.mu.Unlock()
			if ok {
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

// Events yields the signals of all replies of the Manager from the call on, in order, each
// before the reply's own observers see it (rule S6), until ctx ends or the Manager is
// closed. Signals are queued until the loop takes them, of progress only the newest for
// each reply; a listener that takes no more should leave the loop. The iterator can be
// ranged over once. One that is not ranged over is released by the garbage collector.
// Inside OnSignal and Answer it ends where it would have to wait. A nil ctx never ends.
func (m *Manager) Events(ctx context.Context) iter.Seq2[*Reply, Event] {
	return m.signals(ctx, signals)
}

// Finished yields every reply of the Manager that finishes after the call, until ctx ends or
// the Manager is closed. A nil ctx never ends. The iterator can be ranged over once. Inside
// OnSignal and Answer it ends where it would have to wait.
func (m *Manager) Finished(ctx context.Context) iter.Seq[*Reply] {
	all := m.signals(ctx, sigFinished)
	return func(yield func(*Reply) bool) {
		all(func(r *Reply, _ Event) bool { return yield(r) })
	}
}

// signals yields the signals of one kind, or all.
func (m *Manager) signals(ctx context.Context, only signal) iter.Seq2[*Reply, Event] {
	if ctx == nil {
		ctx = context.Background()
	}
	l := m.hub.listen(ctx, only)
	return func(yield func(*Reply, Event) bool) { m.hub.events(ctx, l, yield) }
}
