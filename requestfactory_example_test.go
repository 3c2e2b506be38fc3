package netreply_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/netreply/netreply"
)

// A client for one service: its base URL, token and header fields stand in one place.
func ExampleRequestFactory() {
	f, err := netreply.NewRequestFactory("https://api.example.org/v2")
	if err != nil {
		panic(err)
	}
	f.BearerToken = "s3cret"
	f.Common.Headers.Set("Accept", "application/json")
	f.Common.TransferTimeout = 30 * time.Second
	f.Params = []netreply.Param{netreply.QueryParam("lang", "en")}

	req, err := f.New("users/{id}/posts", netreply.PathParam("id", "a/b?c"), netreply.QueryParam("page", 2))
	if err != nil {
		panic(err)
	}
	fmt.Println(req.URL)
	fmt.Println(req.Headers)
	// Output:
	// https://api.example.org/v2/users/a%2Fb%3Fc/posts?lang=en&page=2
	// [Accept: "application/json", Authorization: "xxxxx"]
}

// A value from outside cannot lead to another path, and a mistake is named.
func ExampleRequestFactory_New() {
	f, err := netreply.NewRequestFactory("https://api.example.org/v2")
	if err != nil {
		panic(err)
	}
	for _, id := range []string{"42", "../admin", ""} {
		req, err := f.New("users/{id}", netreply.PathParam("id", id))
		var bad *netreply.FieldError
		if errors.As(err, &bad) {
			fmt.Printf("%q: %v\n", id, bad)
			continue
		}
		fmt.Printf("%q: %s\n", id, req.URL)
	}
	// Output:
	// "42": https://api.example.org/v2/users/42
	// "../admin": invalid path parameter id: must not have the segments . and .., which lead elsewhere
	// "": invalid path parameter id: must not be empty: the path would name something else
}
