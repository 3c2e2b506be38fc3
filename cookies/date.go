package cookies

import (
	"strings"
	"time"
)

// parseDate parses an Expires attribute with the lenient grammar of RFC 6265bis, section
// 5.1.1: a time, a day, a month and a year in any order, between arbitrary other text.
func parseDate(s string) (time.Time, bool) {
	var hour, minute, second, day, year int
	var month time.Month
	var haveTime, haveDay, haveMonth, haveYear bool
	for token := range strings.FieldsFuncSeq(s, isDateDelimiter) {
		switch {
		case !haveTime && parseTime(token, &hour, &minute, &second):
			haveTime = true
		case !haveDay && parseDigits(token, 1, 2, &day):
			haveDay = true
		case !haveMonth && parseMonth(token, &month):
			haveMonth = true
		case !haveYear && parseDigits(token, 2, 4, &year):
			haveYear = true
		}
	}
	switch {
	case 70 <= year && year <= 99:
		year += 1900
	case 0 <= year && year <= 69:
		year += 2000
	}
	if !haveTime || !haveDay || !haveMonth || !haveYear || year < 1601 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	return t, t.Day() == day // false for a date such as the 31st of June
}

func isDateDelimiter(r rune) bool {
	return r == '\t' || ' ' <= r && r <= '/' || ';' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
}

// parseDigits parses a number of least to most digits; anything but a digit may follow.
func parseDigits(s string, least, most int, n *int) bool {
	v, i := 0, 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		if i == most {
			return false
		}
		v = v*10 + int(s[i]-'0')
		i++
	}
	if i < least {
		return false
	}
	*n = v
	return true
}

func parseTime(s string, hour, minute, second *int) bool {
	h, rest, ok := strings.Cut(s, ":")
	m, sec, ok2 := strings.Cut(rest, ":")
	return ok && ok2 && onlyDigits(h) && onlyDigits(m) &&
		parseDigits(h, 1, 2, hour) && parseDigits(m, 1, 2, minute) && parseDigits(sec, 1, 2, second)
}

func onlyDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func parseMonth(s string, month *time.Month) bool {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if len(s) < 3 {
		return false
	}
	i := strings.Index(names, strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return false
	}
	*month = time.Month(i/3 + 1)
	return true
}
