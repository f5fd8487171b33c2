/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a TLS connection, from OpenSSL, which libcurl must have been built with. */
#ifndef PENSTOCK_FETCH_TLS_H
#define PENSTOCK_FETCH_TLS_H

#include "base/attr.h"
#include "job/result.h"

#include <curl/curl.h>
#include <stdbool.h>

/* Reads the facts of the connection that 'easy' has at the moment, which is so in libcurl's
 * callbacks only; all zero if it has none or libcurl uses another library.  Returns what OpenSSL
 * knows it as, for as long as it lives; NULL then. */
NONNULL(1, 3)
const struct ssl_st *tls_read(CURL *easy, bool verified, struct response_tls *ret_tls);

/* Whether something was received, and decrypted, that nobody has read. */
NONNULL(1) bool tls_has_unread(const struct ssl_st *ssl);

#endif
