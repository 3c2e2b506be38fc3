package httpauth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply/internal/httpauth"
)

// TestParseCost: parsing allocates in proportion to the challenges found, not to the input.
func TestParseCost(t *testing.T) {
	for _, unit := range []string{`"`, `a="`, `a `, `a=`, `,`, ` `, `a,`, `@`, `\"`, `="x`, `Basic realm="a" `, `a b c`, "\x80"} {
		cost := func(n int) float64 {
			line := strings.Repeat(unit, n)
			return testing.AllocsPerRun(1, func() { httpauth.Parse([]string{line, line}) })
		}
		small, large := cost(500), cost(50_000)
		assert.LessOrEqual(t, large, 200*small+2000, "%q", unit)
	}
	assert.Len(t, httpauth.Parse([]string{strings.Repeat("a b c=d, ", 100_000)}), 32)
}

// TestDigestBounds: parameters that are stored or sent back are bounded and valid.
func TestDigestBounds(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		challenge string
		ok        bool
	}{
		{`Digest nonce=n, realm="r"`, true},
		{`Digest nonce=n, realm="` + long + `"`, false},
		{`Digest nonce=` + long, false},
		{`Digest nonce=n, opaque=` + long, false},
		{`Digest nonce=n, domain="` + strings.Repeat("/a ", 10_000) + `"`, true},
		{"Digest nonce=n, realm=\"a\x01b\"", false},
		{"Digest nonce=n, realm=\"a\\\rb\"", false},
		{"Digest nonce=n, realm=\"a\\\nb\"", false},
		{"Digest nonce=n, realm=\"a\\\x00b\"", false},
		{"Digest nonce=\"n\x7f\"", false},
		{"Digest nonce=n, opaque=\"\x1b[31m\"", false},
		{"Digest nonce=n, realm=\"caf\xc3\xa9\"", true},
		{"Digest nonce=n, realm=\"caf\xe9\"", true},
	} {
		parsed := httpauth.Parse([]string{c.challenge})
		require.Len(t, parsed, 1)
		d, err := httpauth.NewDigest(parsed[0])
		if !c.ok {
			require.Error(t, err, "%.60q", c.challenge)
			assert.NotRegexp(t, `[\x00-\x1f\x7f]`, err.Error())
			assert.Less(t, len(err.Error()), 200)
			continue
		}
		require.NoError(t, err, "%.60q", c.challenge)
		assert.LessOrEqual(t, len(d.Domain), 256)
		line, _ := d.Authorize("u\x01", "p", "GET", "/", 1, nil)
		assert.True(t, httpguts.ValidHeaderFieldValue(line), "%q", line)
	}
	for _, c := range []string{"Digest nonce=n, algorithm=\"\x1b[31mred\"", "Digest nonce=n, qop=\"\x1b[31mred\"", "Digest nonce=n, qop=" + long} {
		_, err := httpauth.NewDigest(httpauth.Parse([]string{c})[0])
		require.Error(t, err)
		assert.NotRegexp(t, `[\x00-\x1f\x7f]`, err.Error())
		assert.Less(t, len(err.Error()), 200)
	}
}

// TestNextNonceBounds: the same for nextnonce.
func TestNextNonceBounds(t *testing.T) {
	for line, want := range map[string]string{`nextnonce="m"`: "m", "nextnonce=\"m\x01\"": "", `nextnonce="` + strings.Repeat("m", 10_000) + `"`: ""} {
		i, ok := httpauth.ParseInfo([]string{line})
		require.True(t, ok)
		assert.Equal(t, want, i.NextNonce)
	}
}

// TestStrength: the order of the schemes.
func TestStrength(t *testing.T) {
	digest := func(algorithm string) *httpauth.Digest {
		d, err := httpauth.NewDigest(httpauth.Parse([]string{"Digest nonce=n, algorithm=" + algorithm})[0])
		require.NoError(t, err)
		return d
	}
	order := []httpauth.Strength{httpauth.StrengthOf("Bearer", nil), httpauth.StrengthOf("basic", nil), httpauth.StrengthOf("NTLM", nil),
		httpauth.StrengthOf("Digest", digest("MD5-sess")), httpauth.StrengthOf("Digest", digest("SHA-256"))}
	for i := 1; i < len(order); i++ {
		assert.Less(t, order[i-1], order[i])
	}
	assert.Equal(t, httpauth.StrengthOf("Digest", digest("SHA-256")), httpauth.StrengthOf("Digest", digest("SHA-512-256-sess")))
	assert.Equal(t, httpauth.ClearText, httpauth.StrengthOf("SOCKS5", nil))
}
