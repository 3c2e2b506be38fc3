package netreply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/netreply/netreply"
)

func origin() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3145728")
		w.Write(make([]byte, 3<<20))
	})
	mux.Handle("/old", http.RedirectHandler("/hello", http.StatusFound))
	mux.Handle("/moved", http.RedirectHandler("/secret", http.StatusFound))
	mux.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "gopher" || password != "burrow" {
			w.Header().Set("WWW-Authenticate", `Basic realm="the burrow"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, "carrots")
	})
	mux.HandleFunc("/upper", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, strings.ToUpper(string(body)))
	})
	return httptest.NewServer(mux)
}

// A download with progress. The read buffer limits the memory.
func Example() {
	srv := origin()
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{ReadBufferSize: 1 << 20})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest(srv.URL + "/file")
	if err != nil {
		panic(err)
	}
	reply := m.Get(context.Background(), req)
	defer reply.Close()
	shown := make(chan netreply.Progress)
	go func() {
		var last netreply.Progress
		for last = range reply.DownloadProgress() { // at most every 100 ms, and always the last one
		}
		shown <- last
	}()
	n, err := io.Copy(io.Discard, reply)
	last := <-shown
	fmt.Println(n, err)
	fmt.Println(last.Done, "of", last.Total)
	// Output:
	// 3145728 <nil>
	// 3145728 of 3145728
}

// For small requests without progress, on the calling goroutine.
func ExampleManager_Fetch() {
	srv := origin()
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest(srv.URL + "/hello")
	if err != nil {
		panic(err)
	}
	body, err := m.Fetch(context.Background(), "GET", req, nil).ReadAll()
	fmt.Println(string(body), err)
	// Output: hello <nil>
}

func ExampleReply_Events() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/old")
	reply := m.Fetch(context.Background(), "GET", req, nil)
	for e := range reply.Events(context.Background()) {
		switch e := e.(type) {
		case netreply.MetaDataChanged:
			fmt.Println("status", e.StatusCode)
		case netreply.Redirected:
			fmt.Println("to", e.URL.Path)
		case netreply.DownloadProgress:
			fmt.Println(e.Done, "of", e.Total)
		}
	}
	// Output:
	// status 302
	// to /hello
	// status 200
	// 5 of 5
}

// At every ReadyRead the available bytes are read, as Qt programs do with readAll.
func ExampleReply_ReadAvailable() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/hello")
	reply := m.Get(context.Background(), req)
	var body []byte
	for range reply.ReadyRead() { // until the reply has finished
		body = append(body, reply.ReadAvailable()...)
	}
	body = append(body, reply.ReadAvailable()...)
	fmt.Println(string(body), reply.Err())
	// Output: hello <nil>
}

// The program decides by the head whether it reads the body.
func ExampleReply_WaitHead() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{ReadBufferSize: 1 << 20})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/old")
	ctx := context.Background()
	reply := m.Get(ctx, req)
	defer reply.Close() // stops the transfer of a body that is not read
	if err := reply.WaitHead(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.StatusCode(), reply.URL().Path, reply.ContentLength())
	// Output: 200 /hello 5
}

// Concurrent work ends with the reply.
func ExampleReply_Context() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/hello")
	reply := m.Get(context.Background(), req)
	ended := make(chan struct{})
	context.AfterFunc(reply.Context(), func() { close(ended) })
	body, _ := reply.ReadAll()
	<-ended
	fmt.Println(string(body))
	// Output: hello
}

func ExampleError() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/none")
	err := m.Get(context.Background(), req).Wait(context.Background())
	var e *netreply.Error
	switch {
	case errors.Is(err, netreply.HostNotFoundError):
		fmt.Println("no such host")
	case errors.As(err, &e):
		fmt.Println(e.Code, e.StatusCode, e.Phase, e.Retryable)
	}
	// Output: ContentNotFoundError 404 body false
}

func ExampleManager_Post() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/upper")
	reply := m.Post(context.Background(), req, netreply.StringBody("shout"))
	for p := range reply.UploadProgress() {
		fmt.Println("sent", p.Done, "of", p.Total)
	}
	body, _ := reply.ReadAll()
	fmt.Println(string(body))
	// Output:
	// sent 5 of 5
	// SHOUT
}

func ExampleRedirect() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{RedirectPolicy: netreply.UserVerifiedRedirectPolicy})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/old")
	reply := m.Get(context.Background(), req)
	for d := range reply.Redirected() {
		if d.URL.Host == d.From.Host {
			d.Allow()
		} else {
			d.Deny()
		}
	}
	body, _ := reply.ReadAll()
	fmt.Println(string(body))
	// Output: hello
}

// One function answers all questions of a reply. It could show a dialog.
func ExampleQuestion() {
	srv := origin()
	defer srv.Close()
	answer := func(_ context.Context, q netreply.Question) {
		switch q := q.(type) {
		case *netreply.Redirect:
			fmt.Println("to", q.URL.Path)
			q.Allow()
		case *netreply.Authenticator:
			fmt.Println("password for", q.Realm)
			q.SetCredentials("gopher", "burrow")
		case *netreply.SSLErrors:
			fmt.Println(q.Host, q.Errors)
			q.Reject()
		}
	}
	m, _ := netreply.NewManager(netreply.Config{Answer: answer, RedirectPolicy: netreply.UserVerifiedRedirectPolicy})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/moved")
	body, err := m.Get(context.Background(), req).ReadAll()
	fmt.Println(string(body), err)
	// Output:
	// to /secret
	// password for the burrow
	// carrots <nil>
}

// The same with a channel: the loop ends when no more questions can follow.
func ExampleReply_Questions() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/moved")
	req.RedirectPolicy = netreply.UserVerifiedRedirectPolicy
	req.Ask = netreply.AskAuthentication | netreply.AskSSLErrors
	reply := m.Get(context.Background(), req)
	for q := range reply.Questions() {
		switch q := q.(type) {
		case *netreply.Redirect:
			fmt.Println("to", q.URL.Path)
			q.Allow()
		case *netreply.Authenticator:
			fmt.Println("password for", q.Realm)
			q.SetCredentials("gopher", "burrow")
		case *netreply.SSLErrors:
			fmt.Println(q.Host, q.Errors)
			q.Reject()
		}
	}
	body, err := reply.ReadAll()
	fmt.Println(string(body), err)
	// Output:
	// to /secret
	// password for the burrow
	// carrots <nil>
}

func ExampleRequest_onSignal() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	req, _ := netreply.NewRequest(srv.URL + "/hello")
	req.OnSignal = func(r *netreply.Reply, e netreply.Event) {
		if _, ok := e.(netreply.SocketStartedConnecting); ok {
			r.Abort() // nothing is sent
		}
	}
	err := m.Get(context.Background(), req).Wait(context.Background())
	fmt.Println(errors.Is(err, netreply.OperationCanceledError))
	// Output: true
}

func ExampleKnownHeader() {
	var h netreply.Headers
	netreply.ContentTypeHeader.Set(&h, "text/plain")
	h.Add("Content-Length", "12")
	n, ok := netreply.ContentLengthHeader.Get(h)
	fmt.Println(n, ok)
	_, ok = netreply.LastModifiedHeader.Get(h)
	fmt.Println(ok)
	// Output:
	// 12 true
	// false
}

func ExampleMultipart() {
	srv := origin()
	defer srv.Close()
	m, _ := netreply.NewManager(netreply.Config{})
	defer m.Close()
	form := &netreply.Multipart{Type: netreply.FormDataType, Boundary: "b"}
	form.AddField("a", "1")
	req, _ := netreply.NewRequest(srv.URL + "/upper")
	body, _ := m.Post(context.Background(), req, form).ReadAll()
	fmt.Println(strings.ReplaceAll(string(body), "\r\n", "\n"))
	// Output:
	// --B
	// CONTENT-DISPOSITION: FORM-DATA; NAME="A"
	//
	// 1
	// --B--
}

// Accept a self-signed certificate.
func ExampleReply_SSLErrors() {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer srv.Close()
	m, err := netreply.NewManager(netreply.Config{Ask: netreply.AskSSLErrors})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest(srv.URL)
	if err != nil {
		panic(err)
	}
	reply := m.Get(context.Background(), req)
	for q := range reply.SSLErrors() { // closed when no more questions can follow
		for _, e := range q.Errors {
			fmt.Println(e.Code, "of", e.Certificate.Subject.Organization)
		}
		if netreply.PinOf(q.Chain[0]) == netreply.PinOf(srv.Certificate()) {
			q.Ignore()
		} else {
			q.Reject()
		}
	}
	body, err := reply.ReadAll()
	fmt.Println(string(body), err)
	// Output:
	// SelfSignedCertificate of [Acme Co]
	// hello <nil>
}

// The failure of a proxy has its own code.
func ExampleParseProxy() {
	proxy, err := netreply.ParseProxy("socks5://user:secret@127.0.0.1:1")
	if err != nil {
		panic(err)
	}
	m, err := netreply.NewManager(netreply.Config{Proxy: proxy})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	req, err := netreply.NewRequest("https://example.org/")
	if err != nil {
		panic(err)
	}
	_, err = m.Get(context.Background(), req).ReadAll()
	fmt.Println(proxy, errors.Is(err, netreply.ProxyConnectionRefusedError), errors.Is(err, netreply.ConnectionRefusedError))
	// Output: socks5://127.0.0.1:1 true false
}

// One Reply and one buffer serve any number of requests.
func ExampleManager_FetchInto() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "this is "+r.URL.Path)
	}))
	defer s.Close()
	m, err := netreply.NewManager(netreply.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	var reply netreply.Reply
	var body bytes.Buffer
	for _, path := range []string{"/a", "/b"} {
		req, err := netreply.NewRequest(s.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		if err := m.FetchInto(context.Background(), &reply, "GET", req, nil); err != nil {
			log.Fatal(err)
		}
		body.Reset()
		reply.WriteTo(&body)
		fmt.Println(reply.StatusCode(), &body)
	}
	// Output:
	// 200 this is /a
	// 200 this is /b
}
