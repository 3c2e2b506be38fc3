package docs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// The code of server.md, word for word.

type teaOrder struct {
	Item   string   `json:"item"`
	Count  int      `json:"count"`
	Extras []string `json:"extras,omitempty"`
}

func takeOrder(r *http.Request, w *httpserver.Responder) {
	var o teaOrder
	if err := httpserver.DecodeJSON(r, &o, 4<<10, httpserver.KnownFieldsOnly); err != nil {
		w.WriteProblem(httpserver.ProblemOf(err))
		return
	}
	w.WriteJSON(o, httpserver.Created)
}

func listOrders(orders iter.Seq2[teaOrder, error]) func(*http.Request, *httpserver.Responder) {
	return func(r *http.Request, w *httpserver.Responder) {
		err := httpserver.WriteJSONLinesWith(w, orders, headers.New("Cache-Control", "no-store"))
		if err != nil && !w.Responded() {
			w.WriteProblem(httpserver.ProblemOf(err))
		}
	}
}

func takePhotos(dir string) func(*http.Request, *httpserver.Responder) {
	limits := httpserver.UploadConfig{MaxFileSize: 10 << 20, MaxParts: 20}
	return func(r *http.Request, w *httpserver.Responder) {
		var saved []string
		_, err := httpserver.ReadForm(r, limits, func(u *httpserver.Upload) error {
			if u.Name == "" {
				u.Name = "photo"
			}
			path := filepath.Join(dir, u.Name)
			_, err := u.SaveNew(path)
			if err == nil {
				saved = append(saved, path)
			}
			return err
		})
		if err != nil { // all or none
			for _, path := range saved {
				os.Remove(path)
			}
		}
		switch {
		case errors.Is(err, fs.ErrExist):
			w.WriteProblem(httpserver.Problem{Status: httpserver.Conflict, Detail: "There is a photo of that name."})
		case err != nil:
			w.WriteProblem(httpserver.ProblemOf(err))
		default:
			w.WriteStatus(httpserver.NoContent)
		}
	}
}

func shareFiles(root *os.Root) func(*http.Request, *httpserver.Responder) {
	return func(r *http.Request, w *httpserver.Responder) {
		name := r.PathValue("path") // of a pattern such as "GET /files/{path...}"
		err := w.WriteFile(root.FS(), name, httpserver.FileOptions{
			Attachment: path.Base(name),
			Headers:    headers.New("Cache-Control", "no-cache", "X-Content-Type-Options", "nosniff"),
		})
		if err != nil {
			log.Print("a file could not be sent: ", err)
		}
	}
}

func prices(server *httpserver.Server, current func() string) (*httpserver.EventHub, error) {
	hub, err := httpserver.NewEventHub(httpserver.EventHubConfig{
		Welcome: func(*http.Request) []httpserver.Event {
			return []httpserver.Event{{Name: "price", Data: current()}}
		},
	})
	if err != nil {
		return nil, err
	}
	server.Handle("GET /prices", hub.Serve)
	return hub, nil // hub.Publish(httpserver.Event{Name: "price", Data: "42"})
}

// handle has a handler answer a request, without a connection.
func handle(f func(*http.Request, *httpserver.Responder), r *http.Request) (status int, body string) {
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(f).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestServerInput(t *testing.T) {
	post := func(body string) *http.Request {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	status, body := handle(takeOrder, post(`{"item":"tea","count":2}`))
	assert.Equal(t, 201, status)
	assert.Equal(t, `{"item":"tea","count":2}`, body)
	status, body = handle(takeOrder, post(`{"count":"two"}`))
	assert.Equal(t, 422, status)
	assert.Contains(t, body, `"field":"/count"`)

	status, body = handle(listOrders(func(yield func(teaOrder, error) bool) {
		_ = yield(teaOrder{Item: "tea", Count: 1}, nil) && yield(teaOrder{Item: "milk", Count: 2}, nil)
	}), httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 200, status)
	assert.Equal(t, "{\"item\":\"tea\",\"count\":1}\n{\"item\":\"milk\",\"count\":2}\n", body)
	status, _ = handle(listOrders(func(yield func(teaOrder, error) bool) { yield(teaOrder{}, fs.ErrNotExist) }), httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 404, status)
}

func TestServerUploads(t *testing.T) {
	dir := t.TempDir()
	photos := func(names ...string) *http.Request {
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		for _, name := range names {
			to, err := form.CreateFormFile("photo", name)
			require.NoError(t, err)
			_, err = to.Write(make([]byte, 100_000))
			require.NoError(t, err)
		}
		require.NoError(t, form.Close())
		r := httptest.NewRequest("POST", "/", &b)
		r.Header.Set("Content-Type", form.FormDataContentType())
		return r
	}
	status, _ := handle(takePhotos(dir), photos("../cat.png"))
	assert.Equal(t, 204, status)
	st, err := os.Stat(filepath.Join(dir, "cat.png"))
	assert.NoError(t, err)
	assert.EqualValues(t, 100_000, st.Size())
	status, _ = handle(takePhotos(dir), photos("dog.png", "cat.png"))
	assert.Equal(t, 409, status)
	all, err := os.ReadDir(dir)
	assert.NoError(t, err)
	require.Len(t, all, 1, "nothing is left of a form that was refused")
	assert.Equal(t, "cat.png", all[0].Name())
}

func TestServerFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "note.txt"), []byte("a note"), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	get := func(name string) (int, string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetPathValue("path", name)
		return handle(shareFiles(root), r)
	}
	status, body := get("note.txt")
	assert.Equal(t, 200, status)
	assert.Equal(t, "a note", body)
	status, _ = get("../note.txt")
	assert.Equal(t, 404, status)
}

func TestServerEvents(t *testing.T) {
	server, err := httpserver.NewServer(httpserver.Config{})
	require.NoError(t, err)
	hub, err := prices(server, func() string { return "40" })
	require.NoError(t, err)
	site := httptest.NewServer(server)
	defer site.Close()
	resp, err := site.Client().Get(site.URL + "/prices")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.NoError(t, hub.Publish(httpserver.Event{Name: "price", Data: "42"}))
	hub.Close()
	all, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	assert.Contains(t, string(all), "event: price\ndata: 40\n\n")
	assert.Contains(t, string(all), "event: price\ndata: 42\n\n")
}
