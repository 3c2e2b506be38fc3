// Package httpcache keeps HTTP responses.
//
// A [Store] is where they are: [Memory], [Disk], or one of the program's own, which package
// storetest tests.
package httpcache
