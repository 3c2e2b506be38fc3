package netreply_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/testserver"
)

// secret is searched in all forms in which bytes are printed.
const secret = "s3cr3t-m4rk3r-of-32-bytes-length"

var secretForms = func() []string {
	b := []byte(secret)
	trim := func(s string) string { return strings.Trim(s, "[]{}") }
	_, list, _ := strings.Cut(fmt.Sprintf("%#v", b), "{")
	return []string{secret, hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), trim(fmt.Sprint(b)), trim(list),
		base64.StdEncoding.EncodeToString(b), url.QueryEscape(secret), trim(fmt.Sprintf("%x", b))}
}()

// prints returns all texts of fmt and log/slog for a value.
func prints(v any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%20v", "%-20s"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	for name, h := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(h(&b)).Info("m", "k", v)
		out[name] = b.String()
	}
	return out
}

// inside embeds a value in other types.
func inside(v any) map[string]any {
	rv := reflect.ValueOf(v)
	slice := reflect.MakeSlice(reflect.SliceOf(rv.Type()), 0, 1)
	m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), rv.Type()))
	m.SetMapIndex(reflect.ValueOf("key"), rv)
	s := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "X", Type: rv.Type()}})).Elem()
	s.Field(0).Set(rv)
	return map[string]any{
		"itself": v, "slice": reflect.Append(slice, rv).Interface(), "map": m.Interface(), "struct": s.Interface(),
		"pointer to struct": s.Addr().Interface(), "any": []any{v}, "struct with any": struct{ X any }{v},
	}
}

func requireNoSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, form := range secretForms {
		if strings.Contains(text, form) {
			require.Fail(t, "a secret is printed", "%s: %.2000s", what, text)
		}
	}
}

// secretReader is a reader whose fields fmt would print.
type secretReader struct{ Secret string }

func (secretReader) Read([]byte) (int, error) { return 0, io.EOF }

// TestPrintsHoldNoSecret: printing a value with a secret, by value, by pointer, and inside
// other values, does not show the secret, but the useful fields.
func TestPrintsHoldNoSecret(t *testing.T) {
	u, err := url.Parse("http://user:" + secret + "@host.test/path")
	require.NoError(t, err)
	proxy := netreply.Proxy{Type: netreply.HTTPProxy, Host: "proxy.test", User: "me", Password: secret}
	ssl := &netreply.SSLConfiguration{
		SessionTicket: []byte(secret), PeerVerifyName: "name.test",
		Certificates: []tls.Certificate{{PrivateKey: ed25519.NewKeyFromSeed([]byte(secret))}},
		TLS:          &tls.Config{Certificates: []tls.Certificate{{PrivateKey: ed25519.NewKeyFromSeed([]byte(secret))}}},
	}
	source := netreply.NewTokenSource(func(context.Context) (netreply.Token, error) {
		return netreply.Token{Value: secret, Expires: time.Now().Add(time.Hour)}, nil
	})
	_, err = source.Token(t.Context(), "")
	require.NoError(t, err)
	headers := netreply.NewHeaders("Accept", "text/plain", "Authorization", "Bearer "+secret, "cookie", "a="+secret,
		"Proxy-Authorization", secret, "Set-Cookie", "a="+secret)
	request := netreply.Request{
		URL: u, Headers: headers, SecretHeaders: []string{"X-Api-Key"}, Proxy: &proxy, Bearer: source, SSLConfiguration: ssl,
		TransferTimeout: 3 * time.Second,
	}
	request.Headers.Set("x-api-key", secret)
	netreply.NewUserAttribute[string]("name").Set(&request, secret)
	credential := netreply.Credential{Origin: "https://host.test", Realm: "realm", User: "me", Password: secret}
	config := netreply.Config{
		Credentials: []netreply.Credential{credential}, Proxy: &proxy, ConnectionsPerHost: 7,
		Ask: netreply.AskAuthentication, DialContext: func(context.Context, string, string) (c net.Conn, err error) { return },
	}
	question := &netreply.Authenticator{URL: &url.URL{Scheme: "http", Host: "host.test"}, Realm: "realm", Scheme: "Basic", User: "me"}
	question.SetCredentials("me", secret)
	key := &netreply.PreSharedKeyAuthenticator{IdentityHint: []byte("hint"), MaximumIdentityLength: 100, MaximumPreSharedKeyLength: 100}
	require.True(t, key.Set([]byte("me"), []byte(secret)))
	manager := newManager(t, config)
	jar := cookies.NewJar(cookies.Options{})
	jar.SetCookies(question.URL, []*http.Cookie{{Name: "a", Value: secret}})

	form := netreply.Multipart{Type: netreply.FormDataType}
	form.AddField("name", secret)
	form.Add(netreply.NewHeaders("Accept", "a part of itself"), &form)

	values := map[string]struct {
		v    any
		want string
	}{
		"Config":                    {config, "ConnectionsPerHost: 7"},
		"Request":                   {request, "TransferTimeout: 3s"},
		"Request for data":          {netreply.Request{URL: &url.URL{Scheme: "data", Opaque: "," + secret}}, "data:xxxxx"},
		"Request for data://":       {netreply.Request{URL: &url.URL{Scheme: "data", Host: "text", Path: "/plain," + secret}}, "data:xxxxx"},
		"Request without a host":    {netreply.Request{URL: &url.URL{Scheme: "http", Opaque: "user:" + secret + "@host.test"}}, "http:xxxxx"},
		"RequestFactory of such":    {netreply.RequestFactory{BaseURL: &url.URL{Scheme: "test", Opaque: "user:" + secret + "@host.test"}}, "test:xxxxx"},
		"RequestFactory":            {netreply.RequestFactory{BaseURL: u, Common: request, BearerToken: secret, User: "me", Password: secret}, "http://user:xxxxx@host.test/path"},
		"Proxy":                     {proxy, "http://proxy.test:8080"},
		"Credential":                {credential, "https://host.test"},
		"Credential, bad":           {netreply.Credential{Origin: "http://me:" + secret + "@host/"}, "host"},
		"Credential, worse":         {netreply.Credential{Origin: "http://me:" + secret + "%zz@host:x/"}, "xxxxx"},
		"Token":                     {netreply.Token{Value: secret, Expires: time.Unix(1e9, 0).UTC()}, "2001-09-09"},
		"Headers":                   {headers, "text/plain"},
		"SSLState":                  {netreply.SSLState{Configuration: ssl, ConnectionState: tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13}}, "TLS 1.3"},
		"ProxyAuthenticator":        {netreply.ProxyAuthenticator{Proxy: &proxy, Authenticator: question}, "proxy.test"},
		"AuthenticationRequired":    {netreply.AuthenticationRequired{Authenticator: question}, "realm"},
		"ProxyResponse":             {netreply.ProxyResponse{StatusCode: 403, Headers: headers}, "403"},
		"InformationalReceived":     {netreply.InformationalReceived{Informational: netreply.Informational{StatusCode: 103, Headers: headers}}, "103"},
		"TokenSource":               {source, "Expires"},
		"Authenticator":             {question, "Basic"},
		"PreSharedKeyAuthenticator": {key, "hint"},
		"SSLConfiguration":          {ssl, "name.test"},
		"Jar":                       {jar, "Jar"},
		"Redirect":                  {&netreply.Redirect{URL: u, From: u, StatusCode: 302}, "302"},
		"SSLErrors":                 {&netreply.SSLErrors{Host: "host.test", Errors: []netreply.SSLError{{Code: netreply.SSLCertificateExpired}}}, "host.test"},
		"Manager":                   {manager, "ConnectionsPerHost: 7"},
		"Multipart":                 {form, "form-data"},
		"Part":                      {form.Parts[0], "name"},
		"Part with a secret field":  {netreply.Part{Headers: headers}, "text/plain"},
		"Body":                      {netreply.StringBody(secret), "32 bytes"},
		"ReaderBody":                {netreply.ReaderBody(bytes.NewBufferString(secret)), "*bytes.Buffer"},
		"ReaderBody, struct":        {netreply.ReaderBody(secretReader{secret}), "secretReader"},
		"BackendRequest": {netreply.BackendRequest{Method: "GET", URL: u, Headers: headers, Body: strings.NewReader(secret), Request: &request},
			"http://user:xxxxx@host.test/path"},
		"FSBackend":                 {netreply.FSBackend(fstest.MapFS{secret: {Data: []byte(secret)}}), "fstest.MapFS"},
		"JSONBody":                  {netreply.JSONBody(secret), "34 bytes"},
		"FormBody":                  {netreply.FormBody(url.Values{"password": {secret}}), "bytes"},
		"CompressedBody":            {netreply.CompressedBody(netreply.JSONBody(secret), "gzip"), "34 bytes in gzip"},
		"CompressedBody, Multipart": {netreply.CompressedBody(&form, "zstd"), "Multipart in zstd"},
		"Part with a body in it":    {netreply.Part{Body: netreply.CompressedBody(netreply.StringBody(secret), "gzip")}, "32 bytes in gzip"},
	}
	for name, c := range values {
		forms := map[string]any{name: c.v}
		if v := reflect.ValueOf(c.v); v.Kind() == reflect.Pointer {
			switch name { // go vet refuses copies of the others
			case "TokenSource", "Authenticator", "PreSharedKeyAuthenticator":
				forms["*"+name] = v.Elem().Interface()
			}
		} else {
			p := reflect.New(v.Type())
			p.Elem().Set(v)
			forms["&"+name] = p.Interface()
		}
		for form, v := range forms {
			for where, v := range inside(v) {
				for verb, text := range prints(v) {
					if verb == "json" && where != "itself" {
						continue // encoding/json is not printing
					}
					requireNoSecret(t, form+" "+where+" "+verb, text)
					if where == "itself" && verb != "%T" && !strings.HasPrefix(form, "*") {
						want := c.want
						if verb == "text" || verb == "json" {
							_, want, _ = cutLast(want, ": ")
						}
						require.Contains(t, text, want, "%s %s", form, verb)
					}
				}
			}
		}
	}
	for _, nothing := range []any{(*netreply.Config)(nil), (*netreply.Request)(nil), (*netreply.Proxy)(nil), (*netreply.Reply)(nil),
		(*netreply.Manager)(nil), (*netreply.TokenSource)(nil), (*netreply.Authenticator)(nil), (*netreply.SSLConfiguration)(nil),
		(*netreply.PreSharedKeyAuthenticator)(nil), (*netreply.Redirect)(nil), (*netreply.SSLErrors)(nil), (*netreply.BackendRequest)(nil), netreply.BackendRequest{}, netreply.Config{}, netreply.Request{},
		netreply.ProxyAuthenticator{}, netreply.SSLState{}, &netreply.Reply{}, &netreply.Manager{}, &netreply.TokenSource{}} {
		for verb, text := range prints(nothing) {
			assert.NotContains(t, text, "PANIC", "%T %s", nothing, verb)
		}
	}
}

// TestEventsPrintNameAndTime: every event says what happened and when, by every verb and for
// log/slog.
func TestEventsPrintNameAndTime(t *testing.T) {
	for _, e := range []netreply.Event{
		netreply.SocketStartedConnecting{}, netreply.SSLErrorsOccurred{SSLErrors: &netreply.SSLErrors{Host: "x"}},
		netreply.PreSharedKeyAuthenticationRequired{PreSharedKeyAuthenticator: &netreply.PreSharedKeyAuthenticator{}},
		netreply.Encrypted{}, netreply.RequestSent{}, netreply.UploadProgress{}, netreply.InformationalReceived{}, netreply.MetaDataChanged{},
		netreply.AuthenticationRequired{Authenticator: &netreply.Authenticator{}},
		netreply.ProxyAuthenticationRequired{ProxyAuthenticator: &netreply.ProxyAuthenticator{Authenticator: &netreply.Authenticator{}}},
		netreply.Redirected{Redirect: &netreply.Redirect{StatusCode: 302}}, netreply.Redirected{}, netreply.ReadyRead{}, netreply.DownloadProgress{},
		netreply.ErrorOccurred{}, netreply.Finished{},
	} {
		name := reflect.TypeOf(e).Name()
		for _, verb := range []string{"%v", "%s", "%+v", "log/slog"} {
			text := fmt.Sprintf(verb, e)
			if verb == "log/slog" {
				text = slog.AnyValue(e).Resolve().String()
			}
			assert.True(t, strings.HasPrefix(text, name+" "), "%s of %s: %s", verb, name, text)
			assert.True(t, strings.HasSuffix(text, " after 0s"), "%s of %s: %s", verb, name, text)
		}
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// TestRepliesPrintNoSecret: running and finished, with what they sent and received, and
// with their errors.
func TestRepliesPrintNoSecret(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session="+secret)
		if r.URL.Path == "/moved" {
			w.Header().Set("Location", strings.Replace("http://me:"+secret+"@"+r.Host+"/401", "http:", "", 1))
			w.WriteHeader(302)
			return
		}
		w.WriteHeader(401)
	}, netreply.Config{}, func(t *testing.T, s *fixture) {
		for _, path := range []string{"/401", "/moved"} {
			req := s.request(path)
			req.URL.User = url.UserPassword("me", secret)
			req.Headers.Set("X-Api-Key", secret)
			req.SecretHeaders = []string{"X-Api-Key"}
			r := s.m.Get(t.Context(), req)
			for range 2 {
				for where, v := range inside(r) {
					for verb, text := range prints(v) {
						requireNoSecret(t, where+" "+verb, text)
						if where == "itself" && verb != "%T" {
							require.Contains(t, text, path[:1])
						}
					}
				}
				for e := range r.Events(deadline(t)) {
					for verb, text := range prints(e) {
						requireNoSecret(t, "event "+verb, text)
					}
				}
			}
			err := r.Err()
			require.Error(t, err)
			for verb, text := range prints(err) {
				requireNoSecret(t, "error "+verb, text)
			}
			requireNoSecret(t, "ErrorString", r.ErrorString())
			for verb, text := range prints(r.Request()) {
				requireNoSecret(t, "Request "+verb, text)
			}
			assert.Contains(t, fmt.Sprint(r), "StatusCode: 401")
			assert.Contains(t, fmt.Sprint(r), "finished")
		}
	})
}

// TestErrorsHoldNoSecret: errors about invalid values contain no secrets.
func TestErrorsHoldNoSecret(t *testing.T) {
	var errs []error
	for _, end := range []string{"#", "/", "?", "%zz", " ", "[", "]", "\x00", "\n", ":99999", ":x", "é"} {
		for _, scheme := range []string{"http://", "https://", "socks5://", "ftp://", "//", "", "http:/", "http:", ":", "1http://"} {
			raw := scheme + "user:" + secret + end + "et@host.test/"
			_, err := netreply.NewRequest(raw)
			errs = append(errs, err)
			_, err = netreply.ParseProxy(raw)
			errs = append(errs, err)
			_, err = netreply.NewManager(netreply.Config{Credentials: []netreply.Credential{{Origin: raw, Password: secret}}})
			errs = append(errs, err)
			for _, typ := range []netreply.ProxyType{netreply.HTTPProxy, netreply.Socks5Proxy} {
				_, err = netreply.NewManager(netreply.Config{Proxy: &netreply.Proxy{Type: typ, Host: raw}})
				errs = append(errs, err)
			}
			u, err := url.Parse(raw)
			if err != nil { // not made by a parser
				u = &url.URL{Scheme: strings.Trim(scheme, ":/1"), Host: "user:" + secret + end + "et@host.test"}
			}
			{
				m := newManager(t, netreply.Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, netreply.HostNotFoundError }})
				r := m.Fetch(t.Context(), "GET", &netreply.Request{URL: u}, nil)
				errs = append(errs, r.Err(), fmt.Errorf("%s", r.ErrorString()))
			}
		}
	}
	n := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		n++
		for verb, text := range prints(err) {
			requireNoSecret(t, verb, text)
		}
	}
	assert.Greater(t, n, 300)

	// an invalid Location of a server
	s := testserver.NewRaw(t, nil, func(c *testserver.Conn) {
		c.Head()
		c.Say("HTTP/1.1 302 Found\r\nLocation: http://user:" + secret + "#@host:x/\r\nContent-Length: 0\r\n\r\n")
	})
	err := newManager(t, netreply.Config{}).Fetch(t.Context(), "GET", newRequest(t, s.URL()), nil).Err()
	require.Error(t, err)
	requireNoSecret(t, "Location", err.Error())
}

// TestParseProxyExplains: the error explains common mistakes.
func TestParseProxyExplains(t *testing.T) {
	for _, raw := range []string{"127.0.0.1:8080", "proxy.test:3128", "proxy.test", "localhost:8080", "user:" + secret + "@proxy.test:8080", "[::1]:8080"} {
		_, err := netreply.ParseProxy(raw)
		require.Error(t, err, raw)
		assert.Contains(t, err.Error(), "http://", raw)
		requireNoSecret(t, raw, err.Error())
	}
}
