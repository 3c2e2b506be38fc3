package cacherules_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/netreply/netreply/internal/cacherules"
)

// partial is a stored part of a body of 1000 bytes.
func partial(have Spans, lines ...string) *Stored {
	rec := ok(append(lines, "Cache-Control: max-age=100", "Date: {0s}")...).Record
	rec.Have = have
	return NewStored(rec)
}

// TestPartial: what is answered from a part, and how the rest is fetched.
func TestPartial(t *testing.T) {
	of := func(lines ...string) []string { return lines }
	const strong = `ETag: "a"`
	begin := Spans{{0, 400}}
	for name, c := range map[string]struct {
		have     Spans
		response []string
		request  []string
		after    int
		action   Action
		forward  Forward
		asks     Conditions
	}{
		"inside":                {begin, of(strong), of("Range: bytes=10-19"), 0, Use, "", Conditions{}},
		"exactly":               {begin, of(strong), of("Range: bytes=0-399"), 0, Use, "", Conditions{}},
		"inside, no validator":  {begin, nil, of("Range: bytes=10-19"), 0, Use, "", Conditions{}},
		"one byte more":         {begin, of(strong), of("Range: bytes=0-400"), 0, Fetch, ForwardPartial, Conditions{}},
		"to the end":            {begin, of(strong), of("Range: bytes=10-"), 0, Fetch, ForwardPartial, Conditions{}},
		"the last":              {Spans{{900, 1000}}, of(strong), of("Range: bytes=-100"), 0, Use, "", Conditions{}},
		"in the second":         {Spans{{0, 10}, {20, 30}}, of(strong), of("Range: bytes=20-29"), 0, Use, "", Conditions{}},
		"over a hole":           {Spans{{0, 10}, {20, 30}}, of(strong), of("Range: bytes=5-25"), 0, Fetch, ForwardPartial, Conditions{}},
		"not there":             {begin, of(strong), of("Range: bytes=1000-"), 0, Use, "", Conditions{}},
		"all":                   {begin, of(strong), nil, 0, Complete, ForwardPartial, Conditions{IfRange: `"a"`, Range: "bytes=400-"}},
		"all, by date":          {begin, of("Last-Modified: {-100s}"), nil, 0, Complete, ForwardPartial, Conditions{IfRange: date(-100 * second), Range: "bytes=400-"}},
		"all, one second later": {begin, of("Last-Modified: {-1s}"), nil, 0, Complete, ForwardPartial, Conditions{IfRange: date(-second), Range: "bytes=400-"}},
		"all, same second":      {begin, of("Last-Modified: {0s}"), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, no opening quote": {begin, of(`ETag: a"`), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, no closing quote": {begin, of(`ETag: "a`), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, quote inside":     {begin, of(`ETag: "a"b"`), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, one quote":        {begin, of(`ETag: "`), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, blank inside":     {begin, of(`ETag: "a b"`), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, empty tag":        {begin, of(`ETag: ""`), nil, 0, Complete, ForwardPartial, Conditions{IfRange: `""`, Range: "bytes=400-"}},
		"all, weak":             {begin, of(`ETag: W/"a"`), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, weak and date":    {begin, of(`ETag: W/"a"`, "Last-Modified: {-100s}"), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, no validator":     {begin, nil, nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, not the start":    {Spans{{1, 400}}, of(strong), nil, 0, Fetch, ForwardPartial, Conditions{}},
		"all, with a hole":      {Spans{{0, 10}, {20, 30}}, of(strong), nil, 0, Complete, ForwardPartial, Conditions{IfRange: `"a"`, Range: "bytes=10-"}},
		"all, stale":            {begin, of(strong), nil, 200, Complete, ForwardStale, Conditions{IfRange: `"a"`, Range: "bytes=400-"}},
		"all, reload":           {begin, of(strong), of("Cache-Control: no-cache"), 0, Complete, ForwardRequest, Conditions{IfRange: `"a"`, Range: "bytes=400-"}},
		"all, own condition":    {begin, of(strong), of(`If-None-Match: "b"`), 0, Fetch, ForwardPartial, Conditions{}},
		"inside, stale":         {begin, of(strong), of("Range: bytes=10-19"), 200, Validate, ForwardStale, Conditions{IfNoneMatch: `"a"`}},
		"outside, stale":        {begin, of(strong), of("Range: bytes=500-"), 200, Fetch, ForwardStale, Conditions{}},
		"If-Range of another":   {begin, of(strong), of("Range: bytes=10-19", `If-Range: "b"`), 0, Fetch, ForwardPartial, Conditions{}},
		"not modified":          {begin, of(strong), of(`If-None-Match: "a"`), 0, Use, "", Conditions{}},
		"offline":               {begin, of(strong), of("Cache-Control: only-if-cached"), 0, GatewayTimeout, "", Conditions{}},
		"offline, inside":       {begin, of(strong), of("Cache-Control: only-if-cached", "Range: bytes=0-0"), 0, Use, "", Conditions{}},
		"everything after all":  {Spans{{0, 1000}}, of(strong), of("Range: bytes=0-"), 0, Use, "", Conditions{}},
		"while being refreshed": {begin, of(strong), of("Cache-Control: max-stale"), 200, Complete, ForwardPartial, Conditions{IfRange: `"a"`, Range: "bytes=400-"}},
	} {
		d := decide(get(c.request...), partial(c.have, c.response...), time.Duration(c.after)*second)
		assert.Equal(t, c.action, d.Action, name)
		assert.Equal(t, c.forward, d.Forward, name)
		assert.Equal(t, c.asks, d.Conditions, name)
	}
	assert.Equal(t, Use, decide(request("HEAD"), partial(begin, strong), 0).Action, "HEAD needs no body")
	assert.Equal(t, Fetch, decide(request("HEAD", "Cache-Control: no-cache"), partial(begin), 0).Action)
}

// TestCombine: a stored part and a new one (RFC 9111, section 3.4).
func TestCombine(t *testing.T) {
	const strong = `ETag: "a"`
	begin := Spans{{0, 400}}
	for name, c := range map[string]struct {
		stored *Stored
		lines  []string
		ok     bool
		have   Spans // nil for all
	}{
		"the rest":          {partial(begin, strong), []string{strong, "Content-Range: bytes 400-999/1000"}, true, nil},
		"overlapping":       {partial(begin, strong), []string{strong, "Content-Range: bytes 300-499/1000"}, true, Spans{{0, 500}}},
		"apart":             {partial(begin, strong), []string{strong, "Content-Range: bytes 500-599/1000"}, true, Spans{{0, 400}, {500, 600}}},
		"length told later": {partial(begin, strong), []string{strong, "Content-Range: bytes 400-499/*"}, true, Spans{{0, 500}}},
		"of the whole":      {ok(strong), []string{strong, "Content-Range: bytes 400-499/1000"}, true, nil},
		"other ETag":        {partial(begin, strong), []string{`ETag: "b"`, "Content-Range: bytes 400-999/1000"}, false, nil},
		"weak":              {partial(begin, `ETag: W/"a"`), []string{`ETag: W/"a"`, "Content-Range: bytes 400-999/1000"}, false, nil},
		"no ETag":           {partial(begin, strong), []string{"Content-Range: bytes 400-999/1000"}, false, nil},
		"none at all":       {partial(begin), []string{"Content-Range: bytes 400-999/1000"}, false, nil},
		"by date":           {partial(begin, "Last-Modified: {-9s}"), []string{"Date: {0s}", "Last-Modified: {-9s}", "Content-Range: bytes 400-999/1000"}, true, nil},
		"by weak date":      {partial(begin, "Last-Modified: {-9s}"), []string{"Last-Modified: {-9s}", "Content-Range: bytes 400-999/1000"}, false, nil},
		"other length":      {partial(begin, strong), []string{strong, "Content-Range: bytes 400-998/999"}, false, nil},
		"beyond the length": {partial(begin, strong), []string{strong, "Content-Range: bytes 400-1000/*"}, false, nil},
		"no Content-Range":  {partial(begin, strong), []string{strong}, false, nil},
	} {
		rec, combined := c.stored.Combine(get(), header(c.lines...), list(append(c.lines, "X: new")...), at0)
		assert.Equal(t, c.ok, combined, name)
		if c.ok {
			assert.Equal(t, c.have, rec.Have, name)
			assert.EqualValues(t, 1000, rec.Length, name)
			assert.Equal(t, "new", rec.Fields.Get("X"), name)
			assert.False(t, rec.Fields.Has("Content-Range"), name)
		}
	}
	rec := partial(begin, strong).Record
	rec.Length = -1
	rec, combined := NewStored(rec).Combine(get(), header(strong, "Content-Range: bytes 400-499/500"), list(strong), at0)
	assert.True(t, combined)
	assert.EqualValues(t, 500, rec.Length)
	assert.True(t, rec.Complete())
}

// TestSpans: against a list of bytes.
func TestSpans(t *testing.T) {
	const size = 200
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s Spans
		var bytes [size]bool
		for range 30 {
			start := rnd.Int64N(size)
			add := Span{start, min(size, start+rnd.Int64N(12))}
			before := append(Spans{}, s...)
			old := s
			s, _ = s.Add(add)
			require.Equal(t, before, append(Spans{}, old...), "the original is not changed")
			for i := add.Start; i < add.End; i++ {
				bytes[i] = true
			}
			var want Spans
			for i := range int64(size) {
				switch {
				case !bytes[i]:
				case len(want) > 0 && want[len(want)-1].End == i:
					want[len(want)-1].End++
				default:
					want = append(want, Span{i, i + 1})
				}
			}
			require.Equal(t, append(Spans{}, want...), append(Spans{}, s...))
		}
		for range 100 {
			start := rnd.Int64N(size - 20)
			c := Span{start, start + 1 + rnd.Int64N(20)}
			all := true
			for i := c.Start; i < c.End; i++ {
				all = all && bytes[i]
			}
			require.Equal(t, all, s.Contains(c))
		}
	}
	var s Spans
	for i := range int64(MaxSpans) {
		var ok bool
		s, ok = s.Add(Span{2 * i, 2*i + 1})
		require.True(t, ok)
	}
	_, ok := s.Add(Span{2 * MaxSpans, 2*MaxSpans + 1})
	assert.False(t, ok)
	joined, ok := s.Add(Span{1, 2})
	assert.True(t, ok)
	assert.Len(t, joined, MaxSpans-1)
}
