// cached fetches a page twice, and a third time when its server is gone, and says each time
// what the cache did. It starts its own server, and keeps the cache in a directory that it
// removes at the end.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cached:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "cached")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := httpcache.OpenDisk(dir, httpcache.Limits{Size: 10 << 20})
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(store)})
	if err != nil {
		return err
	}
	defer m.Close()

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0") // to be validated, if the server can be reached
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "a page")
	}))
	defer server.Close()
	if err := fetch(m, server.URL+"/page", netreply.PreferNetwork); err != nil {
		return err
	}
	if err := fetch(m, server.URL+"/page", netreply.PreferNetwork); err != nil {
		return err
	}
	server.Close()
	fmt.Println("the server is gone")
	return fetch(m, server.URL+"/page", netreply.AlwaysCache)
}

func fetch(m *netreply.Manager, url string, control netreply.CacheLoadControl) error {
	req, err := netreply.NewRequest(url)
	if err != nil {
		return err
	}
	req.CacheLoadControl = control
	r := m.Get(context.Background(), req)
	body, err := r.ReadAll()
	if err != nil {
		return err
	}
	fromCache, _ := netreply.SourceIsFromCache.Of(r)
	fmt.Printf("%s (from the cache: %t) Cache-Status: %s\n", body, fromCache, r.CacheStatus())
	return nil
}
