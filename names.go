package netreply

import (
	"strconv"
)

// What fmt and log/slog print of constants. log/slog's handler of JSON, for one, would print
// their numbers, so each type tells its LogValue.

// nameOf is the name of constant v of a type, whose constants count from 0.
func nameOf(typ string, v int, names ...string) string {
	if v < 0 || v >= len(names) {
		return typ + "(" + strconv.Itoa(v) + ")"
	}
	return names[v]
}
