package httpauth

import "github.com/Azure/go-ntlmssp"

// NTLMStart returns the first message of NTLM.
func NTLMStart() ([]byte, error) { return ntlmssp.NewNegotiateMessage("", "") }

// NTLMAnswer answers the server's message; user may be DOMAIN\user.
func NTLMAnswer(challenge []byte, user, password string) ([]byte, error) {
	return ntlmssp.NewAuthenticateMessage(challenge, user, password, nil)
}
