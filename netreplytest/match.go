package netreplytest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/netreply/netreply"
)

// eventNames are the signals that patterns can name.
func eventNames() (names []string) {
	for _, e := range []netreply.Event{
		netreply.SocketStartedConnecting{}, netreply.SSLErrorsOccurred{}, netreply.PreSharedKeyAuthenticationRequired{},
		netreply.Encrypted{}, netreply.RequestSent{}, netreply.UploadProgress{}, netreply.InformationalReceived{},
		netreply.MetaDataChanged{}, netreply.AuthenticationRequired{}, netreply.ProxyAuthenticationRequired{},
		netreply.Redirected{}, netreply.ReadyRead{}, netreply.DownloadProgress{}, netreply.ErrorOccurred{}, netreply.Finished{},
	} {
		names = append(names, eventName(e))
	}
	return names
}

// detailOf is what a pattern can require of a signal in parentheses; "" for nothing.
func detailOf(e netreply.Event) string {
	progress := func(p netreply.Progress) string {
		total := "?"
		if p.Total >= 0 {
			total = strconv.FormatInt(p.Total, 10)
		}
		return strconv.FormatInt(p.Done, 10) + "/" + total
	}
	switch e := e.(type) {
	case netreply.MetaDataChanged:
		return strconv.Itoa(e.StatusCode)
	case netreply.InformationalReceived:
		return strconv.Itoa(e.StatusCode)
	case netreply.UploadProgress:
		return progress(e.Progress)
	case netreply.DownloadProgress:
		return progress(e.Progress)
	case netreply.ErrorOccurred:
		return e.Code.String()
	}
	return ""
}

// hasDetail are the signals that have a detail.
var hasDetail = []string{"MetaDataChanged", "InformationalReceived", "UploadProgress", "DownloadProgress", "ErrorOccurred"}

// token is one word of a pattern.
type token struct {
	text     string
	names    []string // alternatives; empty for any signal
	details  []string // of names; "" for any
	optional bool     // ? or *
	repeats  bool     // * or +
}

func (k *token) matches(e netreply.Event) bool {
	if len(k.names) == 0 {
		return true
	}
	for i, name := range k.names {
		if name == eventName(e) && (k.details[i] == "" || k.details[i] == detailOf(e)) {
			return true
		}
	}
	return false
}

// parsePattern splits a pattern into its words.
func parsePattern(pattern string) ([]token, error) {
	var list []token
	for _, word := range strings.Fields(pattern) {
		k := token{text: word}
		if word == "..." {
			k.optional, k.repeats = true, true
			list = append(list, k)
			continue
		}
		switch word[len(word)-1] {
		case '?':
			k.optional = true
		case '*':
			k.optional, k.repeats = true, true
		case '+':
			k.repeats = true
		}
		if k.optional || k.repeats {
			word = word[:len(word)-1]
		}
		for name := range strings.SplitSeq(word, "|") {
			detail := ""
			if open := strings.IndexByte(name, '('); open >= 0 && strings.HasSuffix(name, ")") {
				name, detail = name[:open], name[open+1:len(name)-1]
				if !slices.Contains(eventNames(), name) {
					return nil, noSignal(k.text, name)
				}
				if !slices.Contains(hasDetail, name) || detail == "" {
					return nil, fmt.Errorf("%q: only %s have a detail", k.text, strings.Join(hasDetail, ", "))
				}
				if wrong := impossible(name, detail); wrong != "" {
					return nil, fmt.Errorf("%q: %s", k.text, wrong)
				}
			}
			if !slices.Contains(eventNames(), name) {
				return nil, noSignal(k.text, name)
			}
			k.names, k.details = append(k.names, name), append(k.details, detail)
		}
		list = append(list, k)
	}
	return list, nil
}

// impossible says why no signal of a name has the detail; "" if one can.
func impossible(name, detail string) string {
	switch name {
	case "ErrorOccurred":
		return unknownCode(detail)
	case "UploadProgress", "DownloadProgress":
		done, total, ok := strings.Cut(detail, "/")
		if !ok || !isNumber(done) || total != "?" && !isNumber(total) {
			return "the detail of a progress is bytes and total, 5/10, or 5/? if the total is not known"
		}
	default:
		if !isNumber(detail) {
			return "the detail is a status, a number"
		}
	}
	return ""
}

// isNumber reports whether detailOf could have written s.
func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 63)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// unknownCode says that a reply cannot fail with a code of this name, and which similar ones
// there are; "" if it can.
func unknownCode(name string) string {
	var similar []string
	for _, code := range slices.Concat(slices.Collect(maps.Keys(failures())), slices.Collect(maps.Keys(local))) {
		switch known := code.String(); {
		case known == name:
			return ""
		case strings.Contains(strings.ToLower(known), strings.ToLower(name)):
			similar = append(similar, known)
		}
	}
	text := fmt.Sprintf("there is no code %q", name)
	if len(similar) > 0 {
		slices.Sort(similar)
		text += "; similar are " + strings.Join(similar, ", ")
	}
	return text
}

func noSignal(word, name string) error {
	return fmt.Errorf("%q: there is no signal %q, only %s", word, name, strings.Join(eventNames(), ", "))
}

// MatchEvents fails the test unless signals have the order of a pattern, and reports whether
// they have. The words of a pattern are separated by spaces:
//
//	ReadyRead               one signal, by the name of its event
//	ReadyRead?              none or one
//	ReadyRead*              any number
//	ReadyRead+              at least one
//	ReadyRead|Finished      one of several; with a sign for any number of them, mixed
//	MetaDataChanged(404)    with this detail: the status of MetaDataChanged and
//	                        InformationalReceived, the code of ErrorOccurred(TimeoutError),
//	                        the bytes of a progress, DownloadProgress(5/10), or (5/?) when
//	                        the total is not known
//	...                     any number of any signals
//
// The pattern is that of all signals: "MetaDataChanged" alone does not match a reply that also
// finishes. A word that no signal can be, such as ErrorOccurred(NotFound), fails the test at once.
// How many ReadyRead and progresses there are depends on timing:
// ReadyRead|DownloadProgress* stands for any.
func MatchEvents(t TB, events []netreply.Event, pattern string) bool {
	t.Helper()
	tokens, err := parsePattern(pattern)
	if err != nil {
		t.Fatalf(prefix+"the pattern has %v", err)
		return false
	}
	// The places in the pattern at which a match of the events so far can stand, as for a
	// regular expression; place i is before token i.
	at := closure(tokens, []int{0})
	for n, e := range events {
		next := []int{}
		for _, i := range at {
			if i < len(tokens) && tokens[i].matches(e) {
				next = append(next, i+1)
				if tokens[i].repeats {
					next = append(next, i)
				}
			}
		}
		if len(next) == 0 {
			t.Errorf(prefix+"%s", difference(pattern, tokens, events, n, at))
			return false
		}
		at = closure(tokens, next)
	}
	if !slices.Contains(at, len(tokens)) {
		t.Errorf(prefix+"%s", difference(pattern, tokens, events, len(events), at))
		return false
	}
	return true
}

// closure adds the places that are reached without a signal. A place whose token has matched
// and may repeat is in the list by itself, and counts as one to go on from.
func closure(tokens []token, at []int) []int {
	for n := 0; n < len(at); n++ {
		if i := at[n]; i < len(tokens) && tokens[i].optional && !slices.Contains(at, i+1) {
			at = append(at, i+1)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// difference lists the signals, and what the pattern wanted at the first that does not fit.
func difference(pattern string, tokens []token, events []netreply.Event, wrong int, at []int) string {
	var wanted []string
	for _, i := range at {
		if i < len(tokens) {
			wanted = append(wanted, tokens[i].text)
		} else {
			wanted = append(wanted, "the end")
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the signals do not match %s\n", strings.Join(strings.Fields(pattern), " "))
	for i, e := range events {
		mark := "   "
		if i == wrong {
			mark = ">> "
		}
		fmt.Fprintf(&b, "  %s%2d %v\n", mark, i+1, e)
		if i == wrong {
			fmt.Fprintf(&b, "        wanted here: %s\n", strings.Join(wanted, ", or "))
		}
	}
	if wrong == len(events) {
		fmt.Fprintf(&b, "  >>    no more signals; wanted here: %s\n", strings.Join(wanted, ", or "))
		if near := nearest(tokens, events, at); near != "" {
			fmt.Fprintf(&b, "        nearest: %s\n", near)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// nearest is the signal that comes nearest to the last word that was wanted: one of its name,
// and of those the one whose detail begins like that of the word; "" for none. It is too early if
// it has the detail too, and had come before what stands in front of the word.
func nearest(tokens []token, events []netreply.Event, at []int) string {
	var last *token
	for _, i := range at {
		if i < len(tokens) && len(tokens[i].names) > 0 {
			last = &tokens[i]
		}
	}
	if last == nil {
		return ""
	}
	best, found := -1, ""
	for n, e := range events {
		i := slices.Index(last.names, eventName(e))
		if i < 0 {
			continue
		}
		detail := detailOf(e)
		same := 0
		for same < min(len(detail), len(last.details[i])) && detail[same] == last.details[i][same] {
			same++
		}
		if same < best {
			continue
		}
		best, found = same, fmt.Sprintf("%d %s", n+1, eventName(e))
		if detail != "" {
			found += "(" + detail + ")"
		}
		if last.matches(e) {
			found += ", too early"
		}
	}
	return found
}
