package netreply_test

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
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
)

// digestServer checks Digest strictly according to RFC 7616, with changing nonces. It
// echoes the request's body.
type digestServer struct {
	challenge string // parameters besides realm, nonce and stale
	algorithm string
	user      string
	uses      int  // uses of one nonce before it is stale
	next      bool // send nextnonce
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

// TestDigestServerProof: the rspauth of a server must prove that it knows the password.
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

// TestDigestDomain: the protection space is the domain parameter, without other servers.
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
