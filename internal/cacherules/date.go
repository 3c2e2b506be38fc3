package cacherules

import (
	"strings"
	"time"
)

// parseDate parses an HTTP-date (RFC 9110, section 5.6.7) in one of its three forms. Names
// are compared ignoring case; only GMT is a time zone (RFC 9111, section 4.2). now decides
// the century of a year with two digits.
func parseDate(s string, now time.Time) (time.Time, bool) {
	p := dateParser{s: strings.Trim(s, " \t")}
	n := 0
	for n < len(p.s) && isLetter(p.s[n]) {
		n++
	}
	day := p.s[:n]
	p.s = p.s[n:]
	switch {
	case len(day) == 3 && strings.HasPrefix(p.s, ","):
		p.dayName(day, 3)
		p.literal(", ")
		p.day = p.digits(2)
		p.literal(" ")
		p.monthName()
		p.literal(" ")
		p.year = p.digits(4)
		p.literal(" ")
		p.clock()
		p.literal(" GMT")
	case strings.HasPrefix(p.s, ","):
		p.dayName(day, len(day))
		p.literal(", ")
		p.day = p.digits(2)
		p.literal("-")
		p.monthName()
		p.literal("-")
		p.year = fullYear(p.digits(2), now.UTC().Year())
		p.literal(" ")
		p.clock()
		p.literal(" GMT")
	default:
		p.dayName(day, 3)
		p.literal(" ")
		p.monthName()
		p.literal(" ")
		if strings.HasPrefix(p.s, " ") {
			p.literal(" ")
			p.day = p.digits(1)
		} else {
			p.day = p.digits(2)
		}
		p.literal(" ")
		p.clock()
		p.literal(" ")
		p.year = p.digits(4)
	}
	return p.time()
}

// fullYear is the year that yy stands for: not more than 50 years in the future.
func fullYear(yy, now int) int {
	year := now - now%100 + yy
	if year > now+50 {
		year -= 100
	}
	return year
}

// dateParser reads a date from left to right; after the first failure nothing changes.
type dateParser struct {
	s                              string
	failed                         bool
	year, month, day, hour, minute int
	second                         int
}

func (p *dateParser) time() (time.Time, bool) {
	if p.failed || p.s != "" || p.hour > 23 || p.minute > 59 || p.second > 60 {
		return time.Time{}, false
	}
	// a leap second becomes the second before it, so that the date is not later
	t := time.Date(p.year, time.Month(p.month), p.day, p.hour, p.minute, min(p.second, 59), 0, time.UTC)
	return t, t.Day() == p.day
}

func (p *dateParser) literal(s string) {
	if p.failed || len(p.s) < len(s) || !strings.EqualFold(p.s[:len(s)], s) {
		p.failed = true
		return
	}
	p.s = p.s[len(s):]
}

func (p *dateParser) digits(n int) (v int) {
	if p.failed || len(p.s) < n {
		p.failed = true
		return 0
	}
	for i := range n {
		c := p.s[i]
		if c < '0' || c > '9' {
			p.failed = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	p.s = p.s[n:]
	return v
}

func (p *dateParser) clock() {
	p.hour = p.digits(2)
	p.literal(":")
	p.minute = p.digits(2)
	p.literal(":")
	p.second = p.digits(2)
}

// dayName checks the name of a day of the week, of which n letters are written.
func (p *dateParser) dayName(name string, n int) {
	for d := range time.Weekday(7) {
		full := d.String()
		if len(name) == n && (n == 3 || n == len(full)) && strings.EqualFold(full[:n], name) {
			return
		}
	}
	p.failed = true
}

func (p *dateParser) monthName() {
	if len(p.s) >= 3 {
		for m := time.January; m <= time.December; m++ {
			if strings.EqualFold(p.s[:3], m.String()[:3]) {
				p.month, p.s = int(m), p.s[3:]
				return
			}
		}
	}
	p.failed = true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
