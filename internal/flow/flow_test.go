package flow

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestSteps: the list of steps.
func TestSteps(t *testing.T) {
	var names []string
	for _, s := range NewEngine(Config{}).steps {
		names = append(names, s.name)
	}
	assert.Equal(t, "decode redirect hsts login cookies cache proxy retry send", strings.Join(names, " "))
}

// script makes steps a, b, c … that record their calls. fails and again say, by "name
// before" or "name after", how often that call fails or returns true; a step that returns
// true clears the error.
type script struct {
	calls        []string
	fails, again map[string]int
	answers      map[string]int // how often a before answers the request
	answer       *http.Response
}

// errStep is the error of a step of a script.
type errStep string

func (e errStep) Error() string { return string(e) }

// use decrements m for a call, and reports whether it was positive.
func use(m map[string]int, call string) bool {
	if m[call] == 0 {
		return false
	}
	m[call]--
	return true
}

func (s *script) step(name string) step {
	before, after := name+" before", name+" after"
	return step{name,
		func(h *Hop) error {
			s.calls = append(s.calls, before)
			if use(s.fails, before) {
				return errStep(before)
			}
			if use(s.answers, before) {
				h.resp = s.answer
			}
			return nil
		},
		func(h *Hop) bool {
			call := after
			if h.err != nil {
				call += " with " + h.err.Error()
			}
			s.calls = append(s.calls, call)
			if use(s.fails, after) {
				h.fail(errStep(after))
			}
			return use(s.again, after)
		},
	}
}

// TestRun: the order of the calls, the steps that see an error, and where a repetition
// begins.
func TestRun(t *testing.T) {
	for name, row := range map[string]struct {
		fails, again, answers map[string]int
		calls                 string
		err                   error
	}{
		"down and up": {calls: "a before, b before, c before, send, c after, b after, a after"},
		"an error of the last step": {fails: map[string]int{"send": 1},
			calls: "a before, b before, c before, send, c after with send, b after with send, a after with send", err: errStep("send")},
		"an error on the way down reaches the steps above": {fails: map[string]int{"b before": 1},
			calls: "a before, b before, a after with b before", err: errStep("b before")},
		"an error of the first step reaches none": {fails: map[string]int{"a before": 1},
			calls: "a before", err: errStep("a before")},
		"an error on the way up reaches the steps above": {fails: map[string]int{"b after": 1},
			calls: "a before, b before, c before, send, c after, b after, a after with b after", err: errStep("b after")},
		"again, from below the step": {again: map[string]int{"b after": 2},
			calls: "a before, b before, c before, send, c after, b after, c before, send, c after, b after, c before, send, c after, b after, a after"},
		"again, of the first step": {again: map[string]int{"a after": 1},
			calls: "a before, b before, c before, send, c after, b after, a after, b before, c before, send, c after, b after, a after"},
		"again, of the last but one": {again: map[string]int{"c after": 1},
			calls: "a before, b before, c before, send, c after, send, c after, b after, a after"},
		"again, instead of an error": {fails: map[string]int{"send": 1}, again: map[string]int{"c after": 1},
			calls: "a before, b before, c before, send, c after with send, send, c after, b after, a after"},
		"again, instead of an error on the way down": {fails: map[string]int{"c before": 1}, again: map[string]int{"a after": 1},
			calls: "a before, b before, c before, b after with c before, a after with c before, b before, c before, send, c after, b after, a after"},
		"a response on the way down": {answers: map[string]int{"b before": 1},
			calls: "a before, b before, a after"},
		"again, instead of a response on the way down": {answers: map[string]int{"b before": 1}, again: map[string]int{"a after": 1},
			calls: "a before, b before, a after, b before, c before, send, c after, b after, a after"},
		"a response on the way down the second time": {answers: map[string]int{"c before": 1}, fails: map[string]int{"b before": 1}, again: map[string]int{"a after": 1},
			calls: "a before, b before, a after with b before, b before, c before, b after, a after"},
		"an error the second time": {fails: map[string]int{"b after": 1}, again: map[string]int{"c after": 1},
			calls: "a before, b before, c before, send, c after, send, c after, b after, a after with b after", err: errStep("b after")},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Body: http.NoBody}
			s := &script{fails: row.fails, again: row.again, answers: row.answers, answer: resp}
			send := step{"send", func(h *Hop) error {
				s.calls = append(s.calls, "send")
				if use(s.fails, "send") {
					return errStep("send")
				}
				h.resp = resp
				return nil
			}, nil}
			got, err := new(Hop).run([]step{s.step("a"), s.step("b"), s.step("c"), send})
			assert.Equal(t, row.calls, strings.Join(s.calls, ", "))
			assert.Equal(t, row.err, err)
			if row.err == nil {
				assert.Same(t, resp, got)
			} else {
				assert.Nil(t, got)
			}
		})
	}
}

// TestRunSkips: before and after may be nil.
func TestRunSkips(t *testing.T) {
	s := &script{}
	a, c := s.step("a"), s.step("c")
	a.before, c.after = nil, nil
	got, err := new(Hop).run([]step{a, {name: "b"}, c})
	assert.Equal(t, "c before, a after", strings.Join(s.calls, ", "))
	assert.Nil(t, got)
	assert.NoError(t, err)
}

// closeCounter counts how often a body is closed.
type closeCounter struct {
	io.Reader
	n int
}

func (c *closeCounter) Close() error { c.n++; return nil }

// TestFail: an error replaces a response, whose body is closed.
func TestFail(t *testing.T) {
	body := &closeCounter{Reader: strings.NewReader("body")}
	h := &Hop{resp: &http.Response{Body: body}}
	h.fail(errors.ErrUnsupported)
	assert.Nil(t, h.resp)
	assert.Equal(t, errors.ErrUnsupported, h.err)
	assert.Equal(t, 1, body.n)
	h.fail(io.EOF)
	assert.Equal(t, io.EOF, h.err)
}
