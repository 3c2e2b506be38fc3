package netreplytest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/netreplytest"
)

// constants are the NetworkError constants in the source, so that none is missing.
func constants(t *testing.T) (list []netreply.NetworkError) {
	file, err := parser.ParseFile(token.NewFileSet(), "../errors.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "NetworkError" && len(spec.Values) == 1 {
			code, err := strconv.Atoi(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			list = append(list, netreply.NetworkError(code))
		}
		return true
	})
	require.Len(t, list, 34, "NoError and Qt's 33")
	return list
}

// localOnly are the codes that no peer can cause, and what in the program does.
var localOnly = map[netreply.NetworkError]string{
	netreply.OperationCanceledError:           "Abort, Close or the end of the context",
	netreply.BackgroundRequestNotAllowedError: "Config.ForbidBackground",
}

// tlsOnly are the codes that only a server with TLS can cause.
var tlsOnly = map[netreply.NetworkError]string{
	netreply.SslHandshakeFailedError: "there is a handshake",
	netreply.InsecureRedirectError:   "the redirect leads from https to http",
}

// TestEveryCode: Server.Fail makes a Manager report each code, over every protocol.
func TestEveryCode(t *testing.T) {
	for _, kind := range netreplytest.Kinds {
		for _, code := range constants(t) {
			t.Run(fmt.Sprintf("%v/%v", kind, code), func(t *testing.T) {
				if why := localOnly[code]; why != "" {
					spy := &spyTB{TB: t}
					spy.run(func() { netreplytest.NewServer(spy, kind).Fail(netreplytest.Fail(code)) })
					assert.Contains(t, spy.fatal, "no peer can cause it", why)
					return
				}
				secure := kind == netreplytest.HTTPS || kind == netreplytest.HTTP2
				if tlsOnly[code] != "" && !secure {
					spy := &spyTB{TB: t}
					spy.run(func() { netreplytest.NewServer(spy, kind).Fail(netreplytest.Fail(code)) })
					assert.Contains(t, spy.fatal, "needs TLS")
					return
				}
				synctest.Test(t, func(t *testing.T) {
					s := netreplytest.NewServer(t, kind)
					s.Handle("/", netreplytest.Answer{netreplytest.Body("fine")})
					s.Fail(netreplytest.Fail(code))
					r := send(t, s, code)
					err := r.Wait(t.Context())
					if code == netreply.NoError {
						require.NoError(t, err)
						return
					}
					require.ErrorIs(t, err, code)
					assert.Equal(t, code, netreplytest.Fail(code).Code())

					s.Recover()
					b, err := s.Manager().Get(t.Context(), s.Request("/")).ReadAll()
					require.NoError(t, err, "after Recover")
					assert.Equal(t, "fine", string(b))
				})
			})
		}
	}
}

// send sends a request that can meet a code.
func send(t *testing.T, s *netreplytest.Server, code netreply.NetworkError) *netreply.Reply {
	t.Helper()
	req := s.Request("/")
	if code != netreply.ContentReSendError {
		return s.Manager().Get(t.Context(), req)
	}
	req.DoNotBufferUploadData = true
	return s.Manager().Put(t.Context(), req, netreply.ReaderBody(io.MultiReader(strings.NewReader("once"))))
}
