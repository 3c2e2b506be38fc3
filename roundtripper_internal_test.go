package netreply

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestHandoverWait: what there is decides, not the goroutine of the reply, which may be in a
// Backend for long.
func TestHandoverWait(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	never := make(chan struct{})
	m, err := NewManager(Config{})
	assert.NoError(t, err)
	defer m.Close()
	response := &http.Response{}
	for range 100 { // a select takes any that is ready
		h := &handover{r: &Reply{m: m}, answered: closed, response: response}
		got, err := h.wait(closed, never)
		assert.NoError(t, err)
		assert.Same(t, response, got)
	}
	h := &handover{r: &Reply{m: m}, answered: never}
	_, err = h.wait(closed, closed)
	assert.ErrorIs(t, err, OperationCanceledError)
	h.r.err = &Error{Code: TimeoutError}
	_, err = h.wait(closed, never)
	assert.ErrorIs(t, err, TimeoutError)
}
