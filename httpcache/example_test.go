package httpcache_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/netreply/netreply/httpcache"
)

func ExampleOpenDisk() {
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	disk, err := httpcache.OpenDisk(dir, httpcache.Limits{Size: 100 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer disk.Close()
	cache := httpcache.New(disk) // for netreply.Config
	size, err := cache.Size(context.Background())
	fmt.Println(size, err)
	// Output: 0 <nil>
}

func ExampleNewMemory() {
	cache := httpcache.New(httpcache.NewMemory(httpcache.Limits{Size: 10 << 20}))
	size, err := cache.Size(context.Background())
	fmt.Println(size, err)
	// Output: 0 <nil>
}

// What the cache does with a Store.
func ExampleStore() {
	ctx := context.Background()
	var store httpcache.Store = &httpcache.Memory{}

	w, err := store.Create(ctx, "key", httpcache.Variant{Size: -1})
	if err != nil || w == nil { // refused
		return
	}
	defer w.Close()
	io.WriteString(w, "a body")
	if err := w.Commit([]byte("metadata")); err != nil {
		return
	}

	entries, _ := store.Lookup(ctx, "key")
	for _, e := range entries {
		body, err := e.Open(ctx)
		if err != nil { // it was removed meanwhile
			continue
		}
		b, _ := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		body.Close()
		fmt.Printf("%s: %s\n", e.Meta(), b)
	}
	// Output: metadata: a body
}
