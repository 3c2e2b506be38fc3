package pipe

import (
	"errors"
	"io"
)

// errLent tells WriteTo to read the lent body.
var errLent = errors.New("pipe: body lent")

// errInvalidWrite is the error of a writer that reports more bytes than it was given.
var errInvalidWrite = errors.New("the writer returned an impossible count")

// Read waits for bytes and returns them. At the end it returns io.EOF or the error of End;
// after Close it fails at once.
func (p *Pipe) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := p.await(false)
	if err != nil {
		return 0, err
	}
	n := copy(b, data)
	p.consume(n)
	return n, nil
}

// WriteTo writes the body to w as it arrives, without another copy of the data, until the
// body ends or w fails. Bytes that w has not accepted can still be read.
func (p *Pipe) WriteTo(w io.Writer) (int64, error) {
	var total int64
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		data, err := p.await(true)
		switch err {
		case nil:
			var n int
			n, err = p.writeHead(w, data)
			total += int64(n)
		case errLent:
			var n int64
			n, err = p.copyDirect(w)
			total += n
		case io.EOF:
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// All waits for the end of the body and returns all unread bytes, with the error of End. If
// Owner.MayWait refuses the wait, it returns the bytes received so far with that error.
// After Close it returns no bytes.
func (p *Pipe) All() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []byte
	var refused error
	p.draining++
	defer func() { p.draining-- }()
	for asked := false; !p.closed && (p.err == nil || p.writing); {
		if !p.writing && p.mustDrain() {
			all = p.takeInto(all) // make room for the producer
			continue
		}
		if !asked {
			asked = true
			if refused = p.mayWait(); refused != nil {
				break
			}
			continue
		}
		p.wait()
	}
	if p.closed {
		return nil, p.err
	}
	if all == nil {
		all = p.take()
	} else {
		all = p.takeInto(all)
	}
	if all == nil {
		all = []byte{}
	}
	switch {
	case p.err == io.EOF:
		return all, nil
	case p.err != nil:
		return all, p.err
	}
	return all, refused
}

// Take returns the unread bytes, nil if there are none, without waiting.
func (p *Pipe) Take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take()
}

// The caller of the following functions holds the lock, which is released in between.

// await waits for unread bytes or, if takesBody is set, for a lent body.
func (p *Pipe) await(takesBody bool) ([]byte, error) {
	for asked := false; ; {
		switch {
		case p.closed:
			return nil, p.err
		case p.writing: // by another reader: wait for its end
		default:
			if data := p.next(); len(data) > 0 {
				return data, nil
			}
			if p.err != nil {
				return nil, p.err
			}
			if takesBody && p.loan != nil && !p.loan.borrowed {
				return nil, errLent
			}
		}
		if !asked {
			asked = true
			if err := p.mayWait(); err != nil {
				return nil, err
			}
			continue
		}
		p.readerWaits = true
		p.wantsBody = takesBody
		p.wait()
		p.wantsBody = false
	}
}

func (p *Pipe) mayWait() error {
	p.mu.Unlock()
	defer p.mu.Lock()
	return p.owner.MayWait()
}

// writeHead writes the unread bytes of the first chunk, which stays in the queue meanwhile.
func (p *Pipe) writeHead(w io.Writer, data []byte) (n int, err error) {
	p.writing = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.writing = false
		p.consume(n)
		if p.readerWaits || p.draining > 0 || p.err != nil { // another reader may be waiting
			p.wake()
		}
	}()
	return write(w, data)
}

func write(w io.Writer, b []byte) (int, error) {
	n, err := w.Write(b)
	if n < 0 || n > len(b) {
		return 0, errInvalidWrite
	}
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}
