/* TLS for the load's agents: a filter between the socket's bytes and the WebSocket's. Empty unless TLS is set. */

#ifndef TLS_H
#define TLS_H

#include "wire.h"

#ifdef TLS

#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *tls_context;

static inline void tls_prepare(const char *pem) {
    tls_context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls_context, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, pem, SSL_FILETYPE_PEM) != 1)
        errno = 0, die("the certificate can't be used");
}

static inline SSL *tls_open(void) {
    SSL *tls = SSL_new(tls_context);
    SSL_set_bio(tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(tls);
    return tls;
}

/* Send what TLS has to send. */
static inline void tls_flush(SSL *tls, int fd) {
    static uint8_t sealed[1 << 16];
    int size;
    while ((size = BIO_read(SSL_get_wbio(tls), sealed, sizeof sealed)) > 0)
        send_whole(fd, sealed, size);
}

static inline void tls_send(SSL *tls, int fd, const void *data, size_t size) {
    SSL_write(tls, data, size);
    tls_flush(tls, fd);
}

/* Open what has arrived sealed into `inbox`; answer the handshake. */
static inline void tls_receive(SSL *tls, int fd, const uint8_t *sealed, size_t size, struct inbox *inbox) {
    int opened;
    BIO_write(SSL_get_rbio(tls), sealed, size);
    while ((opened = SSL_read(tls, inbox->data + inbox->used, sizeof inbox->data - inbox->used)) > 0)
        inbox->used += opened;
    ERR_clear_error();
    tls_flush(tls, fd);
}

#else

typedef void SSL;
static inline void tls_prepare(const char *pem) { errno = 0, die(pem); }
static inline SSL *tls_open(void) { return NULL; }
static inline void SSL_free(SSL *tls) { (void)tls; }
static inline void tls_send(SSL *tls, int fd, const void *data, size_t size) {
    (void)tls, (void)fd, (void)data, (void)size;
}
static inline void tls_receive(SSL *tls, int fd, const uint8_t *sealed, size_t size, struct inbox *inbox) {
    (void)tls, (void)fd, (void)sealed, (void)size, (void)inbox;
}

#endif
#endif
