package httpcache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// FuzzKeyFile: what is accepted is exactly what is written. The checksum is corrected, so that
// it does not hide the rest.
func FuzzKeyFile(f *testing.F) {
	k := keyFile{key: "https://a.test/", variants: []variant{
		{id: [32]byte{1}, body: 2, revision: 3, size: 70_000, sums: 4, meta: []byte("meta")}, {},
	}}
	f.Add(k.bytesOf())
	f.Add((&keyFile{}).bytesOf())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:max(0, len(b)-sumSize)]
		b = binary.LittleEndian.AppendUint32(b[:len(b):len(b)], crc32.Checksum(b, castagnoli))
		k, err := parseKeyFile(b)
		if err != nil {
			return
		}
		if again := k.bytesOf(); !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}
