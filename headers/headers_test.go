package headers_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/netreply/netreply/headers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEqual(t *testing.T) {
	h := headers.New("A", "1", "b", "2")
	assert.True(t, h.Equal(headers.New("a", "1", "B", "2")))
	assert.False(t, h.Equal(headers.New("b", "2", "a", "1")), "the order counts")
	assert.False(t, h.Equal(headers.New("a", "1", "b", "3")))
	assert.True(t, headers.Headers{}.Equal(headers.New()))
}

// TestHTTP: the values of a name are together, in order, under its canonical name.
func TestHTTP(t *testing.T) {
	h := headers.New("b", "1", "A", "2", "B", "3")
	m := h.HTTP()
	assert.Equal(t, http.Header{"B": {"1", "3"}, "A": {"2"}}, m)
	m["B"][0] = "4"
	assert.Equal(t, "1", h.Get("b"), "no memory is shared")
	assert.Equal(t, http.Header{}, headers.Headers{}.HTTP())
}

func TestFromHTTP(t *testing.T) {
	h := headers.FromHTTP(http.Header{"B": {"2", "3"}, "A": {"1"}})
	assert.True(t, h.Equal(headers.FromFields([]headers.Field{{"A", "1"}, {"B", "2"}, {"B", "3"}})))
}

func TestInvalid(t *testing.T) {
	_, _, found := headers.New("A", "ä\t", "B", "").Invalid()
	assert.False(t, found)
	f, badName, found := headers.New("A", "1", "B C", "2").Invalid()
	assert.True(t, found && badName)
	assert.Equal(t, "B C", f.Name)
	for _, v := range []string{"a\r\nb", "a\x00", "\n"} {
		f, badName, found = headers.New("A", v).Invalid()
		assert.True(t, found && !badName, v)
		assert.Equal(t, "A", f.Name)
	}
}

func Example() {
	h := headers.New("Accept", "text/html", "X-Id", "1", "accept", "text/plain")
	fmt.Println(h.Get("ACCEPT"), h.Values("accept"), h.Joined("Accept"))
	// Output: text/html [text/html text/plain] text/html, text/plain
}
