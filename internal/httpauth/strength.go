package httpauth

// Strength orders the schemes by how well they keep a password from who reads along
// and from who pretends to be the server.
type Strength int

const (
	Unknown   Strength = iota
	ClearText          // Basic, and user and password of SOCKS5: it is there to be read
	NTLM               // a hash of little use against guessing, and one that can be passed on
	DigestMD5          // a fast hash, with nonces of both sides
	DigestSHA          // SHA-256 or SHA-512-256
)

// StrengthOf is that of a scheme; d is the challenge where it is Digest.
func StrengthOf(scheme string, d *Digest) Strength {
	switch c := (Challenge{Scheme: scheme}); {
	case d != nil && d.hash().Size() > 16:
		return DigestSHA
	case c.Is("Digest"):
		return DigestMD5
	case c.Is("NTLM"):
		return NTLM
	case c.Is("Basic"), c.Is("SOCKS5"):
		return ClearText
	}
	return Unknown
}
