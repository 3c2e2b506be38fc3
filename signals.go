package netreply

import (
	"strconv"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/flow"
)

// signal is one kind of what a reply tells. To add one, add a constant here, a row to the
// table, an event type, and the method of Reply that returns the channel.
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

	// sigQuestions is no signal, but a channel: that of the questions of all kinds that the
	// reply waits for an answer to.
	sigQuestions = signals
)

// nature says how a signal is kept.
type nature uint8

const (
	// discrete: each is kept.
	discrete nature = iota
	// conflating: a newer one takes the place of an older one, if nothing but such signals
	// lies between them.
	conflating
	// question: each is kept; the channel ends when no more can come, with the final head.
	question
)

// signalRow is what the record, the channels and the iterators know of a signal.
type signalRow struct {
	name    string // of the event type
	nature  nature
	event   func(entry) Event
	channel func(*Reply) channel
}

// signalTable has a row for each signal. The last column is the channel: how much it holds,
// and what. No send blocks, so it must hold all that can come of a signal that does not
// conflate.
var signalTable = [signals + 1]signalRow{
	sigConnecting: {"SocketStartedConnecting", discrete,
		func(e entry) Event { return SocketStartedConnecting{elapsed{e.at}} }, carrying((*Reply).maxSendings, nothing)},
	sigSSLErrors: {"SSLErrorsOccurred", question,
		func(e entry) Event { return SSLErrorsOccurred{elapsed{e.at}, value[*SSLErrors](e)} }, carrying((*Reply).maxConnections, value[*SSLErrors])},
	sigPreSharedKey: {"PreSharedKeyAuthenticationRequired", question,
		func(e entry) Event {
			return PreSharedKeyAuthenticationRequired{elapsed{e.at}, value[*PreSharedKeyAuthenticator](e)}
		}, carrying((*Reply).maxConnections, value[*PreSharedKeyAuthenticator])},
	sigEncrypted: {"Encrypted", discrete,
		func(e entry) Event { return Encrypted{elapsed{e.at}} }, carrying((*Reply).maxSendings, nothing)},
	sigRequestSent: {"RequestSent", discrete,
		func(e entry) Event { return RequestSent{elapsed{e.at}} }, carrying((*Reply).maxSendings, nothing)},
	sigUploadProgress: {"UploadProgress", conflating,
		func(e entry) Event { return UploadProgress{elapsed{e.at}, progress(e)} }, carrying(one, progress)},
	sigInformational: {"InformationalReceived", discrete,
		func(e entry) Event { return InformationalReceived{elapsed{e.at}, informational(e)} }, carrying(maxInterims, informational)},
	sigMetaData: {"MetaDataChanged", discrete,
		func(e entry) Event { return MetaDataChanged{elapsed{e.at}, int(e.a)} }, carrying((*Reply).maxSendings, nothing)},
	sigAuthentication: {"AuthenticationRequired", question,
		func(e entry) Event { return AuthenticationRequired{elapsed{e.at}, value[*Authenticator](e)} }, carrying(mostQuestions, value[*Authenticator])},
	sigProxyAuthentication: {"ProxyAuthenticationRequired", question,
		func(e entry) Event { return ProxyAuthenticationRequired{elapsed{e.at}, value[*ProxyAuthenticator](e)} }, carrying(mostQuestions, value[*ProxyAuthenticator])},
	sigRedirected: {"Redirected", question,
		func(e entry) Event { return Redirected{elapsed{e.at}, value[*Redirect](e)} }, carrying((*Reply).maxHops, value[*Redirect])},
	sigReadyRead: {"ReadyRead", conflating,
		func(e entry) Event { return ReadyRead{elapsed{e.at}} }, carrying(one, nothing)},
	sigDownloadProgress: {"DownloadProgress", conflating,
		func(e entry) Event { return DownloadProgress{elapsed{e.at}, progress(e)} }, carrying(one, progress)},
	sigError: {"ErrorOccurred", discrete,
		func(e entry) Event { return ErrorOccurred{elapsed{e.at}, code(e)} }, carrying(one, code)},
	sigFinished: {"Finished", discrete,
		func(e entry) Event { return Finished{elapsed{e.at}} }, carrying(one, nothing)},
	sigQuestions: {"Questions", question, nil,
		carrying(func(r *Reply) int { return r.maxHops() + flow.MaxQuestions + r.maxConnections() }, value[Question])},
}

// asks tells whether what comes of a signal are questions.
func (k signal) asks() bool { return signalTable[k].nature == question }

// asked tells whether the reply waits for the answer to a question.
func (e entry) asked() bool { return e.kind.asks() && e.b == asked }

// asked is what the second number of such an entry is.
const asked = 1

// belongs tells whether the channel of k carries an entry.
func (e entry) belongs(k signal) bool { return e.kind == k || k == sigQuestions && e.asked() }

// String is the name of the event type.
func (k signal) String() string {
	if k <= sigQuestions {
		return signalTable[k].name
	}
	return "signal(" + strconv.Itoa(int(k)) + ")"
}

// What a channel carries of an entry.

func nothing(entry) struct{}              { return struct{}{} }
func progress(e entry) Progress           { return Progress{e.a, e.b} }
func code(e entry) NetworkError           { return NetworkError(e.a) }
func informational(e entry) Informational { return *value[*Informational](e) }
func value[T any](e entry) T              { return e.value.(T) }

// How much a channel holds.

func one(*Reply) int           { return 1 }
func maxInterims(*Reply) int   { return flow.MaxInterim }
func mostQuestions(*Reply) int { return flow.MaxQuestions }

// maxHops bounds how many redirects a reply tells of.
func (r *Reply) maxHops() int { return r.req.maxRedirects() + 1 }

// maxSendings bounds how often a reply sends. A channel of empty elements costs nothing,
// however many it holds.
func (r *Reply) maxSendings() int {
	return (r.req.maxRedirects() + 2) * (flow.MaxRepeats + 2) * (auth.MaxRounds + 1)
}

// maxConnections bounds how many connections a reply has opened for it, within reason: on
// each of its hops one, a repetition, and a few that it was asked about.
func (r *Reply) maxConnections() int {
	return (r.req.maxRedirects()+1)*(flow.MaxRepeats+1) + flow.MaxQuestions
}

// SocketStartedConnecting tells that a TCP connection is being opened for this
// reply (rule S41).
func (r *Reply) SocketStartedConnecting() <-chan struct{} {
	return channelOf[struct{}](r, sigConnecting)
}

// Encrypted tells that a TLS handshake for this reply has succeeded (rule S43).
// To be sure that nothing is sent before a decision, use Request.OnSignal.
func (r *Reply) Encrypted() <-chan struct{} { return channelOf[struct{}](r, sigEncrypted) }

// RequestSent tells that the request goes out (rule S42).
func (r *Reply) RequestSent() <-chan struct{} { return channelOf[struct{}](r, sigRequestSent) }

// MetaDataChanged tells that a response head is there (rule S44).
func (r *Reply) MetaDataChanged() <-chan struct{} { return channelOf[struct{}](r, sigMetaData) }

// ReadyRead tells that there is something new to read. It is a flag: several
// arrivals may raise it once (rule S45).
func (r *Reply) ReadyRead() <-chan struct{} { return channelOf[struct{}](r, sigReadyRead) }

// Finished is closed, after every other channel of the reply, when the reply
// is over; one value is received before that.
func (r *Reply) Finished() <-chan struct{} { return channelOf[struct{}](r, sigFinished) }

// UploadProgress holds the newest progress of the upload, at most every 100 ms,
// and always the last one (rule P10).
func (r *Reply) UploadProgress() <-chan Progress { return channelOf[Progress](r, sigUploadProgress) }

// DownloadProgress holds the newest progress of the download, at most every
// 100 ms, and always the last one (rules P2 and P3).
func (r *Reply) DownloadProgress() <-chan Progress {
	return channelOf[Progress](r, sigDownloadProgress)
}

// Redirected gives every redirect before it is followed. Under
// UserVerifiedRedirectPolicy the reply waits for Allow or Deny (rule R6). As all channels of
// questions it is closed when no more can come: with the final response head, or the end
// of the reply. A loop with a select that goes on behind that should set its variable of
// the channel to nil then; nil questions take no answer, but come again and again.
func (r *Reply) Redirected() <-chan *Redirect { return channelOf[*Redirect](r, sigRedirected) }

// AuthenticationRequired gives every question for a password. The reply waits for
// its answer under AskAuthentication. It never asks more than 64 times.
func (r *Reply) AuthenticationRequired() <-chan *Authenticator {
	return channelOf[*Authenticator](r, sigAuthentication)
}

// ProxyAuthenticationRequired gives every question of a proxy for a password, as
// AuthenticationRequired does those of servers. The reply waits for its answer under
// AskProxyAuthentication.
func (r *Reply) ProxyAuthenticationRequired() <-chan *ProxyAuthenticator {
	return channelOf[*ProxyAuthenticator](r, sigProxyAuthentication)
}

// SSLErrors gives everything that is wrong with a server's certificate, before anything
// was sent to it. The reply waits for the answer under AskSSLErrors.
func (r *Reply) SSLErrors() <-chan *SSLErrors { return channelOf[*SSLErrors](r, sigSSLErrors) }

// PreSharedKeyAuthenticationRequired gives every question for a pre-shared key. The
// handshake waits for its answer under AskPreSharedKey.
func (r *Reply) PreSharedKeyAuthenticationRequired() <-chan *PreSharedKeyAuthenticator {
	return channelOf[*PreSharedKeyAuthenticator](r, sigPreSharedKey)
}

// InformationalReceived gives every interim response. More than 128 of them
// fail the reply with ProtocolFailure.
func (r *Reply) InformationalReceived() <-chan Informational {
	return channelOf[Informational](r, sigInformational)
}

// ErrorOccurred gives the code of a failure, once, and is closed without a
// value when the reply succeeds.
func (r *Reply) ErrorOccurred() <-chan NetworkError { return channelOf[NetworkError](r, sigError) }
