package netreply_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// TestNames: constants are printed by name, and other values by type and number.
func TestNames(t *testing.T) {
	for want, v := range map[string]any{
		"DefaultRedirectPolicy":             netreply.DefaultRedirectPolicy,
		"ManualRedirectPolicy":              netreply.ManualRedirectPolicy,
		"NoLessSafeRedirectPolicy":          netreply.NoLessSafeRedirectPolicy,
		"SameOriginRedirectPolicy":          netreply.SameOriginRedirectPolicy,
		"UserVerifiedRedirectPolicy":        netreply.UserVerifiedRedirectPolicy,
		"RedirectPolicy(9)":                 netreply.RedirectPolicy(9),
		"NormalPriority":                    netreply.NormalPriority,
		"HighPriority":                      netreply.HighPriority,
		"LowPriority":                       netreply.LowPriority,
		"Priority(-1)":                      netreply.Priority(-1),
		"LoadAutomatic":                     netreply.LoadAutomatic,
		"LoadManual":                        netreply.LoadManual,
		"HTTPAny":                           netreply.HTTPAny,
		"HTTP1Only":                         netreply.HTTP1Only,
		"HTTP2Direct":                       netreply.HTTP2Direct,
		"AutoVerifyPeer":                    netreply.AutoVerifyPeer,
		"VerifyNone":                        netreply.VerifyNone,
		"QueryPeer":                         netreply.QueryPeer,
		"VerifyPeer":                        netreply.VerifyPeer,
		"0":                                 netreply.QuestionKinds(0),
		"AskAuthentication":                 netreply.AskAuthentication,
		"AskSSLErrors|AskPreSharedKey":      netreply.AskSSLErrors | netreply.AskPreSharedKey,
		"AskProxyAuthentication":            netreply.AskProxyAuthentication,
		"AskSSLErrors|QuestionKinds(65536)": netreply.AskSSLErrors | 1<<16,
		"LoadControl(2)":                    netreply.LoadControl(2),
		"HTTPVersion(-1)":                   netreply.HTTPVersion(-1),
		"PeerVerifyMode(4)":                 netreply.PeerVerifyMode(4),
		"Unknown":                           netreply.UnknownOperation,
		"Custom":                            netreply.CustomOperation,
		"Operation(7)":                      netreply.Operation(7),
		"waiting for a connection":          netreply.PhaseQueue,
		"Phase(10)":                         netreply.Phase(10),
		"Socks5":                            netreply.Socks5Proxy,
		"ProxyType(6)":                      netreply.ProxyType(6),
		"form-data":                         netreply.FormDataType,
		"CertificateExpired":                netreply.SSLCertificateExpired,
		"SSLErrorCode(99)":                  netreply.SSLErrorCode(99),
		"HostNotFoundError":                 netreply.HostNotFoundError,
		"NetworkError(4711)":                netreply.NetworkError(4711),
	} {
		for _, verb := range []string{"%v", "%s", "%+v"} {
			assert.Equal(t, want, fmt.Sprintf(verb, v))
		}
		var text, object bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		assert.Regexp(t, `v="?`+regexp.QuoteMeta(want)+`"?\n$`, text.String())
		slog.New(slog.NewJSONHandler(&object, nil)).Info("m", "v", v)
		assert.Contains(t, object.String(), `"v":"`+want+`"`)
	}
	assert.Equal(t, `netreply.Request{Ask: AskSSLErrors, RedirectPolicy: ManualRedirectPolicy}`,
		fmt.Sprint(&netreply.Request{RedirectPolicy: netreply.ManualRedirectPolicy, Ask: netreply.AskSSLErrors}))
}
