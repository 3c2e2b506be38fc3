package httpurl

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestIsIPv4: isIPv4 and netip agree about every text of digits and dots.
func TestIsIPv4(t *testing.T) {
	agree := func(host string) {
		a, err := netip.ParseAddr(host)
		assert.Equal(t, err == nil && a.Is4(), isIPv4(host), host)
	}
	for _, host := range []string{"", ".", "1", "1.2.3", "1.2.3.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1.1.1.256", "01.2.3.4", "1.2.3.04",
		"1.2.3.4.", ".1.2.3.4", "1..3.4", "1.2.3.4.5", "1.2.3.a", "00.0.0.0", "1.2.3.4294967297", "1.2.3.18446744073709551617"} {
		agree(host)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		host := make([]byte, rnd.IntN(16))
		for i := range host {
			host[i] = "0123456789..12.2"[rnd.IntN(16)]
		}
		agree(string(host))
	}
}
