package netreply

import (
	"encoding/base64"
	"fmt"
	"hash"
)

// trustHash is a digest of values.
type trustHash struct{ hash.Hash }

// add adds values, of which each is clearly separated from the next.
func (t trustHash) add(values ...any) {
	for _, v := range values {
		fmt.Fprintf(t, "%#v\n", v)
	}
}

func (t trustHash) sum() string { return base64.RawURLEncoding.EncodeToString(t.Sum(nil)) }
