package netreply_test

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
)

// takeApart describes a multipart body, with nested parts in brackets.
func takeApart(w io.Writer, contentType string, body io.Reader) {
	typ, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		text, _ := io.ReadAll(body)
		fmt.Fprintf(w, "%s:%s ", contentType, text)
		return
	}
	fmt.Fprintf(w, "%s[ ", typ)
	for mr := multipart.NewReader(body, params["boundary"]); ; {
		p, err := mr.NextPart()
		if err != nil {
			break
		}
		takeApart(w, p.Header.Get("Content-Type"), p)
	}
	fmt.Fprint(w, "] ")
}

// TestMultipartTypes: the default types of bodies and parts.
func TestMultipartTypes(t *testing.T) {
	eachProtocol(t, func(w http.ResponseWriter, r *http.Request) { takeApart(w, r.Header.Get("Content-Type"), r.Body) },
		netreply.Config{}, func(t *testing.T, s *fixture) {
			inner := &netreply.Multipart{Type: netreply.AlternativeType}
			inner.Add(netreply.NewHeaders("Content-Type", "text/plain"), netreply.StringBody("a"))
			inner.Add(netreply.NewHeaders("Content-Type", "text/html"), netreply.StringBody("b"))
			outer := &netreply.Multipart{}
			outer.Add(netreply.Headers{}, inner)
			outer.Add(netreply.NewHeaders("Content-Type", "text/x-own"), inner)
			outer.AddFile("f", "f.bin", "", netreply.StringBody("c"))
			outer.AddFile("g", "g.txt", "text/plain", netreply.StringBody("d"))
			body, err := s.m.Post(t.Context(), s.request("/"), outer).ReadAll()
			require.NoError(t, err)
			assert.Regexp(t, `^multipart/mixed\[ multipart/alternative\[ text/plain:a text/html:b \] text/x-own:(?s:.*) application/octet-stream:c text/plain:d \] $`, string(body))
		})
}
