package libraries

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/netreply/netreply/httpserver"
)

func newExampleServer() *httpserver.Server {
	s, err := httpserver.NewServer(httpserver.Config{})
	if err != nil {
		panic(err)
	}
	s.Route("/", func(*http.Request) *httpserver.Response { return httpserver.TextResponse(foxes) })
	return s
}

// Answers are compressed for clients that want that.
func Example_gzip() {
	s := newExampleServer()
	s.Use(func(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Encoding"), w.Body.Len() < len(foxes))
	// Output: 200 gzip true
}

// Pages of another origin may read the answers, those to bad requests among them.
func Example_cors() {
	s := newExampleServer()
	s.Use(cors.New(cors.Options{AllowedOrigins: []string{"https://app.example"}}).Handler)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Origin", "https://app.example")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Access-Control-Allow-Origin"))
	// Output: 200 https://app.example
}

// Every request is a span.
func Example_otelhttp() {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	s := newExampleServer()
	s.Use(otelhttp.NewMiddleware("server", otelhttp.WithTracerProvider(provider)))
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	fmt.Println(len(spans.GetSpans()))
	// Output: 1
}

// A WebSocket is a handler, which says whom it denies.
func Example_webSocket() {
	s := newExampleServer()
	s.HandleHTTP("GET /chat", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") != "secret" {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		kind, message, err := conn.Read(r.Context())
		if err == nil {
			conn.Write(r.Context(), kind, append([]byte("you said: "), message...))
		}
		conn.Close(websocket.StatusNormalClosure, "")
	}))
	server := httptest.NewServer(s)
	defer server.Close()
	ctx := context.Background()
	_, res, err := websocket.Dial(ctx, server.URL+"/chat", &websocket.DialOptions{HTTPClient: server.Client()})
	fmt.Println(err != nil, res.StatusCode)
	conn, _, err := websocket.Dial(ctx, server.URL+"/chat?token=secret", &websocket.DialOptions{HTTPClient: server.Client()})
	if err != nil {
		panic(err)
	}
	defer conn.CloseNow()
	conn.Write(ctx, websocket.MessageText, []byte("hello"))
	_, message, err := conn.Read(ctx)
	fmt.Println(string(message), err)
	// Output:
	// true 403
	// you said: hello <nil>
}
