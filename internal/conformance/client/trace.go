package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/netreply/netreply"
	"github.com/netreply/netreply/cookies"
	"github.com/netreply/netreply/internal/conformance/scenario"
)

func (q *request) tlsConfig() *tls.Config {
	pki := q.run.client.PKI
	if pki == nil || len(pki.Leaves) == 0 {
		return nil
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: q.spec.PeerVerifyName}
	if !q.spec.NoTrust {
		if pem, err := os.ReadFile(pki.CA); err == nil {
			cfg.RootCAs.AppendCertsFromPEM(pem)
		}
	}
	switch q.spec.TLSProtocol {
	case "1.2":
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3", "1.3+":
		cfg.MinVersion = tls.VersionTLS13
	}
	if q.spec.ClientCert {
		if cert, err := tls.LoadX509KeyPair(pki.Client, pki.Key); err == nil {
			cfg.Certificates = []tls.Certificate{cert}
		}
	}
	// one profile for all requests that want the same, so that they share connections
	q.run.mu.Lock()
	defer q.run.mu.Unlock()
	for _, o := range q.run.reqs {
		if o != q && o.profile != nil && sameProfile(o.spec, q.spec) {
			q.profile = o.profile
			return o.profile
		}
	}
	q.profile = cfg
	return cfg
}

func sameProfile(a, b *scenario.Request) bool {
	return a.PeerVerifyName == b.PeerVerifyName && a.NoTrust == b.NoTrust && a.TLSProtocol == b.TLSProtocol && a.ClientCert == b.ClientCert
}

// latin1 reads bytes as Qt does when it makes text of a header.
func latin1(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// final is what the getters of the reply say now.
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
	for _, p := range r.RawHeaderPairs() {
		o.RawHeaders = append(o.RawHeaders, [2]string{latin1(p[0]), latin1(p[1])})
	}
	knownHeaders(r.Headers(), o.KnownHeaders)
	o.SSL = sslFacts(r.TLS())
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

// rawCookies writes cookies as Qt does.
func rawCookies(cs []cookies.Cookie) []string {
	out := []string{}
	for _, c := range cs {
		out = append(out, c.String())
	}
	return out
}

// jarCookies writes the cookies of a jar as Qt does: all with a domain, and a dot
// before it where hosts below it get them, too.
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

// opensslNames are the TLS 1.2 suites that a Go server and Qt agree on.
var opensslNames = map[uint16]string{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "ECDHE-RSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305",
}

func sslFacts(state *tls.ConnectionState) map[string]any {
	if state == nil {
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
	cipher, ok := opensslNames[state.CipherSuite]
	if !ok {
		cipher = tls.CipherSuiteName(state.CipherSuite)
	}
	version := map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[state.Version]
	return map[string]any{"peerCN": peer, "chain": chain, "protocol": version, "cipher": cipher, "alpn": state.NegotiatedProtocol}
}

// trace assembles what the client saw.
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
