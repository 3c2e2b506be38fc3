package httpserver_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/httpserver"
	"github.com/netreply/netreply/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Lingering{M: m}) }

type answer = func(*http.Request, *httpserver.Responder)

// serve serves a handler over HTTP/1 and, by prior knowledge, HTTP/2 until the test
// ends, and returns its address.
func serve(t testing.TB, h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

var date = regexp.MustCompile(`Date: [^\r]*\r\n`)

// raw sends bytes and returns what comes back until the connection ends, without
// the date.
func raw(t testing.TB, addr, request string) string {
	got, err := rawUntil(t, addr, request)
	require.NoError(t, err)
	return got
}

// rawUntil is raw with the error that the connection has ended with, if it was one.
func rawUntil(t testing.TB, addr, request string) (string, error) {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(c, request)
	require.NoError(t, err)
	all, err := io.ReadAll(c)
	return date.ReplaceAllString(string(all), ""), err
}

func h1(method string) string {
	return method + " /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
}

// frames sends a request over HTTP/2 and tells the frames of its answer, one a line,
// without the date; data frames in a row are one.
func frames(t testing.TB, addr, method string) string {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}))
	require.NoError(t, f.WriteWindowUpdate(0, 1<<30))
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, kv := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "x"}, {":path", "/p"}} {
		e.WriteField(hpack.HeaderField{Name: kv[0], Value: kv[1]})
	}
	require.NoError(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}))
	var out []string
	var data bytes.Buffer
	flush := func() {
		if data.Len() > 0 {
			text := data.String()
			if len(text) > 100 {
				text = fmt.Sprintf("%d bytes", len(text))
			}
			out = append(out, "DATA "+text)
			data.Reset()
		}
	}
	for {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		end := false
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			flush()
			var fields []string
			for _, h := range frame.Fields {
				if h.Name != "date" {
					fields = append(fields, h.Name+"="+h.Value)
				}
			}
			sort.Strings(fields)
			out = append(out, "HEADERS "+strings.Join(fields, " "))
			end = frame.StreamEnded()
		case *http2.DataFrame:
			data.Write(frame.Data())
			end = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			flush()
			return strings.Join(append(out, "RST"), "\n")
		}
		if end {
			flush()
			return strings.Join(append(out, "END"), "\n")
		}
	}
}
