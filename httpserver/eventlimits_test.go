package httpserver_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// TestEventHubBytes: events are given up when they are too large together: for clients that
// come back, and for those that are behind.
func TestEventHubBytes(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	pad := strings.Repeat("x", 250)
	for name, id := range map[string]func(int) string{
		"ids of the hub":     func(int) string { return "" },
		"ids of the program": func(i int) string { return fmt.Sprint("event ", i) },
	} {
		hub := newHub(t, httpserver.EventHubConfig{MaxBytes: 1000, StallTimeout: -1})
		url := serveHub(t, hub)
		l := listenTo(t, client, url, "")
		var ids []string
		for i := range 10 {
			require.NoError(t, hub.Publish(httpserver.Event{ID: id(i), Data: fmt.Sprint(i, pad)}))
			l.expect(fmt.Sprint(i, pad))
			ids = append(ids, l.lastID)
		}
		back := listenTo(t, client, url, ids[6])
		back.expect("7"+pad, "8"+pad, "9"+pad)
		listenTo(t, client, url, ids[5]).expect(httpserver.EventsMissed + " ")
		listenTo(t, client, url, ids[0]).expect(httpserver.EventsMissed + " ")

		slow := serveGate(hub, t.Context())
		<-slow.pieces
		large := strings.Repeat("y", 2000)
		for i := range 3 { // each takes the place of all before
			require.NoError(t, hub.Publish(httpserver.Event{ID: id(10 + i), Data: large}))
		}
		var got []string
		for p := range slow.pieces {
			got = append(got, p)
		}
		assert.LessOrEqual(t, len(got), 2, "%s: what was on its way, and the end", name)
		assert.Equal(t, "event: dropped\ndata: \n\n", got[len(got)-1], name)
		last := listenTo(t, client, url, "")
		require.NoError(t, hub.Publish(httpserver.Event{ID: id(13), Data: large + "z"}))
		last.expect(large + "z") // the last one is kept, whatever its size
	}
	all := newHub(t, httpserver.EventHubConfig{MaxBytes: -1})
	require.NoError(t, all.Publish(httpserver.Event{ID: "a", Data: "b"}))
	publish(t, all, pad, strings.Repeat("x", 1<<20))
	listenTo(t, client, serveHub(t, all), "a").expect(pad, strings.Repeat("x", 1<<20))
}

// TestEventHubSameID: of an ID that several events have the last one counts, until it is
// given up.
func TestEventHubSameID(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	hub := newHub(t, httpserver.EventHubConfig{History: 3, Queue: 1})
	url := serveHub(t, hub)
	for i, id := range []string{"x", "y", "x", "y", "z"} {
		require.NoError(t, hub.Publish(httpserver.Event{ID: id, Data: fmt.Sprint(i)}))
	}
	listenTo(t, client, url, "x").expect("3", "4")
	listenTo(t, client, url, "y").expect("4")
	publish(t, hub, "5", "6")
	listenTo(t, client, url, "x").expect(httpserver.EventsMissed + " ")
	listenTo(t, client, url, "y").expect("4", "5", "6")
}

// TestEventHubOwnNames: events of the program cannot be taken for those of the hub, and what
// is wrong with an event is said.
func TestEventHubOwnNames(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{})
	for want, v := range map[string]httpserver.Event{
		`"missed" is that of an event of the hub's own`:  {Name: httpserver.EventsMissed},
		`"dropped" is that of an event of the hub's own`: {Name: httpserver.EventsDropped},
		"NUL in its id":          {ID: "a\x00"},
		"a line end in its id":   {ID: "a\n"},
		"a line end in its name": {Name: "a\r"},
	} {
		var refused *httpserver.HeaderError
		err := hub.Publish(v)
		assert.ErrorAs(t, err, &refused, want)
		assert.ErrorContains(t, err, want)
	}
}

// TestEventHubWelcomeFails: events of Welcome that cannot be sent are the program's fault, and
// told.
func TestEventHubWelcomeFails(t *testing.T) {
	hub := newHub(t, httpserver.EventHubConfig{Welcome: func(*http.Request) []httpserver.Event {
		return []httpserver.Event{{Name: httpserver.EventsMissed}}
	}})
	var sums []httpserver.Summary
	s := newServer(t, httpserver.Config{ErrorLog: quiet()})
	s.Finished(func(_ *http.Request, sum httpserver.Summary) { sums = append(sums, sum) })
	s.Handle("/", hub.Serve)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 500, w.Code)
	require.Len(t, sums, 1)
	assert.ErrorContains(t, sums[0].Err, "Welcome")

	var logged bytes.Buffer
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{ErrorLog: log.New(&logged, "", 0)}))
	w = httptest.NewRecorder()
	httpserver.HandlerFunc(hub.Serve).ServeHTTP(w, r)
	assert.Equal(t, 500, w.Code)
	assert.Contains(t, logged.String(), "Welcome")
}
