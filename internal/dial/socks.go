package dial

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// Numbers of RFC 1928 and RFC 1929.
const (
	socksVersion   = 5
	socksNoAuth    = 0
	socksPassword  = 2
	socksNone      = 0xff
	socksConnect   = 1
	socksIPv4      = 1
	socksName      = 3
	socksIPv6      = 4
	socksNegotiate = 1 // version of the password negotiation
)

// socksReplies are the texts of the reply codes (RFC 1928, section 6).
var socksReplies = [...]string{"succeeded", "general failure", "not allowed by its rules", "the network is unreachable", "the host is unreachable",
	"the connection was refused", "the TTL expired", "the command is not supported", "the address type is not supported"}

// socks requests a connection to addr.
func (p *Proxy) socks(c net.Conn, addr string) error {
	if err := p.greet(c); err != nil {
		return err
	}
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return err
	}
	msg := []byte{socksVersion, socksConnect, 0}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		kind := byte(socksIPv6)
		if a.Is4() {
			kind = socksIPv4
		}
		msg = append(append(msg, kind), a.AsSlice()...)
	} else if len(host) > 255 {
		return &ProxyError{Fault: TargetNotFound, Proxy: p.Addr, Err: errors.New("the name is too long for SOCKS")}
	} else {
		msg = append(append(msg, socksName, byte(len(host))), host...)
	}
	if _, err := c.Write(append(msg, byte(port>>8), byte(port))); err != nil {
		return err
	}
	var b [4]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if b[0] != socksVersion {
		return p.notSOCKS()
	}
	if b[1] != 0 {
		return p.socksRefused(b[1])
	}
	// skip the bound address
	length := map[byte]int{socksIPv4: 4, socksIPv6: 16}[b[3]]
	if b[3] == socksName {
		if _, err := io.ReadFull(c, b[:1]); err != nil {
			return err
		}
		length = int(b[0])
	} else if length == 0 {
		return p.notSOCKS()
	}
	_, err = io.ReadFull(c, make([]byte, length+2))
	return err
}

func (p *Proxy) notSOCKS() error {
	return &ProxyError{Fault: ProxyMalformed, Proxy: p.Addr, Err: errors.New("its response is not SOCKS 5; is it an HTTP proxy?")}
}

func (p *Proxy) socksRefused(code byte) error {
	e := &ProxyError{Fault: ProxyRefused, Proxy: p.Addr, Err: fmt.Errorf("unknown reply %d", code)}
	if int(code) < len(socksReplies) {
		e.Err = errors.New(socksReplies[code])
	}
	switch code {
	case 4:
		e.Fault = TargetNotFound
	case 5:
		e.Fault = TargetRefused
	}
	return e
}

// greet negotiates the authentication method, and authenticates. It always offers a
// password, so that a proxy which requires one is recognised.
func (p *Proxy) greet(c net.Conn) error {
	if _, err := c.Write([]byte{socksVersion, 2, socksNoAuth, socksPassword}); err != nil {
		return err
	}
	var b [2]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	authRequired := func(why string) error {
		return &ProxyError{Fault: ProxyAuthRequired, Proxy: p.Addr, Err: errors.New(why)}
	}
	switch {
	case b[0] != socksVersion:
		return p.notSOCKS()
	case b[1] == socksNoAuth:
		return nil
	case b[1] == socksNone:
		return &ProxyError{Fault: ProxyNoMethod, Proxy: p.Addr,
			Err: errors.New("it accepts none of the offered authentication methods: none, user name and password")}
	case b[1] != socksPassword:
		return p.notSOCKS()
	case !p.Credentials:
		return authRequired("it requires a user name and a password: Proxy.User and Proxy.Password")
	case len(p.User) == 0 || len(p.User) > 255 || len(p.Password) == 0 || len(p.Password) > 255:
		return authRequired("user name and password must have 1 to 255 bytes for SOCKS 5")
	}
	msg := append([]byte{socksNegotiate, byte(len(p.User))}, p.User...)
	msg = append(append(msg, byte(len(p.Password))), p.Password...)
	if _, err := c.Write(msg); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if b[1] != 0 {
		return authRequired("it does not accept the user name and the password")
	}
	return nil
}
