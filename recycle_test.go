package netreply_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// TestNothingOfAnotherRequest: requests of all kinds at the same time, which use memory of each
// other's transfers, are sent as the program has made them and get their own responses.
func TestNothingOfAnotherRequest(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Id")
		names := 0
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Only-") {
				names++
			}
		}
		sent, err := io.ReadAll(r.Body)
		if id == "" || r.Header.Get("X-Only-"+id) != id || names != 1 || err == nil && string(sent) != r.Header.Get("X-Body") {
			http.Error(w, fmt.Sprintf("mixed up: %q with the body %q", r.Header, sent), http.StatusTeapot)
			return
		}
		w.Header().Set("X-Id", id)
		w.Header().Set("X-Only-"+id, id)
		body := strings.Repeat(id, 1+len(id)*200)
		switch kind, _, _ := strings.Cut(id, "-"); kind {
		case "redirect":
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/target", http.StatusTemporaryRedirect)
				return
			}
		case "missing":
			w.WriteHeader(http.StatusNotFound)
		case "cookie":
			http.SetCookie(w, &http.Cookie{Name: "last", Value: id})
		case "gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, body)
			z.Close()
			return
		case "trailer":
			w.Header().Set("Trailer", "X-End")
			io.WriteString(w, body)
			w.Header().Set("X-End", id)
			return
		case "early":
			w.WriteHeader(http.StatusEarlyHints)
		case "slow":
			io.WriteString(w, body[:len(body)/2])
			w.(http.Flusher).Flush()
			io.WriteString(w, body[len(body)/2:])
			return
		case "cut":
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		}
		io.WriteString(w, body)
	}, netreply.Config{ConnectionsPerHost: 8}, func(t *testing.T, f *fixture) {
		kinds := []string{"plain", "plain", "plain", "redirect", "missing", "cookie", "gzip", "trailer", "early", "slow", "cut"}
		end := time.Now().Add(time.Second)
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(worker), 1))
				var again netreply.Reply
				for i := 0; time.Now().Before(end); i++ {
					kind := kinds[r.IntN(len(kinds))]
					id := fmt.Sprintf("%s-%d-%d", kind, worker, i)
					req := f.request("/")
					req.Headers.Set("X-Id", id)
					req.Headers.Set("X-Only-"+id, id)
					verb, body := "GET", netreply.Body(nil)
					if r.IntN(4) == 0 {
						verb, body = "POST", netreply.BytesBody([]byte(id))
						req.Headers.Set("X-Body", id)
					}
					switch r.IntN(4) {
					case 0:
						req.ReadBufferSize = int64(1 + r.IntN(2000))
					case 1:
						req.TransferTimeout = time.Minute
					}
					ctx, cancel := context.WithCancel(context.Background())
					how := r.IntN(6)
					switch how {
					case 0: // ended at any time
						time.AfterFunc(time.Duration(r.IntN(2000))*time.Microsecond, cancel)
					case 1:
						cancel()
					}
					checkOwn(t, f.m, ctx, verb, req, body, kind, id, how, r.IntN(4), &again)
					cancel()
				}
			})
		}
		wg.Wait()
	})
}

// checkOwn sends a request and checks that the response is its own.
func checkOwn(t *testing.T, m *netreply.Manager, ctx context.Context, verb string, req *netreply.Request, body netreply.Body, kind, id string, how, reads int, again *netreply.Reply) {
	var reply *netreply.Reply
	var got bytes.Buffer
	var err error
	switch reads {
	case 0:
		reply = m.Fetch(ctx, verb, req, body)
		_, err = reply.WriteTo(&got)
	case 1:
		reply = again
		m.FetchInto(ctx, reply, verb, req, body)
		_, err = reply.WriteTo(&got)
	case 2:
		reply = m.Send(ctx, verb, req, body)
		_, err = reply.WriteTo(&got)
	default:
		reply = m.Send(ctx, verb, req, body)
		if how == 2 {
			io.ReadFull(reply, make([]byte, 1))
			go reply.Close()
		}
		var all []byte
		all, err = reply.ReadAll()
		if how == 2 {
			return
		}
		got.Write(all)
	}
	reply.Wait(context.Background())
	if how < 2 && err != nil {
		return
	}
	switch kind {
	case "missing":
		assert.ErrorIs(t, err, netreply.ContentNotFoundError, id)
	case "cut":
		assert.Error(t, err, id)
	default:
		assert.NoError(t, err, id)
	}
	if !assert.Equal(t, id, reply.Headers().Get("X-Id")) || !assert.Equal(t, id, reply.Headers().Get("X-Only-"+id)) {
		t.Log(got.String())
	}
	if want := strings.Repeat(id, 1+len(id)*200); want != got.String() {
		assert.Fail(t, "another body", "%s: %.60q, %d bytes", id, got.String(), got.Len())
	}
	if kind == "trailer" {
		trailers := reply.Trailers()
		assert.Equal(t, id, trailers.Get("X-End"))
	}
}
