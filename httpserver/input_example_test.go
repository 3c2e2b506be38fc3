package httpserver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/httpserver"
)

// post shows the answer to a body.
func post(h http.Handler, mime, body string) {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", mime)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Body)
	fmt.Printf("%d %s\n", w.Code, text)
}

func ExampleDecodeJSON() {
	h := httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		var order struct {
			Item  string `json:"item"`
			Count int    `json:"count"`
		}
		if err := httpserver.DecodeJSON(r, &order, 4<<10, httpserver.KnownFieldsOnly); err != nil {
			w.WriteProblem(httpserver.ProblemOf(err))
			return
		}
		w.WriteJSON(order, httpserver.Created)
	})
	post(h, "application/json", `{"item": "tea", "count": 2}`)
	post(h, "application/json", `{"item": "tea", "count": "two"}`)
	post(h, "application/json", `{"item": "tea", "sugar": 1}`)
	post(h, "text/plain", `{}`)
	// Output:
	// 201 {"item":"tea","count":2}
	// 422 {"detail":"a value has the wrong type, field \"/count\", at byte 25","field":"/count","offset":25,"status":422,"title":"Unprocessable Entity"}
	// 422 {"detail":"a field is not known, field \"/sugar\", at byte 16","field":"/sugar","offset":16,"status":422,"title":"Unprocessable Entity"}
	// 415 {"detail":"the media type is not supported: application/json in UTF-8 is wanted","status":415,"title":"Unsupported Media Type"}
}

func ExampleInputError() {
	h := httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		var count int
		err := httpserver.DecodeJSON(r, &count, 0)
		var input *httpserver.InputError
		switch {
		case errors.Is(err, httpserver.ErrEmpty):
			w.WriteJSON("give a number")
		case errors.As(err, &input):
			w.WriteStatus(input.Status())
		default:
			w.WriteJSON(count)
		}
	})
	post(h, "application/json", "")
	post(h, "application/json", "1 2")
	// Output:
	// 200 "give a number"
	// 400
}

func ExampleResponder_WriteProblem() {
	get(httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		w.WriteProblem(httpserver.Problem{
			Type: "https://example.com/problems/no-credit", Title: "Not enough credit",
			Status: httpserver.Forbidden, Detail: "The price is 50, the balance 30.",
			Extensions: map[string]any{"balance": 30},
		})
	}), "/")
	// Output:
	// 403 application/problem+json {"balance":30,"detail":"The price is 50, the balance 30.","status":403,"title":"Not enough credit","type":"https://example.com/problems/no-credit"}
}

func ExampleProblemResponse() {
	p, err := httpserver.ProblemResponse(httpserver.Problem{Status: httpserver.TooManyRequests})
	if err != nil {
		panic(err)
	}
	p.Headers.Set("Retry-After", "10")
	fmt.Println(int(p.Status), p.Headers.Get("Retry-After"), string(p.Body))
	// Output: 429 10 {"status":429,"title":"Too Many Requests"}
}

func ExampleIndented() {
	p, err := httpserver.JSONResponse(httpserver.Indented(map[string]int{"a": 1}))
	if err != nil {
		panic(err)
	}
	fmt.Println(string(p.Body))
	// Output:
	// {
	//   "a": 1
	// }
}

func ExampleWriteJSONArray() {
	get(httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		names := slices.Values([]string{"ant", "bee"})
		httpserver.WriteJSONArray(w, httpserver.Values(names))
	}), "/")
	// Output:
	// 200 application/json ["ant",
	// "bee"]
}

func ExampleWriteJSONArrayWith() {
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		points := slices.Values([]int{1, 2})
		httpserver.WriteJSONArrayWith(w, httpserver.Values(points), headers.New("Cache-Control", "no-store"))
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Printf("%s\n%s", w.Header().Get("Cache-Control"), w.Body)
	// Output:
	// no-store
	// [1,
	// 2]
}

func ExampleWriteJSONLines() {
	type row struct {
		ID int `json:"id"`
	}
	rows := func(yield func(row, error) bool) { // of a database, say: an error would cut the answer
		for i := range 3 {
			if !yield(row{i}, nil) {
				return
			}
		}
	}
	get(httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		httpserver.WriteJSONLines(w, rows)
	}), "/")
	// Output:
	// 200 application/x-ndjson {"id":0}
	// {"id":1}
	// {"id":2}
}

func ExampleWriteJSONLinesWith() {
	w := httptest.NewRecorder()
	httpserver.HandlerFunc(func(_ *http.Request, w *httpserver.Responder) {
		points := slices.Values([]int{1, 2})
		httpserver.WriteJSONLinesWith(w, httpserver.Values(points), headers.New("Content-Type", "application/jsonl"))
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Printf("%s\n%s", w.Header().Get("Content-Type"), w.Body)
	// Output:
	// application/jsonl
	// 1
	// 2
}

func ExampleReadForm() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	h := httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		limits := httpserver.UploadConfig{MaxFileSize: 10 << 20, MaxParts: 10}
		fields, err := httpserver.ReadForm(r, limits, func(u *httpserver.Upload) error {
			if u.Name == "" {
				u.Name = "unnamed"
			}
			n, err := u.SaveAs(filepath.Join(dir, u.Name))
			if err == nil {
				fmt.Printf("%s: saved %s, %d bytes\n", u.Field, u.Name, n)
			}
			return err
		})
		if err != nil {
			w.WriteProblem(httpserver.ProblemOf(err))
			return
		}
		w.WriteData([]byte(fields.Get("title")), "text/plain")
	})
	body := "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nMy cat\r\n" +
		"--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"../../cat.png\"\r\n\r\nbytes\r\n--x--\r\n"
	post(h, "multipart/form-data; boundary=x", body)
	post(h, "multipart/form-data; boundary=x", body[:100])
	// Output:
	// photo: saved cat.png, 5 bytes
	// 200 My cat
	// 400 {"detail":"the body is incomplete: the last boundary is missing, at byte 100","offset":100,"status":400,"title":"Bad Request"}
}

func ExampleBodyUpload() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	mux := http.NewServeMux()
	mux.Handle("PUT /files/{name}", httpserver.HandlerFunc(func(r *http.Request, w *httpserver.Responder) {
		name := r.PathValue("name")
		if name != httpserver.SafeFileName(name) {
			w.WriteStatus(httpserver.BadRequest)
			return
		}
		upload, err := httpserver.BodyUpload(r, httpserver.UploadConfig{MaxFileSize: 1 << 20})
		if err == nil {
			_, err = upload.SaveNew(filepath.Join(dir, name))
		}
		if err != nil {
			w.WriteProblem(httpserver.ProblemOf(err)) // 409 if there is a file of that name
			return
		}
		w.WriteStatus(httpserver.Created)
	}))
	for _, path := range []string{"/files/note.txt", "/files/note.txt", "/files/..%2Fnote.txt"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("PUT", path, strings.NewReader("text")))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /files/note.txt 201
	// /files/note.txt 409
	// /files/..%2Fnote.txt 400
}

func ExampleSafeFileName() {
	fmt.Println(httpserver.SafeFileName(`C:\Users\me\cat.png`))
	fmt.Println(httpserver.SafeFileName("../../.bashrc"))
	fmt.Println(httpserver.SafeFileName("nul"))
	// Output:
	// cat.png
	// bashrc
	// _nul
}
