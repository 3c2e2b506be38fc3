package netreply

import (
	"strconv"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/flow"
)

// signal is one kind of signal. To add one, add a constant here, a row to the table, an
// event type, and the method of Reply that returns the channel.
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

	// sigQuestions is not a signal, but stands for the channel of all questions that the
	// reply waits for.
	sigQuestions = signals
)

// nature says how signals of one kind are stored.
type nature uint8

const (
	// discrete: every signal is stored.
	discrete nature = iota
	// conflating: a newer signal replaces an older one, if only conflating signals lie
	// between them.
	conflating
	// question: every signal is stored; the channel is closed with the final response head,
	// when no more questions can follow.
	question
)

// signalRow describes a signal for the record, the channels and the iterators.
type signalRow struct {
	name    string // name of the event type
	nature  nature
	event   func(entry) Event
	channel func(*Reply) channel
}

// signalTable has a row for each signal. The last column makes its channel. Sending must
// never block, so unless the signal conflates the capacity is the largest possible number
// of signals.
var signalTable = [signals + 1]signalRow{
	sigConnecting: {"SocketStartedConnecting", discrete,
		func(e entry) Event { return SocketStartedConnecting{elapsed{e.at}} }, channelMaker((*Reply).maxSendings, nothing)},
	sigSSLErrors: {"SSLErrorsOccurred", question,
		func(e entry) Event { return SSLErrorsOccurred{elapsed{e.at}, value[*SSLErrors](e)} }, channelMaker((*Reply).maxConnections, value[*SSLErrors])},
	sigPreSharedKey: {"PreSharedKeyAuthenticationRequired", question,
		func(e entry) Event {
			return PreSharedKeyAuthenticationRequired{elapsed{e.at}, value[*PreSharedKeyAuthenticator](e)}
		}, channelMaker((*Reply).maxConnections, value[*PreSharedKeyAuthenticator])},
	sigEncrypted: {"Encrypted", discrete,
		func(e entry) Event { return Encrypted{elapsed{e.at}} }, channelMaker((*Reply).maxSendings, nothing)},
	sigRequestSent: {"RequestSent", discrete,
		func(e entry) Event { return RequestSent{elapsed{e.at}} }, channelMaker((*Reply).maxSendings, nothing)},
	sigUploadProgress: {"UploadProgress", conflating,
		func(e entry) Event { return UploadProgress{elapsed{e.at}, progress(e)} }, channelMaker(one, progress)},
	sigInformational: {"InformationalReceived", discrete,
		func(e entry) Event { return InformationalReceived{elapsed{e.at}, informational(e)} }, channelMaker(maxInterims, informational)},
	sigMetaData: {"MetaDataChanged", discrete,
		func(e entry) Event { return MetaDataChanged{elapsed{e.at}, int(e.a)} }, channelMaker((*Reply).maxSendings, nothing)},
	sigAuthentication: {"AuthenticationRequired", question,
		func(e entry) Event { return AuthenticationRequired{elapsed{e.at}, value[*Authenticator](e)} }, channelMaker(maxQuestions, value[*Authenticator])},
	sigProxyAuthentication: {"ProxyAuthenticationRequired", question,
		func(e entry) Event { return ProxyAuthenticationRequired{elapsed{e.at}, value[*ProxyAuthenticator](e)} }, channelMaker(maxQuestions, value[*ProxyAuthenticator])},
	sigRedirected: {"Redirected", question,
		func(e entry) Event { return Redirected{elapsed{e.at}, value[*Redirect](e)} }, channelMaker((*Reply).maxHops, value[*Redirect])},
	sigReadyRead: {"ReadyRead", conflating,
		func(e entry) Event { return ReadyRead{elapsed{e.at}} }, channelMaker(one, nothing)},
	sigDownloadProgress: {"DownloadProgress", conflating,
		func(e entry) Event { return DownloadProgress{elapsed{e.at}, progress(e)} }, channelMaker(one, progress)},
	sigError: {"ErrorOccurred", discrete,
		func(e entry) Event { return ErrorOccurred{elapsed{e.at}, code(e)} }, channelMaker(one, code)},
	sigFinished: {"Finished", discrete,
		func(e entry) Event { return Finished{elapsed{e.at}} }, channelMaker(one, nothing)},
	sigQuestions: {"Questions", question, nil,
		channelMaker(func(r *Reply) int { return r.maxHops() + flow.MaxQuestions + r.maxConnections() }, value[Question])},
}

// isQuestion reports whether signals of this kind are questions.
func (k signal) isQuestion() bool { return signalTable[k].nature == question }

// awaited reports whether the reply waits for the answer to a question.
func (e entry) awaited() bool { return e.kind.isQuestion() && e.b == awaited }

// awaited is the value of entry.b for a question that the reply waits for.
const awaited = 1

// isFor reports whether the channel of k contains the entry.
func (e entry) isFor(k signal) bool { return e.kind == k || k == sigQuestions && e.awaited() }

// String is the name of the event type.
func (k signal) String() string {
	if k <= sigQuestions {
		return signalTable[k].name
	}
	return "signal(" + strconv.Itoa(int(k)) + ")"
}

// Conversions of entries to channel elements.

func nothing(entry) struct{}              { return struct{}{} }
func progress(e entry) Progress           { return Progress{e.a, e.b} }
func code(e entry) NetworkError           { return NetworkError(e.a) }
func informational(e entry) Informational { return *value[*Informational](e) }
func value[T any](e entry) T              { return e.value.(T) }

// Capacities of channels.

func one(*Reply) int          { return 1 }
func maxInterims(*Reply) int  { return flow.MaxInterim }
func maxQuestions(*Reply) int { return flow.MaxQuestions }

// maxHops bounds the Redirected signals of a reply.
func (r *Reply) maxHops() int { return r.req.maxRedirects() + 1 }

// maxSendings bounds how often a reply sends its request. The channel elements have no
// size, so a large capacity costs nothing.
func (r *Reply) maxSendings() int {
	return (r.req.maxRedirects() + 2) * (flow.MaxRepeats + 2) * (auth.MaxRounds + 1)
}

// maxConnections bounds how many connections are opened for a reply: on each hop one and
// its repetitions, and some more after questions.
func (r *Reply) maxConnections() int {
	return (r.req.maxRedirects()+1)*(flow.MaxRepeats+1) + flow.MaxQuestions
}

// SocketStartedConnecting is emitted when a TCP connection is being opened for this reply
// (rule S41).
func (r *Reply) SocketStartedConnecting() <-chan struct{} {
	return channelOf[struct{}](r, sigConnecting)
}

// Encrypted is emitted when a TLS handshake for this reply has succeeded (rule S43). To
// decide something before the request is sent, use Request.OnSignal.
func (r *Reply) Encrypted() <-chan struct{} { return channelOf[struct{}](r, sigEncrypted) }

// RequestSent is emitted when the request is sent (rule S42).
func (r *Reply) RequestSent() <-chan struct{} { return channelOf[struct{}](r, sigRequestSent) }

// MetaDataChanged is emitted when a response head was received (rule S44).
func (r *Reply) MetaDataChanged() <-chan struct{} { return channelOf[struct{}](r, sigMetaData) }

// ReadyRead is emitted when new bytes can be read. The channel is a flag: it holds one
// value for any number of arrivals (rule S45).
func (r *Reply) ReadyRead() <-chan struct{} { return channelOf[struct{}](r, sigReadyRead) }

// Finished is emitted when the reply is over. The channel receives one value and is then
// closed, after all other channels of the reply. With a ReadBufferSize a reply is not over
// while more of its body than that is unread.
func (r *Reply) Finished() <-chan struct{} { return channelOf[struct{}](r, sigFinished) }

// UploadProgress holds the newest progress of the upload, at most every 100 ms,
// and always the last one (rule P10).
func (r *Reply) UploadProgress() <-chan Progress { return channelOf[Progress](r, sigUploadProgress) }

// DownloadProgress holds the newest progress of the download, at most every
// 100 ms, and always the last one (rules P2 and P3).
func (r *Reply) DownloadProgress() <-chan Progress {
	return channelOf[Progress](r, sigDownloadProgress)
}

// Redirected emits every redirect before it is followed. Under UserVerifiedRedirectPolicy
// the reply waits for Allow or Deny (rule R6). Like all channels of questions it is closed
// when no more questions can follow: with the final response head, or the end of the reply.
// A select loop that continues after that should set its channel variable to nil, because a
// closed channel is always ready; the methods of the nil questions that it delivers do
// nothing.
func (r *Reply) Redirected() <-chan *Redirect { return channelOf[*Redirect](r, sigRedirected) }

// AuthenticationRequired emits every question for a password. The reply waits for the
// answer under AskAuthentication. A reply never asks more than 64 times.
func (r *Reply) AuthenticationRequired() <-chan *Authenticator {
	return channelOf[*Authenticator](r, sigAuthentication)
}

// ProxyAuthenticationRequired emits every question of a proxy for a password. The reply
// waits for the answer under AskProxyAuthentication.
func (r *Reply) ProxyAuthenticationRequired() <-chan *ProxyAuthenticator {
	return channelOf[*ProxyAuthenticator](r, sigProxyAuthentication)
}

// SSLErrors emits all flaws of a server's certificate, before anything was sent to the
// server. The reply waits for the answer under AskSSLErrors.
func (r *Reply) SSLErrors() <-chan *SSLErrors { return channelOf[*SSLErrors](r, sigSSLErrors) }

// PreSharedKeyAuthenticationRequired emits every question for a pre-shared key. The
// handshake waits for the answer under AskPreSharedKey.
func (r *Reply) PreSharedKeyAuthenticationRequired() <-chan *PreSharedKeyAuthenticator {
	return channelOf[*PreSharedKeyAuthenticator](r, sigPreSharedKey)
}

// InformationalReceived emits every interim response. More than 128 of them fail the reply
// with ProtocolFailure.
func (r *Reply) InformationalReceived() <-chan Informational {
	return channelOf[Informational](r, sigInformational)
}

// ErrorOccurred emits the code of a failure, once. The channel is closed without a value
// when the reply succeeds.
func (r *Reply) ErrorOccurred() <-chan NetworkError { return channelOf[NetworkError](r, sigError) }
