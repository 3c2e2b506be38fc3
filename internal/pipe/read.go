package pipe

import (
	"errors"
	"io"
)

// errLent tells WriteTo that the body is its own to read.
var errLent = errors.New("pipe: body lent")

// errInvalidWrite: a writer has claimed to have written more than it was given.
var errInvalidWrite = errors.New("the writer returned an impossible count")

// Read waits for bytes and takes them. It ends, behind all of them, in io.EOF or in what End
// was called with; after Close it fails at once.
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

// WriteTo writes the body to w as it arrives, without copying it on the way, until it ends or
// w fails. What w has not taken can still be read.
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

// All waits for the end of the body and returns what is unread, with what End was called
// with. Where the reader may not wait, it returns what is there, and why no more. After Close
// there is nothing.
func (p *Pipe) All() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []byte
	var refused error
	for asked := false; !p.closed && (p.err == nil || p.writing); {
		if p.limit > 0 && p.unread > 0 && !p.writing {
			all = p.takeInto(all) // makes room
			continue
		}
		if !asked {
			asked = true
			if refused = p.mayWait(); refused != nil {
				break
			}
			continue
		}
		p.wanted = p.wanted || p.limit > 0
		p.changed.Wait()
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

// Take takes what is there, nil when that is nothing, and does not wait.
func (p *Pipe) Take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take()
}

// The following need the lock, give it up in between, and return with it.

// await waits for unread bytes, or for a body that is lent when takesBody is set.
func (p *Pipe) await(takesBody bool) ([]byte, error) {
	for asked := false; ; {
		switch {
		case p.closed:
			return nil, p.err
		case p.writing: // by another reader, which is one too many
		default:
			if data := p.next(); len(data) > 0 {
				return data, nil
			}
			if p.err != nil {
				return nil, p.err
			}
			if takesBody && p.loan != nil && !p.loan.taken {
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
		p.wanted = true
		p.wantsBody = takesBody
		p.changed.Wait()
		p.wantsBody = false
	}
}

func (p *Pipe) mayWait() error {
	p.mu.Unlock()
	defer p.mu.Lock()
	return p.owner.MayWait()
}

// writeHead writes the unread bytes of the first chunk, which stays where it is meanwhile.
func (p *Pipe) writeHead(w io.Writer, data []byte) (n int, err error) {
	p.writing = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.writing = false
		p.consume(n)
		if p.wanted || p.err != nil { // another reader
			p.changed.Broadcast()
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
