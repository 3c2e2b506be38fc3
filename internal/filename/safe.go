package filename

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLength is the longest name in bytes that file systems have in common.
const maxLength = 255

// maxExtension is the length in bytes from which the end of a name, with its dot, is not
// taken for an extension.
const maxExtension = 32

const (
	separators = `/\`
	// Letters of some scripts are shaped by these; some file systems ignore them.
	nonJoiner = '\u200c'
	joiner    = '\u200d'
	// ends are the characters that a name neither begins nor ends with.
	ends = ". " + string(nonJoiner) + string(joiner)
)

// Safe makes the name of a file, in the directory of the caller's choice, of a text that is
// not trusted; "" if nothing is left. Of a path with separators of any platform it is the
// last element. Control and format characters, among them those that change the direction
// of writing, and characters that Windows reserves become underscores. Dots and spaces at
// both ends are removed; a name that is a device on Windows begins with an underscore. The
// result is valid UTF-8 of at most 255 bytes; a longer name loses the end of its stem, and
// keeps its extension.
func Safe(name string) string {
	name = strings.TrimRight(name, separators)
	name = name[strings.LastIndexAny(name, separators)+1:]
	name = strings.Trim(strings.Map(safeRune, name), ends)
	name = cut(name, maxLength)
	if isDevice(name) {
		name = "_" + cut(name, maxLength-1)
	}
	return name
}

// safeRune is the character that stands for r in a name.
func safeRune(r rune) rune {
	switch {
	case r == utf8.RuneError, strings.ContainsRune(`<>:"|?*`, r):
		return '_'
	case unicode.IsPrint(r), r == nonJoiner, r == joiner:
		return r
	case unicode.Is(unicode.Zs, r):
		return ' '
	}
	return '_'
}

// cut shortens a name to limit bytes.
func cut(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	extension := path.Ext(name)
	if len(extension) > maxExtension {
		extension = ""
	}
	end := limit - len(extension)
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return strings.TrimRight(name[:end], ends) + extension
}

// isDevice reports whether Windows takes a name for a device, which it does with any
// extension.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	number, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		number, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(number) == 1 && strings.Contains("0123456789¹²³", number)
}
