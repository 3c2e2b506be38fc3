package httpserver

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// unknownPhrase tells whether net/http does not know the reason phrase of a status that
// has one.
func (s StatusCode) unknownPhrase() bool { return http.StatusText(int(s)) == "" && s.phrase() != "" }

// dataWithPhrase sends an answer with a reason phrase that net/http does not know: on the
// connection itself, which ends with it. It reports false where that cannot be, and
// nothing is sent then: the answer will do without the phrase.
func (x *exchange) dataWithPhrase(body []byte, status StatusCode) (bool, error) {
	if !x.spelled || x.body != nil && !x.body.atEOF() {
		return false, nil // what is unread would make the end of the connection a reset
	}
	c, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return false, nil
	}
	defer c.Close()
	if x.writer != nil {
		x.writer.begin(status)
		status = x.writer.status
	}
	h := x.w.Header().Clone()
	h["Connection"] = []string{"close"}
	h["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	if len(h["Content-Length"]) == 0 {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	sniff(h, body)
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.%d %s\r\n", min(1, x.r.ProtoMinor), status)
	h.Write(&b)
	b.WriteString("\r\n")
	if !x.isHead {
		b.Write(body)
	}
	if x.writer != nil {
		x.writer.count(int64(len(body)))
	}
	if x.writer != nil && x.writer.server.cfg.StallTimeout > 0 {
		c.SetWriteDeadline(time.Now().Add(x.writer.server.cfg.StallTimeout))
	}
	if _, err = c.Write(b.Bytes()); err != nil {
		x.broken = true
		err = fmt.Errorf("%w: %w", ErrClientGone, err)
	}
	return true, err
}
