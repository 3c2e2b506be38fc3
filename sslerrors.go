package netreply

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"strconv"

	"github.com/netreply/netreply/internal/certs"
)

// SSLErrorCode is a kind of certificate flaw, with Qt's numbers (QSslError::SslError, rule
// T20). This library reports only some of them; the others exist for code that gets them
// from elsewhere.
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
	SSLSelfSignedCertificate               SSLErrorCode = 9  // the server's certificate
	SSLSelfSignedCertificateInChain        SSLErrorCode = 10 // an untrusted root
	SSLUnableToGetLocalIssuerCertificate   SSLErrorCode = 11 // its issuer is neither sent nor trusted
	SSLUnableToVerifyFirstCertificate      SSLErrorCode = 12 // as above, and the server sent only its own
	SSLCertificateRevoked                  SSLErrorCode = 13
	SSLInvalidCaCertificate                SSLErrorCode = 14 // an issuer that is not a CA
	SSLPathLengthExceeded                  SSLErrorCode = 15
	SSLInvalidPurpose                      SSLErrorCode = 16 // not valid for TLS servers
	SSLCertificateUntrusted                SSLErrorCode = 17
	SSLCertificateRejected                 SSLErrorCode = 18 // an issuer that is not allowed to issue this name
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
	SSLOcspSigRequred                      SSLErrorCode = 31 // Qt's spelling
	SSLOcspUnauthorized                    SSLErrorCode = 32
	SSLOcspResponseCannotBeTrusted         SSLErrorCode = 33
	SSLOcspResponseCertIDUnknown           SSLErrorCode = 34
	SSLOcspResponseExpired                 SSLErrorCode = 35
	SSLOcspStatusUnknown                   SSLErrorCode = 36
)

// sslTexts are name and text of each code, from -1 on.
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
	{"SubjectIssuerMismatch", "The issuer named in the certificate is not the subject of the issuer certificate"},
	{"AuthorityIssuerSerialNumberMismatch", "The serial number of the issuer is not the one in the certificate's authority key identifier"},
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
	{"OcspSigRequred", "The OCSP responder requires signed requests"},
	{"OcspUnauthorized", "The client is not authorized to use the OCSP responder"},
	{"OcspResponseCannotBeTrusted", "The signer of the OCSP response is not trusted"},
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

// SSLError is one flaw of one certificate (Qt: QSslError).
type SSLError struct {
	Code        SSLErrorCode
	Certificate *x509.Certificate // nil if the flaw concerns no certificate
}

// Error describes the flaw in a sentence.
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

// CertificateError is the cause of a reply that failed because of the server's certificate.
type CertificateError struct {
	Errors []SSLError          // all flaws
	Chain  []*x509.Certificate // as the server sent it
	host   string              // the required name
	err    error
}

// firstText describes the first of Errors, for a name that does not match with the required
// name.
func (e *CertificateError) firstText() string {
	if len(e.Errors) == 0 {
		return "no certificate error"
	}
	if s := e.Errors[0]; s.Code == SSLHostNameMismatch && s.Certificate != nil {
		return "The certificate is for " + certs.Names(s.Certificate) + "; wanted " + certs.Printable(e.host)
	}
	return e.Errors[0].Error()
}

func (e *CertificateError) Error() string {
	text := e.firstText()
	if n := len(e.Errors) - 1; n > 0 {
		text += " (and " + strconv.Itoa(n) + " more)"
	}
	return text
}

// Unwrap returns the error of crypto/x509 in a *tls.CertificateVerificationError, as
// crypto/tls does, and every SSLError.
func (e *CertificateError) Unwrap() []error {
	var list []error
	if e.err != nil {
		list = append(list, &tls.CertificateVerificationError{UnverifiedCertificates: e.Chain, Err: e.err})
	}
	for _, s := range e.Errors {
		list = append(list, s)
	}
	return list
}

// SSLErrors is the list of all flaws of a server's certificate, and the question whether to
// continue (Qt: sslErrors). Nothing has been sent to the server. The reply waits for the
// answer if Request.Answer, Config.Answer or AskSSLErrors is set; otherwise only an answer
// inside OnSignal counts. An answer is valid for these flaws of these certificates and for
// this reply only, whose connection is not used for other requests. If the server closes
// the connection during the question, or Config.TLSTimeout is exceeded, the reply connects
// again. Its methods are safe for concurrent use.
type SSLErrors struct {
	// Host is the name that the certificate must be valid for.
	Host string
	// Errors are the flaws, at least one.
	Errors []SSLError
	// Chain are the certificates that the server sent, its own first.
	Chain []*x509.Certificate
	// Ignored reports that this is not a question: settings of the Request have accepted
	// the flaws.
	Ignored bool
	// Final reports that no flaw can be ignored, because the host has an HSTS policy (RFC
	// 6797, section 12.1; rule T6). Ignore returns false.
	Final bool

	decision
	accepted []SSLError
}

// Ignore accepts all Errors. It returns false when there was an answer already, the reply
// is over, or Final is set.
func (s *SSLErrors) Ignore() bool { return s != nil && s.IgnoreOnly(s.Errors...) }

// IgnoreOnly accepts Errors if all of them are in the list, and otherwise has the effect of
// Reject (rules T2 and T5). Its result is that of Ignore.
func (s *SSLErrors) IgnoreOnly(list ...SSLError) bool {
	return s != nil && s.settle(func() { s.accepted = slices.Clone(list) })
}

// Reject fails the reply with SslHandshakeFailedError. It returns false when there was an
// answer already, or the reply is over.
func (s *SSLErrors) Reject() bool { return s != nil && s.decline() }

// certificateError converts the error of a refused certificate.
func certificateError(err error) (*CertificateError, bool) {
	var f *certs.Failure
	if !errors.As(err, &f) {
		return nil, false
	}
	return &CertificateError{sslErrors(f.Problems), f.Chain, f.Name, f.Err}, true
}

// LogValue is what log/slog prints: the same as String.
func (c SSLErrorCode) LogValue() slog.Value { return slog.StringValue(c.String()) }
