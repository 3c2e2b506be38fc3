package testserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf16"
)

// ConnState is the server's state of a connection with connection-based authentication such
// as NTLM.
type ConnState struct {
	ID   int    // counts from 1
	User string // authenticated user; "" for none
	ntlm ntlmLogin
}

type connStateKey struct{}

// ConnStateOf is the state of the connection of a request to NewConnOrigin.
func ConnStateOf(r *http.Request) *ConnState {
	return r.Context().Value(connStateKey{}).(*ConnState)
}

// NewConnOrigin is NewOrigin for HTTP/1.1, plain or TLS, with a ConnState for each connection.
func NewConnOrigin(t testing.TB, kind Kind, h http.HandlerFunc) (*httptest.Server, *tls.Config) {
	t.Helper()
	n := 0 // used by the listener's goroutine only
	return NewOriginWith(t, kind, h, func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
			n++
			return context.WithValue(ctx, connStateKey{}, &ConnState{ID: n})
		}
	})
}

// NTLMHandler authenticates connections with NTLM, and accepts every user except
// DOMAIN\bad; it is for NewConnOrigin. Its responses are the user and the request's body.
// It logs "asked" for each challenge, "out of order" for an unexpected message, and the
// user of the connection for a request to /open, which needs no authentication.
func NTLMHandler(log func(string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := ConnStateOf(r)
		sent, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/open" {
			log(fmt.Sprintf("open on connection of %q", c.User))
			return
		}
		field := r.Header.Get("Authorization")
		if field != "" || c.User == "" {
			challenge, expected := c.ntlm.next(field)
			c.User = c.ntlm.user
			switch {
			case field == "":
				log("asked")
			case !expected:
				log("out of order")
			}
			if challenge != "" {
				w.Header().Set("WWW-Authenticate", challenge)
				w.WriteHeader(http.StatusUnauthorized)
				io.WriteString(w, strings.Repeat("no", 1000))
				return
			}
		}
		fmt.Fprintf(w, "%s%s", c.User, sent)
	}
}

// ntlmLogin is the server's side of the handshake on one connection.
type ntlmLogin struct {
	challenged bool
	user       string // authenticated user of the connection
}

// next processes the credentials of a request and returns the challenge, "" to accept it.
// expected is false for an unexpected message.
func (l *ntlmLogin) next(credentials string) (challenge string, expected bool) {
	message, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(credentials, "NTLM "))
	switch {
	case bytes.HasPrefix(message, []byte("NTLMSSP\x00\x01")):
		l.challenged = true
		return "NTLM " + base64.StdEncoding.EncodeToString(NTLMChallenge()), true
	case bytes.HasPrefix(message, []byte("NTLMSSP\x00\x03")) && l.challenged:
		l.challenged = false
		if l.user = ntlmUser(message); strings.HasSuffix(l.user, `\bad`) {
			l.user = ""
			return "NTLM", true
		}
		return "", true
	}
	return "NTLM", false
}

// NTLMChallenge is a message of type 2 ([MS-NLMP] 2.2.1.2) for the domain DOM.
func NTLMChallenge() []byte {
	info := []byte{2, 0, 6, 0, 'D', 0, 'O', 0, 'M', 0, 0, 0, 0, 0}
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	b = append(b, 0, 0, 0, 0, 48, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0x00828201|0x20000000)
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8)
	b = append(b, make([]byte, 8)...)
	b = append(b, byte(len(info)), 0, byte(len(info)), 0, 48, 0, 0, 0)
	return append(b, info...)
}

// ntlmUser parses DOMAIN\user in a message of type 3 ([MS-NLMP] 2.2.1.3).
func ntlmUser(message []byte) string {
	field := func(at int) string {
		n, off := binary.LittleEndian.Uint16(message[at:]), binary.LittleEndian.Uint32(message[at+4:])
		var u []uint16
		for i := uint32(0); i < uint32(n); i += 2 {
			u = append(u, binary.LittleEndian.Uint16(message[off+i:]))
		}
		return string(utf16.Decode(u))
	}
	return field(28) + `\` + field(36)
}
