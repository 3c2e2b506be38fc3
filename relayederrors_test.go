package netreply_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/internal/testserver"
)

// TestUploadOfFailedReply: a body that is another reply's, which fails with its status, does
// not give the upload that status.
func TestUploadOfFailedReply(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.Error(w, "not here", http.StatusNotFound)
			return
		}
		io.Copy(io.Discard, r.Body)
	}))
	m := newManager(t, netreply.Config{})
	check := func(err error) {
		t.Helper()
		var e *netreply.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, netreply.UnknownNetworkError, e.Code)
		assert.Zero(t, e.StatusCode)
		assert.Equal(t, "POST", e.Method)
		assert.ErrorIs(t, e.Err, netreply.ContentNotFoundError, "the cause")
		assert.Contains(t, err.Error(), "GET "+s.URL)
	}
	source := m.Get(deadline(t), newRequest(t, s.URL))
	defer source.Close()
	req := newRequest(t, s.URL)
	req.DoNotBufferUploadData = true
	check(m.Post(deadline(t), req, netreply.ReaderBody(source)).Wait(deadline(t)))

	source = m.Get(deadline(t), newRequest(t, s.URL))
	defer source.Close()
	hr, err := http.NewRequestWithContext(deadline(t), "POST", s.URL, source)
	require.NoError(t, err)
	resp, err := m.RoundTripper(netreply.RoundTripperOptions{}).RoundTrip(hr)
	assert.Nil(t, resp)
	check(err)
}

// TestBackendRelaysError: the error of another reply, or one that looks like the status of
// HTTP, gives the reply of a Backend its code, but is not a complete response.
func TestBackendRelaysError(t *testing.T) {
	s, _ := testserver.NewOrigin(t, testserver.Plain, http.NotFoundHandler())
	inner := newManager(t, netreply.Config{})
	relayed := inner.Get(deadline(t), newRequest(t, s.URL))
	require.Error(t, relayed.Wait(deadline(t)))
	for name, failure := range map[string]error{
		"another reply's": relayed.Err(),
		"made":            &netreply.Error{Code: netreply.ContentNotFoundError, StatusCode: 404, Phase: netreply.PhaseBody},
	} {
		for _, body := range []string{"", `{"a":1}`} {
			t.Run(name+body, func(t *testing.T) {
				m := newManager(t, netreply.Config{Backends: map[string]netreply.Backend{
					"mem": netreply.BackendFunc(func(_ *netreply.BackendRequest, w netreply.ReplyWriter) error {
						if body != "" {
							if _, err := io.WriteString(w, body); err != nil {
								return err
							}
						}
						return failure
					})}})
				r := m.Get(deadline(t), newRequest(t, "mem://host/"))
				values := map[string]int{}
				err := r.JSON(&values)
				var e *netreply.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, netreply.ContentNotFoundError, e.Code)
				assert.Equal(t, "GET", e.Method)
				assert.True(t, strings.HasPrefix(e.URL, "mem:"))
				assert.Empty(t, values, "the body is not complete")

				hr, err := http.NewRequestWithContext(deadline(t), "GET", "mem://host/", nil)
				require.NoError(t, err)
				resp, err := m.RoundTripper(netreply.RoundTripperOptions{}).RoundTrip(hr)
				if body != "" {
					require.NoError(t, err)
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				assert.ErrorIs(t, err, netreply.ContentNotFoundError)
			})
		}
	}
}
