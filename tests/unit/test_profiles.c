/* SPDX-License-Identifier: Apache-2.0 */
/* profiles.h, key_file.h, pem.h and rules.h: what the settings and their files make of each
 * origin; also when each allocation fails in turn. */
#include "engine/profiles.h"

#include "base/log.h"
#include "engine/key_file.h"
#include "fetch/handle.h"
#include "fetch/pem.h"
#include "fetch/rules.h"

#include "failing_malloc.h"
#include "unit.h"

#include <errno.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

/* A key, and the certificate that it has issued to itself. */
static const char cert[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBdDCCARugAwIBAgIULjOJ+Mu+hEg+wxDZGK/qJtnVAnowCgYIKoZIzj0EAwIw\n"
	"DzENMAsGA1UEAwwEdW5pdDAgFw0yNjExMjgxMDM0NTNaGA8yMTI2MTEwNDEwMzQ1\n"
	"M1owDzENMAsGA1UEAwwEdW5pdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPrM\n"
	"m06JI0R6S6ogMxlE7cGUSWlALQlt5nmN1HUA60Q2IxBZASTKQ7Qzx+wMBMvWbRzb\n"
	"9T7eFoCeXVURS/qHaP2jUzBRMB0GA1UdDgQWBBRlkZu92e6YCOGXRFQy2ju4Er5n\n"
	"izAfBgNVHSMEGDAWgBRlkZu92e6YCOGXRFQy2ju4Er5nizAPBgNVHRMBAf8EBTAD\n"
	"AQH/MAoGCCqGSM49BAMCA0cAMEQCIAkVzqnHM1U+HITownM7sgoTmpMxQzeabQHh\n"
	"TXUfimvdAiAlDtSpNQqpzy2V5NEnlk2iaJqGUSkV0dD8szMZl2q2pw==\n"
	"-----END CERTIFICATE-----\n";
static const char key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGdDi8ItKbWMo4WCO\n"
	"24qBXEXSs4IemvW/uIxtbsbRqKqhRANCAAT6zJtOiSNEekuqIDMZRO3BlElpQC0J\n"
	"beZ5jdR1AOtENiMQWQEkykO0M8fsDATL1m0c2/U+3haAnl1VEUv6h2j9\n"
	"-----END PRIVATE KEY-----\n";

/* Another. */
static const char other_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQtrzzZ/U2B0PoLan\n"
	"Wu/dvAQJP90YAaXvtPsUqWO0xMKhRANCAAQorQqICxenBLOA/x49gUjtyiWCuRIy\n"
	"AYi6HQIwuN7tUe2AXwr39fuEt5P2hePy2Nl+1qn4fZ3MZ3MolrmsASRj\n"
	"-----END PRIVATE KEY-----\n";

/* --- helpers ----------------------------------------------------------------------- */

/* A folder with files in it, which is what credentials come from, and the warnings so far. */
struct stage {
	char folder[sizeof("/tmp/penstock-test-XXXXXX")];
	struct buf errors;
};

static unsigned warnings;

static void count_warning(enum log_level level, const struct log_fields *fields, const char *text)
{
	(void) fields, (void) text;
	warnings += level == LOG_LEVEL_WARNING;
}

static const char *in(const struct stage *s, const char *name)
{
	static char paths[8][64];
	static unsigned next;

	char *path = paths[next++ % 8];
	(void) snprintf(path, sizeof(paths[0]), "%s/%s", s->folder, name);
	return path;
}

static void put(const struct stage *s, const char *name, const char *text)
{
	FILE *file = fopen(in(s, name), "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_TRUE(fputs(text, file) >= 0);
	CU_ASSERT_EQUAL(fchmod(fileno(file), 0600), 0);
	CU_ASSERT_EQUAL(fclose(file), 0);
}

static const char *const names[] = { "ca", "cert", "key", "other", "login", "token", "proxy" };

static void begin(struct stage *s)
{
	*s = (struct stage) { .folder = "/tmp/penstock-test-XXXXXX" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->folder));
	put(s, "ca", cert);
	put(s, "cert", cert);
	put(s, "key", key);
	put(s, "other", other_key);
	put(s, "login", "me:log:in\n");
	put(s, "token", "token");
	put(s, "proxy", "pro:xy\r\n");
	CU_ASSERT_EQUAL(setenv("CREDENTIALS_DIRECTORY", s->folder, 1), 0);
	warnings = 0;
}

static void end(struct stage *s)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void) unlink(in(s, names[i]));
	CU_ASSERT_EQUAL(rmdir(s->folder), 0);
	CU_ASSERT_EQUAL(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	buf_done(&s->errors);
}

/* What an element of origins has that says nothing. */
static struct origin_settings nothing(const char *match)
{
	return (struct origin_settings) {
		.match = match, .tls_min = FETCH_TLS_1_2, .ca_file = "", .client_cert = "",
		.client_key = "", .login = "", .bearer = "", .proxy = "", .proxy_login = "",
	};
}

/* Makes rules of the elements; on failure s->errors says why. */
static int make(struct stage *s, const struct origin_settings *origins, size_t n,
                struct fetch_rules **ret_rules)
{
	const struct config_groups groups = { .items = origins, .n = n };
	struct fetch_profile *profiles = NULL;

	buf_done(&s->errors);
	int r = profiles_make(&groups, &profiles, &s->errors);
	if (r == 0)
		r = fetch_rules_create(&(struct fetch_rules_options) { .profiles = profiles, .n_profiles = n }, ret_rules);
	profiles_free(profiles, n);
	return r;
}

static bool complains(const struct stage *s, const char *text)
{
	return s->errors.data && memmem(s->errors.data, s->errors.len, text, strlen(text));
}

static struct origin_settings everything(const struct stage *s)
{
	struct origin_settings o = nothing("https://a.test:443");

	o.tls_min = FETCH_TLS_1_3;
	o.ca_file = in(s, "ca");
	o.client_cert = in(s, "cert");
	o.client_key = "credential:key";
	o.login = in(s, "login");
	o.proxy = "https://Proxy.test:3128";
	o.proxy_login = "credential:proxy";
	o.guard = ORIGIN_GUARD_PROXY;
	return o;
}

/* --- profiles ---------------------------------------------------------------------- */

static void test_an_origin_has_what_its_element_says(void)
{
	struct fetch_rules *rules = NULL;
	struct stage s;

	begin(&s);
	struct origin_settings origins[] = { everything(&s), nothing("b.test"), nothing("*") };
	origins[1].bearer = in(&s, "token");
	CU_ASSERT_EQUAL_FATAL(make(&s, origins, ARRAY_LEN(origins), &rules), 0);
	CU_ASSERT_TRUE(fetch_rules_have_proxy(rules));

	const struct fetch_profile *p = fetch_rules_profile(rules, "https://a.test:443");
	CU_ASSERT_EQUAL(p->tls_min, FETCH_TLS_1_3);
	CU_ASSERT_PTR_NOT_NULL(p->authorities);
	CU_ASSERT_STRING_EQUAL(p->client_cert, cert);
	CU_ASSERT_STRING_EQUAL(p->client_key, key);
	CU_ASSERT_STRING_EQUAL(p->login, "me:log:in");
	CU_ASSERT_PTR_NULL(p->bearer);
	CU_ASSERT_STRING_EQUAL(p->proxy, "https://proxy.test:3128");
	CU_ASSERT_STRING_EQUAL(p->proxy_host, "proxy.test");
	CU_ASSERT_EQUAL(p->proxy_port, 3128);
	CU_ASSERT_STRING_EQUAL(p->proxy_login, "pro:xy");
	CU_ASSERT_TRUE(p->proxy_resolves);

	p = fetch_rules_profile(rules, "http://b.test:80");
	CU_ASSERT_STRING_EQUAL(p->bearer, "token");
	CU_ASSERT_PTR_NULL(p->login);
	CU_ASSERT_PTR_NULL(p->proxy);
	CU_ASSERT_PTR_NULL(p->authorities);
	p = fetch_rules_profile(rules, "http://a.test:80");
	CU_ASSERT_STRING_EQUAL(p->match, "*");
	CU_ASSERT_PTR_NULL(p->login);
	CU_ASSERT_EQUAL(warnings, 0);
	fetch_rules_unref(rules);
	end(&s);
}

static void test_without_elements_there_is_a_usual_one(void)
{
	struct fetch_rules *rules = NULL;
	struct stage s;

	begin(&s);
	CU_ASSERT_EQUAL_FATAL(make(&s, NULL, 0, &rules), 0);
	const struct fetch_profile *p = fetch_rules_profile(rules, "http://a.test:80");
	CU_ASSERT_EQUAL(p->tls_min, FETCH_TLS_1_2);
	CU_ASSERT_FALSE(p->insecure || p->proxy || p->login || p->bearer || p->authorities);
	CU_ASSERT_FALSE(fetch_rules_have_proxy(rules));
	fetch_rules_unref(rules);
	end(&s);
}

static void test_all_that_is_wrong_is_said(void)
{
	struct fetch_rules *rules = NULL;
	struct stage s;

	begin(&s);
	struct origin_settings origins[] = { everything(&s), everything(&s) };
	origins[0].ca_file = in(&s, "token");
	origins[0].client_key = in(&s, "other");
	origins[0].proxy_login = "credential:token";
	origins[1].match = "x";
	origins[1].login = "/nowhere/login";
	CU_ASSERT_EQUAL(make(&s, origins, ARRAY_LEN(origins), &rules), -EINVAL);
	CU_ASSERT_PTR_NULL(rules);
	CU_ASSERT_TRUE(complains(&s, "origins[https://a.test:443].ca_file: "));
	CU_ASSERT_TRUE(complains(&s, "/other: has a key that is not the certificate's\n"));
	CU_ASSERT_TRUE(complains(&s, "].proxy_login: credential:token: must hold user:password\n"));
	CU_ASSERT_TRUE(complains(&s, "origins[x].login: /nowhere/login: cannot be read: No such file"));
	end(&s);
}

static void test_what_is_unsafe_is_warned_of(void)
{
	struct fetch_rules *rules = NULL;
	struct stage s;

	begin(&s);
	struct origin_settings origins[] = { everything(&s), nothing("*") };
	origins[1].insecure = true;
	CU_ASSERT_EQUAL(chmod(in(&s, "login"), 0644), 0);
	CU_ASSERT_EQUAL(chmod(in(&s, "cert"), 0644), 0); /* is no secret */
	CU_ASSERT_EQUAL(make(&s, origins, ARRAY_LEN(origins), &rules), 0);
	CU_ASSERT_EQUAL(warnings, 2);
	CU_ASSERT_TRUE(fetch_rules_profile(rules, "http://b.test:80")->insecure);
	fetch_rules_unref(rules);
	end(&s);
}

static void test_proxies_that_are_none(void)
{
	static const char *const good[] = { "http://p:1", "https://p:1", "http://p", "http://[::1]:1" };
	static const char *const bad[] = {
		"p:1", "p", "socks5://p:1", "http://", "http://p:0", "http://p:x",
		"http://u:p@p:1", "http://p:1/", "http://p:1?x", "http://p:1#x", "",
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CU_ASSERT_PTR_NULL(profiles_proxy_trouble(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT_PTR_NOT_NULL(profiles_proxy_trouble(bad[i]));
}

/* --- PEM --------------------------------------------------------------------------- */

static void test_bundles(void)
{
	struct stage s;
	X509_STORE *store = NULL;
	const char *why = NULL;

	begin(&s);
	CU_ASSERT_EQUAL(pem_read_authorities("", &store, &why), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(why);
	CU_ASSERT_EQUAL(pem_read_authorities(key, &store, &why), -EINVAL);
	CU_ASSERT_PTR_NULL(store);
	CU_ASSERT_EQUAL(pem_read_authorities(cert, &store, &why), 0);
	X509_STORE_free(store);

	/* Comments around it do no harm, a half one behind it does. */
	struct buf text = { 0 };
	buf_printf(&text, "# ours\n%s\n# theirs\n%s\n", cert, cert);
	buf_add_char(&text, '\0');
	CU_ASSERT_EQUAL(pem_read_authorities(text.data, &store, &why), 0);
	X509_STORE_free(store);
	buf_clear(&text);
	buf_printf(&text, "%s%.200s", cert, cert);
	buf_add_char(&text, '\0');
	store = NULL;
	CU_ASSERT_EQUAL(pem_read_authorities(text.data, &store, &why), -EINVAL);
	CU_ASSERT_PTR_NULL(store);
	buf_done(&text);
	end(&s);
}

static void test_identities(void)
{
	const char *why = NULL;

	CU_ASSERT_EQUAL(pem_check_identity(cert, key, &why), 0);
	CU_ASSERT_EQUAL(pem_check_identity(cert, other_key, &why), -EINVAL);
	CU_ASSERT_EQUAL(pem_check_identity(key, key, &why), -EINVAL);
	CU_ASSERT_EQUAL(pem_check_identity(cert, cert, &why), -EINVAL);
	CU_ASSERT_EQUAL(pem_check_identity("", "", &why), -EINVAL);
}

/* --- memory ------------------------------------------------------------------------ */

static void test_each_allocation_may_fail(void)
{
	struct fetch_rules *rules = NULL;
	struct stage s;
	int r = -ENOMEM;
	long n = 0;

	begin(&s);
	struct origin_settings origins[] = { everything(&s), nothing("*") };
	origins[1].bearer = "credential:token";
	while (r == -ENOMEM && n < 1000) {
		faults_arm(++n, 1, 1);
		r = make(&s, origins, ARRAY_LEN(origins), &rules);
		faults_end();
		CU_ASSERT_EQUAL(r == -ENOMEM, faults.failed > 0);
	}
	CU_ASSERT_EQUAL(r, 0);
	CU_ASSERT_TRUE(n > 20);
	fetch_rules_unref(rules);
	end(&s);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	(void) data, (void) arg;
	return size * count;
}

/* Makes a handle for the origin that has everything, and takes back what a request has set. */
static int make_handle(struct fetch_rules *rules, struct handle **ret_handle)
{
	static const struct url_origin at = {
		.text = "https://a.test:443", .host = "a.test", .port = 443, .tls = true
	};
	const struct handle_options options = { .user_agent = "x", .on_body = on_body };
	struct addresses *addresses = addresses_create();
	struct handle *h = NULL;

	if (!addresses)
		return -ENOMEM;
	addresses->n = 1;
	(void) snprintf(addresses->text[0], sizeof(addresses->text[0]), "127.0.0.1");
	int r = handle_create(&options, rules, &at, addresses, &h);
	if (r == 0)
		r = handle_tunnel_to(h, "2001:db8::1");
	if (r == 0)
		r = handle_reset(h, &options, false);
	addresses_unref(addresses);
	if (r < 0)
		handle_free(h);
	else
		*ret_handle = h;
	return r;
}

static void expect_lists(const struct handle *h)
{
	CU_ASSERT_STRING_EQUAL(h->tunnel_ip, "2001:db8::1");
	CU_ASSERT_STRING_EQUAL(h->tunnel->data, "::[2001:db8::1]:");
	CU_ASSERT_STRING_EQUAL(h->pins->data, "proxy.test:3128:127.0.0.1");
}

static void test_each_allocation_of_a_handle_may_fail(void)
{
	struct fetch_rules *rules = NULL;
	struct handle *h = NULL;
	struct stage s;
	int r = -ENOMEM;
	long n = 0;

	begin(&s);
	const struct origin_settings origins[] = { everything(&s) };
	CU_ASSERT_EQUAL_FATAL(make(&s, origins, ARRAY_LEN(origins), &rules), 0);
	in_libraries = true;
	while (r == -ENOMEM && n < 1000) {
		faults_arm(++n, 1, 1);
		r = make_handle(rules, &h);
		faults_end();
	}
	in_libraries = false;
	CU_ASSERT_EQUAL_FATAL(r, 0);
	CU_ASSERT_TRUE(n > 30);
	CU_ASSERT_PTR_NOT_NULL(h);
	if (h)
		expect_lists(h);
	handle_free(h);
	fetch_rules_unref(rules);
	end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an origin has what its element says", test_an_origin_has_what_its_element_says },
		{ "without elements there is a usual one", test_without_elements_there_is_a_usual_one },
		{ "all that is wrong is said", test_all_that_is_wrong_is_said },
		{ "what is unsafe is warned of", test_what_is_unsafe_is_warned_of },
		{ "proxies that are none", test_proxies_that_are_none },
		{ "bundles", test_bundles },
		{ "identities", test_identities },
		{ "each allocation may fail", test_each_allocation_may_fail },
		{ "each allocation of a handle may fail", test_each_allocation_of_a_handle_may_fail },
		CU_TEST_INFO_NULL,
	};

	if (!failing_malloc_install())
		return 77;
	log_set_sink(count_warning);
	int status = unit_run("profiles", tests);
	curl_global_cleanup();
	return status;
}
