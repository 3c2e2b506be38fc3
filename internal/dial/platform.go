package dial

import (
	"fmt"
	"runtime"
)

// hasControl tells whether package net calls Dialer.ControlContext: where it opens no
// sockets of the operating system's, it does not.
const hasControl = runtime.GOOS != "plan9" && runtime.GOOS != "js" && runtime.GOOS != "wasip1"

// explain says what an error is about on platforms where package net reaches nothing
// outside of the process.
func explain(goos string, err error) error {
	if goos == "js" || goos == "wasip1" {
		return fmt.Errorf("%w (package net has no network on %s: set Config.DialContext)", err, goos)
	}
	return err
}
