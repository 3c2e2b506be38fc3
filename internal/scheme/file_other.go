//go:build !unix

package scheme

const withoutBlocking = 0
