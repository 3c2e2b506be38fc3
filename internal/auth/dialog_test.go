package auth_test

import (
	"context"
	md5hash "crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/httpurl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup returns the Setup of a request to a server, for a URL that may have user
// information.
func setup(spaces *auth.Spaces, raw string) auth.Setup {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	s := auth.Setup{Spaces: spaces, Role: auth.Server, Host: u.Hostname(), Method: "GET"}
	if u.User != nil {
		password, ok := u.User.Password()
		s.User, s.HasPassword = u.User.Username(), ok
		s.Own = &auth.Credentials{User: s.User, Password: password}
		u.User = nil
	}
	s.Origin, _ = httpurl.Origin(u)
	s.URL, s.Target = u, u.RequestURI()
	return s
}

// talk runs a dialog by its script, in which a line that begins with "<" is what happens,
// and one with ">" the step that must follow:
//
//	< before                     Before
//	< Basic realm="r"            a response with this challenge; lines are set apart by " | "
//	< h2 Basic realm="r"         the same where no connection can be authenticated
//	< 200 Field: value           another response
//	< answer user:password       Answered; also "cancel", and "none" for no decision
//	< token t, waited, hashed text, close, cannot resend
func talk(t *testing.T, d *auth.Dialog, script string) {
	t.Helper()
	var step auth.Step
	for line := range strings.Lines(strings.TrimSpace(script)) {
		mark, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if mark == "" {
			continue
		}
		if mark == ">" {
			require.Equal(t, text, show(step), script)
			continue
		}
		word, rest, _ := strings.Cut(text, " ")
		switch word {
		case "before":
			step = d.Before()
		case "token":
			step = d.Token(rest)
		case "waited":
			step = d.Waited()
		case "hashed":
			io.WriteString(step.Body, rest)
			step = d.Hashed()
		case "answer":
			user, password, _ := strings.Cut(rest, ":")
			step = d.Answered(&auth.Credentials{User: user, Password: password}, true)
		case "cancel":
			step = d.Answered(nil, true)
		case "none":
			step = d.Answered(nil, false)
		case "close":
			d.Close()
		case "cannot":
			d.CannotResend()
		case "200":
			header := http.Header{}
			if name, value, ok := strings.Cut(rest, ": "); ok {
				header.Set(name, value)
			}
			proof, err := d.Accepted(200, header)
			require.NoError(t, err)
			require.Nil(t, proof)
		case "h2":
			step = d.Challenged(t.Context(), http.Header{d.Role.Challenge: strings.Split(rest, " | ")}, false)
		default:
			step = d.Challenged(t.Context(), http.Header{d.Role.Challenge: strings.Split(text, " | ")}, true)
		}
	}
}

// show formats a step as in scripts.
func show(s auth.Step) string {
	var text string
	switch s.Kind {
	case auth.Send:
		scheme, rest, _ := strings.Cut(s.Line, " ")
		switch c := httpauth.Parse([]string{s.Line}); {
		case s.Line == "":
			text = "send"
		case scheme == "Digest":
			p := c[0].Params
			text = fmt.Sprintf("send Digest %s nonce=%s nc=%s uri=%s", p["username"], p["nonce"], strings.TrimLeft(p["nc"], "0"), p["uri"])
			if p["algorithm"] != "" {
				text += " " + p["algorithm"]
			}
		case scheme == "Bearer":
			text = "send " + s.Line
		default:
			token, _ := base64.StdEncoding.DecodeString(rest)
			if rest, ok := strings.CutPrefix(string(token), "NTLMSSP\x00"); ok {
				token = fmt.Appendf(nil, "message %d", rest[0])
			}
			text = "send " + scheme + " " + string(token)
		}
		if s.Credentials != nil {
			text += " with " + s.Credentials.User + ":" + s.Credentials.Password
		}
	case auth.Ask:
		text = fmt.Sprintf("ask %s %q", s.Question.Scheme, s.Question.Realm)
		if s.Question.User != "" {
			text += " user " + s.Question.User
		}
		if s.Question.PreviousFailed {
			text += ", previous failed"
		}
	case auth.Wait:
		text = "wait"
	case auth.FetchToken:
		text = strings.TrimSpace("fetch token, not " + s.Refused)
	case auth.HashBody:
		text = "hash body"
	case auth.GiveUp:
		text = "give up"
	case auth.Fail:
		text = "fail: " + s.Err.Error()
	}
	text += [...]string{"", " on a new connection", " on the same connection"}[s.Session]
	switch o := s.Owner.(type) {
	case *auth.Credentials:
		text += " of " + o.User
	case *negotiator:
		text += " of negotiator"
	}
	return text
}

const (
	basic  = `Basic realm="r"`
	md5    = `Digest realm="r", nonce="n", qop=auth`
	sha256 = `Digest realm="r", nonce="n", qop=auth, algorithm=SHA-256`
)

// TestDialog: the steps of one request, with an empty table.
func TestDialog(t *testing.T) {
	for name, c := range map[string]struct {
		url    string
		change func(*auth.Setup)
		script string
	}{
		"no scheme that is known": {"http://a:80/", nil, `
			< before
			> send
			< Unknown realm="r"
			> give up`},
		"Digest that cannot be answered": {"http://a:80/", nil, `
			< Digest realm="r", nonce="n", algorithm=SHA-1
			> give up`},
		"no realm": {"http://a:80/", nil, `
			< Basic
			> ask Basic ""`},
		"a realm that is too long": {"http://a:80/", nil, `
			< Basic realm="` + strings.Repeat("r", 5000) + `"
			> give up`},
		"no user": {"http://u:p@a:80/", func(s *auth.Setup) { s.Origin = "" }, `
			< Basic realm="r"
			> give up`},
		"the strongest scheme": {"http://a:80/", nil, `
			< ` + basic + `, NTLM, ` + md5 + `, ` + sha256 + `
			> ask Digest "r"
			< answer u:p
			> send Digest u nonce=n nc=1 uri=/ SHA-256`},
		"the strongest of several lines": {"http://a:80/", nil, `
			< ` + basic + ` | NTLM
			> ask NTLM ""`},
		"an answer": {"http://a:80/x", nil, `
			< before
			> send
			< ` + basic + `
			> ask Basic "r"
			< answer u:p
			> send Basic u:p
			< 200`},
		"no user and no password is an answer like any other here": {"http://a:80/x", nil, `
			< ` + basic + `
			> ask Basic "r"
			< answer :
			> send Basic :`},
		"no answer": {"http://a:80/", nil, `
			< ` + basic + `
			> ask Basic "r"
			< none
			> give up`},
		"another answer after a refusal": {"http://a:80/", nil, `
			< ` + basic + `
			> ask Basic "r"
			< answer u:wrong
			> send Basic u:wrong
			< ` + basic + `
			> ask Basic "r" user u, previous failed
			< answer v:p
			> send Basic v:p
			< ` + basic + `
			> ask Basic "r" user v, previous failed
			< cancel
			> give up`},
		"the same answer again (U6)": {"http://a:80/", nil, `
			< ` + basic + `
			> ask Basic "r"
			< answer u:wrong
			> send Basic u:wrong
			< ` + basic + `
			> ask Basic "r" user u, previous failed
			< answer u:wrong
			> give up`},
		"another realm (U9)": {"http://a:80/", nil, `
			< ` + basic + `
			> ask Basic "r"
			< answer u:p
			> send Basic u:p
			< Basic realm="other"
			> ask Basic "other"
			< answer u:p
			> send Basic u:p`},
		"the password of the URL (U3)": {"http://u:p@a:80/", nil, `
			< before
			> send
			< ` + basic + `
			> send Basic u:p
			< ` + basic + `
			> ask Basic "r" user u, previous failed
			< answer u:q
			> send Basic u:q
			< ` + basic + `
			> ask Basic "r" user u, previous failed
			< none
			> give up`},
		"a user without a password": {"http://u@a:80/", nil, `
			< before
			> send
			< ` + basic + `
			> send Basic u:
			< ` + basic + `
			> ask Basic "r" user u, previous failed`},
		"a password that cannot be sent again": {"http://a:80/", nil, `
			< ` + basic + `
			> ask Basic "r"
			< answer u:p
			> send Basic u:p
			< cannot resend
			< close
			< before
			> send Basic u:p`},
		"stale (U11)": {"http://u:p@a:80/", nil, `
			< ` + md5 + `
			> send Digest u nonce=n nc=1 uri=/
			< Digest realm="r", nonce="m", stale=TRUE, qop=auth
			> send Digest u nonce=m nc=1 uri=/
			< Digest realm="r", nonce="m", stale=true, qop=auth
			> send Digest u nonce=m nc=2 uri=/
			< Digest realm="r", nonce="k", stale=true, qop=auth
			> send Digest u nonce=k nc=1 uri=/
			< Digest realm="r", nonce="j", stale=true, qop=auth
			> ask Digest "r" user u, previous failed`},
		"Digest that covers the body": {"http://u:p@a:80/q?a=b", nil, `
			< Digest realm="r", nonce="n", qop=auth-int
			> hash body
			< hashed body
			> send Digest u nonce=n nc=1 uri=/q?a=b`},
		"NTLM": {"http://u:p@a:80/", nil, `
			< NTLM
			> send NTLM message 1 on a new connection of u
			< NTLM ` + ntlmChallenge + `
			> send NTLM message 3 on the same connection of u
			< 200`},
		"NTLM refused": {"http://u:p@a:80/", nil, `
			< NTLM
			> send NTLM message 1 on a new connection of u
			< NTLM ` + ntlmChallenge + `
			> send NTLM message 3 on the same connection of u
			< NTLM
			> ask NTLM "" user u, previous failed
			< answer v:p
			> send NTLM message 1 on a new connection of v
			< NTLM
			> ask NTLM "" user v, previous failed
			< cancel
			> give up`},
		"NTLM without an end": {"http://u:p@a:80/", nil, `
			< NTLM
			> send NTLM message 1 on a new connection of u
			< NTLM ` + ntlmChallenge + `
			> send NTLM message 3 on the same connection of u
			< NTLM ` + ntlmChallenge + `
			> fail: ntlm: a challenge follows the last message on the same connection of u`},
		"a token that is none": {"http://u:p@a:80/", nil, `
			< NTLM
			> send NTLM message 1 on a new connection of u
			< NTLM abc
			> fail: the server's token is not base64 on the same connection of u`},
		"NTLM over HTTP/2 (U12)": {"http://u:p@a:80/", nil, `
			< h2 NTLM
			> give up`},
		"something weaker over HTTP/2": {"http://u:p@a:80/", nil, `
			< h2 NTLM, ` + basic + `
			> send Basic u:p`},
		"a token": {"http://u:p@a:80/", func(s *auth.Setup) { s.Bearer = true }, `
			< before
			> fetch token, not
			< token one
			> send Bearer one
			< ` + basic + `
			> fetch token, not one
			< token two
			> send Bearer two
			< ` + basic + `
			> give up`},
		"a downgrade of what the URL has": {"http://u:p@a:80/", nil, `
			< ` + sha256 + `
			> send Digest u nonce=n nc=1 uri=/ SHA-256
			< ` + basic + `
			> ask Basic "r" user u
			< answer u:p
			> send Basic u:p`},
		"an upgrade": {"http://u:p@a:80/", nil, `
			< ` + basic + `
			> send Basic u:p
			< ` + md5 + `
			> send Digest u nonce=n nc=1 uri=/
			< ` + md5 + `
			> ask Digest "r" user u, previous failed`},
		"challenges to and fro": {"http://u:p@a:80/", nil, `
			< ` + basic + `
			> send Basic u:p
			< ` + md5 + `
			> send Digest u nonce=n nc=1 uri=/
			< ` + sha256 + `
			> send Digest u nonce=n nc=2 uri=/ SHA-256
			< ` + basic + `
			> send Basic u:p
			< ` + md5 + `
			> ask Digest "r" user u, previous failed`},
		"a proxy": {"http://a:80/x?y", func(s *auth.Setup) {
			s.Role, s.Origin, s.Target = auth.Proxy, "proxy p", "http://a:80/x?y"
			s.Own, s.HasPassword = &auth.Credentials{User: "u", Password: "p"}, true
		}, `
			< before
			> send
			< ` + md5 + `
			> send Digest u nonce=n nc=1 uri=http://a:80/x?y
			< ` + md5 + `
			> ask Digest "r" user u, previous failed
			< answer v:q
			> send Digest v nonce=n nc=2 uri=http://a:80/x?y
			< 200`},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(&auth.Spaces{}, c.url)
			if c.change != nil {
				c.change(&s)
			}
			d := &auth.Dialog{Setup: s}
			talk(t, d, c.script)
			d.Close()
		})
	}
}

// ntlmChallenge is a message of type 2 with only a domain.
var ntlmChallenge = func() string {
	info := []byte{2, 0, 6, 0, 'D', 0, 'O', 0, 'M', 0, 0, 0, 0, 0}
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	b = append(b, 0, 0, 0, 0, 48, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0x00828201|0x20000000)
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8)
	b = append(b, make([]byte, 8)...)
	b = append(b, byte(len(info)), 0, byte(len(info)), 0, 48, 0, 0, 0)
	return base64.StdEncoding.EncodeToString(append(b, info...))
}()

// TestRounds: the number of rounds is bounded.
func TestRounds(t *testing.T) {
	d := &auth.Dialog{Setup: setup(&auth.Spaces{}, "http://a:80/")}
	defer d.Close()
	for n := 1; ; n++ {
		require.LessOrEqual(t, n, 32)
		step := d.Challenged(t.Context(), http.Header{"Www-Authenticate": {basic}}, true)
		if step.Kind == auth.Fail {
			require.ErrorIs(t, step.Err, auth.ErrTooManyRounds)
			assert.EqualError(t, step.Err, "too many authentication rounds")
			assert.Equal(t, auth.Server, step.Err.Role)
			return
		}
		require.Equal(t, auth.Ask, step.Kind)
		require.Equal(t, auth.Send, d.Answered(&auth.Credentials{User: "u", Password: fmt.Sprint(n)}, true).Kind)
	}
}

// TestOwnReplaced: after the program has given other credentials, the URL's password is not
// used.
func TestOwnReplaced(t *testing.T) {
	d := &auth.Dialog{Setup: setup(&auth.Spaces{}, "http://u:wrong@a:80/")}
	defer d.Close()
	talk(t, d, `
		< `+basic+`
		> send Basic u:wrong
		< `+basic+`
		> ask Basic "r" user u, previous failed`)
	assert.False(t, d.OwnReplaced())
	talk(t, d, `
		< answer u:p
		> send Basic u:p`)
	assert.True(t, d.OwnReplaced())

	s := setup(&auth.Spaces{}, "http://a:80/")
	s.Role, s.Own, s.HasPassword = auth.Proxy, &auth.Credentials{User: "u", Password: "wrong"}, true
	d = &auth.Dialog{Setup: s}
	defer d.Close()
	talk(t, d, `
		< `+basic+`
		> send Basic u:wrong
		< `+basic+`
		> ask Basic "r" user u, previous failed
		< answer u:p
		> send Basic u:p`)
	assert.False(t, d.OwnReplaced(), "that of a proxy is another matter")
}

// TestOffered: rule A12.
func TestOffered(t *testing.T) {
	spaces := &auth.Spaces{}
	d := &auth.Dialog{Setup: setup(spaces, "http://u:p@a:80/")}
	q, ok := d.Offered(http.Header{"Www-Authenticate": {basic + ", charset=UTF-8"}}, true)
	require.True(t, ok)
	assert.Equal(t, auth.Question{Realm: "r", Scheme: "Basic", User: "u", Options: map[string]string{"realm": "r", "charset": "UTF-8"}}, q)
	for _, header := range []http.Header{{}, {"Www-Authenticate": {"Unknown"}}} {
		_, ok = d.Offered(header, true)
		require.False(t, ok)
	}
	_, ok = d.Offered(http.Header{"Www-Authenticate": {"NTLM"}}, false)
	require.False(t, ok)
}

// negotiator is a Negotiator with two legs.
type negotiator struct {
	noKeys bool
	bad    int // the leg that fails
	open   int
	hosts  []string
}

func (n *negotiator) Scheme() string { return "Negotiate" }
func (n *negotiator) Start(_ context.Context, host string) (auth.Negotiation, error) {
	if n.hosts = append(n.hosts, host); n.noKeys {
		return nil, errors.New("no ticket")
	}
	n.open++
	return &negotiation{n: n}, nil
}

type negotiation struct {
	n   *negotiator
	leg int
}

func (l *negotiation) Next(token []byte) ([]byte, error) {
	if l.leg++; l.leg == l.n.bad {
		return nil, errors.New("an impostor")
	}
	return fmt.Appendf(nil, "%d to %q", l.leg, token), nil
}

func (l *negotiation) Close() error { l.n.open--; return nil }

// TestNegotiator: negotiators are preferred, and are always closed.
func TestNegotiator(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte("tok"))
	for name, c := range map[string]struct {
		negotiator negotiator
		script     string
	}{
		"good": {negotiator{}, `
			< ` + sha256 + `, Negotiate
			> send Negotiate 1 to "" on a new connection of negotiator
			< Negotiate ` + token + `
			> send Negotiate 2 to "tok" on the same connection of negotiator
			< 200 WWW-Authenticate: Negotiate ` + token + `
			< close
			< before
			> send of negotiator`},
		"refused": {negotiator{}, `
			< Negotiate, ` + basic + `
			> send Negotiate 1 to "" on a new connection of negotiator
			< Negotiate, ` + basic + `
			> send Basic u:p
			< Negotiate
			> give up`},
		"no ticket": {negotiator{noKeys: true}, `
			< Negotiate | ` + basic + `
			> send Basic u:p
			< Negotiate | ` + basic + `
			> ask Basic "r" user u, previous failed`},
		"nothing else": {negotiator{noKeys: true}, `
			< Negotiate
			> give up`},
		"fails at once": {negotiator{bad: 1}, `
			< Negotiate
			> fail: an impostor on a new connection of negotiator`},
		"fails later": {negotiator{bad: 2}, `
			< Negotiate
			> send Negotiate 1 to "" on a new connection of negotiator
			< Negotiate ` + token + `
			> fail: an impostor on the same connection of negotiator`},
		"too many legs": {negotiator{}, `
			< Negotiate
			> send Negotiate 1 to "" on a new connection of negotiator
			` + strings.Repeat("< Negotiate "+token+"\n", 8) + `
			> send Negotiate 9 to "tok" on the same connection of negotiator
			< Negotiate ` + token + `, ` + basic + `
			> send Basic u:p`},
		"HTTP/2": {negotiator{}, `
			< h2 Negotiate, ` + basic + `
			> send Basic u:p`},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(&auth.Spaces{}, "http://u:p@a.test:80/")
			s.Negotiators = []auth.Negotiator{&c.negotiator}
			if name == "good" {
				s.Own, s.HasPassword = nil, false
			}
			d := &auth.Dialog{Setup: s}
			talk(t, d, c.script)
			d.Close()
			assert.Zero(t, c.negotiator.open)
			for _, host := range c.negotiator.hosts {
				assert.Equal(t, "a.test", host)
			}
		})
	}
	n := &negotiator{bad: 2}
	s := setup(&auth.Spaces{}, "http://a:80/")
	s.Negotiators = []auth.Negotiator{n}
	d := &auth.Dialog{Setup: s}
	talk(t, d, `< Negotiate`)
	_, err := d.Accepted(200, http.Header{"Www-Authenticate": {"Negotiate " + token}})
	var ae *auth.Error
	require.ErrorAs(t, err, &ae)
	assert.EqualError(t, ae, "an impostor")
	d.Close()
	assert.Zero(t, n.open)
	assert.False(t, s.Spaces.Proven())
}

// TestStored: stored credentials by origin, realm, user and scheme.
func TestStored(t *testing.T) {
	stored := func(origin, realm, user string, schemes ...string) auth.Stored {
		return auth.Stored{Origin: origin, Upgraded: auth.Upgraded(origin), Realm: realm,
			Credentials: &auth.Credentials{User: user, Password: "p"}, Schemes: schemes}
	}
	for _, c := range []struct {
		url    string
		stored []auth.Stored
		script string
	}{
		{"http://a:80/", []auth.Stored{stored("http://b:80", "", "u")}, "< " + basic + "\n> ask Basic \"r\""},
		{"http://a:80/", []auth.Stored{stored("http://a:80", "", "u")}, "< " + basic + "\n> send Basic u:p\n< " + basic + "\n> ask Basic \"r\" user u, previous failed"},
		{"http://a:80/", []auth.Stored{stored("http://a:80", "q", "u"), stored("http://a:80", "r", "v"), stored("http://a:80", "", "w")},
			"< " + basic + "\n> send Basic v:p\n< " + basic + "\n> send Basic w:p\n< " + basic + "\n> ask Basic \"r\" user w, previous failed"},
		{"https://a:443/", []auth.Stored{stored("http://a:80", "", "u")}, "< " + basic + "\n> send Basic u:p"},
		{"http://a:80/", []auth.Stored{stored("https://a:443", "", "u")}, "< " + basic + "\n> ask Basic \"r\""},
		{"https://a:443/", []auth.Stored{stored("http://a:8080", "", "u")}, "< " + basic + "\n> ask Basic \"r\""},
		{"http://v@a:80/", []auth.Stored{stored("http://a:80", "", "u"), stored("http://a:80", "", "v")}, "< " + basic + "\n> send Basic v:p"},
		{"http://v:q@a:80/", []auth.Stored{stored("http://a:80", "", "v")}, "< " + basic + "\n> send Basic v:q\n< " + basic + "\n> ask Basic \"r\" user v, previous failed"},
		{"http://a:80/", []auth.Stored{stored("http://a:80", "", "u", "digest")}, "< " + basic + "\n> ask Basic \"r\""},
		{"http://a:80/", []auth.Stored{stored("http://a:80", "", "u", "NTLM", "digest")}, "< " + basic + ", " + md5 + "\n> send Digest u nonce=n nc=1 uri=/"},
	} {
		s := setup(&auth.Spaces{}, c.url)
		s.Stored = c.stored
		d := &auth.Dialog{Setup: s}
		talk(t, d, c.script)
		d.Close()
	}
	assert.Equal(t, []string{"https://a:443", "", "", ""}, []string{
		auth.Upgraded("http://a:80"), auth.Upgraded("https://a:443"), auth.Upgraded("http://a:8080"), auth.Upgraded("proxy http://a:80")})
}

// TestTunnel: which credentials open a tunnel; the challenges are answered elsewhere.
func TestTunnel(t *testing.T) {
	spaces := &auth.Spaces{}
	tunnel := func(own *auth.Credentials) *auth.Dialog {
		s := setup(spaces, "https://a:443/x")
		s.Role, s.Origin, s.Tunnel, s.Own, s.HasPassword = auth.Proxy, "proxy p", true, own, own != nil
		s.Negotiators = []auth.Negotiator{&negotiator{}}
		return &auth.Dialog{Setup: s}
	}
	refused := func(d *auth.Dialog, unchecked bool, challenges ...string) string {
		return show(d.TunnelRefused(http.Header{"Proxy-Authenticate": challenges}, unchecked))
	}
	d := tunnel(nil)
	assert.Equal(t, "send", show(d.Before()))
	assert.Equal(t, "give up", refused(d, false, "Negotiate"), "negotiators do not open tunnels")
	assert.Equal(t, `ask Basic "r"`, refused(d, false, basic))
	talk(t, d, "< answer u:wrong\n> send with u:wrong")
	d.TunnelSent(httpauth.ClearText)
	assert.Equal(t, `ask Basic "r" user u, previous failed`, refused(d, false, basic))
	talk(t, d, "< answer u:p\n> send with u:p")
	d.TunnelSent(httpauth.ClearText)
	d.TunnelOpened()
	d.Close()
	assert.Equal(t, httpauth.ClearText, spaces.Weakest("proxy p", &auth.Credentials{User: "u", Password: "p"}))
	assert.Equal(t, httpauth.Unknown, spaces.Weakest("proxy q", &auth.Credentials{User: "u", Password: "p"}))

	d = tunnel(&auth.Credentials{User: "v", Password: "q"})
	assert.Equal(t, "send with u:p", show(d.Before()), "what it took before")
	assert.Equal(t, "send with v:q", refused(d, false, basic))
	assert.Equal(t, `ask Basic "r" user v, previous failed`, refused(d, false, basic))
	assert.Equal(t, "give up", show(d.Answered(nil, true)))
	d.Close()

	d = tunnel(&auth.Credentials{User: "v", Password: "q"})
	assert.Equal(t, "send with v:q", show(d.Before()), "what was refused is forgotten")
	d.TunnelOpened()
	d.Close()
	assert.False(t, spaces.Proven(), "it is part of the proxy's configuration")

	spaces.Clear()
	d = tunnel(&auth.Credentials{User: "v", Password: "q"})
	d.Before()
	d.TunnelSent(httpauth.DigestSHA)
	assert.Equal(t, `ask Basic "r"`, refused(d, true, basic), "the proxy has not seen them, and will not")
	d.Close()

	d = tunnel(nil)
	assert.Equal(t, "send", show(d.Before()))
	assert.Equal(t, `ask SOCKS5 ""`, show(d.TunnelRefused(nil, false)))
	talk(t, d, "< answer s:p\n> send with s:p")
	assert.Equal(t, `ask SOCKS5 "" user s, previous failed`, show(d.TunnelRefused(nil, false)))
	for n := 0; ; n++ {
		require.Less(t, n, 32)
		step := d.Answered(&auth.Credentials{User: "s", Password: fmt.Sprint(n)}, true)
		require.Equal(t, auth.Send, step.Kind)
		if step = d.TunnelRefused(nil, false); step.Kind == auth.Fail {
			require.ErrorIs(t, step.Err, auth.ErrTooManyRounds)
			assert.Equal(t, auth.Proxy, step.Err.Role)
			break
		}
	}
	d.Close()
}

// TestProof: the server's proof that it knows the password.
func TestProof(t *testing.T) {
	for _, qop := range []string{"auth", "auth-int"} {
		for good, text := range map[bool]string{true: "body", false: "other"} {
			spaces := &auth.Spaces{}
			d := &auth.Dialog{Setup: setup(spaces, "http://u:p@a:80/")}
			challenge := `Digest realm="r", nonce="n", qop=` + qop
			talk(t, d, "< before")
			step := d.Challenged(t.Context(), http.Header{"Www-Authenticate": {challenge}}, true)
			if step.Kind == auth.HashBody {
				step = d.Hashed()
			}
			// the server's proof, by the same calculation
			sent := httpauth.Parse([]string{step.Line})[0].Params
			h := func(s string) string { return fmt.Sprintf("%x", md5hash.Sum([]byte(s))) }
			ha2 := h(":/")
			if qop == "auth-int" {
				ha2 = h(":/:" + h("body"))
			}
			proof := h(h("u:r:p") + ":n:" + sent["nc"] + ":" + sent["cnonce"] + ":" + qop + ":" + ha2)
			if !good && qop == "auth" {
				proof = h(proof)
			}
			info := http.Header{"Authentication-Info": {fmt.Sprintf(`rspauth="%s", qop=%s, nextnonce="m"`, proof, qop)}}
			p, err := d.Accepted(200, info)
			if qop == "auth-int" {
				require.NoError(t, err)
				require.NotNil(t, p)
				io.WriteString(p, text)
				err = p.Check()
			} else {
				require.Nil(t, p)
			}
			if good {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, auth.ErrUnproven)
				var ae *auth.Error
				require.ErrorAs(t, err, &ae)
				assert.Equal(t, auth.Server, ae.Role)
			}
			d.Close()
			if qop == "auth" {
				talk(t, &auth.Dialog{Setup: setup(spaces, "http://u:p@a:80/y")}, `
					< before
					> send Digest u nonce=m nc=1 uri=/y`)
			}
		}
	}
}

// TestNoSecrets: errors of a dialog contain no password.
func TestNoSecrets(t *testing.T) {
	for _, challenges := range [][]string{{"NTLM", "NTLM AAAA"}, {"NTLM", "NTLM " + ntlmChallenge, "NTLM " + ntlmChallenge}, {"NTLM", "NTLM !"}} {
		d := &auth.Dialog{Setup: setup(&auth.Spaces{}, "http://u:secret@a:80/")}
		var kinds []auth.Kind
		for _, c := range challenges {
			step := d.Challenged(t.Context(), http.Header{"Www-Authenticate": {c}}, true)
			if kinds = append(kinds, step.Kind); step.Kind == auth.Fail {
				assert.NotContains(t, step.Err.Error(), "secret")
			}
		}
		assert.NotEqual(t, auth.Send, kinds[len(kinds)-1])
		d.Close()
	}
}

// TestForeignStatus: a response of a proxy does not mean that the server has accepted a
// password.
func TestForeignStatus(t *testing.T) {
	spaces := &auth.Spaces{}
	for status, proven := range map[int]bool{407: false, 500: true} {
		spaces.Clear()
		d := &auth.Dialog{Setup: setup(spaces, "http://u:p@a:80/")}
		talk(t, d, "< "+basic+"\n> send Basic u:p")
		_, err := d.Accepted(status, http.Header{})
		require.NoError(t, err)
		assert.Equal(t, proven, spaces.Proven())
		d.Close()
	}
}

// FuzzDialog: for any challenges, a dialog ends, sends only valid field values, and does
// not send a password in clear text that was given for a stronger scheme.
func FuzzDialog(f *testing.F) {
	f.Add(basic, md5, "200", uint8(0))
	f.Add(sha256, basic, `Digest realm="r", nonce="m", stale=true`, uint8(1))
	f.Add("NTLM", "NTLM "+ntlmChallenge, "Negotiate abc=", uint8(2))
	f.Add("Negotiate", "Negotiate dG9r", "Negotiate dG9r, Digest realm=\"\xff\", nonce=n, qop=auth-int", uint8(3))
	f.Fuzz(func(t *testing.T, first, second, third string, flags uint8) {
		spaces := &auth.Spaces{}
		s := setup(spaces, "http://alice:pass-word@a:80/x/y")
		s.Waits = flags&1 != 0
		s.HasPassword = flags&2 == 0
		s.Negotiators = []auth.Negotiator{&negotiator{noKeys: flags&4 != 0}}
		if flags&8 != 0 {
			s.Role = auth.Proxy
		}
		n := s.Negotiators[0].(*negotiator)
		clear := map[string]bool{} // by user: whether the password may be sent in clear text
		passwords := 0
		for range 2 {
			d := &auth.Dialog{Setup: s}
			step := d.Before()
			script := []string{first, second, third}
			for i := 0; ; {
				require.Less(t, i, 100)
				switch step.Kind {
				case auth.Ask:
					passwords++
					user := fmt.Sprint("bob", passwords)
					clear[user] = step.Question.Scheme == "Basic"
					step = d.Answered(&auth.Credentials{User: user, Password: "answer"}, true)
					continue
				case auth.HashBody:
					step = d.Hashed()
					continue
				case auth.Send:
				case auth.GiveUp, auth.Fail:
					i = 100
				default:
					t.Fatal(step.Kind)
				}
				if i == 100 {
					break
				}
				if step.Line != "" && strings.ContainsFunc(step.Line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
					t.Fatalf("%q", step.Line)
				}
				scheme, rest, _ := strings.Cut(step.Line, " ")
				switch scheme {
				case "Basic":
					pair, err := base64.StdEncoding.DecodeString(rest)
					require.NoError(t, err)
					user, _, _ := strings.Cut(string(pair), ":")
					if may, known := clear[user]; known && !may {
						t.Fatalf("%s in clear", user)
					}
					clear[user] = true
				case "Digest":
					user := httpauth.Parse([]string{step.Line})[0].Params["username"]
					if _, known := clear[user]; !known {
						clear[user] = false
					}
				}
				i++
				header := http.Header{s.Role.Challenge: {script[i%3]}, s.Role.Info: {script[(i+1)%3]}}
				if i%5 == 4 {
					if p, err := d.Accepted(200, header); err == nil && p != nil {
						p.Write([]byte("body"))
						p.Check()
					}
					break
				}
				step = d.Challenged(t.Context(), header, flags&16 == 0)
			}
			d.Close()
			require.Zero(t, n.open)
		}
	})
}
