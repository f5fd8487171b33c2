/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys in PEM (RFC 7468), as OpenSSL reads them.  What is wrong is said in
 * '*ret_why', a text of static lifetime.  Safe from any thread.
 */
#ifndef PENSTOCK_FETCH_PEM_H
#define PENSTOCK_FETCH_PEM_H

#include "base/attr.h"

struct x509_store_st; /* X509_STORE, of <openssl/x509.h> */

/*
 * Makes a store of the certificates in 'pem', each of which is trusted for what it has issued
 * and for itself.  One store serves all connections: its certificates are parsed once.
 *
 * Returns 0 and a reference, to be released by X509_STORE_free(3); -EINVAL or -ENOMEM.
 */
NODISCARD NONNULL(1, 2, 3)
int pem_read_authorities(const char *pem, struct x509_store_st **ret_store, const char **ret_why);

/* Whether 'cert' begins with a certificate that the key in 'key' belongs to; both may be one
 * text.  Returns 0, -EINVAL or -ENOMEM. */
NODISCARD NONNULL(1, 2, 3)
int pem_check_identity(const char *cert, const char *key, const char **ret_why);

#endif
