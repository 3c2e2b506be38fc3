package httpserver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
	// 422 {"detail":"a value has the wrong type, field \"count\", at byte 30","field":"count","offset":30,"status":422,"title":"Unprocessable Entity"}
	// 422 {"detail":"a field is not known, field \"sugar\"","field":"sugar","status":422,"title":"Unprocessable Entity"}
	// 415 {"detail":"the media type is not supported","status":415,"title":"Unsupported Media Type"}
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
	p, err := httpserver.JSONResponse(httpserver.Indented{Value: map[string]int{"a": 1}})
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
		httpserver.WriteJSONArray(w, httpserver.Values(names), headers.New("Cache-Control", "no-store"))
	}), "/")
	// Output:
	// 200 application/json ["ant",
	// "bee"]
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
		httpserver.WriteJSONLines(w, rows, httpserver.Headers{})
	}), "/")
	// Output:
	// 200 application/x-ndjson {"id":0}
	// {"id":1}
	// {"id":2}
}
