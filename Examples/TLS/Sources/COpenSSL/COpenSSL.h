/* OpenSSL, and under names of our own what it has as macros, which Swift does not see. */
#ifndef COPENSSL_H
#define COPENSSL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static inline int ctls_set_versions(SSL_CTX *context, int least, int most) {
  return SSL_CTX_set_min_proto_version(context, least) && SSL_CTX_set_max_proto_version(context, most);
}
static inline void ctls_set_modes(SSL_CTX *context) {
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}
static inline void ctls_allow_renegotiation(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
}
static inline int ctls_set_server_name(SSL *session, const char *name) {
  return (int)SSL_set_tlsext_host_name(session, name);
}
static inline EVP_PKEY *ctls_make_key(void) { return EVP_EC_gen("P-256"); }
static inline void ctls_set_validity(X509 *certificate, long seconds) {
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
}

static inline long ctls_renegotiations(SSL *session) { return SSL_total_renegotiations(session); }

#endif
