package httpserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestEventHubOldClients: HTTP/1.0 gets events, too, and HEAD a head.
func TestEventHubOldClients(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{})
	url := serveHub(t, hub)
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(c)
	for line := ""; !strings.HasPrefix(line, "id: "); { // it is there
		line, err = in.ReadString('\n')
		require.NoError(t, err)
	}
	publish(t, hub, "x")
	hub.Close()
	rest, err := io.ReadAll(in)
	assert.NoError(t, err)
	assert.Contains(t, string(rest), "data: x\n\n")

	other := newHub(t, httpserver.EventHubConfig{Welcome: func(*http.Request) []httpserver.Event { panic("not for HEAD") }})
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(other.Serve).ServeHTTP(w, httptest.NewRequest("HEAD", "/", nil))
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	assert.Empty(t, w.Body.String())
}

// TestEventHubReplay: a client that comes back gets what it has missed, once.
func TestEventHubReplay(t *testing.T) {
	overBoth(t, func(t *testing.T, client *http.Client) {
		hub := newHub(t, httpserver.EventHubConfig{History: 200, Queue: 10})
		url := serveHub(t, hub)
		publish(t, hub, "zero")
		l := listenTo(t, client, url, "")
		publish(t, hub, "one", "two")
		l.expect("one")
		l.close()
		var want []string
		for i := range 150 { // more than it may be behind, and than is taken at once
			want = append(want, fmt.Sprint(i))
		}
		publish(t, hub, want...)
		l = listenTo(t, client, url, l.lastID)
		l.expect("two")
		l.expect(want...)
		publish(t, hub, "live")
		l.expect("live")
		l.close()

		l = listenTo(t, client, url, l.lastID)
		publish(t, hub, "nothing missed")
		l.expect("nothing missed")
		l.close()

		publish(t, hub, want...)
		publish(t, hub, want...)
		l = listenTo(t, client, url, l.lastID)
		l.expect(httpserver.EventsMissed + " ")
		publish(t, hub, "from here")
		l.expect("from here")
		for _, id := range []string{"7", "ä", l.lastID + "0", "-", strings.Repeat("x", 10_000)} {
			l := listenTo(t, client, url, id)
			l.expect(httpserver.EventsMissed + " ")
			l.close()
		}
	})
}

// TestEventHubPlace: a client knows its place among the events before it has got one.
func TestEventHubPlace(t *testing.T) {
	for name, before := range map[string][]string{"new hub": nil, "old hub": {"old"}} {
		hub := newHub(t, httpserver.EventHubConfig{})
		url := serveHub(t, hub)
		publish(t, hub, before...)
		l := listenTo(t, http.DefaultClient, url, "")
		for l.lastID == "" {
			line, err := l.in.ReadString('\n')
			require.NoError(t, err)
			l.lastID = strings.TrimPrefix(strings.TrimSpace(line), "id: ")
		}
		l.close()
		publish(t, hub, "while it was away")
		l = listenTo(t, http.DefaultClient, url, l.lastID)
		l.expect("while it was away")
		l.close()
		assert.NotEmpty(t, l.lastID, name)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestEventHubHistory: none, ids of the program's own, and those of another hub.
func TestEventHubHistory(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	none := newHub(t, httpserver.EventHubConfig{History: -1})
	url := serveHub(t, none)
	l := listenTo(t, client, url, "")
	publish(t, none, "a")
	l.expect("a")
	l.close()
	same := listenTo(t, client, url, l.lastID)
	publish(t, none, "b")
	same.expect("b")
	listenTo(t, client, url, l.lastID).expect(httpserver.EventsMissed + " ")

	own := newHub(t, httpserver.EventHubConfig{History: 2})
	url = serveHub(t, own)
	for _, id := range []string{"x", "y", "z"} {
		require.NoError(t, own.Publish(httpserver.Event{ID: id, Data: "event " + id}))
	}
	listenTo(t, client, url, "x").expect("event y", "event z")
	l = listenTo(t, client, url, "y")
	l.expect("event z")
	assert.Equal(t, "z", l.lastID)
	require.NoError(t, own.Publish(httpserver.Event{ID: "w"}))
	listenTo(t, client, url, "x").expect(httpserver.EventsMissed + " ")

	a, b := newHub(t, httpserver.EventHubConfig{}), newHub(t, httpserver.EventHubConfig{})
	l = listenTo(t, client, serveHub(t, a), "")
	publish(t, a, "a")
	publish(t, b, "b")
	l.expect("a")
	listenTo(t, client, serveHub(t, b), l.lastID).expect(httpserver.EventsMissed + " ")
}

// TestEventHubWelcome: the state of things comes first, for those who do not have it, and
// nothing gets lost behind it.
func TestEventHubWelcome(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var hub *httpserver.EventHub
	hub = newHub(t, httpserver.EventHubConfig{Retry: 1500 * time.Millisecond, Welcome: func(r *http.Request) []httpserver.Event {
		publish(t, hub, "meanwhile")
		return []httpserver.Event{{Name: "state", Data: r.URL.Query().Get("of")}, {Data: "more"}}
	}})
	url := serveHub(t, hub)
	l := listenTo(t, client, url+"?of=x", "")
	line, err := l.in.ReadString('\n')
	assert.NoError(t, err)
	assert.Equal(t, "retry: 1500\n", line)
	l.expect("state x", "more", "meanwhile")
	id := l.lastID
	l.close()
	publish(t, hub, "away")
	l = listenTo(t, client, url, id)
	l.expect("away")
	l = listenTo(t, client, url, "unknown")
	l.expect(httpserver.EventsMissed+" ", "state ", "more", "meanwhile")

	bad := newHub(t, httpserver.EventHubConfig{Welcome: func(*http.Request) []httpserver.Event { return []httpserver.Event{{ID: "a\nb"}} }})
	status, _, _ := ask(t, client, "GET", serveHub(t, bad), "", nil)
	assert.Equal(t, 500, status)
}
