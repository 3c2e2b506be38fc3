// Package netreplytest is for programs that test their use of netreply. It has
//
//   - Server, a server of HTTP/1.1 or HTTP/2 in memory or on a port, that answers as a test
//     says and fails in the way that it wants: every NetworkError that a peer can cause can be
//     had by Fail, and what happens exactly by the name of a Fault
//   - Reply, a *netreply.Reply with a given head, body, signals and failure at given times,
//     without a server, and Answer as a netreply.Backend for code that sends its own requests
//   - Recorder and MatchEvents, which compare the signals of a reply with a pattern
//
// A Server in memory and a Reply wait for nothing outside of their process: in a bubble of
// testing/synctest, a test with a time limit of ten minutes takes none of them.
//
// Everything ends with the test, by TB.Cleanup; no goroutine is left. What cannot work, such
// as a fault of TLS at a server without TLS, fails the test at the call.
//
// docs/testing.md has recipes.
package netreplytest
