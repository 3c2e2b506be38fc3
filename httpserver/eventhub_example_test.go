package httpserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/netreply/netreply/httpserver"
)

func ExampleEventHub() {
	hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{
		Welcome: func(*http.Request) []httpserver.Event { // what a page shows at first
			return []httpserver.Event{{Name: "price", Data: "40"}}
		},
	})
	if err != nil {
		panic(err)
	}
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Handle("GET /prices", hub.Serve)

	site := httptest.NewServer(s)
	defer site.Close()
	resp, err := http.Get(site.URL + "/prices")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()

	hub.Publish(httpserver.Event{Name: "price", Data: "42"})
	hub.Close() // ends the streams

	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			fmt.Println(data)
		}
	}
	// Output:
	// 40
	// 42
}

func ExampleEventHub_Serve() {
	hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{})
	if err != nil {
		panic(err)
	}
	site := httptest.NewUnstartedServer(httpserver.HandlerFunc(hub.Serve)) // no Server of this package
	site.Config.RegisterOnShutdown(hub.Close)
	site.Start()
	defer site.Close()
	resp, err := http.Get(site.URL)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	site.Config.Shutdown(resp.Request.Context())
	_, err = io.Copy(io.Discard, resp.Body)
	fmt.Println("the stream has ended:", err)
	// Output: the stream has ended: <nil>
}
