package netreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/netreply/netreply"
)

// shop takes orders as JSON, and answers mistakes with a description of the problem.
func shop() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		order, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if !strings.Contains(string(order), "carrots") {
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"problem": "only carrots are sold here"}`)
			return
		}
		io.WriteString(w, `{"number": 7}`)
	})
	mux.HandleFunc("/help", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		io.WriteString(w, "<p>caf\xe9")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { describe(w, r) })
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.FormValue("title"))
		_, file, err := r.FormFile("photo")
		if err == nil {
			fmt.Fprintln(w, file.Filename, file.Header.Get("Content-Type"), file.Size)
		}
	})
	return httptest.NewServer(mux)
}

func ExampleJSONBody() {
	srv := shop()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/echo")
	type order struct {
		Item string `json:"item"`
	}
	text, err := m.Post(context.Background(), req, netreply.JSONBody(order{"carrots"})).Text()
	fmt.Println(text, err)
	// Output: application/json |  | {"item":"carrots"} <nil>
}

func ExampleFormBody() {
	srv := shop()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/echo")
	text, err := m.Post(context.Background(), req, netreply.FormBody(url.Values{"user": {"gopher"}, "from": {"the burrow"}})).Text()
	fmt.Println(text, err)
	// Output: application/x-www-form-urlencoded |  | from=the+burrow&user=gopher <nil>
}

func ExampleFileBody() {
	srv := shop()
	defer srv.Close()
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "order.json")
	os.WriteFile(file, []byte(`{"item": "carrots"}`), 0o600)

	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/echo")
	text, err := m.Put(context.Background(), req, netreply.FileBody(file)).Text()
	fmt.Println(text, err)
	// Output: application/json |  | {"item": "carrots"} <nil>
}

func ExampleCompressedBody() {
	srv := shop()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/echo")
	body := netreply.CompressedBody(netreply.JSONBody("carrots"), "gzip")
	text, err := m.Post(context.Background(), req, body).Text()
	fmt.Println(text, err)
	// Output: application/json | gzip | "carrots" <nil>
}

// The status is an error, and the body describes it.
func ExampleReply_JSON() {
	srv := shop()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/orders")
	for _, item := range []string{"carrots", "foxes"} {
		var answer struct {
			Number  int
			Problem string
		}
		err := m.Post(context.Background(), req, netreply.JSONBody(item)).JSON(&answer)
		switch {
		case errors.Is(err, netreply.ContentConflictError):
			fmt.Println("refused:", answer.Problem)
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("order", answer.Number)
		}
	}
	// Output:
	// order 7
	// refused: only carrots are sold here
}

func ExampleJSONError() {
	srv := shop()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/help")
	var v any
	err := m.Get(context.Background(), req).JSON(&v)
	var invalid *netreply.JSONError
	if errors.As(err, &invalid) {
		fmt.Println(invalid.StatusCode, invalid.MediaType, invalid.Offset)
		fmt.Println(invalid)
	}
	// Output:
	// 200 text/html 0
	// decoding the JSON of a response (200, text/html): invalid character '<' looking for beginning of value at offset 0
}

func ExampleReply_Text() {
	srv := shop()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/help")
	text, err := m.Get(context.Background(), req).Text()
	fmt.Println(text, err)
	// Output: <p>café <nil>
}

func ExampleCharsetError() {
	var err error = &netreply.CharsetError{Charset: "x-rot13"} // as Reply.Text wraps it
	var unknown *netreply.CharsetError
	fmt.Println(errors.As(err, &unknown), err)
	// Output: true the text has the unknown charset "x-rot13"
}

func ExampleMultipart_AddFilePath() {
	srv := shop()
	defer srv.Close()
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "sunset.jpg")
	os.WriteFile(file, make([]byte, 1000), 0o600)

	form := &netreply.Multipart{Type: netreply.FormDataType}
	form.AddField("title", "Sunset")
	form.AddFilePath("photo", file)
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/form")
	text, err := m.Post(context.Background(), req, form).Text()
	fmt.Println(text, err)
	// Output:
	// Sunset
	// sunset.jpg image/jpeg 1000
	//  <nil>
}

// The root refers to the other part by its Content-ID.
func ExampleMultipart_related() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		fmt.Fprint(w, parameters["type"], " ", parameters["start"])
	}))
	defer srv.Close()
	parts := &netreply.Multipart{Type: netreply.RelatedType, Start: "<page@example>"}
	parts.Add(netreply.NewHeaders("Content-Type", "image/png", "Content-ID", "<photo@example>"), netreply.BytesBody([]byte("\x89PNG")))
	parts.Add(netreply.NewHeaders("Content-Type", "text/html; charset=utf-8", "Content-ID", "<page@example>"), netreply.StringBody(`<img src="cid:photo@example">`))
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL)
	text, err := m.Post(context.Background(), req, parts).Text()
	fmt.Println(text, err)
	// Output: text/html <page@example> <nil>
}
