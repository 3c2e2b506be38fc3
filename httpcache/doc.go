// Package httpcache is a private cache of HTTP responses (RFC 9111).
//
// A [Cache] is what netreply.Config takes. It keeps its responses in a [Store]: a [Memory], a
// [Disk], which several processes may share, one in Redis (package rediscache, which is a module
// of its own), or one of the program's own, which package storetest tests.
package httpcache
