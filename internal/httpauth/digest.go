package httpauth

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Digest is a supported Digest challenge (RFC 7616).
type Digest struct {
	Realm   string
	Nonce   string
	Domain  []string // URIs of the protection space; none means the whole server
	Stale   bool     // the nonce had expired: the credentials were not checked
	opaque  string
	has     bool   // the challenge has an opaque
	algo    string // as sent; "" means MD5
	hash    func() hash.Hash
	sess    bool
	auth    bool // qop
	authInt bool
	user    bool // userhash
}

// Strength orders the algorithms; higher is stronger.
func (d *Digest) Strength() int { return d.hash().Size()*2 + btoi(d.hash().BlockSize() > 64) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// maxDomains bounds the URIs of a protection space. Elsewhere the server has to send a
// challenge.
const maxDomains = 256

// NewDigest parses a challenge. It fails for an unknown algorithm or quality of protection,
// and without a nonce.
func NewDigest(c Challenge) (*Digest, error) {
	p := c.Params
	d := &Digest{Realm: p["realm"], Nonce: p["nonce"], opaque: p["opaque"], has: has(p, "opaque"), algo: p["algorithm"],
		Stale: strings.EqualFold(p["stale"], "true"), user: strings.EqualFold(p["userhash"], "true")}
	if d.Nonce == "" {
		return nil, errors.New("digest: no nonce")
	}
	for _, name := range [...]string{"realm", "nonce", "opaque"} { // those are sent back
		if v := p[name]; len(v) > MaxValue || !httpguts.ValidHeaderFieldValue(v) {
			return nil, fmt.Errorf("digest: %s is too long, or has control characters", name)
		}
	}
	name, sess := strings.CutSuffix(strings.ToUpper(d.algo), "-SESS")
	d.sess = sess
	switch name {
	case "", "MD5":
		d.hash = md5.New
	case "SHA-256":
		d.hash = sha256.New
	case "SHA-512-256":
		d.hash = sha512.New512_256
	default:
		return nil, fmt.Errorf("digest: unknown algorithm %.20q", d.algo)
	}
	if has(p, "qop") {
		for q := range strings.SplitSeq(p["qop"], ",") {
			switch strings.ToLower(strings.TrimSpace(q)) {
			case "auth":
				d.auth = true
			case "auth-int":
				d.authInt = true
			}
		}
		if !d.auth && !d.authInt {
			return nil, fmt.Errorf("digest: unknown qop %.20q", p["qop"])
		}
	}
	for u := range strings.FieldsSeq(p["domain"]) {
		if d.Domain = append(d.Domain, strings.Clone(u)); len(d.Domain) == maxDomains {
			break
		}
	}
	return d, nil
}

// NeedsBody reports whether the answer depends on the request body.
func (d *Digest) NeedsBody() bool { return d.authInt && !d.auth }

// Answer are the parameters of an answer, for checking the server's proof.
type Answer struct {
	d              *Digest
	ha1            string
	uri, nc, nonce string
	cnonce, qop    string
}

// NewHash returns the hash for the request body, if NeedsBody.
func (d *Digest) NewHash() hash.Hash { return d.hash() }

// Authorize answers the challenge for one request. count is how often the nonce has been
// used, including this time. body is the hash of the request body, if NeedsBody; nil means
// an empty body.
func (d *Digest) Authorize(user, password, method, uri string, count uint32, body hash.Hash) (string, *Answer) {
	a := &Answer{d: d, uri: uri, nonce: d.Nonce}
	if d.auth || d.authInt || d.sess {
		random := make([]byte, 16)
		rand.Read(random)
		a.cnonce = hex.EncodeToString(random)
	}
	a.ha1 = d.sum(user + ":" + d.Realm + ":" + password)
	if d.sess {
		a.ha1 = d.sum(a.ha1 + ":" + d.Nonce + ":" + a.cnonce)
	}
	a2 := method + ":" + uri
	switch {
	case d.auth:
		a.qop = "auth"
	case d.authInt:
		a.qop = "auth-int"
		if body == nil {
			body = d.hash()
		}
		a2 += ":" + hex.EncodeToString(body.Sum(nil))
	}
	a.nc = fmt.Sprintf("%08x", count)

	var b strings.Builder
	b.WriteString("Digest ")
	switch {
	case d.user:
		fmt.Fprintf(&b, "username=%s", quote(d.sum(user+":"+d.Realm)))
	case isASCII(user):
		fmt.Fprintf(&b, "username=%s", quote(user))
	default: // RFC 8187
		fmt.Fprintf(&b, "username*=UTF-8''%s", strings.ReplaceAll(url.QueryEscape(user), "+", "%20"))
	}
	fmt.Fprintf(&b, ", realm=%s, nonce=%s, uri=%s", quote(d.Realm), quote(d.Nonce), quote(uri))
	if d.has {
		fmt.Fprintf(&b, ", opaque=%s", quote(d.opaque))
	}
	fmt.Fprintf(&b, `, response="%s"`, a.response(a2))
	if d.algo != "" {
		fmt.Fprintf(&b, ", algorithm=%s", d.algo)
	}
	if a.qop != "" {
		fmt.Fprintf(&b, ", qop=%s, nc=%s", a.qop, a.nc)
	}
	if a.cnonce != "" {
		fmt.Fprintf(&b, `, cnonce="%s"`, a.cnonce)
	}
	if d.user {
		b.WriteString(", userhash=true")
	}
	return b.String(), a
}

func (d *Digest) sum(s string) string {
	h := d.hash()
	io.WriteString(h, s)
	return hex.EncodeToString(h.Sum(nil))
}

func (a *Answer) response(a2 string) string {
	s := a.ha1 + ":" + a.nonce + ":"
	if a.qop != "" {
		s += a.nc + ":" + a.cnonce + ":" + a.qop + ":"
	}
	return a.d.sum(s + a.d.sum(a2))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x7f || s[i] < 0x20 {
			return false
		}
	}
	return true
}

// Info is an Authentication-Info field (RFC 7616, section 3.5).
type Info struct {
	NextNonce string
	rspauth   string
	qop       string
}

// ParseInfo parses the field lines; ok is false if there are none.
func ParseInfo(lines []string) (i Info, ok bool) {
	if len(lines) == 0 {
		return Info{}, false
	}
	var c Challenge
	c.Params = map[string]string{}
	p := parser{s: strings.Join(lines, ", ")}
	p.params(&c)
	next := c.Params["nextnonce"]
	if len(next) > MaxValue || !httpguts.ValidHeaderFieldValue(next) {
		next = ""
	}
	return Info{next, strings.ToLower(c.Params["rspauth"]), strings.ToLower(c.Params["qop"])}, true
}

// Hash returns the hash to which the response body must be written before Verify, nil if
// the server's proof does not cover the body.
func (a *Answer) Hash(i Info) hash.Hash {
	if i.rspauth == "" || i.qop != "auth-int" {
		return nil
	}
	return a.d.hash()
}

// Verify reports whether the server's proof that it knows the password is right. A missing
// proof is accepted. body is the result of Hash.
func (a *Answer) Verify(i Info, body hash.Hash) bool {
	return i.rspauth == "" || subtle.ConstantTimeCompare([]byte(i.rspauth), []byte(a.Proof(body))) == 1
}

// Proof is the right proof of a server that knows the password.
func (a *Answer) Proof(body hash.Hash) string {
	a2 := ":" + a.uri
	if body != nil {
		a2 += ":" + hex.EncodeToString(body.Sum(nil))
	}
	return a.response(a2)
}
