package netreply_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/netreply/netreply"
)

// notes are served under the scheme note, to any number of requests at a time.
type notes struct{ texts sync.Map }

func (n *notes) Serve(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
	switch q.Operation() {
	case netreply.GetOperation, netreply.HeadOperation:
	case netreply.PutOperation:
		note, err := io.ReadAll(q.Body)
		if err == nil {
			n.texts.Store(q.URL.Opaque, string(note))
		}
		return err
	default:
		return netreply.ContentOperationNotPermittedError
	}
	text, found := n.texts.Load(q.URL.Opaque)
	if !found {
		return netreply.ContentNotFoundError
	}
	note := text.(string)
	w.SetHeader(netreply.ContentLengthHeader, int64(len(note)))
	_, err := io.WriteString(w, note)
	return err
}

// A Backend serves a scheme of its own.
func ExampleBackend() {
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"note": &notes{}}})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	ctx := context.Background()
	req, _ := netreply.NewRequest("note:shopping")
	fmt.Println(m.Put(ctx, req, netreply.StringBody("bread, butter")).Wait(ctx))
	text, err := m.Get(ctx, req).ReadAll()
	fmt.Println(string(text), err)
	fmt.Println(m.Delete(ctx, req).Wait(ctx))
	// Output:
	// <nil>
	// bread, butter <nil>
	// netreply: DELETE note:shopping: ContentOperationNotPermittedError (headers): ContentOperationNotPermittedError
}

// serveExample is the reply of a function to GET app:x.
func serveExample(serve netreply.BackendFunc, set func(*netreply.Request)) *netreply.Reply {
	m, err := netreply.NewManager(netreply.Config{Backends: map[string]netreply.Backend{"app": serve}})
	if err != nil {
		panic(err)
	}
	req, _ := netreply.NewRequest("app:x")
	if set != nil {
		set(req)
	}
	r := m.Get(context.Background(), req)
	r.Wait(context.Background())
	m.Close()
	return r
}

// A function is a Backend, too.
func ExampleBackendFunc() {
	r := serveExample(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		_, err := fmt.Fprintf(w, "%s %s", q.Method, q.URL)
		return err
	}, nil)
	fmt.Println(string(r.ReadAvailable()))
	// Output: GET app:x
}

// Attributes and header fields become visible with the first byte of the body, or at the end.
func ExampleReplyWriter_SetAttribute() {
	rows := netreply.NewUserAttribute[int]("rows")
	r := serveExample(func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		w.SetAttribute(netreply.HTTPStatusCode, 200)
		w.SetAttribute(rows, 3)
		w.SetHeader(netreply.ContentTypeHeader, "text/csv")
		w.SetRawHeader("X-Table", "birds")
		_, err := io.WriteString(w, "a,b\nc,d\ne,f\n")
		if err != nil {
			return err
		}
		err = w.SetRawHeader("X-Late", "1")
		fmt.Println(err)
		return nil
	}, nil)
	n, _ := rows.OfReply(r)
	fmt.Println(r.StatusCode(), r.RawHeader("Content-Type"), r.RawHeader("X-Table"), n)
	// Output:
	// netreply: ReplyWriter.SetRawHeader: called after MetaDataChanged or the first byte of the body
	// 200 text/csv birds 3
}

// SetError gives the reply's error a code and a text; the body stays readable.
func ExampleReplyWriter_SetError() {
	r := serveExample(func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		w.SetError(netreply.ContentAccessDenied, "the store is locked")
		_, err := io.WriteString(w, "try again at nine")
		return err
	}, nil)
	fmt.Println(r.ErrorString())
	fmt.Println(string(r.ReadAvailable()))
	// Output:
	// the store is locked
	// try again at nine
}

// SetFinished ends the reply while Serve still has something to do.
func ExampleReplyWriter_SetFinished() {
	r := serveExample(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		io.WriteString(w, "all of it")
		w.SetFinished()
		<-q.Context().Done() // it has ended
		return nil
	}, nil)
	fmt.Println(string(r.ReadAvailable()), r.Err())
	// Output: all of it <nil>
}

// ReadFrom copies from a reader straight into the reply's buffer, and so does io.Copy.
func ExampleReplyWriter_ReadFrom() {
	r := serveExample(func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		_, err := io.Copy(w, strings.NewReader("from a reader"))
		return err
	}, nil)
	fmt.Println(string(r.ReadAvailable()))
	// Output: from a reader
}

// Redirect leads the reply to another URL of the scheme, or of HTTP.
func ExampleReplyWriter_Redirect() {
	r := serveExample(func(q *netreply.BackendRequest, w netreply.ReplyWriter) error {
		if q.URL.Opaque == "x" {
			return w.Redirect("app:y", 302)
		}
		_, err := io.WriteString(w, "the new place")
		return err
	}, nil)
	fmt.Println(r.URL(), string(r.ReadAvailable()))
	// Output: app:y the new place
}

// A Backend asks the program the questions that HTTP asks.
func ExampleReplyWriter_AuthenticationRequired() {
	r := serveExample(func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		user, password, err := w.AuthenticationRequired(&netreply.Authenticator{Realm: "the store"})
		if err != nil {
			return err // the reply fails with AuthenticationRequiredError
		}
		_, err = fmt.Fprintf(w, "hello %s, with a password of %d characters", user, len(password))
		return err
	}, func(req *netreply.Request) {
		req.Answer = func(_ context.Context, q netreply.Question) {
			if q, ok := q.(*netreply.Authenticator); ok && q.Realm == "the store" {
				q.SetCredentials("gopher", "burrow")
			}
		}
	})
	fmt.Println(string(r.ReadAvailable()))
	// Output: hello gopher, with a password of 6 characters
}

// The signals of a connection are emitted by the Backend that makes it.
func ExampleReplyWriter_SocketStartedConnecting() {
	r := serveExample(func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
		w.SocketStartedConnecting()
		w.RequestSent()
		return nil
	}, nil)
	for e := range r.Events(context.Background()) {
		fmt.Printf("%T\n", e)
	}
	// Output:
	// netreply.SocketStartedConnecting
	// netreply.RequestSent
	// netreply.MetaDataChanged
	// netreply.DownloadProgress
	// netreply.Finished
}
