// Package coding decodes the content codings of HTTP (RFC 9110, section 8.4): zstd, br,
// gzip and deflate, alone or combined, and encodes gzip and zstd. Decoders are pooled,
// detect all damage, and stop at data that decodes to far more than is reasonable.
package coding

import (
	"errors"
	"fmt"
	"strings"
)

// Accept is the Accept-Encoding for this package, best first.
const Accept = "zstd, br, gzip, deflate"

// The maximum number of codings of one body, and of those with large windows, zstd and br.
const (
	maxDepth = 5
	maxWide  = 2
)

// Error is the error of an encoded body.
type Error struct {
	Coding string // name of the coding
	Err    error
}

func (e *Error) Error() string { return e.Coding + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Values of Error.Err, besides errors of decoders.
var (
	ErrTruncated = errors.New("the data is truncated")
	ErrTrailing  = errors.New("there is other data after the end")
	ErrFormat    = errors.New("the data is not in this coding")
	// ErrBomb: see Limits.Threshold.
	ErrBomb = errors.New("the decoded data exceeds the maximum ratio")
	// ErrTooLarge: see Limits.Max.
	ErrTooLarge = errors.New("the decoded data is larger than allowed")
	errTooDeep  = errors.New("too many codings")
	errChecksum = errors.New("the data does not match its checksum")
	// errHeaderTooLong: see Limits.Header.
	errHeaderTooLong = errors.New("the header is longer")
)

// Limits protect against small data that decodes to large data.
type Limits struct {
	// Threshold is the decoded size in bytes from which the ratio is limited; below 0 it is
	// not.
	Threshold int64
	// Max is the maximum decoded size in bytes, of every coding in a stack; 0 means no
	// limit.
	Max int64
	// Header is the maximum header size in bytes of a gzip member, with names and comments;
	// 0 means 256 KiB.
	Header int
	// Memory limits the memory of decoders; nil means no limit.
	Memory *Budget
}

// ratio is the maximum ratio of decoded and encoded size (rule Z7).
func ratio(coding string) int64 {
	switch coding {
	case "br", "zstd":
		return 100
	}
	return 40
}

// Parse parses the values of a Content-Encoding field and returns the codings in the order
// in which they were applied. It returns none if the body is to be delivered as it is,
// because it has no coding or an unknown one. Known codings are those of Accept, and
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
