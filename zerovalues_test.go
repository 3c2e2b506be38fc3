package netreply_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/testserver"
)

// zeroValues are the types of the package that have methods, each as its zero value.
var zeroValues = map[string]any{
	"BackendFunc":    netreply.BackendFunc(func(*netreply.BackendRequest, netreply.ReplyWriter) error { return nil }),
	"BackendRequest": &netreply.BackendRequest{}, "UsageError": &netreply.UsageError{},
	"AddressGuard": &netreply.AddressGuard{}, "Attribute": netreply.Attribute[int]{}, "Authenticator": &netreply.Authenticator{},
	"BlockedAddressError": &netreply.BlockedAddressError{}, "CertificateError": &netreply.CertificateError{}, "CharsetError": &netreply.CharsetError{}, "Config": netreply.Config{},
	"Credential": netreply.Credential{}, "Error": &netreply.Error{}, "FieldError": &netreply.FieldError{}, "FileAccess": netreply.FileAccess(-1), "Informational": netreply.Informational{}, "KnownHeader": netreply.KnownHeader[int]{},
	"JSONError": &netreply.JSONError{}, "Manager": &netreply.Manager{}, "Multipart": &netreply.Multipart{}, "MultipartType": netreply.MultipartType(-1), "NetworkError": netreply.NetworkError(-1),
	"Operation": netreply.Operation(-1), "Phase": netreply.Phase(-1), "PinError": &netreply.PinError{}, "Part": netreply.Part{},
	"PreSharedKeyAuthenticator": &netreply.PreSharedKeyAuthenticator{}, "Proxy": &netreply.Proxy{}, "ProxyAuthenticator": &netreply.ProxyAuthenticator{},
	"ProxyError": &netreply.ProxyError{}, "ProxyResponse": &netreply.ProxyResponse{}, "QuestionKinds": netreply.QuestionKinds(0), "RedirectPolicy": netreply.RedirectPolicy(-1), "Priority": netreply.Priority(-1), "LoadControl": netreply.LoadControl(-1), "HTTPVersion": netreply.HTTPVersion(-1), "PeerVerifyMode": netreply.PeerVerifyMode(-1), "CacheLoadControl": netreply.CacheLoadControl(-1),
	"ProxyType": netreply.ProxyType(-1), "Redirect": &netreply.Redirect{}, "Reply": &netreply.Reply{},
	"Param": netreply.Param{}, "RequestFactory": netreply.RequestFactory{},
	"Request": &netreply.Request{}, "SSLConfiguration": &netreply.SSLConfiguration{}, "SSLError": netreply.SSLError{}, "SSLErrorCode": netreply.SSLErrorCode(-99),
	"SSLErrors": &netreply.SSLErrors{}, "SSLState": netreply.SSLState{}, "SizeLimitError": &netreply.SizeLimitError{}, "Token": netreply.Token{},
	"TokenSource": &netreply.TokenSource{}, "UserAttribute": netreply.UserAttribute[int]{}, "Progress": netreply.Progress{},
	"SocketStartedConnecting": netreply.SocketStartedConnecting{}, "Encrypted": netreply.Encrypted{}, "RequestSent": netreply.RequestSent{},
	"UploadProgress": netreply.UploadProgress{}, "MetaDataChanged": netreply.MetaDataChanged{}, "ReadyRead": netreply.ReadyRead{},
	"DownloadProgress": netreply.DownloadProgress{}, "ErrorOccurred": netreply.ErrorOccurred{}, "Finished": netreply.Finished{},
	"SSLErrorsOccurred": netreply.SSLErrorsOccurred{}, "Redirected": netreply.Redirected{}, "AuthenticationRequired": netreply.AuthenticationRequired{},
	"PreSharedKeyAuthenticationRequired": netreply.PreSharedKeyAuthenticationRequired{}, "InformationalReceived": netreply.InformationalReceived{},
	"ProxyAuthenticationRequired": netreply.ProxyAuthenticationRequired{ProxyAuthenticator: &netreply.ProxyAuthenticator{}},
}

// noContext is nil, which programs pass by mistake.
var noContext context.Context

// TestZeroValues: no exported method panics or hangs on a zero value, with arguments that are
// nil or zero.
func TestZeroValues(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, d := range f.Decls {
			if name := methodOf(d); name != "" {
				_, ok := zeroValues[name]
				assert.True(t, ok, "%s has methods that this test does not call", name)
			}
		}
	}
	for name, v := range zeroValues {
		for i := range reflect.TypeOf(v).NumMethod() {
			method := reflect.TypeOf(v).Method(i).Name
			if method == "Format" { // called by package fmt
				assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s %d", v, v, v, v, v), "PANIC")
				continue
			}
			t.Run(name+"."+method, func(t *testing.T) { callWithNothing(t, reflect.ValueOf(v).Method(i)) })
		}
	}
}

// methodOf is the exported type that an exported method belongs to.
func methodOf(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv == nil || !f.Name.IsExported() {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	if id := typ.(*ast.Ident); id.IsExported() {
		return id.Name
	}
	return ""
}

func callWithNothing(t *testing.T, f reflect.Value) {
	var in []reflect.Value
	for i := range f.Type().NumIn() {
		in = append(in, reflect.Zero(f.Type().In(i)))
	}
	done := make(chan string, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Sprint("panic: ", p)
			}
		}()
		var out []reflect.Value
		if f.Type().IsVariadic() {
			out = f.CallSlice(in)
		} else {
			out = f.Call(in)
		}
		for _, v := range out {
			if v.Kind() == reflect.Func && !v.IsNil() { // an iterator
				v.Call([]reflect.Value{reflect.MakeFunc(v.Type().In(0), func([]reflect.Value) []reflect.Value {
					return []reflect.Value{reflect.ValueOf(true)}
				})})
			}
			if r, ok := v.Interface().(*netreply.Reply); ok && r != nil {
				if r.Wait(noContext) == nil {
					done <- "a reply that does not fail"
				}
			}
			if v.Kind() == reflect.Chan { // closed, as for a finished reply
				for {
					if _, ok := v.Recv(); !ok {
						break
					}
				}
			}
		}
		done <- ""
	}()
	select {
	case what := <-done:
		require.Empty(t, what)
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}

// TestNilArguments: functions and methods do not panic with nil arguments.
func TestNilArguments(t *testing.T) {
	m := newManager(t, netreply.Config{})
	var file *netreply.Multipart
	req := newRequest(t, "http://127.0.0.1:1/")
	for name, f := range map[string]func() error{
		"no request":     func() error { return m.Get(noContext, nil).Wait(noContext) },
		"no URL":         func() error { return m.Post(noContext, &netreply.Request{}, nil).Wait(noContext) },
		"no verb":        func() error { return m.Send(noContext, "", req, nil).Wait(noContext) },
		"nil Manager":    func() error { return (*netreply.Manager)(nil).Get(noContext, req).Wait(noContext) },
		"nil Manager's":  func() error { return (*netreply.Manager)(nil).Fetch(noContext, "GET", req, nil).Err() },
		"nil *Multipart": func() error { return m.Post(noContext, req, file).Wait(noContext) },
		"part of nothing": func() error {
			return m.Post(noContext, req, &netreply.Multipart{Parts: []netreply.Part{{Body: file}}}).Wait(noContext)
		},
		"nil reader": func() error { return m.Post(noContext, req, netreply.ReaderBody(nil)).Wait(noContext) },
		"nil file": func() error {
			return m.Post(noContext, req, netreply.ReaderBody((*strings.Reader)(nil))).Wait(noContext)
		},
		"nil source": func() error { return m.Post(noContext, req, netreply.SourceBody(1, nil)).Wait(noContext) },
		"nil opened": func() error { return m.Post(noContext, req, netreply.SourceBody(1, openNothing)).Wait(noContext) },
		"in itself": func() error {
			p := &netreply.Multipart{}
			p.Add(netreply.Headers{}, p)
			return m.Post(noContext, req, p).Wait(noContext)
		},
		"connect":          func() error { return m.ConnectToHost(noContext, "", 0) },
		"connect securely": func() error { return m.ConnectToHostEncrypted(noContext, "", 0, nil) },
		"URL":              func() error { _, err := netreply.NewRequest(":"); return err },
		"proxy":            func() error { _, err := netreply.ParseProxy(""); return err },
		"token": func() error {
			_, err := netreply.NewTokenSource(nil).Token(noContext, "")
			return err
		},
	} {
		err := f()
		assert.Error(t, err, name)
		t.Logf("%s: %v", name, err)
	}
	assert.Nil(t, (*netreply.Request)(nil).Clone())
	key := netreply.NewUserAttribute[string]("x")
	key.Set(nil, "x")
	key.Clear(nil)
	_, ok := key.Of(nil)
	assert.False(t, ok)
	one, other := netreply.UserAttribute[int]{}, netreply.UserAttribute[string]{}
	one.Set(req, 1)
	_, ok = other.Of(req)
	assert.False(t, ok, "what was not made by NewUserAttribute holds nothing")
	_, ok = one.Of(req)
	assert.False(t, ok)
	status, ok := netreply.HTTPStatusCode.Of(nil)
	assert.False(t, ok, "%d", status)
	for range m.Events(cancelled()) {
		t.Error("the context has ended")
	}
	assert.True(t, slices.Contains((*netreply.Manager)(nil).SupportedSchemes(), "https"))
	n := 0
	for range m.Get(noContext, nil).Events(noContext) {
		n++
	}
	assert.Positive(t, n)
}

// TestNilCookieJar: a nil pointer in Config.CookieJar is refused by NewManager.
func TestNilCookieJar(t *testing.T) {
	var jar *cookies.Jar
	_, err := netreply.NewManager(netreply.Config{CookieJar: jar})
	requireField(t, err, "Config.CookieJar")
}

func openNothing() (io.ReadCloser, error) { return nil, nil }

// TestCallbacksReturnNothing: a callback that returns neither a value nor an error, or
// passes a nil question, fails the reply.
func TestCallbacksReturnNothing(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header()["Www-Authenticate"] = []string{"Negotiate", `Basic realm="r"`}
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	m := newManager(t, netreply.Config{Negotiators: []netreply.Negotiator{noNegotiation{}}})
	req := newRequest(t, s.URL)
	req.URL.User = url.UserPassword("user", "password")
	assert.NoError(t, m.Get(t.Context(), req).Wait(deadline(t)), "by the next weaker scheme")

	encrypted, _ := testserver.NewOrigin(t, testserver.TLS, http.NotFoundHandler())
	for _, d := range []netreply.PSKDialer{noConnection{}, noConnection{asks: true}} {
		m := newManager(t, netreply.Config{SSLConfiguration: &netreply.SSLConfiguration{PSK: d}, Ask: netreply.AskPreSharedKey})
		err := m.Get(t.Context(), newRequest(t, encrypted.URL)).Wait(deadline(t))
		assert.ErrorIs(t, err, netreply.SslHandshakeFailedError, "%+v", d)
	}
}

type noNegotiation struct{}

func (noNegotiation) Scheme() string { return "Negotiate" }
func (noNegotiation) Start(context.Context, string) (netreply.Negotiation, error) {
	return nil, nil
}

// noConnection is a PSKDialer that makes no connection.
type noConnection struct{ asks bool }

func (d noConnection) Handshake(_ context.Context, _ net.Conn, p netreply.PSKParameters) (c net.Conn, _ tls.ConnectionState, err error) {
	if d.asks {
		err = p.Ask(nil)
	}
	return c, tls.ConnectionState{}, err
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestNilQuestions: the nil question of a closed channel accepts no answer.
func TestNilQuestions(t *testing.T) {
	var r *netreply.Redirect
	var s *netreply.SSLErrors
	var a *netreply.Authenticator
	var p *netreply.ProxyAuthenticator
	var k *netreply.PreSharedKeyAuthenticator
	for i, answered := range []bool{r.Allow(), r.Deny(), s.Ignore(), s.IgnoreOnly(), s.Reject(), a.SetCredentials("u", "p"), a.Cancel(),
		p.SetCredentials("u", "p"), p.Cancel(), k.Set([]byte("i"), []byte("k")), k.Cancel()} {
		assert.False(t, answered, "%d", i)
	}
	for _, q := range []netreply.Question{r, s, a, p, k} {
		assert.Nil(t, q.Reply())
	}
	assert.Empty(t, a.Options())
	assert.Empty(t, p.Options())
	_, _, ok := k.Answer()
	assert.False(t, ok)
}
