package netreply_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netreply/netreply/internal/testserver"
)

// reading is the response that an independent parser finds in the bytes that the client
// received: if bytes are corrupted without TLS, the client can have no other result.
type reading struct {
	status   int
	body     string
	complete bool
}

// readings are the responses on each connection.
func readings(kind testserver.Kind, list []testserver.Delivered, method string) (all []reading) {
	for _, d := range list {
		switch kind {
		case testserver.Plain:
			all = append(all, readH1(d, method)...)
		case testserver.H2C:
			all = append(all, readH2(d, method)...)
		}
	}
	return all
}

var errOpen = errors.New("more may come")

// stream returns the bytes, and then io.EOF only if the client received the end of the
// connection.
func stream(d testserver.Delivered) io.Reader {
	if d.Ended {
		return bytes.NewReader(d.Bytes)
	}
	return io.MultiReader(bytes.NewReader(d.Bytes), errReader{})
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errOpen }

// readH1 parses HTTP/1.1.
func readH1(d testserver.Delivered, method string) (all []reading) {
	d.Bytes = d.Bytes[d.Armed:]
	in := bufio.NewReader(stream(d))
	for {
		for { // empty lines before a status line are skipped
			b, err := in.Peek(1)
			if err != nil || b[0] != '\r' && b[0] != '\n' {
				break
			}
			in.Discard(1)
		}
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return all
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		all = append(all, reading{resp.StatusCode, string(body), err == nil})
		if err != nil {
			return all
		}
	}
}

// readH2 parses the last stream of HTTP/2.
func readH2(d testserver.Delivered, method string) (all []reading) {
	fr := http2.NewFramer(io.Discard, stream(d))
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.SetMaxReadFrameSize(1 << 20)
	type state struct {
		reading
		length int
	}
	streams := map[uint32]*state{}
	end := func(s *state) {
		if s.length < 0 || s.length == len(s.body) || method == http.MethodHead {
			s.complete = true
		}
	}
	defer func() {
		if len(streams) > 0 {
			all = append(all, streams[slices.Max(slices.Collect(maps.Keys(streams)))].reading)
		}
	}()
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			var se http2.StreamError
			if errors.As(err, &se) {
				delete(streams, se.StreamID)
				continue
			}
			return
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			s := streams[f.StreamID]
			if s == nil {
				status, _ := strconv.Atoi(f.PseudoValue("status"))
				if status < 200 {
					continue
				}
				s = &state{reading: reading{status: status}, length: -1}
				for _, field := range f.RegularFields() {
					if n, err := strconv.Atoi(field.Value); field.Name == "content-length" && err == nil {
						s.length = n
					}
				}
				streams[f.StreamID] = s
			}
			if f.StreamEnded() {
				end(s)
			}
		case *http2.DataFrame:
			if s := streams[f.StreamID]; s != nil && !s.complete {
				s.body += string(f.Data())
				if f.StreamEnded() {
					end(s)
				}
			}
		}
	}
}
