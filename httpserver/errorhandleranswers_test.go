package httpserver_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// What a handler has borrowed its writer for before says nothing of the ErrorHandler's answer.
func TestErrorHandlerAfterUnwrap(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{ErrorHandler: func(_ *http.Request, w *httpserver.Responder, _ error) {
		http.Error(w.Unwrap(), "ours", http.StatusTeapot)
	}})
	require.NoError(t, err)
	server.Handle("GET /", func(_ *http.Request, w *httpserver.Responder) {
		http.SetCookie(w.Unwrap(), &http.Cookie{Name: "seen", Value: "yes"})
		w.WriteError(errors.New("lost"))
	})
	got := httptest.NewRecorder()
	server.ServeHTTP(got, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, http.StatusTeapot, got.Code)
	require.Equal(t, "ours\n", got.Body.String())
	require.Equal(t, "seen=yes", got.Header().Get("Set-Cookie"))
}

// An ErrorHandler that gives no answer leaves it to the Server, also where the handler has
// borrowed its writer before.
func TestErrorHandlerSilentAfterUnwrap(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{ErrorHandler: func(*http.Request, *httpserver.Responder, error) {}})
	require.NoError(t, err)
	server.Handle("GET /", func(_ *http.Request, w *httpserver.Responder) {
		http.SetCookie(w.Unwrap(), &http.Cookie{Name: "seen", Value: "yes"})
		w.WriteError(&httpserver.HTTPError{Status: httpserver.Conflict})
	})
	got := httptest.NewRecorder()
	server.ServeHTTP(got, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, http.StatusConflict, got.Code)
	require.Contains(t, got.Body.String(), `"status":409`)
}

// A field that an ErrorHandler sets by Unwrap is no answer.
func TestErrorHandlerSetsCookie(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{ErrorHandler: func(_ *http.Request, w *httpserver.Responder, _ error) {
		http.SetCookie(w.Unwrap(), &http.Cookie{Name: "seen", Value: "yes"})
	}})
	require.NoError(t, err)
	got := httptest.NewRecorder()
	server.ServeHTTP(got, httptest.NewRequest("GET", "/none", nil))
	require.Equal(t, http.StatusNotFound, got.Code)
	require.Equal(t, "seen=yes", got.Header().Get("Set-Cookie"))
}

// A hub whose Welcome cannot be sent answers as the Server's ErrorHandler does.
func TestErrorHandlerOfHub(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{ErrorHandler: func(_ *http.Request, w *httpserver.Responder, err error) {
		w.WriteData([]byte("ours"), "text/plain", httpserver.ProblemOf(err).Status)
	}})
	require.NoError(t, err)
	hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{Welcome: func(*http.Request) []httpserver.Event {
		return []httpserver.Event{{Name: "two\nlines"}}
	}})
	require.NoError(t, err)
	server.Handle("GET /", hub.Serve)
	var failed error
	server.Finished(func(_ *http.Request, sum httpserver.Summary) { failed = sum.Err })
	got := httptest.NewRecorder()
	server.ServeHTTP(got, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, http.StatusInternalServerError, got.Code)
	require.Equal(t, "ours", got.Body.String())
	require.ErrorContains(t, failed, "Welcome")
}

// What ServeMux refuses stays refused with an ErrorHandler.
func TestErrorHandlerOfStar(t *testing.T) {
	for _, c := range []httpserver.Config{{}, {ErrorHandler: func(_ *http.Request, w *httpserver.Responder, err error) {
		w.WriteStatus(httpserver.ProblemOf(err).Status)
	}}} {
		server, err := httpserver.NewServer(c)
		require.NoError(t, err)
		got := raw(t, serve(t, server), "GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.Contains(t, got, "HTTP/1.1 400 ")
	}
}
