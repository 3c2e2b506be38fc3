// What the Go side calls of OpenSSL. Each call returns with the error of its own thread.
#ifndef OPENSSLPSK_TLS_H
#define OPENSSLPSK_TLS_H

#include <stdint.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

typedef struct {
	int n;              // bytes, or below 1
	int why;            // SSL_get_error
	unsigned long code; // ERR_get_error
} psk_result;

SSL_CTX *psk_context(int min, int max);
SSL *psk_new(SSL_CTX *ctx, uintptr_t handle, const char *name, const unsigned char *alpn, unsigned alpn_len);
psk_result psk_handshake(SSL *ssl);
psk_result psk_read(SSL *ssl, void *p, int n);
psk_result psk_write(SSL *ssl, const void *p, int n);
int psk_feed(SSL *ssl, const void *p, int n);
int psk_pending(SSL *ssl);
int psk_take(SSL *ssl, void *p, int n);

#endif
