package wire

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// flawedResponses are malformed responses with part of the error text.
var flawedResponses = map[string]struct {
	answer func(p *h2Peer, id uint32)
	want   string
}{
	"no status":             {func(p *h2Peer, id uint32) { p.head(id, true, "a", "b") }, "without :status"},
	"two statuses":          {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", ":status", "200") }, "two :status"},
	"status of two digits":  {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "20") }, "100 to 999"},
	"status of four digits": {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "0200") }, "100 to 999"},
	"status with a sign":    {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "+20") }, "100 to 999"},
	"status of 99":          {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "099") }, "100 to 999"},
	"empty status":          {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "") }, "100 to 999"},
	"status with blanks":    {func(p *h2Peer, id uint32) { p.head(id, true, ":status", " 200") }, "whitespace"},
	"status 101":            {func(p *h2Peer, id uint32) { p.head(id, false, ":status", "101") }, "101"},
	"interim status with a zero": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "0103")
		p.ok(id, "ok")
	}, "100 to 999"},
	"interim that ends": {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "103") }, "interim response that ends"},
	"request field":     {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", ":path", "/") }, "pseudo-header"},
	"unknown pseudo":    {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", ":x", "/") }, "pseudo-header"},
	"late status":       {func(p *h2Peer, id uint32) { p.head(id, true, "a", "b", ":status", "200") }, "after other fields"},
	"upper case":        {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "Abc", "d") }, "lower-case"},
	"blank in a name":   {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "a b", "d") }, "lower-case"},
	"empty name":        {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "", "d") }, "lower-case"},
	"blank before":      {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "a", " b") }, "whitespace"},
	"trailing tab":      {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "a", "b\t") }, "whitespace"},
	"NUL":               {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "a", "b\x00c") }, "control character"},
	"line end":          {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "a", "b\r\nc: d") }, "control character"},
	"bad length":        {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "content-length", "x") }, "invalid content-length"},
	"signed length":     {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "content-length", "+0") }, "invalid content-length"},
	"large length": {func(p *h2Peer, id uint32) {
		p.head(id, true, ":status", "200", "content-length", "99999999999999999999")
	}, "invalid content-length"},
	"two lengths": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "2", "content-length", "3")
		p.fr.WriteData(id, true, []byte("ok"))
	}, "different content-length"},
	"length without a body": {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "content-length", "2") }, "shorter"},
	"short body": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "10")
		p.fr.WriteData(id, true, []byte("short"))
	}, "shorter"},
	"short body, ended empty": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "10")
		p.fr.WriteData(id, false, []byte("short"))
		p.fr.WriteData(id, true, nil)
	}, "shorter"},
	"short body, ended by trailers": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "10")
		p.fr.WriteData(id, false, []byte("short"))
		p.head(id, true, "a", "b")
	}, "shorter"},
	"padded short body": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "10")
		p.fr.WriteDataPadded(id, true, []byte("short"), make([]byte, 5))
	}, "shorter"},
	"long body": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "3")
		p.fr.WriteData(id, true, []byte("longer"))
	}, "more than declared"},
	"long body, by a frame": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200", "content-length", "3")
		p.fr.WriteData(id, false, []byte("abc"))
		p.fr.WriteData(id, true, []byte("d"))
	}, "longer"},
	"204 with a body": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "204")
		p.fr.WriteData(id, true, []byte("x"))
	}, "has none by definition"},
	"304 with a body": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "304", "content-length", "1")
		p.fr.WriteData(id, true, []byte("x"))
	}, "has none by definition"},
	"DATA first": {func(p *h2Peer, id uint32) { p.fr.WriteData(id, true, []byte("x")) }, "before the response head"},
	"DATA after an interim head": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "103")
		p.fr.WriteData(id, true, []byte("x"))
	}, "before the response head"},
	"pseudo-header trailers": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200")
		p.head(id, true, ":status", "200")
	}, "among the trailers"},
	"open trailers": {func(p *h2Peer, id uint32) {
		p.head(id, false, ":status", "200")
		p.head(id, false, "a", "b")
	}, "do not end"},
	"large head": {func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", "a", strings.Repeat("b", 15<<10)) }, "MaxHeaderBytes"},
	"large head of a small block": {func(p *h2Peer, id uint32) {
		p.head(id, true, append([]string{":status", "200", "a", strings.Repeat("b", 3000)}, strings.Split(strings.Repeat("a:"+strings.Repeat("b", 3000)+":", 100), ":")[:198]...)...)
	}, "MaxHeaderBytes"},
	"large interim heads": {func(p *h2Peer, id uint32) {
		for range 5 {
			p.head(id, false, ":status", "103", "a", strings.Repeat("b", 3000))
		}
		p.ok(id, "ok")
	}, "MaxHeaderBytes"},
	"malformed in pieces": {func(p *h2Peer, id uint32) {
		block := bytes.Clone(p.encode(":status", "200", "Abc", "d", "e", "f"))
		p.raw(byte(http2.FrameHeaders), 0, id, block[:3]...)
		for _, b := range block[3 : len(block)-1] {
			p.raw(byte(http2.FrameContinuation), 0, id, b)
		}
		p.raw(byte(http2.FrameContinuation), flagEndHeaders, id, block[len(block)-1])
	}, "lower-case"},
	"window overflow": {func(p *h2Peer, id uint32) {
		for range 3 {
			p.fr.WriteWindowUpdate(id, math.MaxInt32)
		}
	}, "WINDOW_UPDATE"},
	"window overflow by SETTINGS": {func(p *h2Peer, id uint32) {
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32})
		p.fr.WriteWindowUpdate(id, 1)
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
		p.fr.WriteWindowUpdate(id, math.MaxInt32)
	}, "WINDOW_UPDATE"},
}

func init() {
	for _, name := range []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"} {
		flawedResponses[name] = struct {
			answer func(p *h2Peer, id uint32)
			want   string
		}{func(p *h2Peer, id uint32) { p.head(id, true, ":status", "200", name, "x") }, "connection-specific"}
		flawedResponses[name+" in trailers"] = struct {
			answer func(p *h2Peer, id uint32)
			want   string
		}{func(p *h2Peer, id uint32) {
			p.head(id, false, ":status", "200")
			p.head(id, true, name, "x")
		}, "connection-specific"}
	}
}

// TestH2MalformedResponses: a malformed response fails its exchange with a descriptive
// error, and does not affect the other exchanges on the connection. The log of the process
// stays empty.
func TestH2MalformedResponses(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		for name, flaw := range flawedResponses {
			t.Run(fmt.Sprintf("%s, TLS %v", name, encrypted), func(t *testing.T) {
				logged := captureLog(t)
				waiting := uint32(0)
				url := newH2Peer(t, encrypted, nil, func(p *h2Peer, r peerRequest) {
					switch r.path {
					case "/companion":
						p.head(r.stream, false, ":status", "200", "content-length", "4")
						p.fr.WriteData(r.stream, false, []byte("he"))
						waiting = r.stream
					case "/flawed":
						flaw.answer(p, r.stream)
					case "/end":
						p.fr.WriteData(waiting, true, []byte("re"))
						p.ok(r.stream, "end")
					}
				})
				b := newRig(t, Config{MaxHeaderBytes: 12 << 10})
				ask := func(path string) call { return call{url: url + path, proto: h2Protocol(encrypted)} }
				companion, _, err := b.send(t.Context(), ask("/companion"))
				require.NoError(t, err)
				defer companion.Body.Close()

				_, body, err := b.exchangeOnce(ask("/flawed"))
				require.Error(t, err)
				e := err.(*Error)
				assert.Equal(t, Malformed, e.Fault, "%v", err)
				assert.False(t, e.Unprocessed)
				assert.ErrorContains(t, err, flaw.want)
				if strings.HasPrefix(name, "short body") {
					assert.Equal(t, "short", body, "the bytes received before")
				}

				_, body, err = b.exchangeOnce(ask("/end"))
				require.NoError(t, err)
				assert.Equal(t, "end", body)
				rest, err := io.ReadAll(companion.Body)
				assert.NoError(t, err)
				assert.Equal(t, "here", string(rest))
				assert.Empty(t, logged.String())
				assert.Equal(t, 1, b.tr.Connections())
			})
		}
	}
}

// captureLog returns the log of the process during a test.
func captureLog(t *testing.T) *bytes.Buffer {
	var b bytes.Buffer
	old := log.Writer()
	log.SetOutput(&b)
	t.Cleanup(func() { log.SetOutput(old) })
	return &b
}
