package netreply_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/netreply/netreply"
)

// serveUser answers requests with the second token, and refuses the first, which has been
// revoked.
func serveUser(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer token 2" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"name":"Ada"}`)
}

// A token that is fetched when it is needed, and again when the server has refused it.
func ExampleTokenSource() {
	srv := httptest.NewServer(http.HandlerFunc(serveUser))
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	fetched := 0
	source := netreply.NewTokenSource(func(ctx context.Context) (netreply.Token, error) {
		fetched++ // a request to the authorization server, which says when the token expires
		return netreply.Token{Value: fmt.Sprint("token ", fetched)}, nil
	})
	req, err := netreply.NewRequest(srv.URL + "/user")
	if err != nil {
		log.Fatal(err)
	}
	req.Bearer = source // the same for all requests
	var user struct{ Name string }
	err = m.Get(context.Background(), req).JSON(&user)
	fmt.Println(user.Name, err)
	// Output: Ada <nil>
}

// A client of an API, with the tokens of a TokenSource. Redirects are followed by the Manager,
// which takes the token to no other origin.
func ExampleRoundTripperOptions() {
	srv := httptest.NewServer(http.HandlerFunc(serveUser))
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	fetched := 0
	source := netreply.NewTokenSource(func(ctx context.Context) (netreply.Token, error) {
		fetched++
		return netreply.Token{Value: fmt.Sprint("token ", fetched)}, nil
	})
	client := &http.Client{Transport: m.RoundTripper(netreply.RoundTripperOptions{
		Credentials: true,
		Redirects:   true,
		Request:     &netreply.Request{Bearer: source},
	})}
	resp, err := client.Get(srv.URL + "/user")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var user struct{ Name string }
	err = json.NewDecoder(resp.Body).Decode(&user)
	fmt.Println(resp.Status, user.Name, err)
	// Output: 200 OK Ada <nil>
}
