// Package docs_test holds the Go code of README.md and of the documents beside it, compiled
// and run.
package docs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Lingering{M: m}) }

// TestSnippets: every Go snippet in README.md and docs is also, word for word, in a test
// file of this directory, where it is compiled and run.
func TestSnippets(t *testing.T) {
	var code strings.Builder
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		code.Write(text)
	}
	documents, err := filepath.Glob("*.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	blank := regexp.MustCompile(`(?m)^\t+$`)
	found := map[string]int{}
	for _, name := range append(documents, "../README.md") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			indented := blank.ReplaceAllString("\t"+strings.ReplaceAll(strings.TrimSpace(m[1]), "\n", "\n\t"), "")
			assert.True(t, strings.Contains(code.String(), "\n"+m[1]) || strings.Contains(code.String(), "\n"+indented+"\n"),
				"%s: no test of docs has this:\n%s", name, m[1])
			found[name]++
		}
	}
	assert.NotZero(t, found["../README.md"])
	assert.NotZero(t, found["from-qt.md"])
}

// size is that of every body here, and line what it is made of.
const size = 3 << 20

var line = strings.Repeat("lorem ipsum ", 5) + "end\n"

// side is a Manager whose replies stop their peer at 64 KiB, and a server whose answers
// are longer than that and than what a connection holds: what waits for the end without
// reading does not come back.
func side(t *testing.T) (*netreply.Manager, *httptest.Server) {
	t.Helper()
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 64 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	s, _ := testserver.NewOrigin(t, testserver.Plain, origin())
	return m, s
}

// lastProgress is given the first progress that is the whole.
type lastProgress chan int64

func (l lastProgress) Set(done, total int64) {
	if done == total {
		select {
		case l <- done:
		default: // it may be told twice
		}
	}
}

func request(t *testing.T, url string) *netreply.Request {
	t.Helper()
	req, err := netreply.NewRequest(url)
	require.NoError(t, err)
	return req
}

func origin() *http.ServeMux {
	mux := http.NewServeMux()
	long := func(w http.ResponseWriter) { io.WriteString(w, strings.Repeat(line, size/len(line))) }
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		long(w)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/file")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/door", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/private")
		w.WriteHeader(http.StatusSeeOther)
	})
	mux.HandleFunc("/none", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		long(w)
	})
	mux.HandleFunc("/busy", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
		long(w)
	})
	mux.HandleFunc("/private", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "gopher" || password != "burrow" {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		long(w)
	})
	mux.HandleFunc("POST /photo", func(w http.ResponseWriter, r *http.Request) {
		file, header, err := r.FormFile("photo")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n, _ := io.Copy(io.Discard, file)
		fmt.Fprintln(w, r.FormValue("title"), header.Filename, header.Header.Get("Content-Type"), n)
		long(w)
	})
	mux.HandleFunc("POST /note", func(w http.ResponseWriter, r *http.Request) {
		var n note
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(note{strings.ToUpper(n.Title)})
		io.WriteString(w, strings.Repeat(" ", size))
	})
	return mux
}
