package netreply

import "strconv"

// Types of constants implement both String and LogValue, because some handlers of log/slog,
// such as the JSON handler, print numbers otherwise.

// nameOf is the name of constant v of a type whose constants start at 0.
func nameOf(typ string, v int, names ...string) string {
	if v < 0 || v >= len(names) {
		return typ + "(" + strconv.Itoa(v) + ")"
	}
	return names[v]
}
