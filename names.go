package netreply

import (
	"log/slog"
	"math/bits"
	"strconv"
	"strings"
)

// What fmt and log/slog print of constants. log/slog's handler of JSON, for one, would print
// their numbers, so each type tells its LogValue.

// nameOf is the name of constant v of a type, whose constants count from 0.
func nameOf(typ string, v int, names ...string) string {
	if v < 0 || v >= len(names) {
		return typ + "(" + strconv.Itoa(v) + ")"
	}
	return names[v]
}

// String returns the name of the constant.
func (p RedirectPolicy) String() string {
	return nameOf("RedirectPolicy", int(p), "DefaultRedirectPolicy", "ManualRedirectPolicy", "NoLessSafeRedirectPolicy",
		"SameOriginRedirectPolicy", "UserVerifiedRedirectPolicy")
}

// String returns the name of the constant.
func (p Priority) String() string {
	return nameOf("Priority", int(p), "NormalPriority", "HighPriority", "LowPriority")
}

// String returns the name of the constant.
func (c LoadControl) String() string {
	return nameOf("LoadControl", int(c), "LoadAutomatic", "LoadManual")
}

// String returns the name of the constant.
func (v HTTPVersion) String() string {
	return nameOf("HTTPVersion", int(v), "HTTPAny", "HTTP1Only", "HTTP2Direct")
}

// String returns the name of the constant.
func (m PeerVerifyMode) String() string {
	return nameOf("PeerVerifyMode", int(m), "AutoVerifyPeer", "VerifyNone", "QueryPeer", "VerifyPeer")
}

// String returns the names of the constants, with | between them.
func (q QuestionKinds) String() string {
	if q == 0 {
		return "0"
	}
	names := make([]string, 0, bits.OnesCount(uint(q)))
	for rest := q & allQuestions; rest != 0; rest &= rest - 1 {
		names = append(names, nameOf("", bits.TrailingZeros(uint(rest)), "AskAuthentication", "AskSSLErrors", "AskPreSharedKey", "AskProxyAuthentication"))
	}
	if other := q &^ allQuestions; other != 0 {
		names = append(names, "QuestionKinds("+strconv.FormatUint(uint64(other), 10)+")")
	}
	return strings.Join(names, "|")
}

// LogValue is what log/slog prints: the same as String.
func (p RedirectPolicy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// LogValue is what log/slog prints: the same as String.
func (p Priority) LogValue() slog.Value { return slog.StringValue(p.String()) }

// LogValue is what log/slog prints: the same as String.
func (c LoadControl) LogValue() slog.Value { return slog.StringValue(c.String()) }

// LogValue is what log/slog prints: the same as String.
func (v HTTPVersion) LogValue() slog.Value { return slog.StringValue(v.String()) }

// LogValue is what log/slog prints: the same as String.
func (m PeerVerifyMode) LogValue() slog.Value { return slog.StringValue(m.String()) }

// LogValue is what log/slog prints: the same as String.
func (q QuestionKinds) LogValue() slog.Value { return slog.StringValue(q.String()) }

// LogValue is what log/slog prints: the same as String.
func (o Operation) LogValue() slog.Value { return slog.StringValue(o.String()) }

// LogValue is what log/slog prints: the same as String.
func (p Phase) LogValue() slog.Value { return slog.StringValue(p.String()) }

// LogValue is what log/slog prints: the same as String.
func (t ProxyType) LogValue() slog.Value { return slog.StringValue(t.String()) }

// LogValue is what log/slog prints: the same as String.
func (t MultipartType) LogValue() slog.Value { return slog.StringValue(t.String()) }

// LogValue is what log/slog prints: the same as String.
func (c SSLErrorCode) LogValue() slog.Value { return slog.StringValue(c.String()) }
