package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/netreply/netreply/httpserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The code of server.md about the Server itself, word for word.

func shop() (*httpserver.Server, error) {
	server, err := httpserver.NewServer(httpserver.Config{
		MaxBodySize: 1 << 20,
		RateLimit:   50,
		Logger:      slog.Default(),
	})
	if err != nil {
		return nil, err // it names the field of Config
	}
	server.Handle("POST /orders", takeOrder)
	server.Route("GET /about", func(*http.Request) *httpserver.Response {
		return httpserver.TextResponse("Tea and biscuits")
	})
	server.HandleHTTP("GET /old/", http.NotFoundHandler()) // any http.Handler
	return server, nil
}

func run(ctx context.Context, server *httpserver.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err // the listener has failed
	case <-ctx.Done(): // of signal.NotifyContext, for instance
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		server.Close() // cuts what is left
	}
	<-served
	return nil
}

func behindProxy(server *httpserver.Server) http.Handler { // for an http.Server on a private address
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Values("X-Forwarded-For")
		if n := len(given); n > 0 {
			all := strings.Split(given[n-1], ",")
			r.RemoteAddr = strings.TrimSpace(all[len(all)-1]) // what our proxy has added
		}
		server.ServeHTTP(w, r)
	})
}

func allowOrigin(origin string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Vary", "Origin")
			if r.Header.Get("Origin") == origin {
				w.Header().Set("Access-Control-Allow-Origin", origin)
				if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
					w.Header().Set("Access-Control-Allow-Methods", "GET, PUT, DELETE")
					w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
					w.WriteHeader(http.StatusNoContent) // a preflight ends here
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

func problems(_ *http.Request, w *httpserver.Responder, err error) {
	w.WriteProblem(httpserver.ProblemOf(err))
}

func accessLog(server *httpserver.Server, to *slog.Logger) {
	server.Finished(func(r *http.Request, sum httpserver.Summary) {
		to.Info("request", "remote", r.RemoteAddr, "method", r.Method, "pattern", sum.Pattern,
			"status", int(sum.Status), "bytes", sum.Bytes, "duration", sum.Duration, "error", sum.Err)
	})
}

func profiles() (*httpserver.Server, error) {
	server, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		return nil, err
	}
	server.HandleHTTP("/debug/pprof/", http.HandlerFunc(pprof.Index)) // heap, goroutine, block, mutex
	server.HandleHTTP("/debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline))
	server.HandleHTTP("/debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	server.HandleHTTP("/debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
	server.HandleHTTP("/debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	return server, nil // for ListenAndServe("127.0.0.1:6060")
}

// served serves a Server until the test ends, and returns its address.
func served(t *testing.T, server *httpserver.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- run(ctx, server, l) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	return "http://" + l.Addr().String()
}

func exchanged(t *testing.T, r *http.Request) (status int, h http.Header, body string) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(all)
}

func TestServing(t *testing.T) {
	server, err := shop()
	require.NoError(t, err)
	var log bytes.Buffer
	accessLog(server, slog.New(slog.NewTextHandler(&log, nil)))
	server.Use(allowOrigin("https://shop.example"))
	url := served(t, server)
	ask := func(method, path, body string, fields ...string) (int, http.Header, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		require.NoError(t, err)
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		return exchanged(t, r)
	}
	status, h, body := ask("GET", "/about", "", "Origin", "https://shop.example")
	assert.Equal(t, 200, status)
	assert.Equal(t, "Tea and biscuits", body)
	assert.Equal(t, "https://shop.example", h.Get("Access-Control-Allow-Origin"))
	status, h, _ = ask("OPTIONS", "/orders", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST")
	assert.Equal(t, 204, status)
	assert.NotEmpty(t, h.Get("Access-Control-Allow-Methods"))
	_, h, _ = ask("GET", "/about", "", "Origin", "https://other.example")
	assert.Empty(t, h.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, []string{"Origin"}, h.Values("Vary"))
	status, _, _ = ask("POST", "/orders", strings.Repeat(" ", 1<<20+1), "Content-Type", "application/json")
	assert.Equal(t, 413, status)
	assert.Contains(t, log.String(), `method=GET pattern="GET /about" status=200 bytes=16`)
	assert.Contains(t, log.String(), `method=POST pattern="" status=413`)
}

func TestServingBehindProxy(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{RateLimit: 1})
	require.NoError(t, err)
	var seen []string
	server.Handle("/", func(r *http.Request, w *httpserver.Responder) {
		seen = append(seen, r.RemoteAddr)
		w.WriteStatus()
	})
	var got []int
	for _, of := range []string{"198.51.100.1, 203.0.113.1", "203.0.113.2", "198.51.100.2, 203.0.113.1", ""} {
		r := httptest.NewRequest("GET", "/", nil)
		if of != "" {
			r.Header.Set("X-Forwarded-For", of)
		}
		w := httptest.NewRecorder()
		behindProxy(server).ServeHTTP(w, r)
		got = append(got, w.Code)
	}
	assert.Equal(t, []int{200, 200, 429, 200}, got)
	assert.Equal(t, []string{"203.0.113.1", "203.0.113.2", "192.0.2.1:1234"}, seen)
}

func TestServingErrors(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{ErrorHandler: problems})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequest("GET", "/none", nil))
	assert.Equal(t, 404, w.Code)
	assert.Equal(t, `{"status":404,"title":"Not Found"}`, w.Body.String())
}

func TestServingProfiles(t *testing.T) {
	server, err := profiles()
	require.NoError(t, err)
	for _, path := range []string{"", "cmdline", "symbol", "goroutine?debug=1", "heap"} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/"+path, nil))
		assert.Equal(t, 200, w.Code, path)
		assert.NotZero(t, w.Body.Len(), path)
	}
}

// TestServingTable: the limits of server.md are those of Config.
func TestServingTable(t *testing.T) {
	text, err := os.ReadFile("server.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| (`[A-Z].*?) \\| (.*?) \\| (.*?) \\| .* \\|$").FindAllStringSubmatch(string(text), -1)
	rejected := map[string]bool{}
	named := map[string]bool{}
	for _, row := range rows {
		for _, m := range regexp.MustCompile("`([A-Z][A-Za-z]+)`").FindAllStringSubmatch(row[1], -1) {
			named[m[1]] = true
			rejected[m[1]] = row[3] == "an error"
		}
	}
	config := reflect.TypeFor[httpserver.Config]()
	for i := range config.NumField() {
		f := config.Field(i)
		limit := strings.HasPrefix(f.Name, "Max") || strings.HasSuffix(f.Name, "Timeout") || strings.HasSuffix(f.Name, "Limit")
		assert.Equal(t, limit || f.Name == "Allow" || f.Name == "Deny", named[f.Name], f.Name)
		if limit {
			var c httpserver.Config
			reflect.ValueOf(&c).Elem().Field(i).SetInt(-1)
			_, err := httpserver.NewServer(c)
			assert.Equal(t, rejected[f.Name], err != nil, f.Name)
		}
	}
}

// TestServerInputTable: what server.md says of wrong bodies.
func TestServerInputTable(t *testing.T) {
	kinds := map[string]error{
		"ErrEmpty": httpserver.ErrEmpty, "ErrSyntax": httpserver.ErrSyntax, "ErrTrailingData": httpserver.ErrTrailingData,
		"ErrWrongType": httpserver.ErrWrongType, "ErrUnknownField": httpserver.ErrUnknownField,
	}
	text, err := os.ReadFile("server.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `([^`]*)` \\| `(Err\\w+)` \\| (\\d+) \\| `?([^`|]*?)`? ?\\| (\\d+) \\|$").FindAllStringSubmatch(string(text), -1)
	require.GreaterOrEqual(t, len(rows), 9)
	for _, row := range rows {
		r := httptest.NewRequest("POST", "/", strings.NewReader(row[1]))
		r.Header.Set("Content-Type", "application/json")
		var o teaOrder
		err := httpserver.DecodeJSON(r, &o, 4<<10, httpserver.KnownFieldsOnly)
		var input *httpserver.InputError
		if assert.ErrorAs(t, err, &input, row[0]) {
			assert.Equal(t, kinds[row[2]], input.Kind, row[0])
			assert.Equal(t, row[3], fmt.Sprint(int(input.Status())), row[0])
			assert.Equal(t, row[4], input.Field, row[0])
			assert.Equal(t, row[5], fmt.Sprint(input.Offset), row[0])
		}
	}
}
