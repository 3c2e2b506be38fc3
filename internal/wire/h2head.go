package wire

// h2Flaw is a flaw of a stream that the guard has found.
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
	flaws // number of flaws
)

var flawTexts = [flaws]string{
	flawStatusMissing: "a response head without :status",
	flawStatusTwice:   "a response head with two :status fields",
	flawStatus:        "a :status that is not a number from 100 to 999",
	flawStatus101:     ":status 101, which is not allowed in HTTP/2",
	flawPseudo:        "a response head with an invalid pseudo-header field",
	flawPseudoLate:    "a pseudo-header field after other fields",
	flawPseudoTrailer: "a pseudo-header field among the trailers",
	flawName:          "a field name that is not a lower-case token",
	flawHop:           "a connection-specific field",
	flawBlanks:        "a field value with leading or trailing whitespace",
	flawControl:       "a field value with a control character",
	flawLength:        "an invalid content-length",
	flawLengths:       "different content-length fields",
	flawLarge:         "a head or trailers larger than MaxHeaderBytes",
	flawInterimEnd:    "an interim response that ends the stream",
	flawTrailerOpen:   "trailers that do not end the stream",
	flawShort:         "a body shorter than its content-length",
	flawLong:          "a body longer than its content-length",
	flawNoContent:     "content in a response that has none by definition",
	flawDataFirst:     "DATA before the response head",
	flawWindow:        "a WINDOW_UPDATE above the maximum window (2^31-1)",
}

// Error implements error: a flaw is the error of its exchange.
func (f h2Flaw) Error() string {
	if f >= flaws {
		f = noFlaw
	}
	return "malformed HTTP/2 response: " + flawTexts[f]
}

// headReport is the result of the check of one header block.
type headReport struct {
	flaw    h2Flaw // the first one
	status  int64  // -1 if missing
	length  int64  // content-length, -1 if missing
	size    uint64 // as defined in RFC 9113, section 6.5.2
	regular bool   // a regular field was read
	trailer bool   // the block is a trailer section
}

// field checks one field (RFC 9113, sections 8.1.1, 8.2.1, 8.2.2 and 8.3.2).
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

// bodiless reports whether a response with this status never has content (RFC 9110, section
// 6.4.1), so that its content-length describes another response.
func bodiless(status int64) bool { return status == 204 || status == 304 }
