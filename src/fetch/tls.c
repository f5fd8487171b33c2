/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/tls.h"

#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static int64_t expiry_wall_us(const SSL *ssl)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	struct tm tm;

	if (!leaf || ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) != 1)
		return 0;
	return (int64_t) timegm(&tm) * 1000000;
}

const struct ssl_st *tls_read(CURL *easy, bool verified, struct response_tls *ret_tls)
{
	struct curl_tlssessioninfo *info = NULL;

	*ret_tls = (struct response_tls) { 0 };
	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info ||
	    info->backend != CURLSSLBACKEND_OPENSSL || !info->internals)
		return NULL;

	const SSL *ssl = info->internals;
	const char *cipher = SSL_get_cipher_name(ssl);
	(void) snprintf(ret_tls->version, sizeof(ret_tls->version), "%s", SSL_get_version(ssl));
	(void) snprintf(ret_tls->cipher, sizeof(ret_tls->cipher), "%s", cipher ? cipher : "");
	ret_tls->verified = verified;
	ret_tls->expires_wall_us = expiry_wall_us(ssl);
	return ssl;
}

bool tls_has_unread(const struct ssl_st *ssl) { return SSL_pending(ssl) > 0; }
