// apiclient exchanges JSON with a server, and distinguishes errors by their codes, without
// channels. It starts its own server.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpserver"
)

type note struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// client is the client of a program.
type client struct {
	m    *netreply.Manager
	base string
}

// call sends in, unless it is nil, and decodes the response into out.
func (c *client) call(ctx context.Context, verb, path string, in, out any) error {
	req, err := netreply.NewRequest(c.base + path)
	if err != nil {
		return err
	}
	var body netreply.Body
	if in != nil {
		body = netreply.JSONBody(in)
	}
	return c.m.Fetch(ctx, verb, req, body).JSON(out)
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "apiclient:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	srv := httptest.NewServer(server())
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	c := &client{m, srv.URL}

	var n note
	if err := c.call(ctx, "POST", "/notes", note{Text: "buy milk"}, &n); err != nil {
		return err
	}
	fmt.Printf("created: %+v\n", n)
	if err := c.call(ctx, "GET", fmt.Sprintf("/notes/%d", n.ID), nil, &n); err != nil {
		return err
	}
	fmt.Printf("read: %+v\n", n)

	for _, path := range []string{"/notes/99", "/secret", "/broken"} {
		err := c.call(ctx, "GET", path, nil, &n)
		var e *netreply.Error
		switch {
		case errors.Is(err, netreply.ContentNotFoundError):
			fmt.Println(path, "does not exist")
		case errors.Is(err, netreply.ContentAccessDenied):
			fmt.Println(path, "is not for us")
		case errors.As(err, &e):
			fmt.Printf("%s: %v, status %d, worth another try: %v\n", path, e.Code, e.StatusCode, e.Retryable)
		default:
			return fmt.Errorf("%s: expected an error, got %v", path, err)
		}
	}
	return nil
}

func server() http.Handler {
	notes := map[string]note{}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request, *httpserver.Responder)) {
		mux.Handle(pattern, httpserver.HandlerFunc(f))
	}
	handle("POST /notes", func(r *http.Request, w *httpserver.Responder) {
		var n note
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			w.WriteData([]byte(err.Error()), "text/plain", httpserver.BadRequest)
			return
		}
		n.ID = len(notes) + 1
		notes[fmt.Sprint(n.ID)] = n
		w.WriteJSON(n, httpserver.Created)
	})
	handle("GET /notes/{id}", func(r *http.Request, w *httpserver.Responder) {
		n, ok := notes[r.PathValue("id")]
		if !ok {
			w.WriteStatus(httpserver.NotFound)
			return
		}
		w.WriteJSON(n)
	})
	handle("GET /secret", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus(httpserver.Forbidden) })
	handle("GET /broken", func(_ *http.Request, w *httpserver.Responder) { w.WriteStatus(httpserver.ServiceUnavailable) })
	return mux
}
