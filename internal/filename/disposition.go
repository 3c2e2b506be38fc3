package filename

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// FromDisposition returns the names in a value of the field Content-Disposition (RFC 6266):
// that of the parameter filename*, which is to be preferred, and that of filename, each ""
// if it is missing or cannot be decoded. They are not safe as names of files.
//
// It is lenient: a value without quotes reaches to the next semicolon, a quote need not be
// closed, what is not a parameter is skipped, and of a parameter that is repeated the first
// counts. The disposition type is not looked at, and may be missing. Bytes that are not
// UTF-8 are ISO-8859-1.
func FromDisposition(value string) (extended, plain string) {
	var hasExtended, hasPlain bool
	for value != "" {
		end := strings.IndexAny(value, "=;")
		if end < 0 {
			break
		}
		name := strings.ToLower(strings.Trim(value[:end], blanks))
		isParam := value[end] == '='
		value = value[end+1:]
		if !isParam {
			continue
		}
		var text string
		text, value = cutValue(value)
		switch {
		case name == "filename*" && !hasExtended:
			extended, hasExtended = decodeExtended(text), true
		case name == "filename" && !hasPlain:
			plain, hasPlain = decodePlain(text), true
		}
	}
	return extended, plain
}

const blanks = " \t"

// cutValue splits off the value of a parameter, and the semicolon behind it.
func cutValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, blanks)
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimRight(value, blanks), rest
	}
	end := 1
	for end < len(s) && s[end] != '"' {
		if s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s) {
		return unescape(s[1:]), ""
	}
	_, rest, _ = strings.Cut(s[end:], ";")
	return unescape(s[1:end]), rest
}

// unescape resolves the quoted pairs of a quoted string, in which a backslash stands before
// a character that is meant literally (RFC 9110, section 5.6.4). In what begins as a path of
// Windows, which some servers send, backslashes are separators.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 || strings.HasPrefix(s, `\\`) || len(s) > 2 && s[1:3] == `:\` {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func decodePlain(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return fromLatin1(s)
}

// decodeExtended decodes an extended value (RFC 8187, section 3.2): charset, language and
// percent-encoded bytes, separated by single quotes. It is "" for another charset, and for
// bytes that are not of the charset.
func decodeExtended(s string) string {
	parts := strings.SplitN(s, "'", 3)
	if len(parts) < 3 {
		return ""
	}
	text, err := url.PathUnescape(parts[2])
	switch {
	case err != nil:
	case strings.EqualFold(parts[0], "UTF-8") && utf8.ValidString(text):
		return text
	case strings.EqualFold(parts[0], "ISO-8859-1"):
		return fromLatin1(text)
	}
	return ""
}

// fromLatin1 decodes ISO-8859-1, whose bytes are the first code points.
func fromLatin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}
