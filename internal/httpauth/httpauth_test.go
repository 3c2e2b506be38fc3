package httpauth_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/internal/httpauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type params = map[string]string

func TestParse(t *testing.T) {
	for in, want := range map[string][]httpauth.Challenge{
		`Basic realm="a"`:              {{Scheme: "Basic", Params: params{"realm": "a"}}},
		`basic Realm=a`:                {{Scheme: "basic", Params: params{"realm": "a"}}},
		`Negotiate`:                    {{Scheme: "Negotiate", Params: params{}}},
		`NTLM TlRMTVNTUAAC/+==`:        {{Scheme: "NTLM", Token: "TlRMTVNTUAAC/+==", Params: params{}}},
		`Negotiate, NTLM`:              {{Scheme: "Negotiate", Params: params{}}, {Scheme: "NTLM", Params: params{}}},
		`Negotiate abc=, NTLM`:         {{Scheme: "Negotiate", Token: "abc=", Params: params{}}, {Scheme: "NTLM", Params: params{}}},
		`Basic realm="a, Digest", x=1`: {{Scheme: "Basic", Params: params{"realm": "a, Digest", "x": "1"}}},
		`Digest realm="r",nonce="n",qop="auth,auth-int",algorithm=MD5, Basic realm="b"`: {
			{Scheme: "Digest", Params: params{"realm": "r", "nonce": "n", "qop": "auth,auth-int", "algorithm": "MD5"}},
			{Scheme: "Basic", Params: params{"realm": "b"}}},
		`Basic realm="qu\"ote\\"`:        {{Scheme: "Basic", Params: params{"realm": `qu"ote\`}}},
		`Basic realm = "spaces" , a = b`: {{Scheme: "Basic", Params: params{"realm": "spaces", "a": "b"}}},
		`Basic realm="open`:              {{Scheme: "Basic", Params: params{"realm": "open"}}},
		`Basic realm="one", realm="two"`: {{Scheme: "Basic", Params: params{"realm": "one"}}},
		`,, Basic realm="a",,`:           {{Scheme: "Basic", Params: params{"realm": "a"}}},
		`realm="lost", Basic realm="a"`:  {{Scheme: "Basic", Params: params{"realm": "a"}}},
		`"what", Basic realm="a"`:        {{Scheme: "Basic", Params: params{"realm": "a"}}},
		`Basic realm="a", @@, Bearer`:    {{Scheme: "Basic", Params: params{"realm": "a"}}, {Scheme: "Bearer", Params: params{}}},
		`Bearer error="x", realm="a b"`:  {{Scheme: "Bearer", Params: params{"realm": "a b", "error": "x"}}},
		`Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple"`: {
			{Scheme: "Newauth", Params: params{"realm": "apps", "type": "1", "title": `Login to "apps"`}},
			{Scheme: "Basic", Params: params{"realm": "simple"}}},
		"": nil, " , ": nil, "=": nil, "é": nil,
	} {
		assert.Equal(t, want, httpauth.Parse([]string{in}), in)
	}
	assert.Len(t, httpauth.Parse([]string{"Basic realm=a", "NTLM"}), 2)
	assert.Len(t, httpauth.Parse([]string{strings.Repeat("X,", 1000)}), 32)
}

// TestDigest: the examples of RFC 7616, section 3.9, except for their cnonce.
func TestDigest(t *testing.T) {
	c := httpauth.Parse([]string{`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`})
	require.Len(t, c, 1)
	d, err := httpauth.NewDigest(c[0])
	require.NoError(t, err)
	assert.False(t, d.NeedsBody())
	line, _ := d.Authorize("Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, nil)
	got := httpauth.Parse([]string{line})[0]
	assert.Equal(t, "00000001", got.Params["nc"])
	assert.Equal(t, "auth", got.Params["qop"])
	assert.Equal(t, "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", got.Params["opaque"])
	assert.Len(t, got.Params["response"], 64)
	assert.Len(t, got.Params["cnonce"], 32)

	// without a qop there is no cnonce: RFC 2069, and its erratum
	d, err = httpauth.NewDigest(httpauth.Parse([]string{`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`})[0])
	require.NoError(t, err)
	line, _ = d.Authorize("Mufasa", "CircleOfLife", "GET", "/dir/index.html", 1, nil)
	assert.Equal(t, `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", `+
		`response="1949323746fe6a43ef61f9606e7febea"`, line)
}

func TestDigestNames(t *testing.T) {
	digest := func(extra string) *httpauth.Digest {
		d, err := httpauth.NewDigest(httpauth.Parse([]string{`Digest realm="a\"b", nonce="n", ` + extra})[0])
		require.NoError(t, err)
		return d
	}
	line, _ := digest(`qop=auth`).Authorize(`us"er`, "p", "GET", "/", 255, nil)
	assert.Contains(t, line, `username="us\"er", realm="a\"b"`)
	assert.Contains(t, line, "nc=000000ff")
	line, _ = digest(`qop=auth, charset=UTF-8`).Authorize("Jäsøn Doe", "p", "GET", "/", 1, nil)
	assert.Contains(t, line, "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe,")
	line, _ = digest(`qop=auth, userhash=true, algorithm=SHA-512-256`).Authorize("Jäsøn Doe", "p", "GET", "/", 1, nil)
	assert.Regexp(t, `username="[0-9a-f]{64}"`, line)
	assert.Contains(t, line, ", userhash=true")
	assert.Greater(t, digest("algorithm=SHA-512-256").Strength(), digest("algorithm=SHA-256-sess").Strength())
	assert.Greater(t, digest("algorithm=SHA-256").Strength(), digest("algorithm=MD5-sess").Strength())
	// the user name's hash of RFC 7616, section 3.9.2
	d, err := httpauth.NewDigest(httpauth.Parse([]string{`Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true`})[0])
	require.NoError(t, err)
	line, _ = d.Authorize("Jäsøn Doe", "Secret, or not?", "GET", "/doe.json", 1, nil)
	assert.Contains(t, line, `username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"`)
}

// TestDigestBody: the answer for qop=auth-int depends on the request body, also on an empty
// one.
func TestDigestBody(t *testing.T) {
	md5sum := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	d, err := httpauth.NewDigest(httpauth.Parse([]string{`Digest realm="r", nonce="n", qop="auth-int"`})[0])
	require.NoError(t, err)
	require.True(t, d.NeedsBody())
	for _, body := range []string{"", "body"} {
		h := d.NewHash()
		if io.WriteString(h, body); body == "" {
			h = nil
		}
		line, _ := d.Authorize("u", "p", "POST", "/", 1, h)
		p := httpauth.Parse([]string{line})[0].Params
		assert.Equal(t, "auth-int", p["qop"])
		assert.Equal(t, md5sum(md5sum("u:r:p")+":n:00000001:"+p["cnonce"]+":auth-int:"+md5sum("POST:/:"+md5sum(body))), p["response"])
	}
}

func TestDigestRefused(t *testing.T) {
	for _, s := range []string{`Digest realm="r"`, `Digest nonce=n, algorithm=SHA-1`, `Digest nonce=n, qop=else`, `Digest nonce=n, qop=""`} {
		_, err := httpauth.NewDigest(httpauth.Parse([]string{s})[0])
		require.Error(t, err, s)
	}
	d, err := httpauth.NewDigest(httpauth.Parse([]string{`Digest nonce=n, stale=TRUE, domain="/a http://x/b"`})[0])
	require.NoError(t, err)
	assert.True(t, d.Stale)
	assert.Equal(t, []string{"/a", "http://x/b"}, d.Domain)
}

// TestInfo: the server's proof, with and without the body.
func TestInfo(t *testing.T) {
	d, err := httpauth.NewDigest(httpauth.Parse([]string{`Digest realm="r", nonce="n", qop="auth"`})[0])
	require.NoError(t, err)
	_, a := d.Authorize("u", "p", "GET", "/x", 1, nil)
	for line, ok := range map[string]bool{
		`nextnonce="m"`:                                   true,
		`rspauth="0123", qop=auth`:                        false,
		`qop=auth-int, rspauth="00", nextnonce="m"`:       false,
		`qop=auth, cnonce="x", nc=00000001`:               true,
		`rspauth="` + strings.Repeat("0", 32) + `"`:       false,
		`rspauth="` + a.Proof(nil) + `", qop=auth`:        true,
		`rspauth="` + strings.ToUpper(a.Proof(nil)) + `"`: true,
	} {
		i, found := httpauth.ParseInfo([]string{line})
		require.True(t, found)
		h := a.Hash(i)
		assert.Equal(t, strings.Contains(line, "auth-int"), h != nil, line)
		assert.Equal(t, ok, a.Verify(i, h), line)
	}
	i, _ := httpauth.ParseInfo([]string{`qop=auth-int, rspauth="x"`})
	h := a.Hash(i)
	io.WriteString(h, "the body")
	i, _ = httpauth.ParseInfo([]string{`qop=auth-int, rspauth="` + a.Proof(h) + `"`})
	assert.True(t, a.Verify(i, h))
	_, found := httpauth.ParseInfo(nil)
	assert.False(t, found)
}

func TestBasic(t *testing.T) {
	assert.Equal(t, "Basic dGVzdDoxMjPCow==", httpauth.Basic("test", "123£")) // RFC 7617, section 2.1
}

func TestNTLM(t *testing.T) {
	msg, err := httpauth.NTLMStart()
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(msg, []byte("NTLMSSP\x00\x01")))
	for _, token := range []string{"", "x", "NTLMSSP\x00\x02", "NTLMSSP\x00\x01\x00\x00\x00"} {
		_, err := httpauth.NTLMAnswer([]byte(token), "u", "secret")
		require.Error(t, err, token)
		require.NotContains(t, err.Error(), "secret")
	}
}

// FuzzParse: no line causes a panic, and the parsed challenges can be answered.
func FuzzParse(f *testing.F) {
	f.Add(`Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256-sess, userhash=true, Basic realm=x, NTLM abc==`)
	f.Add(`Negotiate, Basic realm="a\"b"`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range httpauth.Parse([]string{line}) {
			if c.Scheme == "" {
				t.Fatal("no scheme")
			}
			if d, err := httpauth.NewDigest(c); err == nil {
				answer, _ := d.Authorize("user", "secret", "GET", "/", 1, nil)
				if strings.Contains(answer, "secret") && !strings.Contains(line, "secret") {
					t.Fatal(answer)
				}
			}
			httpauth.NTLMAnswer([]byte(c.Token), "user", "secret")
		}
		httpauth.ParseInfo([]string{line})
	})
}
