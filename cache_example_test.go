package netreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/httpcache"
)

// pageServer serves a page that stays fresh for an hour.
func pageServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Date", "Mon, 01 Jan 2035 00:00:00 GMT")
		io.WriteString(w, "a page")
	}))
}

// The second reply comes from the cache.
func ExampleReply_CacheStatus() {
	s := pageServer()
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	for range 2 {
		req, err := netreply.NewRequest(s.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		r := m.Get(context.Background(), req)
		body, err := r.ReadAll()
		fromCache, _ := netreply.SourceIsFromCache.Of(r)
		status := r.CacheStatus()
		fmt.Printf("%s %v from the cache: %t, hit: %t, forwarded: %q\n", body, err, fromCache, status.Hit, status.Forward)
	}
	// Output:
	// a page <nil> from the cache: false, hit: false, forwarded: "uri-miss"
	// a page <nil> from the cache: true, hit: true, forwarded: ""
}

// AlwaysCache never uses the network.
func ExampleCacheLoadControl() {
	s := pageServer()
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	for _, control := range []netreply.CacheLoadControl{netreply.AlwaysCache, netreply.PreferNetwork, netreply.AlwaysCache} {
		req, err := netreply.NewRequest(s.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.CacheLoadControl = control
		body, err := m.Get(context.Background(), req).ReadAll()
		fmt.Printf("%s: %q, nothing stored: %t\n", control, body, errors.Is(err, netreply.ContentNotFoundError))
	}
	// Output:
	// AlwaysCache: "", nothing stored: true
	// PreferNetwork: "a page", nothing stored: false
	// AlwaysCache: "a page", nothing stored: false
}

// What is stored, and its removal.
func ExampleManager_Cache() {
	s := pageServer()
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	req, err := netreply.NewRequest(s.URL + "/page")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if _, err := m.Get(ctx, req).ReadAll(); err != nil {
		fmt.Println(err)
		return
	}
	for meta := range m.Cache().All(ctx) {
		body, err := meta.Open(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		body.Close()
		fmt.Printf("%s %d: %d bytes: %s %v\n", meta.URL.Path, meta.StatusCode, meta.Stored, text, err)
	}
	if err := m.Cache().Remove(ctx, req.URL); err != nil {
		fmt.Println(err)
		return
	}
	stored, err := m.Cache().Metadata(ctx, req.URL)
	fmt.Println(len(stored), err)
	// Output:
	// /page 200: 6 bytes: a page <nil>
	// 0 <nil>
}

// A proxy that keeps responses, and says what it did with each request.
func ExampleManager_RoundTripper_cache() {
	s := pageServer()
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{Cache: httpcache.New(httpcache.NewMemory(httpcache.Limits{}))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	origin, err := url.Parse(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(origin) },
		Transport: m.RoundTripper(netreply.RoundTripperOptions{CacheStatus: "proxy.example"}),
	})
	defer proxy.Close()
	for range 2 {
		resp, err := http.Get(proxy.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		status, _, _ := strings.Cut(resp.Header.Get("Cache-Status"), "; ttl")
		fmt.Println(status)
	}
	// Output:
	// proxy.example; fwd=uri-miss
	// proxy.example; hit
}
