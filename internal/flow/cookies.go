package flow

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/netreply/netreply/internal/httpurl"
)

// lineJar is a jar whose methods use the text of the header fields, as cookies.Jar does.
// Conversion to http.Cookie would lose values that browsers keep.
type lineJar interface {
	SetHeader(u *url.URL, setCookie []string) int
	Header(u *url.URL) string
}

// httpJar adapts any other jar.
type httpJar struct{ http.CookieJar }

func (j httpJar) SetHeader(u *url.URL, setCookie []string) int {
	resp := http.Response{Header: http.Header{"Set-Cookie": setCookie}}
	cookies := resp.Cookies()
	j.SetCookies(u, cookies)
	return len(cookies)
}

func (j httpJar) Header(u *url.URL) string {
	req := http.Request{Header: http.Header{}}
	for _, c := range j.Cookies(u) {
		req.AddCookie(c)
	}
	return req.Header.Get("Cookie")
}

func newLineJar(jar http.CookieJar) lineJar {
	if lines, ok := jar.(lineJar); ok {
		return lines
	}
	return httpJar{jar}
}

// The cookies step sends the cookies of the jar and stores those in responses, for every
// exchange, including redirects and answered challenges (rules C1 and C10).
func beforeCookies(h *Hop) error {
	if h.e.jar == nil || h.t.NoSendCookies || httpurl.IsLocal(h.req.URL.Scheme) {
		return nil
	}
	h.t.Clock.Pause() // the jar may be the program's
	line := h.e.jar.Header(h.req.URL)
	h.t.Clock.Resume()
	if line != "" {
		h.req.Header["Cookie"] = []string{mergeCookies(h.req.Header["Cookie"], line)}
	}
	return nil
}

func afterCookies(h *Hop) (again bool) {
	// a 407 comes from a proxy
	if h.e.jar == nil || h.err != nil || h.t.NoSaveCookies || h.resp.StatusCode == http.StatusProxyAuthRequired || httpurl.IsLocal(h.req.URL.Scheme) {
		return false
	}
	if lines := h.networkFields()["Set-Cookie"]; len(lines) > 0 {
		h.t.Clock.Pause()
		h.e.jar.SetHeader(h.req.URL, lines)
		h.t.Clock.Resume()
	}
	return false
}

// mergeCookies adds the jar's cookies with other names to the Cookie fields of the program
// (rule C1), which come first, unchanged.
func mergeCookies(own []string, jar string) string {
	line := strings.Trim(strings.Join(own, "; "), "; \t")
	if line == "" {
		return jar
	}
	taken := map[string]bool{}
	for pair := range strings.SplitSeq(line, ";") {
		if name, _, ok := strings.Cut(pair, "="); ok {
			taken[strings.Trim(name, " \t")] = true
		}
	}
	b := strings.Builder{}
	b.WriteString(line)
	for pair := range strings.SplitSeq(jar, "; ") {
		if name, _, _ := strings.Cut(pair, "="); !taken[name] {
			b.WriteString("; ")
			b.WriteString(pair)
		}
	}
	return b.String()
}
