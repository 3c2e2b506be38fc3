package testserver

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Lingering runs tests and then gives the servers of net/http the time they take to end: half
// a second for a connection that they have closed for writing, which is longer than goleak
// waits. It is for goleak.VerifyTestMain.
type Lingering struct{ *testing.M }

// Run is called by goleak.
func (m Lingering) Run() int {
	code := m.M.Run()
	for end := time.Now().Add(5 * time.Second); goleak.Find() != nil && time.Now().Before(end); {
		// Find waits by itself between its looks
	}
	return code
}
