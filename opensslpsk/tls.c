#include "tls.h"
#include "_cgo_export.h"

// The suites that need no certificate. There is no choice of what to verify: a server
// that shows a certificate is refused, because nothing is trusted.
static const char suites[] = "kECDHEPSK:kDHEPSK:kPSK:!eNULL:!aNULL";

static unsigned ask(SSL *ssl, const char *hint, char *identity, unsigned max_identity, unsigned char *key, unsigned max_key) {
	return pskAsk((uintptr_t)SSL_get_app_data(ssl), (char *)hint, identity, max_identity, key, max_key);
}

SSL_CTX *psk_context(int min, int max) {
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		return NULL;
	if (!SSL_CTX_set_min_proto_version(ctx, min) || !SSL_CTX_set_max_proto_version(ctx, max) ||
		!SSL_CTX_set_cipher_list(ctx, suites)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_psk_client_callback(ctx, ask);
	SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

SSL *psk_new(SSL_CTX *ctx, uintptr_t handle, const char *name, const unsigned char *alpn, unsigned alpn_len) {
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (ssl == NULL || in == NULL || out == NULL) {
		SSL_free(ssl);
		BIO_free(in);
		BIO_free(out);
		return NULL;
	}
	BIO_set_mem_eof_return(in, -1); // empty means: not yet
	SSL_set_bio(ssl, in, out);
	SSL_set_app_data(ssl, (void *)handle);
	if ((name[0] != 0 && !SSL_set_tlsext_host_name(ssl, name)) || (alpn_len > 0 && SSL_set_alpn_protos(ssl, alpn, alpn_len) != 0)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

static psk_result result(SSL *ssl, int n) {
	psk_result r = {n, 0, 0};
	if (n <= 0) {
		r.why = SSL_get_error(ssl, n);
		r.code = ERR_peek_last_error();
	}
	ERR_clear_error();
	return r;
}

psk_result psk_handshake(SSL *ssl) {
	ERR_clear_error();
	return result(ssl, SSL_do_handshake(ssl));
}

psk_result psk_read(SSL *ssl, void *p, int n) {
	ERR_clear_error();
	return result(ssl, SSL_read(ssl, p, n));
}

psk_result psk_write(SSL *ssl, const void *p, int n) {
	ERR_clear_error();
	return result(ssl, SSL_write(ssl, p, n));
}

int psk_feed(SSL *ssl, const void *p, int n) { return BIO_write(SSL_get_rbio(ssl), p, n); }
int psk_pending(SSL *ssl) { return (int)BIO_pending(SSL_get_wbio(ssl)); }
int psk_take(SSL *ssl, void *p, int n) { return BIO_read(SSL_get_wbio(ssl), p, n); }

