package netreplytest_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// meaningless are steps that nothing can be made of, with what the failure says.
var meaningless = []struct {
	step netreplytest.Step
	want string
}{
	{netreplytest.Header("X A", "b"), `Header("X A") is no name of a field`},
	{netreplytest.Header("X-A", "b\r\nX-B: c"), `Header("X-A") has a control character in its value`},
	{netreplytest.Trailer("X:A", "b"), `Trailer("X:A") is no name of a field`},
	{netreplytest.Informational(103, "X-A", "b", ""), `Informational: the field "" has no value`},
	{netreplytest.Slowly("text", 0, time.Second), "Slowly sends 0 bytes at a time, and would never end"},
	{netreplytest.Slowly("text", -1, time.Second), "Slowly sends -1 bytes at a time, and would never end"},
	{netreplytest.Slowly("text", 1, -time.Second), "Slowly pauses for -1s, which is negative"},
	{netreplytest.After(-1), "After pauses for -1ns, which is negative"},
	{netreplytest.Fault{}, "a step is no fault: Fail(NoError), or a Fault that nothing was assigned to"},
	{netreplytest.Fail(netreply.NoError), "a step is no fault: Fail(NoError), or a Fault that nothing was assigned to"},
}

// TestMeaninglessSteps: a step that nothing can be made of fails the test at the call, in a
// Server and in a Reply.
func TestMeaninglessSteps(t *testing.T) {
	for _, c := range meaningless {
		for name, misuse := range map[string]func(netreplytest.TB){
			"Handle": func(tb netreplytest.TB) {
				netreplytest.NewServer(tb, netreplytest.HTTP).Handle("/", netreplytest.Answer{c.step})
			},
			"Next": func(tb netreplytest.TB) {
				netreplytest.NewServer(tb, netreplytest.HTTP2).Next(netreplytest.Answer{c.step})
			},
			"Reply": func(tb netreplytest.TB) { netreplytest.Reply(tb, c.step) },
		} {
			spy := &spyTB{TB: t}
			spy.run(func() { misuse(spy) })
			assert.Contains(t, spy.fatal, c.want, name)
		}
	}
}

// TestMeaninglessAnswers: the same for what is an answer by itself. Server.Fail takes the zero
// Fault, which tables of tests have for no fault.
func TestMeaninglessAnswers(t *testing.T) {
	for want, h := range map[string]http.Handler{
		"it is no fault": netreplytest.Fault{},
		"it is nil":      http.HandlerFunc(nil),
	} {
		for _, use := range []func(*netreplytest.Server){
			func(s *netreplytest.Server) { s.Handle("/", h) },
			func(s *netreplytest.Server) { s.Next(h) },
			func(s *netreplytest.Server) { s.Proxy().Next(h) },
		} {
			spy := &spyTB{TB: t}
			spy.run(func() { use(netreplytest.NewServer(spy, netreplytest.HTTP)) })
			assert.Contains(t, spy.fatal, want)
		}
	}
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	s.Next(netreplytest.Answer{})
	s.Fail(netreplytest.Fault{})
	require.NoError(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()))
}

// TestMisusedInHandler: an Answer that a handler makes is looked at when it is sent, also in
// another server, which logs what is wrong.
func TestMisusedInHandler(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		netreplytest.Answer{netreplytest.Body("x"), netreplytest.Status(404)}.ServeHTTP(w, r)
	})
	spy := &spyTB{TB: t}
	s := netreplytest.NewServer(spy, netreplytest.HTTP)
	s.Handle("/", answer)
	require.Error(t, s.Manager().Get(t.Context(), s.Request("/")).Wait(t.Context()))
	require.Len(t, spy.errs, 1)
	assert.Contains(t, spy.errs[0], "Server: Status stands after Body")

	var text bytes.Buffer
	other := httptest.NewUnstartedServer(answer)
	other.Config.ErrorLog = log.New(&text, "", 0)
	other.Start()
	resp, err := http.Get(other.URL)
	if err == nil {
		resp.Body.Close()
	}
	other.Close()
	require.Error(t, err)
	assert.Contains(t, text.String(), "netreplytest: Status stands after Body")
}

// TestHandleConflict: the failure of two patterns that conflict names both lines of the test.
func TestHandleConflict(t *testing.T) {
	spy := &spyTB{TB: t}
	s := netreplytest.NewServer(spy, netreplytest.HTTP)
	s.Handle("/other", netreplytest.Answer{})
	_, _, line, _ := runtime.Caller(0)
	s.Handle("/{name}/a", netreplytest.Answer{})
	spy.run(func() { s.Handle("/b/{name}", netreplytest.Answer{}) })
	assert.Contains(t, spy.fatal, fmt.Sprintf(`netreplytest: Server: the pattern "/b/{name}" conflicts with "/{name}/a" of misuse_test.go:%d:`, line+1))
	assert.Contains(t, spy.fatal, "both match some paths")
	assert.NotContains(t, spy.fatal, "server.go")
}

// TestUnmade: a Server and a Proxy that no function of the package made say so.
func TestUnmade(t *testing.T) {
	for _, v := range []any{&netreplytest.Server{}, &netreplytest.Proxy{}, (*netreplytest.Server)(nil), (*netreplytest.Proxy)(nil)} {
		kind := reflect.TypeOf(v).Elem().Name()
		require.NotZero(t, reflect.TypeOf(v).NumMethod())
		for i := range reflect.TypeOf(v).NumMethod() {
			m := reflect.ValueOf(v).Method(i)
			var in []reflect.Value
			for i := range m.Type().NumIn() {
				in = append(in, reflect.Zero(m.Type().In(i)))
			}
			name := reflect.TypeOf(v).Method(i).Name
			func() {
				defer func() {
					assert.Contains(t, fmt.Sprint(recover()), "netreplytest: a "+kind+" is made by ", name)
				}()
				if m.Type().IsVariadic() {
					m.CallSlice(in)
				} else {
					m.Call(in)
				}
			}()
		}
	}
}

// TestPending: what is left of the script.
func TestPending(t *testing.T) {
	s := netreplytest.NewServer(t, netreplytest.HTTP)
	get := func() error { return s.Manager().Get(context.Background(), s.Request("/")).Wait(t.Context()) }
	assert.Zero(t, s.Proxy().Pending())
	assert.Zero(t, s.Pending())
	s.Next(netreplytest.Answer{}, netreplytest.Refuse(), netreplytest.Answer{})
	assert.Equal(t, 3, s.Pending())
	require.NoError(t, get())
	assert.Equal(t, 2, s.Pending())
	require.Error(t, get())
	assert.Equal(t, 1, s.Pending())
	s.Recover()
	assert.Zero(t, s.Pending())

	s.Proxy().Next(netreplytest.Close())
	assert.Equal(t, 1, s.Proxy().Pending())
}
