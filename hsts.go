package netreply

import (
	"context"
	"time"
)

// flushWait bounds how long Manager.Close waits for the file of Config.HSTS.
const flushWait = time.Second

// flushPolicies writes what was learned. The store is the program's, which closes it; its
// Err tells what could not be written.
func (m *Manager) flushPolicies() {
	if m.cfg.HSTS == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	m.cfg.HSTS.Flush(ctx)
}
