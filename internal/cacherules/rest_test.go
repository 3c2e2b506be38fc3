package cacherules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/netreply/netreply/internal/cacherules"
)

// TestRest: which responses have the rest of a stored body of 1000 bytes, from 400 on.
func TestRest(t *testing.T) {
	of := func(lines ...string) []string { return lines }
	const strong, weak = `ETag: "a"`, `ETag: W/"a"`
	byDate := "Last-Modified: {-100s}"
	for name, c := range map[string]struct {
		stored []string
		status int
		fields []string
		length int64
		end    int64
		skip   int64
		sure   bool
		ok     bool
	}{
		"206":                    {of(strong), 206, of(strong, "Content-Range: bytes 400-999/1000"), 600, 1000, 0, true, true},
		"206 to where it ends":   {of(strong), 206, of(strong, "Content-Range: bytes 400-999/1000"), 600, -1, 0, true, true},
		"206, length not told":   {of(strong), 206, of(strong, "Content-Range: bytes 400-999/*"), 600, -1, 0, true, true},
		"206 of a part":          {of(strong), 206, of(strong, "Content-Range: bytes 400-499/1000"), 100, 500, 0, true, true},
		"206 by date":            {of(byDate, "Date: {0s}"), 206, of(byDate, "Date: {0s}", "Content-Range: bytes 400-999/1000"), 600, 1000, 0, true, true},
		"206, too short":         {of(strong), 206, of(strong, "Content-Range: bytes 400-499/1000"), 100, 1000, 0, true, false},
		"206, too short, to end": {of(strong), 206, of(strong, "Content-Range: bytes 400-499/1000"), 100, -1, 0, true, false},
		"206, later":             {of(strong), 206, of(strong, "Content-Range: bytes 401-999/1000"), 599, 1000, 0, true, false},
		"206, earlier":           {of(strong), 206, of(strong, "Content-Range: bytes 0-999/1000"), 1000, 1000, 0, true, false},
		"206, other length":      {of(strong), 206, of(strong, "Content-Range: bytes 400-999/1001"), 600, 1000, 0, true, false},
		"206, other tag":         {of(strong), 206, of(`ETag: "b"`, "Content-Range: bytes 400-999/1000"), 600, 1000, 0, true, false},
		"206, no tag":            {of(strong), 206, of("Content-Range: bytes 400-999/1000"), 600, 1000, 0, true, false},
		"206, no range":          {of(strong), 206, of(strong), 600, 1000, 0, true, false},
		"206, not asked for":     {nil, 206, of("Content-Range: bytes 400-999/1000"), 600, 1000, 0, false, false},
		"200":                    {of(strong), 200, of(strong), 1000, 1000, 400, true, true},
		"200, length not told":   {of(strong), 200, of(strong), -1, 1000, 400, true, true},
		"200, other length":      {of(strong), 200, of(strong), 1001, 1000, 0, false, false},
		"200, other tag":         {of(strong), 200, of(`ETag: "b"`), 1000, 1000, 0, false, false},
		"200, weak":              {of(weak), 200, of(weak), 1000, 1000, 400, false, true},
		"200, weak, not told":    {of(weak), 200, of(weak), -1, 1000, 400, false, false},
		"200, other weak":        {of(weak), 200, of(`ETag: W/"b"`), 1000, 1000, 0, false, false},
		"200, no validator":      {nil, 200, nil, 1000, 1000, 400, false, true},
		"200, other date":        {of("Last-Modified: {0s}"), 200, of("Last-Modified: {1s}"), 1000, 1000, 0, false, false},
		"200, other type":        {of("Content-Type: a/b"), 200, of("Content-Type: a/c"), 1000, 1000, 0, false, false},
		"200, other coding":      {nil, 200, of("Content-Encoding: gzip"), 1000, 1000, 0, false, false},
		"304":                    {of(strong), 304, of(strong), 0, 1000, 0, false, false},
		"500":                    {of(strong), 500, nil, 1000, 1000, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			skip, sure, fits := ok(c.stored...).Rest(c.status, header(c.fields...), c.length, 400, c.end)
			assert.Equal(t, c.ok, fits)
			if c.ok {
				assert.Equal(t, c.skip, skip)
				assert.Equal(t, c.sure, sure)
			}
		})
	}
	assert.Equal(t, Conditions{IfRange: `"a"`, Range: "bytes=400-999"}, ok(strong).RestConditions(400, 1000))
	assert.Equal(t, Conditions{IfRange: `"a"`, Range: "bytes=400-"}, ok(strong).RestConditions(400, -1))
	assert.Equal(t, Conditions{IfRange: date(-100 * second), Range: "bytes=0-0"}, ok(byDate, "Date: {0s}").RestConditions(0, 1))
	assert.Equal(t, Conditions{}, ok(weak).RestConditions(400, 1000))
	assert.Equal(t, Conditions{}, ok().RestConditions(400, 1000))
	gone := respond(get(), 404)
	_, _, fits := gone.Rest(200, nil, 1000, 400, 1000)
	assert.False(t, fits)
	_, _, fits = gone.Rest(404, nil, 1000, 400, 1000)
	assert.True(t, fits)
}
