package flow

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/dial"
	"github.com/netreply/netreply/internal/testserver"
	"github.com/netreply/netreply/internal/wire"
)

// TestRecycledMemoryIsEmpty: memory that waits for the next transfer refers to nothing of the last
// one: no text of its request and response, no Watcher, no context.
func TestRecycledMemoryIsEmpty(t *testing.T) {
	for _, kind := range []testserver.Kind{testserver.Plain, testserver.TLS, testserver.H2} {
		t.Run(string(kind), func(t *testing.T) {
			s, cfg := testserver.NewOrigin(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Secret", "of the response")
				w.Header()["X-Many"] = []string{"secret 1", "secret 2"}
				n, _ := strconv.Atoi(r.URL.Query().Get("fields"))
				for i := range n {
					w.Header().Set("X-Field-"+strconv.Itoa(i), "secret")
				}
				w.Header().Set("Trailer", "X-End")
				io.WriteString(w, "secret body")
				w.Header().Set("X-End", "secret")
			}))
			e := NewEngine(Config{Wire: wire.NewTransport(wire.Config{Dialer: &dial.Dialer{}, HTTP1: wire.OwnConn})})
			defer e.cfg.Wire.Close()
			u, err := url.Parse(s.URL)
			require.NoError(t, err)
			profile := &wire.Profile{Config: cfg}
			kept := 0
			for i := range 40 {
				ctx, cancel := context.WithCancel(context.Background())
				f := e.NewTransfer(ctx, &background{profile: profile})
				to := *u
				to.RawQuery = "fields=" + strconv.Itoa(i%4*20)
				f.Request = Request{Method: "GET", URL: &to, Headers: headers.New("Authorization", "secret", "X-"+strings.Repeat("y", i), "secret")}
				resp, err := f.Begin()
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "secret body", string(body))
				resp.Body.Close()
				f.Close()
				e.Recycle(f)
				if got, ok := e.spares.Get().(*Transfer); ok {
					kept++
					assert.Empty(t, leftIn(reflect.ValueOf(got), "Transfer", map[any]bool{}))
					e.spares.Put(got)
				}
				cancel()
			}
			if kind == testserver.H2 || runtime.GOOS == "linux" { // where there are connections of package wire
				assert.NotZero(t, kept)
			}
		})
	}
}

// leftIn lists what is left in recycled memory, in the free space of slices, too.
func leftIn(v reflect.Value, path string, seen map[any]bool) (list []string) {
	switch v.Kind() {
	case reflect.String:
		if v.Len() > 0 {
			list = append(list, path+": "+v.String())
		}
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			list = leftIn(v.Elem(), path, seen)
		}
	case reflect.Interface:
		if !v.IsNil() && v.Elem().Type() != reflect.TypeOf(context.Background()) {
			list = append(list, path+": "+v.Elem().Type().String())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			list = append(list, leftIn(v.Field(i), path+"."+v.Type().Field(i).Name, seen)...)
		}
	case reflect.Map:
		if v.Len() > 0 {
			list = append(list, path+": "+strconv.Itoa(v.Len())+" entries")
		}
	case reflect.Slice:
		if v.Cap() > 0 {
			all := v.Slice(0, v.Cap())
			for i := range all.Len() {
				list = append(list, leftIn(all.Index(i), path, seen)...)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			list = append(list, leftIn(v.Index(i), path, seen)...)
		}
	case reflect.Func:
		if !v.IsNil() && !strings.Contains(path, ".trace.") {
			list = append(list, path)
		}
	default:
	}
	return list
}
