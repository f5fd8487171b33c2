/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/pem.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>

static int fail(const char *why, const char **ret_why)
{
	*ret_why = why;
	return -EINVAL;
}

/* Why the last read has given nothing: 0 at the end, if there is nothing more of the kind. */
static int read_error(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE
	               ? 0
	       : ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE ? -ENOMEM
	                                                       : -EINVAL;
}

static int add_all(BIO *from, X509_STORE *store, size_t *ret_n)
{
	X509 *cert = NULL;
	int r = 0;

	while (r == 0 && (cert = PEM_read_bio_X509_AUX(from, NULL, NULL, NULL))) {
		r = X509_STORE_add_cert(store, cert) == 1 ? 0 : -ENOMEM;
		X509_free(cert);
		++*ret_n;
	}
	return r == 0 ? read_error() : r;
}

int pem_read_authorities(const char *pem, X509_STORE **ret_store, const char **ret_why)
{
	BIO *from = BIO_new_mem_buf(pem, -1);
	X509_STORE *store = X509_STORE_new();
	size_t n = 0;

	ERR_clear_error();
	int r = from && store ? add_all(from, store, &n) : -ENOMEM;
	if (r == -EINVAL)
		(void) fail("has a certificate that cannot be read", ret_why);
	else if (r == 0 && n == 0)
		r = fail("has no certificate in PEM (-----BEGIN CERTIFICATE-----)", ret_why);
	if (r == 0 && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN |
	                                                  X509_V_FLAG_TRUSTED_FIRST) != 1)
		r = -ENOMEM;
	ERR_clear_error();
	BIO_free(from);
	if (r < 0) {
		X509_STORE_free(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

/* OpenSSL would ask the terminal. */
static int on_passphrase(char *buf, int size, int writing, void *arg)
{
	(void) buf, (void) size, (void) writing;
	*(bool *) arg = true;
	return -1;
}

static int check(BIO *cert_from, BIO *key_from, const char **ret_why)
{
	bool encrypted = false;
	X509 *cert = PEM_read_bio_X509_AUX(cert_from, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(key_from, NULL, on_passphrase, &encrypted);
	int r = 0;

	if (!cert)
		r = fail("has no certificate in PEM (-----BEGIN CERTIFICATE-----)", ret_why);
	else if (encrypted)
		r = fail("has a key with a passphrase; write it without one: openssl pkey", ret_why);
	else if (!key)
		r = fail("has no private key in PEM (-----BEGIN PRIVATE KEY-----)", ret_why);
	else if (X509_check_private_key(cert, key) != 1)
		r = fail("has a key that is not the certificate's", ret_why);
	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

int pem_check_identity(const char *cert, const char *key, const char **ret_why)
{
	BIO *cert_from = BIO_new_mem_buf(cert, -1);
	BIO *key_from = BIO_new_mem_buf(key, -1);

	int r = cert_from && key_from ? check(cert_from, key_from, ret_why) : -ENOMEM;
	ERR_clear_error();
	BIO_free(cert_from);
	BIO_free(key_from);
	return r;
}
