package netreply_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestChaos: whatever clients and servers do, no reply gets the body of another request,
// and no goroutine or connection is leaked.
func TestChaos(t *testing.T) {
	const workers = 32
	length := 3 * time.Second
	if testing.Short() {
		length = 500 * time.Millisecond
	}
	var broken atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("do") {
		case "early":
			w.WriteHeader(413)
			io.WriteString(w, r.URL.Path)
			return
		case "silence": // the connection is closed without a response
			broken.Add(1)
			panic(http.ErrAbortHandler)
		case "half":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, r.URL.Path)
			panic(http.ErrAbortHandler)
		case "last":
			w.Header().Set("Connection", "close")
		case "redirect":
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		h := sha256.New()
		io.Copy(h, r.Body)
		w.Header().Set("X-Sum", hex.EncodeToString(h.Sum(nil)))
		fmt.Fprint(w, strings.Repeat(r.URL.Path+"\n", 1+len(r.URL.Path)*100))
	}
	eachProtocol(t, handler, netreply.Config{}, func(t *testing.T, s *fixture) {
		if s.kind == testserver.H2C || s.kind == testserver.TLS {
			t.Skip("h1 and h2 are enough of this")
		}
		var wg sync.WaitGroup
		var done, good atomic.Int64
		end := time.Now().Add(length)
		for w := range workers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 1))
				for time.Now().Before(end) {
					if one(t, s, rnd, int(done.Add(1))) {
						good.Add(1)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d requests, %d answered as they should, %d connections broken", done.Load(), good.Load(), broken.Load())
		assert.Greater(t, good.Load(), done.Load()/4)
		// no connection of the pool is lost
		for range 20 {
			_, err := s.m.Get(deadline(t), s.request("/x")).ReadAll()
			require.NoError(t, err)
		}
	})
}

// one sends a random request, disturbs it, and checks the result; true if the response was
// complete.
func one(t *testing.T, s *fixture, rnd *rand.Rand, id int) bool {
	do := []string{"", "", "", "", "early", "silence", "half", "last", "redirect"}[rnd.IntN(9)]
	path := fmt.Sprintf("/%d", id)
	req := s.request(path + "?do=" + do)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var r *netreply.Reply
	var sum string
	if rnd.IntN(2) == 0 {
		r = s.m.Get(ctx, req)
		empty := sha256.Sum256(nil)
		sum = hex.EncodeToString(empty[:])
	} else {
		data := make([]byte, rnd.IntN(300_000))
		for i := range data {
			data[i] = byte(id * i)
		}
		h := sha256.Sum256(data)
		sum = hex.EncodeToString(h[:])
		var body netreply.Body
		switch rnd.IntN(4) {
		case 0:
			body = netreply.BytesBody(data)
		case 1:
			body = netreply.ReaderBody(strings.NewReader(string(data)))
		case 2:
			req.DoNotBufferUploadData = true
			body = netreply.ReaderBody(io.MultiReader(strings.NewReader(string(data))))
		case 3:
			body = netreply.SourceBody(-1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil })
		}
		r = s.m.Put(ctx, req, body)
	}
	switch rnd.IntN(8) {
	case 0:
		time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, cancel)
	case 1:
		time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, r.Abort)
	case 2:
		io.ReadFull(r, make([]byte, 5))
		r.Close()
	case 3:
		go r.Close()
		go r.Close()
	}
	text, err := io.ReadAll(r)
	werr := r.Wait(context.Background())
	if werr != nil && err == nil && r.StatusCode() == 200 {
		assert.Fail(t, "a body that came whole, and an error", "%v", werr)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(path, line) {
			assert.Fail(t, "the body of another request", "%s got %q", path, line)
		}
	}
	if werr != nil || err != nil { // only err: closed after it had finished
		return false
	}
	assert.Equal(t, sum, r.RawHeader("X-Sum"), "%s: the body on the way to the server", path)
	assert.Len(t, text, (len(path)+1)*(1+len(path)*100), path)
	return true
}
