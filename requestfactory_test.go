package netreply_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

func newFactory(t testing.TB, baseURL string) netreply.RequestFactory {
	t.Helper()
	f, err := netreply.NewRequestFactory(baseURL)
	require.NoError(t, err)
	return f
}

// TestFactoryJoinsPaths: a path is appended to that of the base URL, with one slash, and
// what stands in it stays as it is written.
func TestFactoryJoinsPaths(t *testing.T) {
	for _, c := range []struct{ base, path, want string }{
		{"https://a.test", "", "https://a.test"},
		{"https://a.test", "x", "https://a.test/x"},
		{"https://a.test", "/x", "https://a.test/x"},
		{"https://a.test/", "/x", "https://a.test/x"},
		{"https://a.test/v2", "", "https://a.test/v2"},
		{"https://a.test/v2", "/", "https://a.test/v2/"},
		{"https://a.test/v2", "x/y/", "https://a.test/v2/x/y/"},
		{"https://a.test/v2/", "x", "https://a.test/v2/x"},
		{"https://a.test/v2/", "/x", "https://a.test/v2/x"},
		{"https://a.test/v2#top", "x#part", "https://a.test/v2/x"},
		{"https://a.test/v2?key=1", "x?a=b&c", "https://a.test/v2/x?key=1&a=b&c"},
		{"https://a.test/a%2Fb", "c%2Fd e/ü%zz", "https://a.test/a%2Fb/c%2Fd%20e/%C3%BC%25zz"},
		{"https://a.test/", "/items:batchGet;v=1/...", "https://a.test/items:batchGet;v=1/..."},
		{"https://a.test/", `x\y?q=a b"`, `https://a.test/x%5Cy?q=a%20b%22`},
		{"https://u:p@a.test/v2", "x", "https://u:p@a.test/v2/x"},
		{"unix+http://a.test/v2", "x", "unix+http://a.test/v2/x"},
	} {
		q, err := newFactory(t, c.base).New(c.path)
		if assert.NoError(t, err, "%v", c) {
			assert.Equal(t, c.want, q.URL.String(), "%v", c)
		}
	}
}

// TestFactoryEncodesValues: no value changes the structure of the URL.
func TestFactoryEncodesValues(t *testing.T) {
	f := newFactory(t, "https://a.test/v2")
	for value, want := range map[string]string{
		"7":                 "7",
		"a/b?c#d":           "a%2Fb%3Fc%23d",
		`a\b`:               "a%5Cb",
		"//evil.test/x":     "%2F%2Fevil.test%2Fx",
		"https://evil.test": "https%3A%2F%2Fevil.test",
		"a b+c&d=e;f":       "a%20b%2Bc%26d%3De%3Bf",
		"%2e%2e":            "%252e%252e",
		"...":               "...",
		".hidden":           ".hidden",
		"grün\r\nX: 1\xff":  "gr%C3%BCn%0D%0AX%3A%201%FF",
		"{id}":              "%7Bid%7D",
	} {
		q, err := f.New("users/{id}/posts", netreply.PathParam("id", value), netreply.QueryParam("q", value))
		require.NoError(t, err, value)
		assert.Equal(t, "https://a.test/v2/users/"+want+"/posts?q="+want, q.URL.String())
		assert.Equal(t, value, q.URL.Query().Get("q"), "as a server decodes it")
	}
	q, err := f.New("{from}-{to}.{ext}", netreply.PathParam("from", 1), netreply.PathParam("to", uint64(1<<63)), netreply.PathParam("ext", ""))
	require.NoError(t, err)
	assert.Equal(t, "https://a.test/v2/1-9223372036854775808.", q.URL.String(), "several in one segment")
}

// TestFactoryRefuses: each error names what is wrong.
func TestFactoryRefuses(t *testing.T) {
	id := func(v string) []netreply.Param { return []netreply.Param{netreply.PathParam("id", v)} }
	for _, c := range []struct {
		path   string
		params []netreply.Param
		field  string
	}{
		{"users/{id}", nil, "path parameter id"},
		{"users/{id}", []netreply.Param{netreply.QueryParam("id", 1)}, "path parameter id"},
		{"users", id("1"), "path parameter id"},
		{"users/{id}", append(id("1"), id("2")...), "path parameter id"},
		{"users/{id}", id(""), "path parameter id"},
		{"users/{id}", id("."), "path parameter id"},
		{"users/{id}", id(".."), "path parameter id"},
		{"users/{id}", id("../x"), "path parameter id"},
		{"users/{id}", id("x/../y"), "path parameter id"},
		{"users/{id}", id(`x\..`), "path parameter id"},
		{"users/.{id}", id("."), "path parameter id"},
		{"users/{id}.", id("."), "path parameter id"},
		{"users/%2e{id}", id("."), "path parameter id"},
		{"users/x%2F{id}", id(".."), "path parameter id"},
		{"users/x%2F.{id}", id("."), "path parameter id"},
		{"users/{id}", []netreply.Param{{}}, "parameter"},
		{"users", []netreply.Param{netreply.QueryParam("", 1)}, "parameter"},
		{"https://evil.test/", nil, "path"},
		{"HTTP:x", nil, "path"},
		{"mailto:x", nil, "path"},
		{"//evil.test/", nil, "path"},
		{"../x", nil, "path"},
		{"x/..", nil, "path"},
		{"x/%2E%2e/y", nil, "path"},
		{"x/a%2f..", nil, "path"},
		{"./x", nil, "path"},
		{"users/{}", nil, "path"},
		{"users/{id", id("1"), "path"},
		{"users/{{id}}", id("1"), "path"},
		{"users/}", nil, "path"},
		{"users?id={id}", id("1"), "path"},
	} {
		q, err := newFactory(t, "https://a.test/v2/").New(c.path, c.params...)
		assert.Nil(t, q)
		require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, "%+v", c)
		requireField(t, err, c.field)
	}

	base := &url.URL{Scheme: "https", Host: "a.test"}
	for field, f := range map[string]netreply.RequestFactory{
		"BaseURL":     {},
		"Common.URL":  {BaseURL: base, Common: netreply.Request{URL: base}},
		"Params":      {BaseURL: base, Params: []netreply.Param{{}}},
		"BearerToken": {BaseURL: base, BearerToken: "a b"},
	} {
		_, err := f.New("x")
		requireField(t, err, "RequestFactory."+field)
	}
	for name, f := range map[string]netreply.RequestFactory{
		"BaseURL: the scheme":     {BaseURL: &url.URL{Host: "a.test"}},
		"BaseURL: a slash":        {BaseURL: &url.URL{Scheme: "https", Opaque: "a.test"}},
		"Params: the path":        {BaseURL: base, Params: []netreply.Param{netreply.PathParam("a", 1), netreply.PathParam("a", 2)}},
		"BearerToken: must consi": {BaseURL: base, BearerToken: "a\r\nb"},
		"BearerToken: must not be set together with Common.Bearer": {BaseURL: base, BearerToken: "a",
			Common: netreply.Request{Bearer: netreply.NewTokenSource(nil)}},
		"BearerToken: must not be set together with the field": {BaseURL: base, BearerToken: "a",
			Common: netreply.Request{Headers: netreply.NewHeaders("authorization", "Basic x")}},
	} {
		_, err := f.New("x")
		assert.ErrorContains(t, err, "RequestFactory."+name)
	}
	_, err := netreply.NewRequestFactory("https://a.test:x/")
	requireField(t, err, "URL")
	for _, base := range []string{"", "example.org/api", "/api", "//example.org/api", "mailto:x", "https:example.org"} {
		f, err := netreply.NewRequestFactory(base)
		require.ErrorIs(t, err, netreply.ProtocolInvalidOperationError, base)
		requireField(t, err, "RequestFactory.BaseURL")
		assert.Equal(t, netreply.RequestFactory{}, f)
	}
}

// TestFactoryMergesParameters: query parameters have a fixed order, and path parameters of a
// call replace those of the factory, which need not be used.
func TestFactoryMergesParameters(t *testing.T) {
	f := newFactory(t, "https://a.test/{x}?z=base")
	f.Params = []netreply.Param{netreply.QueryParam("z", "common"), netreply.PathParam("tenant", "one"), netreply.QueryParam("a", true)}
	for range 20 {
		q, err := f.New("x?z=path", netreply.QueryParam("z", "call"), netreply.QueryParam("a&b", -1))
		require.NoError(t, err)
		assert.Equal(t, "https://a.test/%7Bx%7D/x?z=base&z=common&a=true&z=path&z=call&a%26b=-1", q.URL.String(), "braces of the base URL are no placeholders")
	}
	q, err := f.New("{tenant}/{tenant}")
	require.NoError(t, err)
	assert.Equal(t, "/{x}/one/one", q.URL.Path)
	q, err = f.New("{tenant}", netreply.PathParam("tenant", "two"))
	require.NoError(t, err)
	assert.Equal(t, "/{x}/two", q.URL.Path)
}

type userID string

func (userID) String() string { return "not the value" }

func TestParamValues(t *testing.T) {
	f := newFactory(t, "https://a.test")
	q, err := f.New("{s}/{b}/{i}/{i32}/{i64}/{u}/{u32}/{u64}", netreply.PathParam("s", userID("u1")), netreply.PathParam("b", false), netreply.PathParam("i", -1),
		netreply.PathParam("i32", int32(-2)), netreply.PathParam("i64", int64(-3)), netreply.PathParam("u", uint(4)), netreply.PathParam("u32", uint32(5)),
		netreply.PathParam("u64", uint64(6)))
	require.NoError(t, err)
	assert.Equal(t, "/u1/false/-1/-2/-3/4/5/6", q.URL.Path)
	assert.Equal(t, "{id}=7", netreply.PathParam("id", 7).String())
	assert.Equal(t, "page=2", netreply.QueryParam("page", 2).String())
}

// TestFactoryCommonFields: every request has the common fields, and neither a request nor a
// copy of the factory shares them.
func TestFactoryCommonFields(t *testing.T) {
	tag := netreply.NewUserAttribute[string]("tag")
	f := newFactory(t, "https://a.test/v2?a=1")
	f.Common.Headers.Set("Accept", "text/plain")
	f.Common.TransferTimeout = 3 * time.Second
	f.Common.Priority = netreply.HighPriority
	f.Common.SSLConfiguration = &netreply.SSLConfiguration{PeerVerifyName: "b.test"}
	f.Common.SecretHeaders = []string{"X-Key"}
	tag.Set(&f.Common, "first")

	q, err := f.New("x")
	require.NoError(t, err)
	assert.Equal(t, "text/plain", q.Headers.Get("Accept"))
	assert.Equal(t, 3*time.Second, q.TransferTimeout)
	assert.Equal(t, netreply.HighPriority, q.Priority)
	assert.Equal(t, "b.test", q.SSLConfiguration.PeerVerifyName)
	v, ok := tag.Of(q)
	assert.True(t, ok)
	assert.Equal(t, "first", v)

	other := f
	tag.Set(&other.Common, "second")
	other.Common.Headers.Set("Accept", "text/html")
	cleared := f
	tag.Clear(&cleared.Common)
	q.Headers.Set("Accept", "*/*")
	q.URL.Path = "/changed"
	q.URL.RawQuery = "changed"
	q.SSLConfiguration.PeerVerifyName = "changed"
	q.SecretHeaders[0] = "changed"
	tag.Set(q, "third")

	again, err := f.New("x")
	require.NoError(t, err)
	assert.Equal(t, "text/plain", again.Headers.Get("Accept"))
	assert.Equal(t, "https://a.test/v2/x?a=1", again.URL.String())
	assert.Equal(t, "b.test", again.SSLConfiguration.PeerVerifyName)
	assert.Equal(t, []string{"X-Key"}, again.SecretHeaders)
	v, _ = tag.Of(again)
	assert.Equal(t, "first", v)
	_, ok = tag.Of(&cleared.Common)
	assert.False(t, ok)
}

// TestFactoryIsConcurrent: concurrent calls of New do not disturb each other.
func TestFactoryIsConcurrent(t *testing.T) {
	f := newFactory(t, "https://a.test")
	f.BearerToken = "token"
	f.Params = append(make([]netreply.Param, 0, 8), netreply.PathParam("common", "c"), netreply.QueryParam("q", 1))
	f.Common.Headers.Add("A", "1")
	done := make(chan error)
	for i := range 8 {
		go func() {
			q, err := f.New("{common}/{i}", netreply.PathParam("i", i), netreply.QueryParam("i", i))
			if err == nil {
				q.Headers.Add("B", "2")
				q.URL.Path = "changed"
			}
			done <- err
		}()
	}
	for range 8 {
		assert.NoError(t, <-done)
	}
}

// TestFactoryCredentials: token and password reach the origin of the base URL, and no other
// one after a redirect.
func TestFactoryCredentials(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("another origin has got credentials")
		}
		if r.URL.Path == "/challenge" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(other.Close)
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/away"):
			http.Redirect(w, r, other.URL+strings.TrimPrefix(r.URL.Path, "/v1/away"), http.StatusFound)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Write([]byte(r.Header.Get("Authorization")))
		}
	}))
	m := newManager(t, netreply.Config{})
	get := func(f netreply.RequestFactory, path string) (string, error) {
		q, err := f.New(path)
		require.NoError(t, err)
		body, err := m.Get(deadline(t), q).ReadAll()
		return string(body), err
	}
	token, password, source := newFactory(t, s.URL+"/v1"), newFactory(t, s.URL+"/v1"), newFactory(t, s.URL+"/v1")
	token.BearerToken = "static"
	password.User, password.Password = "gopher", "burrow"
	source.Common.Bearer = netreply.NewTokenSource(func(context.Context) (netreply.Token, error) { return netreply.Token{Value: "fetched"}, nil })
	for want, f := range map[string]netreply.RequestFactory{"Bearer static": token, "Basic Z29waGVyOmJ1cnJvdw==": password, "Bearer fetched": source} {
		got, err := get(f, "x")
		assert.NoError(t, err, want)
		assert.Equal(t, want, got)
		_, err = get(f, "away")
		assert.NoError(t, err, want)
		_, err = get(f, "away/challenge")
		assert.ErrorIs(t, err, netreply.AuthenticationRequiredError, want)
	}

	f := newFactory(t, strings.Replace(s.URL, "//", "//old:secret@", 1))
	f.User = "me"
	q, err := f.New("x")
	require.NoError(t, err)
	assert.Equal(t, "me", q.URL.User.Username())
	pw, _ := q.URL.User.Password()
	assert.Empty(t, pw, "both are replaced")
}
