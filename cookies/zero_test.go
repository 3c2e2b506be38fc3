package cookies_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/cookies"
)

// TestZeroJar: the zero value works, whatever method is called first.
func TestZeroJar(t *testing.T) {
	u := parseURL(t, "https://a.example.co.uk/")
	c := cookies.Cookie{Name: "a", Value: "1", Domain: "example.test"}
	file := filepath.Join(t.TempDir(), "jar")
	for name, use := range map[string]func(*cookies.Jar){
		"SetHeader": func(j *cookies.Jar) { assert.Equal(t, 1, j.SetHeader(u, []string{"b=1"})) },
		"suffix":    func(j *cookies.Jar) { assert.Zero(t, j.SetHeader(u, []string{"b=1; Domain=co.uk"})) },
		"Cookies":   func(j *cookies.Jar) { assert.Empty(t, j.Cookies(u)) },
		"For":       func(j *cookies.Jar) { assert.Empty(t, j.For(u)) },
		"Insert":    func(j *cookies.Jar) { assert.True(t, j.Insert(c)) },
		"Update":    func(j *cookies.Jar) { assert.False(t, j.Update(c)) },
		"Delete":    func(j *cookies.Jar) { assert.False(t, j.Delete(c)) },
		"All":       func(j *cookies.Jar) { assert.Empty(t, list(j)) },
		"Clear":     (*cookies.Jar).Clear,
		"Save":      func(j *cookies.Jar) { require.NoError(t, j.Save(file, true)) },
	} {
		t.Run(name, func(t *testing.T) {
			var j cookies.Jar
			use(&j)
			require.Equal(t, 1, j.SetHeader(u, []string{"last=1"}))
			assert.Contains(t, j.Header(u), "last=1")
		})
	}
}

// TestNoURL: a nil URL has no cookies, and does not panic.
func TestNoURL(t *testing.T) {
	j := cookies.NewJar(cookies.Options{})
	require.True(t, j.Insert(cookies.Cookie{Name: "a", Value: "1", Domain: "example.test"}))
	assert.False(t, j.Set(nil, cookies.Cookie{Name: "a", Value: "1"}))
	assert.Zero(t, j.SetHeader(nil, []string{"a=1"}))
	j.SetCookies(nil, []*http.Cookie{{Name: "a", Value: "1"}})
	j.SetCookies(parseURL(t, "http://b.test/"), []*http.Cookie{nil, {Name: "b", Value: "1"}})
	assert.Empty(t, j.Header(nil))
	assert.Empty(t, j.Cookies(nil))
	assert.Empty(t, j.For(nil))
	assert.Equal(t, 2, j.Len())
}

func list(j *cookies.Jar) (all []cookies.Cookie) {
	for c := range j.All() {
		all = append(all, c)
	}
	return all
}
