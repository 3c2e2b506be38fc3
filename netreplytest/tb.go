package netreplytest

// TB is what this package needs of a test: *testing.T, *testing.B and *testing.F have it.
// The package itself does not import testing, so that it adds no flags to a program.
type TB interface {
	Helper()
	// Cleanup calls a function at the end of the test.
	Cleanup(func())
	// Errorf fails the test. It is called from goroutines of servers too.
	Errorf(format string, args ...any)
	// Fatalf fails the test and ends it.
	Fatalf(format string, args ...any)
}

// prefix begins every message to a test.
const prefix = "netreplytest: "
