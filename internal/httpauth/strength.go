package httpauth

// Strength orders the schemes by how well they protect the password from eavesdroppers and
// from impostors of the server.
type Strength int

const (
	Unknown   Strength = iota
	ClearText          // Basic, and user and password of SOCKS5: the password is sent
	NTLM               // a weak hash, which can be relayed
	DigestMD5          // MD5 with nonces of both sides
	DigestSHA          // SHA-256 or SHA-512-256
)

// StrengthOf returns the strength of a scheme; d is the challenge if the scheme is Digest.
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
