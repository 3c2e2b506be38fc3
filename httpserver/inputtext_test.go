package httpserver_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/httpserver"
)

// An InputError's text does not have all of a number or name that a client has chosen: it is
// for logs.
func TestInputErrorIsBounded(t *testing.T) {
	for name, body := range map[string]string{
		"number": `{"count":` + strings.Repeat("9", 900_000) + `}`,
		"name":   `{"` + strings.Repeat("n", 900_000) + `":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			var v struct {
				Count int `json:"count"`
			}
			err := httpserver.DecodeJSON(r, &v, 0, httpserver.KnownFieldsOnly)
			var input *httpserver.InputError
			require.ErrorAs(t, err, &input)
			require.Less(t, len(err.Error()), 4<<10)
		})
	}
}
