package testserver

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Lingering runs tests and then waits for the goroutines of net/http servers, which linger
// for half a second after closing a connection for writing, longer than goleak waits. It is
// for goleak.VerifyTestMain.
type Lingering struct{ *testing.M }

// Run is called by goleak.
func (m Lingering) Run() int {
	code := m.M.Run()
	for end := time.Now().Add(5 * time.Second); goleak.Find() != nil && time.Now().Before(end); {
		// Find waits between its attempts
	}
	return code
}
