package server

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/netreply/netreply/internal/conformance/scenario"
)

// checkDigest verifies the digest response of the last request (RFC 7616,
// MD5 and SHA-256, qop auth, auth-int and none).
func (p *player) checkDigest(c *scenario.DigestCheck) bool {
	if p.last == nil {
		return false
	}
	name := "Authorization"
	if c.Proxy {
		name = "Proxy-Authorization"
	}
	v, ok := header(p.last, name)
	if !ok || !strings.HasPrefix(v, "Digest ") {
		return false
	}
	m := params(v[7:])
	h := func(s string) string { x := md5.Sum([]byte(s)); return hex.EncodeToString(x[:]) }
	if strings.HasPrefix(strings.ToUpper(m["algorithm"]), "SHA-256") {
		h = func(s string) string { x := sha256.Sum256([]byte(s)); return hex.EncodeToString(x[:]) }
	}
	a1 := h(c.User + ":" + m["realm"] + ":" + c.Pass)
	if strings.HasSuffix(strings.ToLower(m["algorithm"]), "-sess") {
		a1 = h(a1 + ":" + m["nonce"] + ":" + m["cnonce"])
	}
	a2 := p.last.Method + ":" + m["uri"]
	if m["qop"] == "auth-int" {
		a2 += ":" + h(string(p.body))
	}
	want := a1 + ":" + m["nonce"] + ":"
	if m["qop"] != "" {
		want += m["nc"] + ":" + m["cnonce"] + ":" + m["qop"] + ":"
	}
	return m["username"] == c.User && m["nonce"] != "" && h(want+h(a2)) == m["response"]
}

// params splits k=v, k="v, w" lists.
func params(s string) map[string]string {
	m := map[string]string{}
	for s != "" {
		s = strings.TrimLeft(s, " ,\t")
		i := strings.IndexByte(s, '=')
		if i < 0 {
			break
		}
		k := strings.ToLower(strings.TrimSpace(s[:i]))
		s = s[i+1:]
		if strings.HasPrefix(s, `"`) {
			var v strings.Builder
			j := 1
			for ; j < len(s) && s[j] != '"'; j++ {
				if s[j] == '\\' && j+1 < len(s) {
					j++
				}
				v.WriteByte(s[j])
			}
			m[k] = v.String()
			if j+1 > len(s) {
				break
			}
			s = s[j+1:]
			continue
		}
		j := strings.IndexByte(s, ',')
		if j < 0 {
			j = len(s)
		}
		m[k] = strings.TrimSpace(s[:j])
		s = s[j:]
	}
	return m
}
