package libraries

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/testserver"
)

type person struct{ Name string }

type problem struct{ Title string }

// restyServer is a server of JSON, files and whatever else the tests need.
func restyServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /people", func(w http.ResponseWriter, r *http.Request) {
		var p person
		if json.NewDecoder(r.Body).Decode(&p) != nil || p.Name == "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			json.NewEncoder(w).Encode(problem{"a person has a name"})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(person{strings.ToUpper(p.Name)})
	})
	mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		file, head, err := r.FormFile("file")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n, _ := io.Copy(io.Discard, file)
		fmt.Fprint(w, head.Filename, " ", n, " ", r.FormValue("note"))
	})
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) { w.Write(randomBytes(300_000)) })
	mux.HandleFunc("GET /gzip", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			http.Error(w, "gzip only", http.StatusNotAcceptable)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		fmt.Fprint(z, "compressed")
	})
	mux.HandleFunc("GET /from", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "via", Value: "from"})
		http.Redirect(w, r, "/to", http.StatusFound)
	})
	mux.HandleFunc("GET /to", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "cookies ", r.Header["Cookie"]) })
	mux.Handle("PUT /private", requireDigest("gopher", "burrow", http.HandlerFunc(echo)))
	return mux
}

var digestField = regexp.MustCompile(`(\w+)=(?:"([^"]*)"|([^\s,]*))`)

// requireDigest lets requests with the user's digest pass to h. It answers others only when
// it has read their body.
func requireDigest(user, password string, h http.Handler) http.Handler {
	sum := func(format string, list ...any) string {
		return fmt.Sprintf("%x", md5.Sum(fmt.Appendf(nil, format, list...)))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fields := map[string]string{}
		for _, m := range digestField.FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
			fields[m[1]] = m[2] + m[3]
		}
		want := sum("%s:n0nce:%s:%s:auth:%s", sum("%s:files:%s", user, password), fields["nc"], fields["cnonce"], sum("%s:%s", r.Method, fields["uri"]))
		if fields["username"] != user || fields["uri"] != r.RequestURI || fields["response"] != want {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("WWW-Authenticate", `Digest realm="files", nonce="n0nce", qop="auth", algorithm=MD5`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func restyClient(t testing.TB, c *client) *resty.Client {
	s, rt := c.serve(t, restyServer())
	return resty.New().SetTransport(rt).SetBaseURL(s.URL)
}

func TestRestyJSON(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client := restyClient(t, c)
		var got person
		res, err := client.R().SetBody(person{"gopher"}).SetResult(&got).Post("/people")
		require.NoError(t, err)
		assert.True(t, res.IsSuccess())
		assert.Equal(t, person{"GOPHER"}, got)
		assert.Equal(t, c.version(), res.Proto())

		var failed problem
		res, err = client.R().SetBody(person{}).SetResult(&got).SetError(&failed).Post("/people")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnprocessableEntity, res.StatusCode())
		assert.Equal(t, problem{"a person has a name"}, failed)
	})
}

func TestRestyFiles(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client := restyClient(t, c)
		res, err := client.R().SetFileReader("file", "data.bin", bytes.NewReader(randomBytes(300_000))).
			SetFormData(map[string]string{"note": "ümläut"}).Post("/upload")
		require.NoError(t, err)
		assert.Equal(t, "data.bin 300000 ümläut", res.String())

		name := filepath.Join(t.TempDir(), "file")
		_, err = client.R().SetOutput(name).Get("/file")
		require.NoError(t, err)
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(randomBytes(300_000), got), "%d bytes", len(got))

		_, err = client.R().SetResponseBodyLimit(1000).Get("/file")
		require.ErrorIs(t, err, resty.ErrResponseBodyTooLarge)

		res, err = client.R().SetHeader("Accept-Encoding", "gzip").Get("/gzip")
		require.NoError(t, err)
		assert.Equal(t, "compressed", res.String(), "decoded by the library, which has asked for it")
	})
}

// TestRestyClientFeatures: what http.Client does itself: redirects, cookies and its timeout.
func TestRestyClientFeatures(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client := restyClient(t, c)
		res, err := client.R().Get("/from")
		require.NoError(t, err)
		assert.Equal(t, "cookies [via=from]", res.String(), "of the jar of the http.Client")
		assert.Equal(t, "/to", res.RawResponse.Request.URL.Path)
		res, err = client.SetRedirectPolicy(resty.NoRedirectPolicy()).R().Get("/from")
		require.ErrorIs(t, err, resty.ErrAutoRedirectDisabled)
		assert.Equal(t, "/to", res.Header().Get("Location"))

		release := make(chan struct{})
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
		defer close(release)
		_, err = resty.New().SetTransport(rt).SetTimeout(20 * time.Millisecond).R().Get(s.URL)
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
	})
}

func TestRestyDigest(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		client := restyClient(t, c)
		res, err := client.R().SetDigestAuth("gopher", "burrow").SetBody("a body that is sent twice").Put("/private")
		require.NoError(t, err)
		assert.Equal(t, "a body that is sent twice", res.String())
		res, err = client.R().SetDigestAuth("gopher", "wrong").SetBody("body").Put("/private")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode())
	})
}

func TestRestyRetry(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		var requests atomic.Int32
		s, rt := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) < 3 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			echo(w, r)
		}))
		res, err := resty.New().SetTransport(rt).SetRetryCount(3).SetRetryWaitTime(time.Millisecond).
			AddRetryCondition(func(res *resty.Response, _ error) bool { return res.StatusCode() >= 500 }).
			R().SetBody("body").Put(s.URL)
		require.NoError(t, err)
		assert.Equal(t, "body", res.String())
		assert.Equal(t, 3, res.Request.Attempt)
	})
}

// TestRestyTrace: the library's times come from the hooks of a httptrace.ClientTrace.
func TestRestyTrace(t *testing.T) {
	each(t, testserver.Kinds, func(t *testing.T, c *client) {
		s, rt := c.serve(t, http.HandlerFunc(echo))
		client := resty.New().SetTransport(rt).EnableTrace().SetBaseURL(strings.Replace(s.URL, "127.0.0.1", resolvable, 1))
		res, err := client.R().Get("/")
		require.NoError(t, err)
		first := res.Request.TraceInfo()
		assert.False(t, first.IsConnReused)
		assert.Positive(t, first.DNSLookup)
		assert.Positive(t, first.TCPConnTime)
		assert.Positive(t, first.ServerTime)
		assert.Equal(t, c.kind == testserver.TLS || c.kind == testserver.H2, first.TLSHandshake > 0)
		require.NotNil(t, first.RemoteAddr)
		assert.Equal(t, s.Listener.Addr().String(), first.RemoteAddr.String())

		res, err = client.R().Get("/")
		require.NoError(t, err)
		again := res.Request.TraceInfo()
		assert.True(t, again.IsConnReused)
		assert.True(t, again.IsConnWasIdle)
		assert.Zero(t, again.TCPConnTime)
	})
}
