// Package charset decodes text in the encodings of the web (https://encoding.spec.whatwg.org).
package charset

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// ErrUnknown is the error of Decode for a label that it does not know.
var ErrUnknown = errors.New("unknown charset")

var utf8Mark = []byte("\xef\xbb\xbf")

// Decode decodes text. label is the name of its encoding, in any case; "" means UTF-8. A byte
// order mark outranks it, and is removed. Bytes that are not valid become U+FFFD.
func Decode(text []byte, label string) (string, error) {
	enc := unicode.UTF8
	if label != "" {
		var err error
		enc, err = htmlindex.Get(label)
		if err != nil || enc == encoding.Replacement { // which stands for encodings that are not safe to decode
			return "", ErrUnknown
		}
	}
	var decoder transform.Transformer
	if rest, marked := bytes.CutPrefix(text, utf8Mark); marked {
		text, enc = rest, unicode.UTF8
		decoder = enc.NewDecoder()
	} else {
		decoder = unicode.BOMOverride(enc.NewDecoder())
	}
	if enc == unicode.UTF8 && utf8.Valid(text) { // and so without a mark of UTF-16
		return string(text), nil
	}
	out, _, err := transform.Bytes(decoder, text)
	return string(out), err
}
