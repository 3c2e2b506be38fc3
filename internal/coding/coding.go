// Package coding decodes the content codings of HTTP (RFC 9110, section 8.4):
// zstd, br, gzip and deflate, alone or one upon another. Decoders are pooled, find
// every kind of damage, and stop at what decodes to far more than it has any reason
// to.
package coding

import (
	"errors"
	"fmt"
	"strings"
)

// Accept is the Accept-Encoding of a client that has this package, best first.
const Accept = "zstd, br, gzip, deflate"

// The most that is taken off one body. The windows of zstd and br are megabytes, and
// nobody stacks them.
const (
	maxDepth = 5
	maxWide  = 2
)

// Error tells what is wrong with an encoded body.
type Error struct {
	Coding string // as the server named it
	Err    error
}

func (e *Error) Error() string { return e.Coding + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// What Error.Err can be, besides what a decoder says.
var (
	ErrTruncated = errors.New("the data ends in the middle")
	ErrTrailing  = errors.New("there is other data behind the end")
	ErrFormat    = errors.New("the data is not in this coding")
	// ErrBomb: the data has grown beyond all reason.
	ErrBomb = errors.New("the data grows beyond the limit of its ratio")
	// ErrTooLarge: Limits.Max.
	ErrTooLarge = errors.New("the decoded data is larger than allowed")
	errTooDeep  = errors.New("too many codings upon one another")
	errChecksum = errors.New("the data does not match its checksum")
	// errHeaderTooLong: Limits.Header.
	errHeaderTooLong = errors.New("the header is longer")
)

// Limits protect against data that is small and decodes to much.
type Limits struct {
	// Threshold is the decoded size in bytes from which on the ratio matters; below
	// 0 it never does.
	Threshold int64
	// Max is the largest decoded size in bytes, of every coding in a stack; 0 means
	// no limit.
	Max int64
	// Header is the longest header in bytes of a gzip member, names and comments
	// included; 0 means 256 KiB.
	Header int
	// Memory is what the decoders take their memory from; nil means no limit.
	Memory *Budget
}

// ratio is the growth that no honest data needs (rule Z7).
func ratio(coding string) int64 {
	switch coding {
	case "br", "zstd":
		return 100
	}
	return 40
}

// Parse reads the values of a Content-Encoding field and returns the codings to take
// off, in the order they were put on; none when the body is to be left as it is,
// because there is none or one that is not known. Known names are those of Accept, and
// x-gzip, which is gzip (RFC 9110, section 8.4.1.3; rule Z2).
func Parse(values []string) ([]string, error) {
	var list []string
	wide := 0
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			switch name = strings.ToLower(strings.Trim(name, " \t")); name {
			case "", "identity":
				continue
			case "x-gzip":
				name = "gzip"
			case "gzip", "deflate":
			case "br", "zstd":
				wide++
			default:
				return nil, nil
			}
			list = append(list, name)
		}
	}
	if len(list) > maxDepth || wide > maxWide {
		return nil, &Error{fmt.Sprintf("%d codings", len(list)), errTooDeep}
	}
	return list, nil
}
