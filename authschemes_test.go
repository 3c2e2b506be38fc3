package netreply_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/httpauth"
	"github.com/netreply/netreply/internal/testserver"
)

// digestServer checks Digest by the letter of RFC 7616, with one nonce after the
// other. Its answer is the request's body.
type digestServer struct {
	challenge string // parameters besides realm, nonce and stale
	algorithm string
	user      string
	uses      int  // of one nonce before it is stale
	next      bool // say the next nonce
	info      func(good string) string

	mu     sync.Mutex
	nonce  int
	counts map[string]string // the last nc of a nonce
	log    []string
}

func (s *digestServer) sum(text string) string {
	var h hash.Hash
	switch strings.ToUpper(strings.TrimSuffix(s.algorithm, "-sess")) {
	case "SHA-256":
		h = sha256.New()
	case "SHA-512-256":
		h = sha512.New512_256()
	default:
		h = md5.New()
	}
	io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

func (s *digestServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	verdict, info := s.check(r, string(sent))
	s.log = append(s.log, verdict)
	if verdict != "ok" {
		s.nonce++
		field := fmt.Sprintf(`Basic realm="weaker", Digest realm="the \"realm\"", nonce="n%d"`, s.nonce)
		if s.challenge != "" {
			field += ", " + s.challenge
		}
		if s.algorithm != "" {
			field += ", algorithm=" + s.algorithm
		}
		if verdict == "stale" {
			field += ", stale=true"
		}
		w.Header().Set("WWW-Authenticate", field)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if s.info != nil {
		info = s.info(info)
	}
	if s.next {
		s.nonce++
		info += fmt.Sprintf(`, nextnonce="n%d"`, s.nonce)
	}
	w.Header().Set("Authentication-Info", info)
	w.Write(sent)
}

func (s *digestServer) check(r *http.Request, body string) (verdict, info string) {
	cs := httpauth.Parse(r.Header["Authorization"])
	if len(cs) != 1 || cs[0].Scheme != "Digest" {
		return "none", ""
	}
	p := cs[0].Params
	const realm = `the "realm"`
	name := p["username"]
	if star, ok := p["username*"]; ok {
		name, _ = url.PathUnescape(strings.TrimPrefix(star, "UTF-8''"))
	}
	want := s.user
	if p["userhash"] == "true" {
		want = s.sum(s.user + ":" + realm)
	}
	if name != want || p["realm"] != realm || p["uri"] != r.URL.RequestURI() {
		return "bad fields", ""
	}
	if p["nonce"] != fmt.Sprintf("n%d", s.nonce) {
		return "stale", ""
	}
	if s.counts == nil {
		s.counts = map[string]string{}
	}
	if p["qop"] != "" && p["nc"] <= s.counts[p["nonce"]] {
		return "replay", ""
	}
	s.counts[p["nonce"]] = p["nc"]
	if s.uses > 0 && p["nc"] > fmt.Sprintf("%08x", s.uses) {
		return "stale", ""
	}
	a1 := s.sum(s.user + ":" + realm + ":pass")
	if strings.HasSuffix(s.algorithm, "-sess") {
		a1 = s.sum(a1 + ":" + p["nonce"] + ":" + p["cnonce"])
	}
	proof := func(method string) string {
		a2 := method + ":" + p["uri"]
		if p["qop"] == "auth-int" {
			a2 += ":" + s.sum(body)
		}
		if p["qop"] == "" {
			return s.sum(a1 + ":" + p["nonce"] + ":" + s.sum(a2))
		}
		return s.sum(strings.Join([]string{a1, p["nonce"], p["nc"], p["cnonce"], p["qop"], s.sum(a2)}, ":"))
	}
	if p["response"] != proof(r.Method) {
		return "wrong", ""
	}
	info = fmt.Sprintf(`rspauth="%s"`, proof(""))
	if p["qop"] != "" {
		info += fmt.Sprintf(`, qop=%s, nc=%s, cnonce="%s"`, p["qop"], p["nc"], p["cnonce"])
	}
	return "ok", info
}

// TestDigest: every algorithm with every quality of protection, GET and POST.
func TestDigest(t *testing.T) {
	for _, algorithm := range []string{"", "MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"} {
		for _, extra := range []string{"", `qop="auth"`, `qop="auth-int"`, `qop="auth-int,auth", opaque="o\"o"`, `qop=auth, userhash=true`} {
			server := &digestServer{challenge: extra, algorithm: algorithm, user: "Jürgen"}
			if algorithm == "SHA-256" {
				server.user = "us\"er"
			}
			eachProtocol(t, server.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
				server.log = nil
				asked := 0
				m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}, OnSignal: answering(func(q *netreply.Authenticator) {
					asked++
					assert.Equal(t, "Digest", q.Scheme)
					assert.Equal(t, `the "realm"`, q.Realm)
					q.SetCredentials(server.user, "pass")
				})})
				what := algorithm + " " + extra
				assert.Equal(t, "", readBody(t, m.Get(t.Context(), s.request("/x?q=a%20b"))), what)
				large := strings.Repeat("body", 10_000)
				assert.Equal(t, large, readBody(t, m.Post(t.Context(), s.request("/y"), netreply.ReaderBody(strings.NewReader(large)))), what)
				assert.Equal(t, "x", readBody(t, m.Put(t.Context(), s.request("/"), netreply.StringBody("x"))), what)
				assert.Equal(t, []string{"none", "ok", "ok", "ok"}, server.log, what)
				assert.Equal(t, 1, asked)
			})
		}
	}
}

// TestDigestNonces: a stale nonce is replaced without a question, and the server may announce
// the next one.
func TestDigestNonces(t *testing.T) {
	for _, server := range []*digestServer{{challenge: "qop=auth", user: "u", uses: 2}, {challenge: "qop=auth", user: "u", next: true}} {
		eachProtocol(t, server.ServeHTTP, netreply.Config{Credentials: []netreply.Credential{}}, func(t *testing.T, s *fixture) {
			server.log = nil
			asked := 0
			req := s.request("/")
			req.OnSignal = answering(func(q *netreply.Authenticator) { asked++; q.SetCredentials("u", "pass") })
			for range 5 {
				require.NoError(t, s.m.Get(t.Context(), req).Wait(deadline(t)))
			}
			assert.Equal(t, 1, asked)
			if server.next {
				assert.Equal(t, []string{"none", "ok", "ok", "ok", "ok", "ok"}, server.log)
			} else {
				assert.Equal(t, []string{"none", "ok", "ok", "stale", "ok", "ok", "stale", "ok"}, server.log)
			}
		})
	}
}

// TestDigestWrongThenRight: rule U6.
func TestDigestWrongThenRight(t *testing.T) {
	server := &digestServer{challenge: "qop=auth", user: "u"}
	eachProtocol(t, server.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/")
		req.OnSignal = answering(func(q *netreply.Authenticator) {
			if q.PreviousFailed {
				q.SetCredentials("u", "pass")
			} else {
				q.SetCredentials("u", "wrong")
			}
		})
		require.NoError(t, s.m.Get(t.Context(), req).Wait(deadline(t)))
	})
}

// TestDigestServerProof: a server that sends rspauth has to prove that it knows the password.
func TestDigestServerProof(t *testing.T) {
	for _, qop := range []string{"auth", "auth-int"} {
		for name, info := range map[string]func(string) string{
			"good":  func(good string) string { return good },
			"bad":   func(good string) string { return strings.Replace(good, `rspauth="`, `rspauth="00`, 1) },
			"empty": func(good string) string { return "" },
		} {
			server := &digestServer{challenge: "qop=" + qop, user: "u", info: info}
			eachProtocol(t, server.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
				req := s.request("/")
				req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("u", "pass") })
				for _, sent := range []string{"", "some body"} {
					err := s.m.Post(t.Context(), req, netreply.StringBody(sent)).Wait(deadline(t))
					if name == "bad" {
						require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
						assert.ErrorContains(t, err, "proved")
						s.m.ClearAccessCache()
					} else {
						require.NoError(t, err, qop+" "+name)
					}
				}
			})
		}
	}
}

// TestDigestDomain: the protection space is the one that the server names, which cannot include
// another server.
func TestDigestDomain(t *testing.T) {
	server := &digestServer{challenge: `qop=auth, domain="/in http://elsewhere.example/ /also"`, user: "u"}
	eachProtocol(t, server.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		server.log = nil
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: s.cfg}, OnSignal: answering(func(q *netreply.Authenticator) { q.SetCredentials("u", "pass") })})
		for _, path := range []string{"/in/x", "/in/y", "/also/x", "/out"} {
			require.NoError(t, m.Get(t.Context(), s.request(path)).Wait(deadline(t)))
		}
		assert.Equal(t, []string{"none", "ok", "ok", "ok", "none", "ok"}, server.log)
	})
}

// TestDigestBodyOnce: qop=auth-int needs a body that can be read twice.
func TestDigestBodyOnce(t *testing.T) {
	server := &digestServer{challenge: "qop=auth-int", user: "u"}
	eachProtocol(t, server.ServeHTTP, netreply.Config{}, func(t *testing.T, s *fixture) {
		req := s.request("/")
		req.DoNotBufferUploadData = true
		req.OnSignal = answering(func(q *netreply.Authenticator) { q.SetCredentials("u", "pass") })
		for range 2 {
			r := s.m.Post(t.Context(), req, netreply.ReaderBody(io.MultiReader(strings.NewReader("x"))))
			require.ErrorIs(t, r.Wait(deadline(t)), netreply.ContentReSendError)
		}
	})
}

// TestNTLM: the handshake stays on one connection, which from then on belongs to its user.
func TestNTLM(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS} {
		var mu sync.Mutex
		var log []string
		s, cfg := testserver.NewConnOrigin(t, kind, testserver.NTLMHandler(func(what string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, what)
		}))
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		as := func(path, user string) *netreply.Reply {
			req := newRequest(t, s.URL+path)
			req.URL.User = url.UserPassword(user, "pass")
			return m.Post(t.Context(), req, netreply.StringBody("!"))
		}
		for range 3 {
			assert.Equal(t, `DOM\alice!`, readBody(t, as("/", `DOM\alice`)))
			assert.Equal(t, `DOM\bob!`, readBody(t, as("/", `DOM\bob`)))
			nobody := newRequest(t, s.URL+"/open")
			nobody.AuthenticationReuse = netreply.Manual
			require.NoError(t, m.Get(t.Context(), nobody).Wait(deadline(t)))
		}
		_, err := as("/", `DOM\bad`).ReadAll()
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
		var wg sync.WaitGroup
		for i := range 24 {
			user := []string{`DOM\alice`, `DOM\bob`}[i%2]
			wg.Go(func() {
				b, err := as("/", user).ReadAll()
				assert.NoError(t, err)
				assert.Equal(t, user+"!", string(b))
			})
		}
		wg.Wait()
		mu.Lock()
		for _, what := range log {
			assert.Contains(t, []string{"asked", `open on connection of ""`}, what)
		}
		mu.Unlock()
	}
}

// TestNTLMMalformed: malformed messages, and servers that never accept.
func TestNTLMMalformed(t *testing.T) {
	for _, token := range []string{"", "!!!", "AAAA", base64.StdEncoding.EncodeToString(testserver.NTLMChallenge()[:20]), base64.StdEncoding.EncodeToString(testserver.NTLMChallenge())} {
		s, cfg := testserver.NewConnOrigin(t, testserver.Plain, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "NTLM "+token)
			w.WriteHeader(401)
		})
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
		req := newRequest(t, s.URL)
		req.URL.User = url.UserPassword("u", "secret")
		err := m.Get(t.Context(), req).Wait(deadline(t))
		require.ErrorIs(t, err, netreply.AuthenticationRequiredError, token)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// TestNTLMOverHTTP2: rule U12.
func TestNTLMOverHTTP2(t *testing.T) {
	s, cfg := testserver.NewOrigin(t, testserver.H2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", "NTLM")
		w.WriteHeader(401)
	}))
	m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{TLS: cfg}})
	r := m.Get(t.Context(), newRequest(t, s.URL))
	require.ErrorIs(t, r.Wait(deadline(t)), netreply.AuthenticationRequiredError)
	assert.NotContains(t, signalNames(t, r), "question")
}

// twoLegs is a Negotiator like one of Kerberos, which says its name in two legs.
type twoLegs struct {
	name   string
	noKeys bool
	mu     sync.Mutex
	open   int
}

func (n *twoLegs) Scheme() string { return "Negotiate" }
func (n *twoLegs) Start(_ context.Context, host string) (netreply.Negotiation, error) {
	if n.noKeys {
		return nil, errors.New("no ticket")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open++
	return &legs{n: n, host: host}, nil
}

type legs struct {
	n     *twoLegs
	host  string
	stage int
}

func (l *legs) Next(token []byte) ([]byte, error) {
	l.stage++
	switch {
	case l.stage == 1 && token == nil:
		return []byte("hello " + l.host), nil
	case l.stage == 2 && strings.HasPrefix(string(token), "who?"):
		return []byte(l.n.name + " " + string(token)), nil
	case l.stage == 3 && string(token) == "welcome":
		return nil, nil
	}
	return nil, fmt.Errorf("unexpected %q", token)
}

func (l *legs) Close() error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.n.open--
	return nil
}

// negotiateServer is the other side of twoLegs.
func negotiateServer(w http.ResponseWriter, r *http.Request) {
	c := testserver.ConnStateOf(r)
	scheme, field, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token, _ := base64.StdEncoding.DecodeString(field)
	say := func(token string) {
		w.Header().Set("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString([]byte(token)))
	}
	switch expect := fmt.Sprintf("who? %d", c.ID); {
	case scheme == "Basic":
		io.WriteString(w, "basic")
	case c.User != "" && scheme == "":
		io.WriteString(w, c.User)
	case strings.HasPrefix(string(token), "hello 127.0.0.1"):
		say(expect)
		w.WriteHeader(401)
	case strings.HasSuffix(string(token), expect):
		c.User, _, _ = strings.Cut(string(token), " ")
		if c.User == "mallory" {
			w.Header()["Www-Authenticate"] = []string{"Negotiate", `Basic realm="r"`}
			w.WriteHeader(401)
			c.User = ""
			return
		}
		say(r.URL.Query().Get("last"))
		io.WriteString(w, c.User)
	default:
		w.Header()["Www-Authenticate"] = []string{"Negotiate, NTLM", `Digest realm="r", nonce="n"`, `Basic realm="r"`}
		w.WriteHeader(401)
	}
}

// TestNegotiator: a scheme of two round trips, which can be refused, can lack a ticket, and can
// meet an impostor.
func TestNegotiator(t *testing.T) {
	s, _ := testserver.NewConnOrigin(t, testserver.Plain, negotiateServer)
	get := func(n *twoLegs, query string) (string, error) {
		m := newManager(t, netreply.Config{Negotiators: []netreply.Negotiator{n}})
		var last string
		var err error
		for range 3 {
			req := newRequest(t, s.URL+query)
			var b []byte
			b, err = m.Get(t.Context(), req).ReadAll()
			last = string(b)
		}
		assert.Zero(t, n.open, "every negotiation is closed")
		return last, err
	}
	got, err := get(&twoLegs{name: "carol"}, "?last=welcome")
	require.NoError(t, err)
	assert.Equal(t, "carol", got)
	_, err = get(&twoLegs{name: "carol"}, "?last=impostor")
	require.ErrorIs(t, err, netreply.AuthenticationRequiredError)
	_, err = get(&twoLegs{name: "mallory"}, "?last=welcome")
	require.ErrorIs(t, err, netreply.AuthenticationRequiredError)

	m := newManager(t, netreply.Config{Negotiators: []netreply.Negotiator{&twoLegs{name: "mallory"}}})
	req := newRequest(t, s.URL)
	req.URL.User = url.UserPassword("user", "pass")
	assert.Equal(t, "basic", readBody(t, m.Get(t.Context(), req)), "refused: what is left of the challenges")
	asked := ""
	m = newManager(t, netreply.Config{Negotiators: []netreply.Negotiator{&twoLegs{noKeys: true}},
		OnSignal: answering(func(q *netreply.Authenticator) { asked = q.Scheme })})
	require.ErrorIs(t, m.Get(t.Context(), newRequest(t, s.URL)).Wait(deadline(t)), netreply.AuthenticationRequiredError)
	assert.Equal(t, "Digest", asked, "no ticket: the next weaker scheme")
}
