package netreply_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/netreply/netreply"
)

// A file system behind a scheme of the program's own, which here would be an embed.FS.
func ExampleFSBackend() {
	static := fstest.MapFS{"help/index.html": {Data: []byte("<h1>Help</h1>")}}
	m, err := netreply.NewManager(netreply.Config{
		Backends: map[string]netreply.Backend{"app": netreply.FSBackend(static)},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest("app:/help/index.html")
	if err != nil {
		log.Fatal(err)
	}
	reply := m.Get(context.Background(), req)
	page, err := reply.ReadAll()
	fmt.Println(string(page), err)
	fmt.Println(reply.Headers().Get("Content-Type"))
	// Output:
	// <h1>Help</h1> <nil>
	// text/html; charset=utf-8
}

// A folder as all that file: URLs can reach, for reading only.
func ExampleFileAccess() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello"), 0o666); err != nil {
		log.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	m, err := netreply.NewManager(netreply.Config{FileRoot: root, FileAccess: netreply.ReadOnlyFileAccess})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest("file:///hello.txt")
	if err != nil {
		log.Fatal(err)
	}
	text, err := m.Get(context.Background(), req).ReadAll()
	fmt.Println(string(text), err)
	fmt.Println(m.Put(context.Background(), req, netreply.StringBody("bye")).Wait(context.Background()))
	// Output:
	// hello <nil>
	// netreply: PUT file:///hello.txt: ContentAccessDenied: invalid Config.FileAccess: files may only be read
}

// The content of a data: URL.
func ExampleManager_Get_dataURL() {
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest("data:text/plain;base64,aGVsbG8=")
	if err != nil {
		log.Fatal(err)
	}
	reply := m.Get(context.Background(), req)
	text, err := reply.ReadAll()
	fmt.Printf("%s %v, %s\n", text, err, reply.Headers().Get("Content-Type"))
	// Output: hello <nil>, text/plain
}
