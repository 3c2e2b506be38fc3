package netreply_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// twoLegs is a Negotiator with two round trips, like one for Kerberos.
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

// negotiateServer is the server for twoLegs.
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

// TestNegotiator: a scheme of two round trips: accepted, refused, without a ticket, and
// with an impostor.
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
