package flow

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onUploaded is a Watcher that calls a function for Uploaded.
type onUploaded struct {
	Watcher
	f func()
}

func (w onUploaded) Uploaded(int64, int64) { w.f() }

// TestUploadClosedTellsNothing: when Close returns nothing more is told of the body, also if its
// source may block and is read on the goroutine that sends: it would be taken for the progress
// of the next sending.
func TestUploadClosedTellsNothing(t *testing.T) {
	for _, direct := range []bool{false, true} {
		telling, told := make(chan struct{}), make(chan string, 2)
		meter := &uploadMeter{total: -1}
		meter.watcher = onUploaded{f: func() {
			close(telling)
			for range 10_000 { // Close could return meanwhile
				runtime.Gosched()
			}
			told <- "uploaded"
		}}
		p := &Payload{Size: -1, Blocks: true, Owned: true, Open: func() (io.Reader, error) { return strings.NewReader("text"), nil }}
		u, err := newUpload(t.Context(), p, meter)
		require.NoError(t, err)
		u.blocking.direct.Store(direct)
		read := make(chan struct{})
		go func() {
			defer close(read)
			u.Read(make([]byte, 10))
		}()
		<-telling
		u.Close()
		told <- "closed"
		<-read
		assert.Equal(t, "uploaded", <-told, "direct: %v", direct)
	}
}

// TestUploadClosedDuringRead: Close does not wait for a source that blocks, of which nothing is
// told when it returns at last.
func TestUploadClosedDuringRead(t *testing.T) {
	for _, direct := range []bool{false, true} {
		begun, free := make(chan struct{}), make(chan struct{})
		source := sourceFunc(func(p []byte) (int, error) {
			close(begun)
			<-free
			return copy(p, "text"), io.EOF
		})
		meter := &uploadMeter{total: -1, watcher: onUploaded{f: func() { t.Error("told") }}}
		u, err := newUpload(t.Context(), &Payload{Size: -1, Blocks: true, Open: func() (io.Reader, error) { return source, nil }}, meter)
		require.NoError(t, err)
		u.blocking.direct.Store(direct)
		read := make(chan error, 1)
		go func() {
			_, err := u.Read(make([]byte, 10))
			read <- err
		}()
		<-begun
		u.Close()
		close(free)
		assert.Equal(t, errUploadStopped, <-read)
	}
}

type sourceFunc func([]byte) (int, error)

func (f sourceFunc) Read(p []byte) (int, error) { return f(p) }
