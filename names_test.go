package netreply_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/netreply/netreply"
)

// TestNames: what is printed of a constant is its name, and of what is none its type and
// number.
func TestNames(t *testing.T) {
	for want, v := range map[string]any{
		"DefaultRedirectPolicy":         netreply.DefaultRedirectPolicy,
		"ManualRedirectPolicy":          netreply.ManualRedirectPolicy,
		"NoLessSafeRedirectPolicy":      netreply.NoLessSafeRedirectPolicy,
		"SameOriginRedirectPolicy":      netreply.SameOriginRedirectPolicy,
		"UserVerifiedRedirectPolicy":    netreply.UserVerifiedRedirectPolicy,
		"RedirectPolicy(9)":             netreply.RedirectPolicy(9),
		"NormalPriority":                netreply.NormalPriority,
		"HighPriority":                  netreply.HighPriority,
		"LowPriority":                   netreply.LowPriority,
		"Priority(-1)":                  netreply.Priority(-1),
		"LoadAutomatic":                 netreply.LoadAutomatic,
		"LoadManual":                    netreply.LoadManual,
		"HTTPAny":                       netreply.HTTPAny,
		"HTTP1Only":                     netreply.HTTP1Only,
		"HTTP2Direct":                   netreply.HTTP2Direct,
		"AutoVerifyPeer":                netreply.AutoVerifyPeer,
		"VerifyNone":                    netreply.VerifyNone,
		"QueryPeer":                     netreply.QueryPeer,
		"VerifyPeer":                    netreply.VerifyPeer,
		"0":                             netreply.Questions(0),
		"AskAuthentication":             netreply.AskAuthentication,
		"AskSSLErrors|AskPreSharedKey":  netreply.AskSSLErrors | netreply.AskPreSharedKey,
		"AskProxyAuthentication":        netreply.AskProxyAuthentication,
		"AskSSLErrors|Questions(65536)": netreply.AskSSLErrors | 1<<16,
	} {
		assert.Equal(t, want, fmt.Sprint(v))
	}
	assert.Equal(t, `netreply.Request{RedirectPolicy: ManualRedirectPolicy, Ask: AskSSLErrors}`,
		fmt.Sprint(&netreply.Request{RedirectPolicy: netreply.ManualRedirectPolicy, Ask: netreply.AskSSLErrors}))
}
