package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/auth"
	"github.com/netreply/netreply/internal/httpauth"
)

// prove stores accepted credentials for the space of a challenge.
func prove(t *testing.T, spaces *auth.Spaces, url, challenge, user, password string) {
	t.Helper()
	d := &auth.Dialog{Setup: setup(spaces, url)}
	defer d.Close()
	d.Before()
	step := d.Challenged(t.Context(), http.Header{"Www-Authenticate": {challenge}}, true)
	if step.Kind == auth.Ask {
		step = d.Answered(&auth.Credentials{User: user, Password: password}, true)
	}
	require.Equal(t, auth.Send, step.Kind)
	_, err := d.Accepted(200, http.Header{})
	require.NoError(t, err)
}

// preemptive returns the credentials that are sent without a challenge.
func preemptive(spaces *auth.Spaces, url string) string {
	d := &auth.Dialog{Setup: setup(spaces, url)}
	defer d.Close()
	return show(d.Before())
}

// TestPreemptive: accepted credentials are sent without a challenge in their protection
// space, and nowhere else (D22).
func TestPreemptive(t *testing.T) {
	digest := func(domain string) string { return md5 + `, domain="` + domain + `"` }
	for _, c := range []struct{ known, challenge, url, want string }{
		{"http://a:80/x/y", basic, "http://a:80/x/y", "send Basic u:p"},
		{"http://a:80/x/y", basic, "http://a:80/x/", "send Basic u:p"},
		{"http://a:80/x/y", basic, "http://a:80/x/z/w?q", "send Basic u:p"},
		{"http://a:80/x/y", basic, "http://a:80/x", "send"},
		{"http://a:80/x/y", basic, "http://a:80/", "send"},
		{"http://a:80/x%2Fy", basic, "http://a:80/x/y", "send Basic u:p"},
		{"http://a:80/x%2Fy/", basic, "http://a:80/x/y", "send"},
		{"http://a:80/x/y", basic, "http://a:81/x/y", "send"},
		{"http://a:80/x/y", basic, "https://a:80/x/y", "send"},
		{"http://a:80/x/y", basic, "http://u@a:80/x/y", "send"},
		{"http://u:p@a:80/x/y", basic, "http://u@a:80/x/y", "send Basic u:p"},
		{"http://u:p@a:80/x/y", basic, "http://u:p@a:80/x/y", "send Basic u:p"},
		{"http://u:p@a:80/x/y", basic, "http://u:q@a:80/x/y", "send"},
		{"http://u:p@a:80/x/y", basic, "http://v@a:80/x/y", "send"},
		{"http://u:p@a:80/x/y", basic, "http://a:80/x/y", "send Basic u:p"},
		{"http://a:80/x/y", md5, "http://a:80/", "send Digest u nonce=n nc=2 uri=/"},
		{"http://a:80/x", digest("/y http://b:80/z http://a:80/w :"), "http://a:80/y/1", "send Digest u nonce=n nc=2 uri=/y/1"},
		{"http://a:80/x", digest("/y http://b:80/z http://a:80/w"), "http://a:80/w", "send Digest u nonce=n nc=2 uri=/w"},
		{"http://a:80/x", digest("/y http://b:80/z http://a:80/w"), "http://a:80/x", "send Digest u nonce=n nc=2 uri=/x"},
		{"http://a:80/x", digest("/y http://b:80/z http://a:80/w"), "http://a:80/z", "send"},
		{"http://a:80/x", digest("/y http://b:80/z http://a:80/w"), "http://b:80/z", "send"},
	} {
		spaces := &auth.Spaces{}
		assert.False(t, spaces.Proven())
		prove(t, spaces, c.known, c.challenge, "u", "p")
		assert.True(t, spaces.Proven())
		assert.Equal(t, c.want, preemptive(spaces, c.url), "%+v", c)
		spaces.Clear()
		assert.False(t, spaces.Proven())
		assert.Equal(t, "send", preemptive(spaces, c.known))
	}
}

// TestPreemptiveLongestPath: of several spaces the one with the longest path is used.
func TestPreemptiveLongestPath(t *testing.T) {
	spaces := &auth.Spaces{}
	prove(t, spaces, "http://a:80/x", `Basic realm="outer"`, "outer", "p")
	prove(t, spaces, "http://a:80/in/x", `Basic realm="inner"`, "inner", "p")
	assert.Equal(t, "send Basic inner:p", preemptive(spaces, "http://a:80/in/y"))
	assert.Equal(t, "send Basic outer:p", preemptive(spaces, "http://a:80/y"))
	// a refusal removes them
	d := &auth.Dialog{Setup: setup(spaces, "http://a:80/in/y")}
	talk(t, d, `
		< before
		> send Basic inner:p
		< Basic realm="inner"
		> ask Basic "inner" user inner, previous failed
		< cancel
		> give up`)
	assert.Equal(t, "send Basic outer:p", preemptive(spaces, "http://a:80/in/y"))
	assert.True(t, spaces.Proven())
}

// TestForeignURL: credentials in the URL of a redirect are only used for requests with that
// user.
func TestForeignURL(t *testing.T) {
	spaces := &auth.Spaces{}
	s := setup(spaces, "http://u:p@a:80/")
	s.Foreign = true
	d := &auth.Dialog{Setup: s}
	talk(t, d, `
		< `+basic+`
		> send Basic u:p
		< 200`)
	d.Close()
	assert.Equal(t, "send", preemptive(spaces, "http://a:80/"))
	assert.Equal(t, "send Basic u:p", preemptive(spaces, "http://u@a:80/"))
}

// TestSameRealmOtherPath: credentials of a known realm are used for other paths without a
// question.
func TestSameRealmOtherPath(t *testing.T) {
	spaces := &auth.Spaces{}
	prove(t, spaces, "http://a:80/x/", basic, "u", "p")
	d := &auth.Dialog{Setup: setup(spaces, "http://a:80/y/")}
	talk(t, d, `
		< before
		> send
		< `+basic+`
		> send Basic u:p
		< 200`)
	d.Close()
	assert.Equal(t, "send Basic u:p", preemptive(spaces, "http://a:80/x/z"))
	assert.Equal(t, "send Basic u:p", preemptive(spaces, "http://a:80/y/z"))
}

// waiting makes a dialog with Setup.Waits.
func waiting(spaces *auth.Spaces) *auth.Dialog {
	s := setup(spaces, "http://a:80/")
	s.Waits = true
	return &auth.Dialog{Setup: s}
}

// TestWait: of several dialogs that need the same answer one asks, and the others use the
// result.
func TestWait(t *testing.T) {
	for name, c := range map[string]struct{ second, answer, then string }{
		"an answer":            {basic, "< answer u:p\n> send Basic u:p", "< waited\n> send Basic u:p"},
		"a refusal":            {basic, "< cancel\n> give up", "< waited\n> give up"},
		"no decision":          {basic, "< none\n> give up", "< waited\n> ask Basic \"r\""},
		"the end":              {basic, "< close", "< waited\n> ask Basic \"r\""},
		"something weaker":     {basic, "< answer u:p\n> send Digest u nonce=n nc=1 uri=/", "< waited\n> ask Basic \"r\""},
		"something stronger":   {sha256, "< answer u:p\n> send Basic u:p", "< waited\n> send Digest u nonce=n nc=1 uri=/ SHA-256"},
		"a refusal is no word": {`Basic realm="other"`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			spaces := &auth.Spaces{}
			first, second := waiting(spaces), waiting(spaces)
			challenge := basic
			if name == "something weaker" {
				challenge = md5
			}
			step := first.Challenged(t.Context(), http.Header{"Www-Authenticate": {challenge}}, true)
			require.Equal(t, auth.Ask, step.Kind)
			step = second.Challenged(t.Context(), http.Header{"Www-Authenticate": {c.second}}, true)
			if c.then == "" {
				require.Equal(t, auth.Ask, step.Kind, "another realm is another question")
				first.Close()
				second.Close()
				return
			}
			require.Equal(t, auth.Wait, step.Kind)
			select {
			case <-step.Until:
				t.Fatal("there is no answer yet")
			default:
			}
			talk(t, first, c.answer)
			<-step.Until
			talk(t, second, c.then)
			first.Close()
			second.Close()
			third := waiting(spaces)
			assert.NotEqual(t, auth.Wait, third.Challenged(t.Context(), http.Header{"Www-Authenticate": {basic}}, true).Kind, "no dialog is asking")
			third.Close()
		})
	}
}

// TestWaitAlone: a dialog with a password in its URL neither waits nor uses the answers of
// others.
func TestWaitAlone(t *testing.T) {
	spaces := &auth.Spaces{}
	first := waiting(spaces)
	defer first.Close()
	require.Equal(t, auth.Ask, first.Challenged(t.Context(), http.Header{"Www-Authenticate": {basic}}, true).Kind)
	s := setup(spaces, "http://u:wrong@a:80/")
	s.Waits, s.User = true, ""
	d := &auth.Dialog{Setup: s}
	defer d.Close()
	talk(t, d, `
		< `+basic+`
		> send Basic u:wrong`)
	talk(t, first, "< answer u:p\n> send Basic u:p")
	talk(t, d, `
		< `+basic+`
		> ask Basic "r" user u, previous failed`)
}

// TestBounds: the size of a table is bounded, and it works at its limit.
func TestBounds(t *testing.T) {
	spaces := &auth.Spaces{}
	for i := range 1100 { // spaces without credentials are removed for others
		d := &auth.Dialog{Setup: setup(spaces, "http://a:80/")}
		require.Equal(t, auth.Ask, d.Challenged(t.Context(), http.Header{"Www-Authenticate": {fmt.Sprintf(`Basic realm="%d"`, i)}}, true).Kind)
		d.Close()
	}
	for i := range 1100 { // then proven ones, one by one
		prove(t, spaces, fmt.Sprintf("http://a:80/%d/", i), fmt.Sprintf(`Basic realm="%d"`, i), "u", "p")
	}
	known := 0
	for i := range 1100 {
		if preemptive(spaces, fmt.Sprintf("http://a:80/%d/", i)) != "send" {
			known++
		}
	}
	assert.Equal(t, 1000, known)
	assert.Equal(t, "send Basic u:p", preemptive(spaces, "http://a:80/1099/"), "the last one is not removed")
	spaces.Clear()
	for i := range 300 {
		prove(t, spaces, fmt.Sprintf("http://a:80/%d/", i), basic, "u", "p")
	}
	assert.Equal(t, "send Basic u:p", preemptive(spaces, "http://a:80/255/"))
	assert.Equal(t, "send", preemptive(spaces, "http://a:80/256/"), "beyond, the server has to ask")
}

// TestClear: running requests continue after Clear, and do not change the cleared table.
func TestClear(t *testing.T) {
	for _, script := range []string{
		"< 200", // is accepted afterwards
		"< " + basic + "\n> ask Basic \"r\" user u, previous failed\n< cancel\n> give up", // is refused afterwards
		"< answer u:p\n> send Basic u:p\n< 200",
	} {
		spaces := &auth.Spaces{}
		s := setup(spaces, "http://u:p@a:80/")
		asks := strings.HasPrefix(script, "< answer")
		if asks {
			s = setup(spaces, "http://a:80/")
			s.Waits = true
		} else {
			prove(t, spaces, "http://u:p@a:80/", basic, "", "")
		}
		d := &auth.Dialog{Setup: s}
		if d.Before(); asks {
			talk(t, d, "< "+basic+"\n> ask Basic \"r\"")
		}
		spaces.Clear()
		talk(t, d, script)
		d.Close()
		assert.False(t, spaces.Proven(), script)
		assert.Equal(t, "send", preemptive(spaces, "http://u@a:80/"))
		prove(t, spaces, "http://a:80/", basic, "v", "q")
		assert.True(t, spaces.Proven(), script)
		assert.Equal(t, "send Basic v:q", preemptive(spaces, "http://a:80/"))
	}
}

// TestRace: of two requests that were accepted with different credentials, the first is
// stored.
func TestRace(t *testing.T) {
	spaces := &auth.Spaces{}
	first, second := &auth.Dialog{Setup: setup(spaces, "http://a:80/")}, &auth.Dialog{Setup: setup(spaces, "http://a:80/")}
	talk(t, first, "< "+basic+"\n> ask Basic \"r\"\n< answer u:p\n> send Basic u:p")
	talk(t, second, "< Basic realm=r\n> send Basic u:p\n< "+basic+"\n> ask Basic \"r\" user u, previous failed\n< answer v:q\n> send Basic v:q")
	talk(t, first, "< 200")
	talk(t, second, "< 200")
	assert.Equal(t, "send Basic u:p", preemptive(spaces, "http://a:80/"))
}

// TestConcurrent: one table for many concurrent requests.
func TestConcurrent(t *testing.T) {
	spaces := &auth.Spaces{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				s := setup(spaces, fmt.Sprintf("http://a:80/%d/", n%3))
				s.Waits = true
				d := &auth.Dialog{Setup: s}
				step := d.Before()
				for step.Kind != auth.GiveUp {
					switch step.Kind {
					case auth.Send:
						if step.Line == "" || n%7 == i {
							step = d.Challenged(t.Context(), http.Header{"Www-Authenticate": {[]string{basic, md5}[n%2]}}, true)
							continue
						}
						if _, err := d.Accepted(200, http.Header{}); err != nil {
							t.Error(err)
						}
						step.Kind = auth.GiveUp
					case auth.Ask:
						step = d.Answered(&auth.Credentials{User: "u", Password: fmt.Sprint(n % 5)}, true)
					case auth.Wait:
						<-step.Until
						step = d.Waited()
					case auth.Fail:
						step.Kind = auth.GiveUp
					default:
						t.Error(step.Kind)
					}
				}
				d.Close()
				if n%50 == 0 {
					spaces.Clear()
				}
			}
		})
	}
	wg.Wait()
	spaces.Clear()
	assert.False(t, spaces.Proven())
}

// TestNoCost: a request without known credentials does not allocate.
func TestNoCost(t *testing.T) {
	spaces := &auth.Spaces{}
	assert.Zero(t, testing.AllocsPerRun(10, func() { spaces.Proven() }))
	prove(t, spaces, "http://a:80/", basic, "u", "p")
	d := &auth.Dialog{Setup: setup(spaces, "http://b:80/x")}
	assert.Zero(t, testing.AllocsPerRun(10, func() { d.Before() }))
}

// TestWeakest: the scheme of the first challenge is the weakest with which a password is
// sent to an origin.
func TestWeakest(t *testing.T) {
	spaces := &auth.Spaces{}
	c := &auth.Credentials{User: "u", Password: "p"}
	assert.Equal(t, httpauth.Unknown, spaces.Weakest("http://a:80", c))
	prove(t, spaces, "http://u:p@a:80/", sha256, "", "")
	assert.Equal(t, httpauth.DigestSHA, spaces.Weakest("http://a:80", c))
	assert.Equal(t, httpauth.Unknown, spaces.Weakest("http://b:80", c))
	d := &auth.Dialog{Setup: setup(spaces, "http://u:p@a:80/")}
	talk(t, d, "< "+md5+"\n> ask Digest \"r\" user u\n< answer u:p\n> send Digest u nonce=n nc=2 uri=/")
	d.Close()
	assert.Equal(t, httpauth.DigestMD5, spaces.Weakest("http://a:80", c))
	spaces.Clear()
	assert.Equal(t, httpauth.Unknown, spaces.Weakest("http://a:80", c))
}
