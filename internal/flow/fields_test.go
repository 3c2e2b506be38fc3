package flow

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply/headers"
	"github.com/netreply/netreply/internal/httpurl"
)

// TestNextHeaders: rules R13 and D11.
func TestNextHeaders(t *testing.T) {
	all := headers.New("Accept", "1", "content-type", "2", "Content-Length", "3", "Content-Encoding", "4", "Content-Language", "5", "Content-Location", "6",
		"Content-Digest", "7", "Repr-Digest", "8", "Digest", "9", "Content-MD5", "10", "Transfer-Encoding", "11", "Trailer", "12", "Expect", "13",
		"Last-Modified", "14", "Content", "15", "Content-", "16")
	kept := NextHeaders(all.Clone(), nil, httpurl.Plan{SameOrigin: true})
	assert.True(t, kept.Equal(headers.New("Accept", "1", "Content", "15", "Content-", "16")), "%v", kept)
	assert.True(t, NextHeaders(all.Clone(), nil, httpurl.Plan{SameOrigin: true, SendBody: true}).Equal(all))

	own := headers.New("authorization", "1", "COOKIE", "2", "Cookie2", "3", "Proxy-authorization", "4", "host", "5", "x-key", "6", "X-Mine", "7", "Authorization", "8")
	assert.True(t, NextHeaders(own.Clone(), []string{"X-KEY"}, httpurl.Plan{SendBody: true}).Equal(headers.New("X-Mine", "7")))
	assert.True(t, NextHeaders(own.Clone(), []string{"X-KEY"}, httpurl.Plan{SendBody: true, SameOrigin: true}).Equal(own))
}
