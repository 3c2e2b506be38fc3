package netreplytest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/netreply/netreply"
)

// Step is a part of an Answer: Status, Header, Body, Trailer, Informational, Redirect, After,
// Slowly, Early, Signal, or a Fault.
type Step interface{ isStep() }

type (
	statusStep  int
	fieldStep   struct{ name, value string }
	trailerStep fieldStep
	bodyStep    string
	afterStep   time.Duration
	slowStep    struct {
		text  string
		size  int
		every time.Duration
	}
	earlyStep      struct{}
	redirectStep   string
	signalStep     struct{ event netreply.Event }
	selfStep       struct{} // a Location that leads back
	bodyNeededStep struct{} // fails the test for a request without a body
	interimStep    struct {
		status int
		fields []fieldStep
		odd    string // a name without a value; "" for none
	}
)

func (statusStep) isStep()     {}
func (fieldStep) isStep()      {}
func (trailerStep) isStep()    {}
func (bodyStep) isStep()       {}
func (afterStep) isStep()      {}
func (slowStep) isStep()       {}
func (earlyStep) isStep()      {}
func (interimStep) isStep()    {}
func (redirectStep) isStep()   {}
func (signalStep) isStep()     {}
func (selfStep) isStep()       {}
func (bodyNeededStep) isStep() {}

// Status is the status of the answer; without it, 200. It stands before the first Body.
func Status(code int) Step { return statusStep(code) }

// Header adds a header field to the answer. It stands before the first Body. A
// Transfer-Encoding of chunked makes an answer over HTTP/1 chunked.
func Header(name, value string) Step { return fieldStep{name, value} }

// Body is a part of the body. Each part is sent by itself. If the answer has no Fault, its
// Content-Length is the length of all parts together, unless Header says otherwise.
func Body(text string) Step { return bodyStep(text) }

// Trailer adds a trailer field, which follows the body.
func Trailer(name, value string) Step { return trailerStep{name, value} }

// Informational is an interim response, with header fields as names and values in turn. It
// stands before the first Body.
func Informational(code int, fields ...string) Step {
	s := interimStep{status: code}
	for i := 0; i+1 < len(fields); i += 2 {
		s.fields = append(s.fields, fieldStep{fields[i], fields[i+1]})
	}
	if n := len(fields); n%2 == 1 {
		s.odd = strconv.Quote(fields[n-1])
	}
	return s
}

// Redirect redirects to a URL, which may be relative, with the status 302 unless there is a
// Status. It ends an Answer; in a Reply the steps after it are the answer of its target.
func Redirect(location string) Step { return redirectStep(location) }

// After is a pause. What stands before it has been sent; a pause before Status, Header and
// Body is one before the response head.
func After(d time.Duration) Step { return afterStep(d) }

// Slowly is a part of the body that is sent size bytes at a time, at least one, with a pause after
// each time.
func Slowly(text string, size int, every time.Duration) Step {
	return slowStep{text, size, every}
}

// Signal emits a signal of a Backend or a Reply at this point: SocketStartedConnecting,
// Encrypted, RequestSent, MetaDataChanged, DownloadProgress with its Progress, or one of the
// questions AuthenticationRequired, ProxyAuthenticationRequired and SSLErrorsOccurred, whose
// exported fields are copied. The reply goes on when the question is answered, and fails if the
// answer is no. The other signals follow from the other steps. Without a Signal of the first
// three, an answer begins with those of a request that is sent at once.
func Signal(e netreply.Event) Step { return signalStep{e} }

// Early lets a Server begin the answer before it has read the body of the request, of which
// it reads nothing: with Stall as the next step the upload stalls. It stands first. Without it
// an Answer begins when the whole request has arrived.
func Early() Step { return earlyStep{} }

// Answer is what a Server, a Backend or a Reply delivers, step by step; an empty one is a 200
// response without a body. As an http.Handler it also works in other servers, and as a
// netreply.Backend, in Config.Backends, it answers every request without a server:
//
//	netreplytest.Answer{netreplytest.Status(404), netreplytest.Body("no such page")}
type Answer []Step

var (
	_ http.Handler     = Answer(nil)
	_ netreply.Backend = Answer(nil)
)

// bodyLength is the length of the body; known is false if a fault may cut it short.
func (a Answer) bodyLength() (known bool, n int64) {
	for _, s := range a {
		switch s := s.(type) {
		case bodyStep:
			n += int64(len(s))
		case slowStep:
			n += int64(len(s.text))
		case Fault, trailerStep: // trailers need chunks in HTTP/1
			return false, 0
		}
	}
	return true, n
}

// early reports whether the answer does not wait for the body of the request.
func (a Answer) early() bool { return len(a) > 0 && a[0] == Step(earlyStep{}) }

// noServer stands for the kind of a server where a Backend answers.
const noServer Kind = -1

// misplaced says which step of an answer cannot stand where it does; "" for none.
func (a Answer) misplaced(kind Kind) string {
	body := false
	for i, s := range a {
		last := i == len(a)-1
		switch s := s.(type) {
		case nil:
			return "a step is nil"
		case statusStep:
			if s < 200 || s > 999 {
				return "Status(" + strconv.Itoa(int(s)) + ") is no status of a final response; Informational is for 1xx"
			}
			if body {
				return "Status stands after Body; the head has been sent then"
			}
		case fieldStep:
			if body {
				return "Header stands after Body; the head has been sent then; Trailer may follow"
			}
			if wrong := s.invalid(); wrong != "" {
				return "Header" + wrong
			}
		case trailerStep:
			if wrong := fieldStep(s).invalid(); wrong != "" {
				return "Trailer" + wrong
			}
		case interimStep:
			if s.status < 100 || s.status > 199 || s.status == http.StatusSwitchingProtocols {
				return "Informational(" + strconv.Itoa(s.status) + ") is no interim status"
			}
			if body {
				return "Informational stands after Body"
			}
			if s.odd != "" {
				return "Informational: the field " + s.odd + " has no value"
			}
			for _, f := range s.fields {
				if wrong := f.invalid(); wrong != "" {
					return "Informational: a field" + wrong
				}
			}
		case afterStep:
			if s < 0 {
				return fmt.Sprintf("After pauses for %v, which is negative", time.Duration(s))
			}
		case earlyStep:
			if i > 0 {
				return "Early does not stand first"
			}
		case redirectStep:
			if body || !last {
				return "Redirect stands before or after parts of a body; it ends an answer without one"
			}
		case signalStep:
			if kind != noServer {
				return "Signal is for a Backend and a Reply; those of a Server's client follow from what happens"
			}
			if !s.possible() {
				return "Signal cannot emit " + eventName(s.event)
			}
		case bodyStep:
			body = true
		case slowStep:
			body = true
			if s.size <= 0 {
				return fmt.Sprintf("Slowly sends %d bytes at a time, and would never end", s.size)
			}
			if s.every < 0 {
				return fmt.Sprintf("Slowly pauses for %v, which is negative", s.every)
			}
		case Fault:
			if s.at == nowhere {
				return "a step is no fault: " + noFault
			}
			if kind != noServer {
				if wrong := s.misused(kind, inAnswer); wrong != "" {
					return wrong
				}
			}
			if !last && (s.act != nil || kind == noServer) {
				return "steps follow " + s.name + ", which ends the answer"
			}
		}
	}
	return ""
}

// invalid says what no server sends of a field; "" for nothing.
func (f fieldStep) invalid() string {
	switch {
	case !httpguts.ValidHeaderFieldName(f.name):
		return "(" + strconv.Quote(f.name) + ") is no name of a field"
	case !httpguts.ValidHeaderFieldValue(f.value):
		return "(" + strconv.Quote(f.name) + ") has a control character in its value"
	}
	return ""
}

// noFault is what a zero Fault comes from.
const noFault = "Fail(NoError), or a Fault that nothing was assigned to"

// sink is where an answer goes. An error of its methods ends the answer.
type sink interface {
	interim(status int, fields []fieldStep) error
	head(status int, fields []fieldStep) error
	write(text string) error
	flush() error // sends what was written
	trailer(name, value string)
	redirect(status int, location string) error
	signal(netreply.Event) error
	fault(*player, Fault) error
	requestHasBody() error
	self() string          // the URL of the request, without its origin
	left() <-chan struct{} // closed when the client has left
}

// player is an Answer while it is sent.
type player struct {
	sink   sink
	known  bool // length is that of the body
	length int64
	status int
	fields []fieldStep
	begun  bool // the head has been described, by Status or Header
	sent   bool // the head has been sent
	// pending reports that a part of the body has been written and not flushed.
	pending bool
}

// errLeft ends an answer whose client has left, or that a fault has ended.
var errLeft = errors.New("the answer is over")

// play sends steps.
func (p *player) play(steps []Step) error {
	for _, s := range steps {
		if err := p.step(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) step(s Step) error {
	switch s := s.(type) {
	case statusStep:
		p.status, p.begun = int(s), true
	case fieldStep:
		p.fields, p.begun = append(p.fields, s), true
	case selfStep:
		p.fields, p.begun = append(p.fields, fieldStep{"Location", p.sink.self()}), true
	case trailerStep:
		p.sink.trailer(s.name, s.value)
	case interimStep:
		return p.sink.interim(s.status, s.fields)
	case bodyStep:
		return p.write(string(s))
	case slowStep:
		for rest := s.text; rest != ""; {
			n := min(s.size, len(rest))
			if err := p.write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
			if err := p.flush(); err != nil {
				return err
			}
			if err := p.pause(s.every); err != nil {
				return err
			}
		}
	case afterStep:
		if p.begun {
			if err := p.flush(); err != nil {
				return err
			}
		}
		return p.pause(time.Duration(s))
	case redirectStep:
		if p.status == 0 {
			p.status = http.StatusFound
		}
		p.sent = true
		return p.sink.redirect(p.status, string(s))
	case signalStep:
		if _, ok := s.event.(netreply.MetaDataChanged); ok {
			return p.head()
		}
		return p.sink.signal(s.event)
	case bodyNeededStep:
		return p.sink.requestHasBody()
	case Fault:
		return p.sink.fault(p, s)
	}
	return nil
}

// head sends the response head, once.
func (p *player) head() error {
	if p.sent {
		return nil
	}
	p.sent = true
	if p.status == 0 {
		p.status = http.StatusOK
	}
	framed := p.status == http.StatusNoContent || p.status == http.StatusNotModified
	for _, f := range p.fields {
		framed = framed || strings.EqualFold(f.name, "Content-Length") || strings.EqualFold(f.name, "Transfer-Encoding")
	}
	if p.known && !framed {
		p.fields = append(p.fields, fieldStep{"Content-Length", strconv.FormatInt(p.length, 10)})
	}
	return p.sink.head(p.status, p.fields)
}

// write sends a part of the body, after the parts before it.
func (p *player) write(text string) error {
	if err := p.head(); err != nil || text == "" {
		return err
	}
	if p.pending {
		if err := p.sink.flush(); err != nil {
			return err
		}
	}
	p.pending, p.begun = true, true
	return p.sink.write(text)
}

// flush sends what comes before, the head included.
func (p *player) flush() error {
	if err := p.head(); err != nil {
		return err
	}
	p.pending = false
	return p.sink.flush()
}

// pause waits, unless the client leaves.
func (p *player) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.sink.left():
		return errLeft
	}
}
