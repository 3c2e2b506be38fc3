package cacheentry_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/cacheentry"
	"github.com/netreply/netreply/internal/cacherules"
)

var (
	when  = time.Date(2031, 5, 6, 7, 8, 9, 123456789, time.UTC)
	whole = cacherules.Record{
		Times: cacherules.Times{Request: when, Response: when.Add(time.Second)}, Status: 200, Reason: "Fine",
		Fields:  headers.New("ETag", `"a"`, "etag", "\xff", "Empty", ""),
		Trailer: headers.New("Digest", "x"), Length: -1,
	}
	part = cacherules.Record{Times: cacherules.Times{Request: time.Unix(-5, 0), Response: time.Unix(-4, 0)}, Status: 404, Length: 1000,
		Have: cacherules.Spans{{Start: 0, End: 10}, {Start: 12, End: 1000}}, Vary: cacherules.VaryKey{1, 2, 31: 3}, Invalid: true}
)

func TestRoundTrip(t *testing.T) {
	for _, r := range []cacherules.Record{whole, part} {
		b := cacheentry.Append(nil, "https://a.test/x?y", &r)
		url, back, err := cacheentry.Parse(b)
		require.NoError(t, err)
		assert.Equal(t, "https://a.test/x?y", url)
		assert.True(t, r.Request.Equal(back.Request) && r.Response.Equal(back.Response))
		assert.True(t, r.Fields.Equal(back.Fields) && r.Trailer.Equal(back.Trailer))
		back.Times, back.Fields, back.Trailer = r.Times, r.Fields, r.Trailer
		assert.Equal(t, r, back)
	}
}

// TestDamage: no bit can be changed, and no byte can be lost or added.
func TestDamage(t *testing.T) {
	b := cacheentry.Append(nil, "u", &part)
	for i := range b {
		for bit := range 8 {
			damaged := bytes.Clone(b)
			damaged[i] ^= 1 << bit
			_, _, err := cacheentry.Parse(damaged)
			require.ErrorIs(t, err, cacheentry.ErrDamaged)
		}
		_, _, err := cacheentry.Parse(b[:i])
		require.ErrorIs(t, err, cacheentry.ErrDamaged)
	}
	_, _, err := cacheentry.Parse(append(bytes.Clone(b), 0))
	require.ErrorIs(t, err, cacheentry.ErrDamaged)
}

// FuzzParse: what is accepted is exactly what Append makes. The checksum is corrected, so that
// it does not hide the rest.
func FuzzParse(f *testing.F) {
	f.Add(cacheentry.Append(nil, "https://a.test/", &whole))
	f.Add(cacheentry.Append(nil, "", &part))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = cacheentry.WithSum(b)
		url, r, err := cacheentry.Parse(b)
		if err != nil {
			return
		}
		require.Equal(t, b, cacheentry.Append(nil, url, &r))
		for i, s := range r.Have {
			require.Greater(t, s.Len(), int64(0))
			require.True(t, i == 0 || s.Start > r.Have[i-1].End)
		}
		cacherules.NewStored(r)
	})
}
