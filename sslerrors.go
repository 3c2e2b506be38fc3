package netreply

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"strconv"

	"github.com/netreply/netreply/internal/certs"
)

// SSLErrorCode says what is wrong with a certificate, by Qt's numbers
// (QSslError::SslError, rule T20). Go and OpenSSL without revocation lists find only
// some of them; the others are there for code that has them from elsewhere.
type SSLErrorCode int

const (
	SSLUnspecifiedError                    SSLErrorCode = -1 // a weak key or signature, an unknown critical extension
	SSLNoError                             SSLErrorCode = 0
	SSLUnableToGetIssuerCertificate        SSLErrorCode = 1
	SSLUnableToDecryptCertificateSignature SSLErrorCode = 2
	SSLUnableToDecodeIssuerPublicKey       SSLErrorCode = 3
	SSLCertificateSignatureFailed          SSLErrorCode = 4
	SSLCertificateNotYetValid              SSLErrorCode = 5
	SSLCertificateExpired                  SSLErrorCode = 6
	SSLInvalidNotBeforeField               SSLErrorCode = 7
	SSLInvalidNotAfterField                SSLErrorCode = 8
	SSLSelfSignedCertificate               SSLErrorCode = 9  // the server's own
	SSLSelfSignedCertificateInChain        SSLErrorCode = 10 // a root that is not trusted
	SSLUnableToGetLocalIssuerCertificate   SSLErrorCode = 11 // its issuer is neither sent nor trusted
	SSLUnableToVerifyFirstCertificate      SSLErrorCode = 12 // and nothing else was sent
	SSLCertificateRevoked                  SSLErrorCode = 13
	SSLInvalidCaCertificate                SSLErrorCode = 14 // an issuer that must not issue
	SSLPathLengthExceeded                  SSLErrorCode = 15
	SSLInvalidPurpose                      SSLErrorCode = 16 // not for TLS servers
	SSLCertificateUntrusted                SSLErrorCode = 17
	SSLCertificateRejected                 SSLErrorCode = 18 // an issuer that must not issue this name
	SSLSubjectIssuerMismatch               SSLErrorCode = 19
	SSLAuthorityIssuerSerialNumberMismatch SSLErrorCode = 20
	SSLNoPeerCertificate                   SSLErrorCode = 21
	SSLHostNameMismatch                    SSLErrorCode = 22
	SSLNoSslSupport                        SSLErrorCode = 23
	SSLCertificateBlacklisted              SSLErrorCode = 24
	SSLCertificateStatusUnknown            SSLErrorCode = 25
	SSLOcspNoResponseFound                 SSLErrorCode = 26
	SSLOcspMalformedRequest                SSLErrorCode = 27
	SSLOcspMalformedResponse               SSLErrorCode = 28
	SSLOcspInternalError                   SSLErrorCode = 29
	SSLOcspTryLater                        SSLErrorCode = 30
	SSLOcspSigRequred                      SSLErrorCode = 31 // so spelled in Qt
	SSLOcspUnauthorized                    SSLErrorCode = 32
	SSLOcspResponseCannotBeTrusted         SSLErrorCode = 33
	SSLOcspResponseCertIDUnknown           SSLErrorCode = 34
	SSLOcspResponseExpired                 SSLErrorCode = 35
	SSLOcspStatusUnknown                   SSLErrorCode = 36
)

// sslTexts are the name and the sentence of each code, from -1 on.
var sslTexts = [...][2]string{
	{"UnspecifiedError", "The certificate does not meet the requirements"},
	{"NoError", "No error"},
	{"UnableToGetIssuerCertificate", "The issuer certificate could not be found"},
	{"UnableToDecryptCertificateSignature", "The certificate signature could not be decrypted"},
	{"UnableToDecodeIssuerPublicKey", "The public key in the certificate could not be read"},
	{"CertificateSignatureFailed", "The signature of the certificate is invalid"},
	{"CertificateNotYetValid", "The certificate is not yet valid"},
	{"CertificateExpired", "The certificate has expired"},
	{"InvalidNotBeforeField", "The certificate's notBefore field contains an invalid time"},
	{"InvalidNotAfterField", "The certificate's notAfter field contains an invalid time"},
	{"SelfSignedCertificate", "The certificate is self-signed, and untrusted"},
	{"SelfSignedCertificateInChain", "The root certificate of the certificate chain is self-signed, and untrusted"},
	{"UnableToGetLocalIssuerCertificate", "The issuer certificate of a locally looked up certificate could not be found"},
	{"UnableToVerifyFirstCertificate", "No certificates could be verified"},
	{"CertificateRevoked", "The certificate was revoked"},
	{"InvalidCaCertificate", "One of the CA certificates is invalid"},
	{"PathLengthExceeded", "The basicConstraints path length parameter has been exceeded"},
	{"InvalidPurpose", "The supplied certificate is unsuitable for this purpose"},
	{"CertificateUntrusted", "The root CA certificate is not trusted for this purpose"},
	{"CertificateRejected", "The root CA certificate is marked to reject the specified purpose"},
	{"SubjectIssuerMismatch", "The issuer named in the certificate is not the one that was looked at"},
	{"AuthorityIssuerSerialNumberMismatch", "The serial number of the issuer is not the one that the certificate names"},
	{"NoPeerCertificate", "The peer did not present any certificate"},
	{"HostNameMismatch", "The host name did not match any of the valid hosts for this certificate"},
	{"NoSslSupport", "TLS is not supported"},
	{"CertificateBlacklisted", "The peer certificate is blacklisted"},
	{"CertificateStatusUnknown", "The status of the certificate is not known"},
	{"OcspNoResponseFound", "There is no OCSP response"},
	{"OcspMalformedRequest", "The OCSP request was malformed"},
	{"OcspMalformedResponse", "The OCSP response is malformed"},
	{"OcspInternalError", "The OCSP responder had an internal error"},
	{"OcspTryLater", "The OCSP responder cannot answer now"},
	{"OcspSigRequred", "The OCSP responder wants signed requests"},
	{"OcspUnauthorized", "The OCSP responder does not answer this client"},
	{"OcspResponseCannotBeTrusted", "The OCSP response is not from whom it should be"},
	{"OcspResponseCertIdUnknown", "The OCSP response is about another certificate"},
	{"OcspResponseExpired", "The OCSP response has expired"},
	{"OcspStatusUnknown", "The OCSP responder does not know the certificate"},
}

// String is Qt's name of the code.
func (c SSLErrorCode) String() string {
	if i := int(c) + 1; i >= 0 && i < len(sslTexts) {
		return sslTexts[i][0]
	}
	return "SSLErrorCode(" + strconv.Itoa(int(c)) + ")"
}

// SSLError is one thing that is wrong with one certificate (Qt: QSslError).
type SSLError struct {
	Code        SSLErrorCode
	Certificate *x509.Certificate // nil where it is about none
}

// Error says it in a sentence.
func (e SSLError) Error() string {
	i := int(e.Code) + 1
	if i < 0 || i >= len(sslTexts) {
		return e.Code.String()
	}
	text := sslTexts[i][1]
	switch {
	case e.Certificate == nil:
	case e.Code == SSLHostNameMismatch:
		text += ": it is for " + certs.Names(e.Certificate)
	case e.Code == SSLUnspecifiedError:
		if weak := certs.Weakness(e.Certificate); weak != "" {
			text += ": " + weak
		}
	}
	return text
}

// Equal reports whether both are the same flaw of the same certificate (rule T5).
func (e SSLError) Equal(o SSLError) bool {
	return certs.Problem{Code: certs.Code(e.Code), Cert: e.Certificate}.Equal(certs.Problem{Code: certs.Code(o.Code), Cert: o.Certificate})
}

// covers reports whether every problem is one of list (rule T2).
func covers(list []SSLError, problems []certs.Problem) bool {
	return !slices.ContainsFunc(problems, func(p certs.Problem) bool {
		return !slices.ContainsFunc(list, (SSLError{SSLErrorCode(p.Code), p.Cert}).Equal)
	})
}

func sslErrors(problems []certs.Problem) []SSLError {
	list := make([]SSLError, 0, len(problems))
	for _, p := range problems {
		list = append(list, SSLError{SSLErrorCode(p.Code), p.Cert})
	}
	return list
}

// CertificateError is the cause of a reply that failed for the server's certificate.
type CertificateError struct {
	Errors []SSLError          // all that is wrong with it
	Chain  []*x509.Certificate // as the server sent it
	host   string              // that it had to be for
	err    error
}

// first is the first of Errors in a sentence, and of a name that does not match also the
// one that was wanted.
func (e *CertificateError) first() string {
	if len(e.Errors) == 0 {
		return "no certificate error"
	}
	if s := e.Errors[0]; s.Code == SSLHostNameMismatch && s.Certificate != nil {
		return "The certificate is for " + certs.Names(s.Certificate) + "; wanted " + certs.Printable(e.host)
	}
	return e.Errors[0].Error()
}

func (e *CertificateError) Error() string {
	text := e.first()
	if n := len(e.Errors) - 1; n > 0 {
		text += " (and " + strconv.Itoa(n) + " more)"
	}
	return text
}

// Unwrap gives the error of crypto/x509, and every SSLError.
func (e *CertificateError) Unwrap() []error {
	var list []error
	if e.err != nil {
		list = append(list, e.err)
	}
	for _, s := range e.Errors {
		list = append(list, s)
	}
	return list
}

// SSLErrors is the list of all that is wrong with a server's certificate, and the
// question whether to go on (Qt: sslErrors). Nothing has been sent to the server. The
// reply waits for the answer where the Request or the Manager has an Answer or
// AskSSLErrors; otherwise there is none, unless it is given inside OnSignal. An answer holds for this reply
// alone, whose connection is not used for anything else, and for these flaws of these
// certificates. Whoever takes longer to answer than the server waits, or
// Config.TLSTimeout, is connected once more. Its methods may be called from any
// goroutine.
type SSLErrors struct {
	// Host is the name that the server had to prove.
	Host string
	// Errors are at least one.
	Errors []SSLError
	// Chain is what the server has sent, its own certificate first.
	Chain []*x509.Certificate
	// Ignored tells that nothing is asked: settings of the Request have accepted this.
	Ignored bool
	// Final tells that nothing can be ignored, because the host is known to want TLS
	// without flaws (RFC 6797, section 12.1; rule T6). Ignore returns false.
	Final bool

	decision
	accepted []SSLError
}

// Ignore goes on in spite of Errors. It returns false when there was an answer already,
// the reply is over, or no answer is allowed.
func (s *SSLErrors) Ignore() bool { return s != nil && s.IgnoreOnly(s.Errors...) }

// IgnoreOnly goes on if every one of Errors is in the list, and is a Reject otherwise
// (rules T2 and T5). It returns whether it is the answer, as Ignore does.
func (s *SSLErrors) IgnoreOnly(list ...SSLError) bool {
	return s != nil && s.settle(func() { s.accepted = slices.Clone(list) })
}

// Reject fails the reply with SslHandshakeFailedError. It returns whether it is the answer,
// as Ignore does.
func (s *SSLErrors) Reject() bool { return s != nil && s.refuse() }

// certificateError is the public form of a refused certificate.
func certificateError(err error) (*CertificateError, bool) {
	var f *certs.Failure
	if !errors.As(err, &f) {
		return nil, false
	}
	return &CertificateError{sslErrors(f.Problems), f.Chain, f.Name, f.Err}, true
}

// LogValue is what log/slog prints: the same as String.
func (c SSLErrorCode) LogValue() slog.Value { return slog.StringValue(c.String()) }
