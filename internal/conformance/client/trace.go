package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

// encryption returns the TLS configuration and the ignored errors of a request.
func (q *request) encryption(req *netreply.Request) {
	pki := q.run.client.PKI
	if pki == nil || len(pki.Leaves) == 0 {
		return
	}
	if s := q.spec.SSLIgnore; s != nil {
		req.IgnoreAllSSLErrors = s.Mode == "all"
		for _, e := range s.List {
			req.IgnoreSSLErrors = append(req.IgnoreSSLErrors, netreply.SSLError{Code: sslCode(e.Error), Certificate: certificate(pki, e.Cert)})
		}
	}
	// one for all requests with equal settings, so that they share connections
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	for _, o := range q.run.reqs {
		if o != q && o.profile != nil && sameProfile(o.spec, q.spec) {
			q.profile = o.profile
		}
	}
	if q.profile == nil {
		q.profile = q.configuration(pki)
	}
	req.SSLConfiguration = q.profile
}

func (q *request) configuration(pki *scenario.PKI) *netreply.SSLConfiguration {
	c := &netreply.SSLConfiguration{RootCAs: x509.NewCertPool(), PeerVerifyName: q.spec.PeerVerifyName}
	if !q.spec.NoTrust {
		if pem, err := os.ReadFile(pki.CA); err == nil {
			c.RootCAs.AppendCertsFromPEM(pem)
		}
	}
	switch q.spec.TLSProtocol {
	case "1.2":
		c.MinProtocol, c.MaxProtocol = tls.VersionTLS12, tls.VersionTLS12
	case "1.3", "1.3+":
		c.MinProtocol = tls.VersionTLS13
	}
	switch q.spec.PeerVerifyMode {
	case "none":
		c.PeerVerifyMode = netreply.VerifyNone
	case "query":
		c.PeerVerifyMode = netreply.QueryPeer
	case "peer":
		c.PeerVerifyMode = netreply.VerifyPeer
	}
	if q.spec.ClientCert {
		if cert, err := tls.LoadX509KeyPair(pki.Client, pki.Key); err == nil {
			c.Certificates = []tls.Certificate{cert}
		}
	}
	return c
}

func sameProfile(a, b *scenario.Request) bool {
	return a.PeerVerifyName == b.PeerVerifyName && a.NoTrust == b.NoTrust && a.TLSProtocol == b.TLSProtocol && a.ClientCert == b.ClientCert &&
		a.PeerVerifyMode == b.PeerVerifyMode
}

func sslCode(name string) netreply.SSLErrorCode {
	for c := netreply.SSLUnspecifiedError; c <= netreply.SSLOcspStatusUnknown; c++ {
		if c.String() == name {
			return c
		}
	}
	return netreply.SSLNoError
}

// certificate returns a certificate by listener and index in the chain.
func certificate(pki *scenario.PKI, name string) *x509.Certificate {
	name, place, _ := strings.Cut(name, ":")
	rest, err := os.ReadFile(pki.Leaves[name])
	if name == "" || err != nil {
		return nil
	}
	var block *pem.Block
	for n := 0; ; n++ {
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if place == "" || place == strconv.Itoa(n) {
			c, _ := x509.ParseCertificate(block.Bytes)
			return c
		}
	}
}

// sslErrors formats certificate errors as in traces.
func sslErrors(e *netreply.SSLErrors) []any {
	var list []any
	for _, s := range e.Errors {
		name := ""
		if s.Certificate != nil {
			name = s.Certificate.Subject.CommonName
		}
		list = append(list, s.Code.String()+" ("+name+")")
	}
	return list
}

// latin1 converts bytes of a header to text like Qt.
func latin1(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// final returns the values of the getters.
func (q *request) final() *scenario.Reply {
	r := q.reply
	o := &scenario.Reply{ID: q.spec.ID, ErrorName: "NoError", ErrorString: r.ErrorString(), URL: r.URL().String(),
		Operation: strings.ToUpper(r.Operation().String()), Attributes: map[string]any{}, KnownHeaders: map[string]any{}, RawHeaders: [][2]string{}}
	var e *netreply.Error
	if errors.As(r.Err(), &e) {
		o.Error, o.ErrorName = int(e.Code), e.Code.String()
	}
	if v, ok := netreply.HTTPStatusCode.Of(r); ok {
		o.Attributes["HttpStatusCode"] = v
	}
	if v, ok := netreply.HTTPReasonPhrase.Of(r); ok {
		o.Attributes["HttpReasonPhrase"] = latin1(v)
	}
	if v, ok := netreply.RedirectionTarget.Of(r); ok {
		o.Attributes["RedirectionTarget"] = v.String()
	}
	if v, ok := netreply.ConnectionEncrypted.Of(r); ok {
		o.Attributes["ConnectionEncrypted"] = v
	}
	if v, ok := netreply.OriginalContentLength.Of(r); ok {
		o.Attributes["OriginalContentLength"] = v
	}
	if v, ok := netreply.HTTP2WasUsed.Of(r); ok {
		o.Attributes["Http2WasUsed"] = v
	}
	if v, ok := netreply.HTTPPipeliningWasUsed.Of(r); ok {
		o.Attributes["HttpPipeliningWasUsed"] = v
	}
	if v, ok := netreply.SourceIsFromCache.Of(r); ok {
		o.Attributes["SourceIsFromCache"] = v
	}
	for _, p := range r.RawHeaderPairs() {
		o.RawHeaders = append(o.RawHeaders, [2]string{latin1(p[0]), latin1(p[1])})
	}
	knownHeaders(r.Headers(), o.KnownHeaders)
	o.SSL = sslFacts(r.SSLConfiguration().ConnectionState)
	o.Extra = map[string]any{"isRunning": r.IsRunning(), "isSequential": true, "requestUrl": requestURL(r)}
	return o
}

func requestURL(r *netreply.Reply) string {
	if u := r.Request().URL; u != nil {
		return u.String()
	}
	return ""
}

func knownHeaders(h netreply.Headers, out map[string]any) {
	texts := map[string]netreply.KnownHeader[string]{"ContentType": netreply.ContentTypeHeader, "ContentDisposition": netreply.ContentDispositionHeader,
		"UserAgent": netreply.UserAgentHeader, "Server": netreply.ServerHeader, "ETag": netreply.ETagHeader}
	for name, k := range texts {
		if v, ok := k.Get(h); ok {
			out[name] = latin1(v)
		}
	}
	for name, k := range map[string]netreply.KnownHeader[time.Time]{"LastModified": netreply.LastModifiedHeader, "IfModifiedSince": netreply.IfModifiedSinceHeader} {
		if v, ok := k.Get(h); ok {
			out[name] = v.Format(time.RFC3339)
		}
	}
	for name, k := range map[string]netreply.KnownHeader[[]string]{"IfMatch": netreply.IfMatchHeader, "IfNoneMatch": netreply.IfNoneMatchHeader} {
		if v, ok := k.Get(h); ok {
			out[name] = v
		}
	}
	if v, ok := netreply.ContentLengthHeader.Get(h); ok {
		out["ContentLength"] = v
	}
	if v, ok := netreply.LocationHeader.Get(h); ok {
		out["Location"] = v.String()
	}
	if v, ok := netreply.CookieHeader.Get(h); ok {
		out["Cookie"] = rawCookies(v)
	}
	if v, ok := netreply.SetCookieHeader.Get(h); ok {
		out["SetCookie"] = rawCookies(v)
	}
}

// rawCookies formats cookies like Qt.
func rawCookies(cs []cookies.Cookie) []string {
	out := []string{}
	for _, c := range cs {
		out = append(out, c.String())
	}
	return out
}

// jarCookies formats the cookies of a jar like Qt: with a domain, which begins with a dot
// if subdomains get the cookie, too.
func jarCookies(cs []cookies.Cookie) []string {
	out := []string{}
	for _, c := range cs {
		if !c.HostOnly && net.ParseIP(c.Domain) == nil {
			c.Domain = "." + c.Domain
		}
		c.HostOnly = false
		out = append(out, c.String())
	}
	return out
}

// opensslNames are the TLS 1.2 suites that a Go server and Qt negotiate.
var opensslNames = map[uint16]string{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "ECDHE-RSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305",
}

func sslFacts(state tls.ConnectionState) map[string]any {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	var chain []string
	for _, c := range state.PeerCertificates {
		chain = append(chain, c.Subject.CommonName)
	}
	peer := ""
	if len(chain) > 0 {
		peer = chain[0]
	}
	cipher, version := "", "?"
	if state.Version != 0 {
		var ok bool
		if cipher, ok = opensslNames[state.CipherSuite]; !ok {
			cipher = tls.CipherSuiteName(state.CipherSuite)
		}
		version = map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[state.Version]
	}
	return map[string]any{"peerCN": peer, "chain": chain, "protocol": version, "cipher": cipher, "alpn": state.NegotiatedProtocol}
}

// trace assembles the trace.
func (r *run) trace() *scenario.Trace {
	t := &scenario.Trace{Deadline: r.deadline, Noise: map[string]any{}}
	for _, q := range r.reqs {
		if !q.created {
			continue
		}
		o := q.snapshot
		if o == nil {
			o = q.final()
		}
		r.mu.Lock()
		o.Finished = q.finished || q.reply.IsFinished()
		o.FinishedSeen = q.finishes
		o.BytesAtEnd = q.bytesAtEnd
		o.Body = scenario.BodyInfo{Size: q.size, SHA256: hex.EncodeToString(q.hash.Sum(nil))}
		if q.size > 0 && q.size <= 400 && utf8.Valid(q.head) {
			o.Body.Text = string(q.head)
		}
		if q.down.count > 0 {
			p := q.down.p
			o.Download = &p
		}
		if q.up.count > 0 {
			p := q.up.p
			o.Upload = &p
		}
		if q.spec.ReadBufferSize > 0 {
			o.Extra["readBufferRespected"] = q.maxBuffer <= q.spec.ReadBufferSize
		}
		t.Noise[q.spec.ID] = map[string]any{"maxBuffered": q.maxBuffer}
		t.Replies = append(t.Replies, *o)
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if dump := r.client.Manager.DumpCookies; len(dump) > 0 {
		all := map[string]any{}
		for _, at := range dump {
			if u, err := url.Parse(at); err == nil {
				all[at] = jarCookies(r.jar.For(u))
			}
		}
		t.Cookies = all
	}
	t.Events, t.Log = collapse(r.events), r.log
	return t
}

// collapse keeps of each reply the first readyRead, and the first and the last of
// the progress signals.
func collapse(events []scenario.Event) []scenario.Event {
	type id struct{ reply, sig string }
	first, last := map[id]int{}, map[id]int{}
	for i, e := range events {
		k := id{e.Reply, e.Sig}
		if _, ok := first[k]; !ok {
			first[k] = i
		}
		last[k] = i
	}
	out := []scenario.Event{}
	for i, e := range events {
		k := id{e.Reply, e.Sig}
		switch e.Sig {
		case "readyRead":
			if first[k] != i {
				continue
			}
		case "downloadProgress", "uploadProgress":
			switch {
			case first[k] == last[k]:
				e.Args["which"] = "only"
			case first[k] == i:
				e.Args["which"] = "first"
			case last[k] == i:
				e.Args["which"] = "last"
			default:
				continue
			}
		}
		out = append(out, e)
	}
	return out
}
