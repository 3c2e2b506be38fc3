package wire

// h2Flaw is what is wrong with a stream of the peer's, in the eyes of the guard.
type h2Flaw byte

const (
	noFlaw h2Flaw = iota
	flawStatusMissing
	flawStatusTwice
	flawStatus
	flawStatus101
	flawPseudo
	flawPseudoLate
	flawPseudoTrailer
	flawName
	flawHop
	flawBlanks
	flawControl
	flawLength
	flawLengths
	flawLarge
	flawInterimEnd
	flawTrailerOpen
	flawShort
	flawLong
	flawNoContent
	flawDataFirst
	flawWindow
	flaws // their number
)

var flawTexts = [flaws]string{
	flawStatusMissing: "a response head without :status",
	flawStatusTwice:   "a response head with two :status fields",
	flawStatus:        "a :status that is not three digits from 100 on",
	flawStatus101:     ":status 101, which HTTP/2 does not have",
	flawPseudo:        "a response head with a pseudo-header field that no response has",
	flawPseudoLate:    "a pseudo-header field behind other fields",
	flawPseudoTrailer: "a pseudo-header field among the trailers",
	flawName:          "a field name that is not a token in lower case",
	flawHop:           "a field that is about an HTTP/1 connection",
	flawBlanks:        "a field value with blanks around it",
	flawControl:       "a field value with a control character",
	flawLength:        "a content-length that is no number",
	flawLengths:       "content-length fields that contradict each other",
	flawLarge:         "a head or trailers larger than MaxHeaderBytes",
	flawInterimEnd:    "an interim response that ends the stream",
	flawTrailerOpen:   "trailers that do not end the stream",
	flawShort:         "a body shorter than its content-length",
	flawLong:          "a body longer than its content-length",
	flawNoContent:     "content where the response can have none",
	flawDataFirst:     "DATA in front of the response head",
	flawWindow:        "a WINDOW_UPDATE beyond the largest window (2^31-1)",
}

// Error makes a flaw the error of the exchange.
func (f h2Flaw) Error() string {
	if f >= flaws {
		f = noFlaw
	}
	return "malformed HTTP/2 response: " + flawTexts[f]
}

// headReport is what one header block says.
type headReport struct {
	flaw    h2Flaw // the first one
	status  int64  // -1 without
	length  int64  // content-length, -1 without
	size    uint64 // as RFC 9113, section 6.5.2, counts
	regular bool   // a field that is no pseudo-header field has come
	trailer bool   // trailers are what is looked at
}

// field takes one more field (RFC 9113, sections 8.1.1, 8.2.1, 8.2.2 and 8.3.2).
func (r *headReport) field(e hpackEntry) {
	r.size += uint64(e.size())
	found := func(f h2Flaw) {
		if r.flaw == noFlaw {
			r.flaw = f
		}
	}
	switch e.value.kind {
	case blankValue:
		found(flawBlanks)
	case controlValue:
		found(flawControl)
	}
	switch e.name.kind {
	case statusName, pseudoName:
		switch {
		case r.trailer:
			found(flawPseudoTrailer)
		case r.regular:
			found(flawPseudoLate)
		case e.name.kind == pseudoName:
			found(flawPseudo)
		case r.status >= 0:
			found(flawStatusTwice)
		case e.value.number < 100:
			found(flawStatus)
		case e.value.number == 101:
			found(flawStatus101)
		}
		r.status = max(r.status, e.value.number, 0)
		return
	case invalidName, emptyName:
		found(flawName)
	case hopName:
		found(flawHop)
	case lengthName:
		switch {
		case e.value.number < 0:
			found(flawLength)
		case r.length >= 0 && r.length != e.value.number:
			found(flawLengths)
		}
		r.length = e.value.number
	}
	r.regular = true
}

// bodiless tells whether a response of this status never has content (RFC 9110, section
// 6.4.1): its content-length is that of another one.
func bodiless(status int64) bool { return status == 204 || status == 304 }
