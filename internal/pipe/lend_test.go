package pipe_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/netreply/netreply/internal/pipe"
)

// lent starts a WriteTo and waits until it is waiting; the result is valid when done is
// closed.
type lent struct {
	done chan struct{}
	n    int64
	err  error
}

func writeTo(p *pipe.Pipe, w io.Writer) *lent {
	l := &lent{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.n, l.err = p.WriteTo(w)
	}()
	synctest.Wait()
	return l
}

// TestLend: a waiting WriteTo reads the body directly, to its end.
func TestLend(t *testing.T) {
	for _, end := range []error{nil, errBroken} {
		synctest.Test(t, func(t *testing.T) {
			p, o := newPipe(10)
			var b strings.Builder
			l := writeTo(p, &b)
			c := new(clock)
			body := io.Reader(iotest.OneByteReader(strings.NewReader("body")))
			if end != nil {
				body = io.MultiReader(body, iotest.ErrReader(end))
			}
			over, err := p.Lend(body, c)
			assert.True(t, over)
			assert.Equal(t, end, err)
			assert.Equal(t, []int64{1, 2, 3, 4}, o.arrived)
			touches, pauses := c.counts(t)
			assert.Equal(t, 4, touches)
			assert.Equal(t, 4, pauses)
			synctest.Wait()
			select {
			case <-l.done:
				t.Error("how the body ends is for End to say")
			default:
			}
			p.End(end)
			<-l.done
			assert.Equal(t, "body", b.String())
			assert.EqualValues(t, 4, l.n)
			assert.Equal(t, end, l.err)
			assert.EqualValues(t, 4, p.Received())
		})
	}
}

// TestNotLent: the body is lent only to a waiting WriteTo, with a limit, while no bytes are
// unread.
func TestNotLent(t *testing.T) {
	refuses := func(p *pipe.Pipe) {
		over, err := p.Lend(iotest.ErrReader(errors.New("read")), new(clock))
		assert.False(t, over)
		assert.NoError(t, err)
	}
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(10)
		refuses(p) // no reader
		put(t, p, "x")
		refuses(p)
		go p.Read(make([]byte, 9))
		synctest.Wait()
		go p.Read(make([]byte, 9))
		synctest.Wait()
		refuses(p) // not to Read
		p.End(nil)

		p, _ = newPipe(0)
		l := writeTo(p, io.Discard)
		refuses(p) // without a limit the body must not depend on the writer
		p.End(nil)
		<-l.done
	})
}

// TestWriterFailsOnLoan: bytes that the writer has not accepted can be read, and the
// producer continues.
func TestWriterFailsOnLoan(t *testing.T) {
	full := errors.New("disk full")
	synctest.Test(t, func(t *testing.T) {
		p, o := newPipe(10)
		var b strings.Builder
		l := writeTo(p, writer(func(p []byte) (int, error) { return b.WriteString(string(p[:3])) }, full))
		body := strings.NewReader("0123456789")
		over, err := p.Lend(io.LimitReader(body, 5), new(clock))
		assert.False(t, over)
		assert.NoError(t, err)
		<-l.done
		assert.EqualValues(t, 3, l.n)
		assert.Equal(t, full, l.err)
		assert.Equal(t, "012", b.String())
		assert.EqualValues(t, 2, p.Available())
		assert.Equal(t, []int64{5}, o.arrived)
		put(t, p, "56789")
		p.End(nil)
		rest, err := p.All()
		assert.Equal(t, "3456789", string(rest))
		assert.NoError(t, err)
	})
}

// TestFillAndLend: a WriteTo that was woken for bytes is not waiting for the body, and may
// fail before it waits again.
func TestFillAndLend(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			p, _ := newPipe(10)
			l := writeTo(p, lying(-1))
			put(t, p, "x")
			over, err := p.Lend(strings.NewReader("body"), new(clock))
			assert.False(t, over)
			assert.NoError(t, err)
			<-l.done
			p.End(nil)
		})
	}
}

// writer fails with err, whatever f returns.
func writer(f func([]byte) (int, error), err error) io.Writer { return &failing{f, err} }

type failing struct {
	f   func([]byte) (int, error)
	err error
}

func (w *failing) Write(b []byte) (int, error) {
	n, _ := w.f(b)
	return n, w.err
}

// TestWriterPanicsOnLoan: the body is returned.
func TestWriterPanicsOnLoan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(10)
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			p.WriteTo(panicking{})
		}()
		synctest.Wait()
		c := new(clock)
		over, err := p.Lend(strings.NewReader("body"), c)
		assert.False(t, over)
		assert.NoError(t, err)
		assert.Equal(t, "writer", <-panicked)
		c.counts(t)
		p.End(nil)
		all, err := p.All()
		assert.Equal(t, "body", string(all))
		assert.NoError(t, err)
	})
}

// TestEndOnLoan: the producer does not wait for a reader that is blocked in the body or in
// its writer, and bytes after the end are dropped.
func TestEndOnLoan(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(*pipe.Pipe)
		err  error
		rest string
	}{
		{"End", func(p *pipe.Pipe) { p.End(errBroken) }, errBroken, "te"},
		{"Close", func(p *pipe.Pipe) { p.Close(errClosed) }, errClosed, ""},
	} {
		t.Run("reading, "+end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, o := newPipe(10)
				r, w := io.Pipe()
				var b strings.Builder
				l := writeTo(p, &b)
				producer := make(chan struct{})
				go func() {
					defer close(producer)
					over, err := p.Lend(r, new(clock))
					assert.True(t, over)
					assert.Equal(t, pipe.ErrEnded, err)
				}()
				io.WriteString(w, "some")
				synctest.Wait()
				end.end(p)
				<-producer
				io.WriteString(w, "late")
				<-l.done
				assert.Equal(t, end.err, l.err)
				assert.Equal(t, "some", b.String())
				assert.Equal(t, []int64{4}, o.arrived)
				assert.EqualValues(t, 4, p.Received())
			})
		})
		t.Run("writing, "+end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newPipe(10)
				g := newGate()
				l := writeTo(p, writer(func(b []byte) (int, error) { return g.Write(b[:2]) }, io.ErrClosedPipe))
				producer := make(chan struct{})
				c := new(clock)
				go func() {
					defer close(producer)
					over, err := p.Lend(strings.NewReader("note"), c)
					assert.True(t, over)
					assert.Equal(t, pipe.ErrEnded, err)
				}()
				<-g.in
				end.end(p)
				<-producer
				g.out <- struct{}{}
				<-l.done
				c.counts(t)
				assert.Equal(t, io.ErrClosedPipe, l.err)
				rest, err := p.All()
				assert.Equal(t, end.rest, string(rest), "it was received before the end")
				assert.Equal(t, end.err, err)
			})
		})
	}
}

// TestOneBorrower: of two WriteTo one reads the body, and the other waits.
func TestOneBorrower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe(10)
		var a, b strings.Builder
		one, two := writeTo(p, &a), writeTo(p, &b)
		over, err := p.Lend(iotest.OneByteReader(strings.NewReader("body")), new(clock))
		assert.True(t, over)
		require.NoError(t, err)
		p.End(nil)
		<-one.done
		<-two.done
		assert.Equal(t, "body", a.String()+b.String())
		assert.EqualValues(t, 4, one.n+two.n)
		assert.True(t, one.n == 0 || two.n == 0)
	})
}
