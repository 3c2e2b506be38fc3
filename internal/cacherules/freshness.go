package cacherules

import (
	"strings"
	"time"
)

// maxHeuristic bounds a guessed freshness lifetime: what has not changed for years is not
// fresh for months.
const maxHeuristic = 7 * 24 * time.Hour

// setLifetime calculates the freshness lifetime for a private cache (RFC 9111, section
// 4.2.1): from max-age, Expires, or a tenth of the time since the last modification.
func (p *policy) setLifetime(status int, expires []string, received time.Time) {
	switch {
	case p.maxAge != absent:
		p.explicit, p.lifetime = true, p.maxAge
	case len(expires) > 0:
		p.explicit = true
		if t, ok := parseDate(expires[0], received); ok { // what is no date is in the past (section 5.3)
			p.lifetime = max(0, t.Sub(p.date))
		}
	case p.modified != "" && (heuristicallyCacheable(status) || p.public):
		p.heuristic = true
		p.lifetime = min(max(0, p.date.Sub(p.modifiedTime)/10), maxHeuristic)
	}
}

// initialAge is the age of a response when it arrived (RFC 9111, section 4.2.3). Of several
// Age values the first counts; an invalid one does not (section 5.1).
func initialAge(date time.Time, age []string, t Times) time.Duration {
	// a Date has whole seconds: the part of a second since then is no age
	apparent := max(0, t.Response.Sub(date)).Truncate(time.Second)
	corrected := elapsed(t.Request, t.Response)
	if len(age) > 0 {
		first, _, _ := strings.Cut(age[0], ",")
		if v, ok := parseSeconds(strings.Trim(first, " \t")); ok {
			corrected = sum(corrected, v)
		}
	}
	return max(apparent, corrected)
}

// age is the current age of a response (RFC 9111, section 4.2.3).
func (s *Stored) age(now time.Time) time.Duration {
	return sum(s.initialAge, elapsed(s.Response, now))
}

// elapsed is the time between a and b. If the clock was set back between them, the response
// is from the future, and nobody knows how old it is: then the distance counts, too, so
// that it does not stay fresh until that future has come.
func elapsed(a, b time.Time) time.Duration {
	d := b.Sub(a)
	if d < 0 {
		d = -max(d, -forever)
	}
	return d
}

// sum adds two durations that are not negative.
func sum(a, b time.Duration) time.Duration {
	if a > forever-b {
		return forever
	}
	return a + b
}

// heuristicallyCacheable reports whether a status may be stored and reused without explicit
// freshness (RFC 9110, section 15.1).
func heuristicallyCacheable(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}
