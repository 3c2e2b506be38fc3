package netreply_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/netreply/netreply"
)

// A body is saved under the name that the server gives it.
func ExampleReply_FileName() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="../../report: May.pdf"`)
		io.WriteString(w, "the report")
	}))
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	dir, err := os.MkdirTemp("", "download")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	req, err := netreply.NewRequest(srv.URL + "/reports/5")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	reply := m.Get(ctx, req)
	defer reply.Close()
	if err := reply.WaitHead(ctx); err != nil {
		panic(err)
	}
	// O_EXCL: a file that exists is not replaced
	file, err := os.OpenFile(filepath.Join(dir, reply.FileName()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, reply); err != nil {
		panic(err)
	}
	fmt.Println(filepath.Base(file.Name()))
	// Output: report_ May.pdf
}
