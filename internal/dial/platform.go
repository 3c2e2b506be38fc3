package dial

import (
	"fmt"
	"runtime"
)

// hasControl reports whether package net calls Dialer.ControlContext, which it does only
// for sockets of the operating system.
const hasControl = runtime.GOOS != "plan9" && runtime.GOOS != "js" && runtime.GOOS != "wasip1"

// explain adds an explanation on platforms where package net has no network.
func explain(goos string, err error) error {
	if goos == "js" || goos == "wasip1" {
		return fmt.Errorf("%w (package net has no network on %s: set Config.DialContext)", err, goos)
	}
	return err
}
