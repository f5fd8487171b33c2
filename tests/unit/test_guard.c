/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h and ip.h: which entries there can be, and which addresses each denies. */
#include "fetch/guard.h"

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct guard_list list_of(const char *const *entries)
{
	struct guard_list list = { .entries = entries };

	while (entries[list.n])
		list.n++;
	return list;
}

static struct guard *make(const char *const *deny, const char *const *allow)
{
	const struct guard_list denied = list_of(deny), allowed = list_of(allow);
	struct guard *g = NULL;

	CU_ASSERT_EQUAL_FATAL(guard_create(&denied, &allowed, &g), 0);
	return g;
}

#define LIST(...) ((const char *const[]) { __VA_ARGS__, NULL })
#define NOTHING ((const char *const[]) { NULL })

/* What is said of an address; "" if it may be connected to. */
static const char *said_of(const struct guard *g, const char *address)
{
	static char text[GUARD_REFUSAL_SIZE];
	struct guard_refusal refusal = { 0 };
	struct ip ip;

	CU_ASSERT_TRUE_FATAL(ip_parse(address, &ip));
	text[0] = '\0';
	int r = guard_check(g, &ip, &refusal);
	CU_ASSERT_TRUE(r == 0 || r == -EACCES);
	CU_ASSERT_EQUAL(r == -EACCES, refusal.entry != NULL);
	if (r < 0)
		guard_refusal_format(&refusal, text);
	return text;
}

/* Whether this is said; shows what is if it is something else. */
static bool says(const struct guard *g, const char *address, const char *expected)
{
	const char *said = said_of(g, address);
	bool same = strcmp(said, expected) == 0;

	if (!same)
		(void) fprintf(stderr, "%s: said \"%s\", not \"%s\"\n", address, said, expected);
	return same;
}

static bool allows(const struct guard *g, const char *address)
{
	return says(g, address, "");
}

/* Whether it is denied by this network of the only entry. */
static bool denies(const struct guard *g, const char *address, const char *name,
                   const char *network)
{
	char expected[GUARD_REFUSAL_SIZE];

	(void) snprintf(expected, sizeof(expected), "%s is denied by \"%s\" (%s)", address, name,
	                network);
	return says(g, address, expected);
}

/* --- entries ----------------------------------------------------------------------- */

static void test_good_entries(void)
{
	static const char *const good[] = {
		"loopback", "private", "link-local", "metadata", "multicast",
		"10.0.0.0/8", "0.0.0.0/0", "192.0.2.1", "192.0.2.1/32", "128.0.0.0/1", "192.0.2.254/31",
		"::/0", "::1", "::1/128", "2001:db8::/32", "8000::/1", "fe80::/10", "::ffff:0:0/96",
		"2001:db8:0:0:0:0:0:0/64", "::ffff:10.0.0.0/104",
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const char *trouble = guard_entry_trouble(good[i]);
		CU_ASSERT_PTR_NULL(trouble);
		if (trouble)
			(void) fprintf(stderr, "%s: %s\n", good[i], trouble);
		guard_free(make(LIST(good[i]), LIST(good[i])));
	}
}

static void test_bad_entries(void)
{
	static const char names[] = "must be a network such as 10.0.0.0/8, an address, \"private\", "
	                            "\"loopback\", \"link-local\", \"metadata\" or \"multicast\"";
	static const char address[] = "no IPv4 or IPv6 address";
	static const char bits[] = "there must be a number of bits behind the /";
	static const char set[] = "there are bits set behind the prefix";
	static const char long4[] = "an IPv4 prefix has at most 32 bits";
	static const char long6[] = "an IPv6 prefix has at most 128 bits";
	static const struct {
		const char *entry, *trouble;
	} bad[] = {
		{ "", names },
		{ "localhost", names },
		{ "Private", names },
		{ " private", names },
		{ "2130706433", names },
		{ "example.com", address },
		{ "127.1", address },
		{ "0177.0.0.1", address },
		{ "0x7f.0.0.1", address },
		{ "10.0.0.0.0/8", address },
		{ "10.0.0.256/8", address },
		{ " 10.0.0.0/8", address },
		{ "10.0.0.0 /8", address },
		{ "/8", address },
		{ "*.*", address },
		{ "[::1]", address },
		{ "::1%lo", address },
		{ "fe80::%lo/10", address },
		{ "12345::/16", address },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/1", address },
		{ "10.0.0.0/", bits },
		{ "10.0.0.0/a", bits },
		{ "10.0.0.0/8 ", bits },
		{ "10.0.0.0/+8", bits },
		{ "10.0.0.0/-8", bits },
		{ "10.0.0.0/08", bits },
		{ "10.0.0.0/8/8", bits },
		{ "10.0.0.0/255.0.0.0", bits },
		{ "10.0.0.0/4294967304", bits },
		{ "10.0.0.0/33", long4 },
		{ "10.0.0.0/999", long4 },
		{ "::/129", long6 },
		{ "10.0.0.1/8", set },
		{ "10.0.0.0/6", set },
		{ "0.0.0.1/0", set },
		{ "192.0.2.1/31", set },
		{ "::1/127", set },
		{ "2001:db8::1/64", set },
		{ "ff00::/7", set },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *trouble = guard_entry_trouble(bad[i].entry);
		const struct guard_list list = list_of(LIST("10.0.0.0/8", bad[i].entry));
		const struct guard_list none = { 0 };
		struct guard *g = NULL;
		CU_ASSERT_PTR_NOT_NULL_FATAL(trouble);
		CU_ASSERT_STRING_EQUAL(trouble, bad[i].trouble);
		if (strcmp(trouble, bad[i].trouble) != 0)
			(void) fprintf(stderr, "%s: %s\n", bad[i].entry, trouble);
		CU_ASSERT_EQUAL(guard_create(&list, &none, &g), -EINVAL);
		CU_ASSERT_EQUAL(guard_create(&none, &list, &g), -EINVAL);
		CU_ASSERT_PTR_NULL(g);
	}
	CU_ASSERT_PTR_NULL(guard_free(NULL));
}

/* --- networks ---------------------------------------------------------------------- */

/* A network with its first and last address, and those next to it; NULL if there is none, or
 * one that is denied, too. */
struct span {
	const char *network;
	const char *before, *first, *last, *after;
};

static void check_span(const struct guard *g, const char *name, const struct span *span)
{
	CU_ASSERT_TRUE(!span->before || allows(g, span->before));
	CU_ASSERT_TRUE(denies(g, span->first, name, span->network));
	CU_ASSERT_TRUE(denies(g, span->last, name, span->network));
	CU_ASSERT_TRUE(!span->after || allows(g, span->after));
}

static void check_name(const char *name, const struct span *spans, size_t n)
{
	struct guard *g = make(LIST(name), NOTHING);

	for (size_t i = 0; i < n; i++)
		check_span(g, name, &spans[i]);
	guard_free(g);
}

static void test_a_network_has_its_addresses(void)
{
	static const struct span spans[] = {
		{ "10.0.0.0/8", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
		{ "192.0.2.4/30", "192.0.2.3", "192.0.2.4", "192.0.2.7", "192.0.2.8" },
		{ "192.0.2.2/31", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4" },
		{ "128.0.0.0/1", "127.255.255.255", "128.0.0.0", "255.255.255.255", NULL },
		{ "172.16.0.0/13", "172.15.255.255", "172.16.0.0", "172.23.255.255", "172.24.0.0" },
		{ "0.0.0.0/0", "2001:db8::", "0.0.0.0", "255.255.255.255", NULL },
		{ "2001:db8::/33", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::",
		  "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "2001:db8:8000::" },
		{ "2001:db8::4/126", "2001:db8::3", "2001:db8::4", "2001:db8::7", "2001:db8::8" },
		{ "::/0", "192.0.2.1", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
	};
	char expected[GUARD_REFUSAL_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
		const struct span *span = &spans[i];
		struct guard *g = make(LIST(span->network), NOTHING);
		CU_ASSERT_TRUE(allows(g, span->before));
		(void) snprintf(expected, sizeof(expected), "%s is denied by \"%s\"", span->first,
		                span->network);
		CU_ASSERT_TRUE(says(g, span->first, expected));
		(void) snprintf(expected, sizeof(expected), "%s is denied by \"%s\"", span->last,
		                span->network);
		CU_ASSERT_TRUE(says(g, span->last, expected));
		CU_ASSERT_TRUE(!span->after || allows(g, span->after));
		guard_free(g);
	}
}

static void test_an_address_is_itself(void)
{
	struct guard *g = make(LIST("192.0.2.1", "2001:db8::1"), NOTHING);

	CU_ASSERT_TRUE(says(g, "192.0.2.1", "192.0.2.1 is denied by \"192.0.2.1\""));
	CU_ASSERT_TRUE(says(g, "2001:db8::1", "2001:db8::1 is denied by \"2001:db8::1\""));
	CU_ASSERT_TRUE(says(g, "[2001:db8::1]", "2001:db8::1 is denied by \"2001:db8::1\""));
	CU_ASSERT_TRUE(allows(g, "192.0.2.0"));
	CU_ASSERT_TRUE(allows(g, "192.0.2.2"));
	CU_ASSERT_TRUE(allows(g, "2001:db8::"));
	CU_ASSERT_TRUE(allows(g, "2001:db8::2"));
	guard_free(g);
}

static void test_without_entries_all_is_allowed(void)
{
	struct guard *g = make(NOTHING, NOTHING);

	CU_ASSERT_TRUE(allows(g, "169.254.169.254"));
	CU_ASSERT_TRUE(allows(g, "::ffff:127.0.0.1"));
	guard_free(g);
}

static void test_allow_wins(void)
{
	struct guard *g = make(LIST("private", "198.51.0.0/16", "2600::/16"),
	                       LIST("10.1.0.0/16", "loopback", "198.51.100.7", "2600:1::/32"));

	CU_ASSERT_TRUE(allows(g, "10.1.255.255"));
	CU_ASSERT_TRUE(denies(g, "10.2.0.0", "private", "10.0.0.0/8"));
	CU_ASSERT_TRUE(allows(g, "127.0.0.1"));
	CU_ASSERT_TRUE(allows(g, "::1"));
	CU_ASSERT_TRUE(allows(g, "::"));
	CU_ASSERT_TRUE(denies(g, "169.254.1.1", "private", "169.254.0.0/16"));
	CU_ASSERT_TRUE(allows(g, "198.51.100.7"));
	CU_ASSERT_TRUE(denies(g, "198.51.100.8", "private", "198.51.100.0/24"));
	CU_ASSERT_TRUE(says(g, "198.51.99.1", "198.51.99.1 is denied by \"198.51.0.0/16\""));
	CU_ASSERT_TRUE(allows(g, "2600:1::5"));
	CU_ASSERT_TRUE(says(g, "2600:2::5", "2600:2::5 is denied by \"2600::/16\""));
	guard_free(g);
}

/* --- names ------------------------------------------------------------------------- */

static const struct span loopback[] = {
	{ "127.0.0.0/8", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
	{ "0.0.0.0/8", NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0" },
	{ "::1/128", NULL, "::1", "::1", NULL },
	{ "::/128", NULL, "::", "::", NULL },
};
static const struct span link_local[] = {
	{ "169.254.0.0/16", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0" },
	{ "fe80::/10", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::",
	  "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::" },
};
static const struct span multicast[] = {
	{ "224.0.0.0/4", "223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0" },
	{ "ff00::/8", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::",
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
};
static const struct span metadata[] = {
	{ "fd00:ec2::254/128", "fd00:ec2::253", "fd00:ec2::254", "fd00:ec2::254", "fd00:ec2::255" },
	{ "fd00:ec2::23/128", "fd00:ec2::22", "fd00:ec2::23", "fd00:ec2::23", "fd00:ec2::24" },
	{ "fd20:ce::254/128", "fd20:ce::253", "fd20:ce::254", "fd20:ce::254", "fd20:ce::255" },
	{ "168.63.129.16/32", "168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17" },
	{ "100.100.100.200/32", "100.100.100.199", "100.100.100.200", "100.100.100.200",
	  "100.100.100.201" },
	{ "fd00:100::100:200/128", "fd00:100::100:1ff", "fd00:100::100:200", "fd00:100::100:200",
	  "fd00:100::100:201" },
	{ "192.0.0.192/32", "192.0.0.191", "192.0.0.192", "192.0.0.192", "192.0.0.193" },
	{ "fd00:c1::a9fe:a9fe/128", "fd00:c1::a9fe:a9fd", "fd00:c1::a9fe:a9fe",
	  "fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9ff" },
	{ "fd00:a9fe:a9fe::1/128", "fd00:a9fe:a9fe::", "fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::1",
	  "fd00:a9fe:a9fe::2" },
	{ "fd00:42::42/128", "fd00:42::41", "fd00:42::42", "fd00:42::42", "fd00:42::43" },
};

static void test_loopback(void)
{
	check_name("loopback", loopback, ARRAY_LEN(loopback));
}

static void test_link_local(void)
{
	check_name("link-local", link_local, ARRAY_LEN(link_local));
}

static void test_multicast(void)
{
	check_name("multicast", multicast, ARRAY_LEN(multicast));
}

static void test_metadata(void)
{
	check_name("metadata", metadata, ARRAY_LEN(metadata));
}

/* The other named sets are parts of it, so what is next to those may be denied, too. */
static void check_parts(const struct guard *g, const struct span *spans, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct span span = spans[i];
		span.before = span.after = NULL;
		check_span(g, "private", &span);
	}
}

static void test_private(void)
{
	static const struct span spans[] = {
		{ "10.0.0.0/8", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
		{ "100.64.0.0/10", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0" },
		{ "127.0.0.0/8", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
		{ "169.254.0.0/16", "169.253.255.255", "169.254.0.0", "169.254.255.255",
		  "169.255.0.0" },
		{ "172.16.0.0/12", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0" },
		{ "192.0.0.0/24", "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0" },
		{ "192.0.0.0/24", "192.0.0.9", "192.0.0.8", "192.0.0.11", "192.0.0.10" },
		{ "192.0.2.0/24", "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0" },
		{ "192.88.99.0/24", "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0" },
		{ "192.168.0.0/16", "192.167.255.255", "192.168.0.0", "192.168.255.255",
		  "192.169.0.0" },
		{ "198.18.0.0/15", "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0" },
		{ "198.51.100.0/24", "198.51.99.255", "198.51.100.0", "198.51.100.255",
		  "198.51.101.0" },
		{ "203.0.113.0/24", "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0" },
		{ "224.0.0.0/4", "223.255.255.255", "224.0.0.0", "239.255.255.255", NULL },
		{ "240.0.0.0/4", NULL, "240.0.0.0", "255.255.255.255", NULL },

		{ "::/3", NULL, "::2", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::" },
		{ "::/3", NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL },
		{ "::/3", "64:ff9b::101:101", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff",
		  "64:ff9b::1:0:0", NULL },
		{ "64:ff9b:1::/48", NULL, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL },
		{ "2001::/23", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::",
		  "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::" },
		{ "2001::/23", "2001:1::1", "2001:1::", "2001:1::4", "2001:1::3" },
		{ "2001::/23", "2001:1::2", "2001:2::", "2001:2:ffff::", "2001:3::" },
		{ "2001::/23", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", "2001:4::", "2001:4:111::",
		  "2001:4:112::" },
		{ "2001::/23", "2001:20::", "2001:10::", "2001:1f:ffff::", "2001:3f:ffff::" },
		{ "2001:db8::/32", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::",
		  "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::" },
		{ "2002::/16", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::",
		  "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::" },
		{ "3fff::/20", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::",
		  "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::" },
		{ "4000::/2", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::",
		  "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
		{ "4000::/2", "2620:4f:8000::1", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "2600:1f18::1" },
		{ "8000::/1", NULL, "8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
		{ "fc00::/7", NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
		{ "fec0::/10", NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
	};
	struct guard *g = make(LIST("private"), NOTHING);

	for (size_t i = 0; i < ARRAY_LEN(spans); i++)
		check_span(g, "private", &spans[i]);
	check_parts(g, loopback, ARRAY_LEN(loopback));
	check_parts(g, link_local, ARRAY_LEN(link_local));
	check_parts(g, multicast, ARRAY_LEN(multicast));
	check_parts(g, metadata, ARRAY_LEN(metadata));
	guard_free(g);
}

static void test_public_addresses_are_not_private(void)
{
	static const char *const public[] = {
		"1.1.1.1", "8.8.8.8", "93.184.216.34", "192.31.196.1", "192.52.193.1", "192.175.48.1",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::1",
		"2001:4860:4860::8888", "2620:4f:8000::1", "2c0f:ffff::1",
	};
	struct guard *g = make(LIST("private"), NOTHING);

	for (size_t i = 0; i < ARRAY_LEN(public); i++)
		CU_ASSERT_TRUE(allows(g, public[i]));
	guard_free(g);
}

/* --- IPv4 within IPv6 -------------------------------------------------------------- */

static void test_ipv4_within_ipv6_is_denied(void)
{
	/* All are 127.0.0.1, where 'inner' says nothing else. */
	static const struct {
		const char *address, *inner;
	} cases[] = {
		{ "::ffff:127.0.0.1", NULL },
		{ "::127.0.0.1", NULL },
		{ "::ffff:0:127.0.0.1", NULL },
		{ "64:ff9b::7f00:1", NULL },
		{ "64:ff9b:1::7f00:1", NULL },
		{ "64:ff9b:1:2:3:4:7f00:1", NULL },
		{ "64:ff9b:1:7f00:0:100::", NULL },
		{ "64:ff9b:1:27f:0:1::", NULL },
		{ "64:ff9b:1:2:7f:0:100:0", NULL },
		{ "2002:7f00:1::", NULL },
		{ "2002:7f00:1:2:3:4:5:6", NULL },
		{ "2001:0:7f00:1:8000:f227:3d67:1bf6", NULL },
		{ "2001:0:506:708:8000:f227:80ff:fffe", NULL },
		{ "2001:db8::5efe:7f00:1", NULL },
		{ "2001:db8::200:5efe:7f00:1", NULL },
		{ "::ffff:0.0.0.0", "0.0.0.0" },
		{ "::ffff:127.255.255.255", "127.255.255.255" },
		{ "64:ff9b::", "0.0.0.0" },
		{ "64:ff9b::127.255.255.255", "127.255.255.255" },
	};
	struct guard *g = make(LIST("10.0.0.0/8", "loopback"), NOTHING);
	char expected[GUARD_REFUSAL_SIZE], address[IP_TEXT_SIZE];
	struct ip ip;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *inner = cases[i].inner ? cases[i].inner : "127.0.0.1";
		CU_ASSERT_TRUE_FATAL(ip_parse(cases[i].address, &ip));
		ip_format(&ip, address);
		(void) snprintf(expected, sizeof(expected),
		                "%s (%s) is denied by \"loopback\" (%s)", address, inner,
		                *inner == '0' ? "0.0.0.0/8" : "127.0.0.0/8");
		CU_ASSERT_TRUE(says(g, cases[i].address, expected));
	}
	guard_free(g);
}

static void test_ipv4_within_ipv6_is_allowed_if_both_are(void)
{
	static const char *const harmless[] = {
		"::ffff:126.0.0.1", "64:ff9b::7e00:1", "64:ff9b:2::7f00:1", "2003:7f00:1::",
		"2001:1:7f00:1::", "2001:db8::5eff:7f00:1", "2001:db8::300:5efe:7f00:1",
		"64:ff9b:1:0:7f:0:100:1", "fd00::7f00:1",
	};
	struct guard *g = make(LIST("loopback"), NOTHING);

	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		CU_ASSERT_TRUE(allows(g, harmless[i]));
	guard_free(g);

	g = make(LIST("private"), LIST("127.0.0.0/8"));
	CU_ASSERT_TRUE(allows(g, "::ffff:127.0.0.1"));
	CU_ASSERT_TRUE(allows(g, "64:ff9b::127.0.0.1"));
	CU_ASSERT_TRUE(says(g, "::127.0.0.1", "::127.0.0.1 is denied by \"private\" (::/3)"));
	CU_ASSERT_TRUE(says(g, "2002:7f00:1::",
	                    "2002:7f00:1:: is denied by \"private\" (2002::/16)"));
	guard_free(g);

	/* Whoever allows a prefix has not allowed what can be written in it. */
	g = make(LIST("private"), LIST("64:ff9b:1::/48", "2002::/16"));
	CU_ASSERT_TRUE(allows(g, "64:ff9b:1::808:808"));
	CU_ASSERT_TRUE(says(g, "64:ff9b:1::a00:1",
	                    "64:ff9b:1::a00:1 (10.0.0.1) is denied by \"private\" (10.0.0.0/8)"));
	CU_ASSERT_TRUE(allows(g, "2002:808:808::"));
	CU_ASSERT_TRUE(says(g, "2002:a00:1::",
	                    "2002:a00:1:: (10.0.0.1) is denied by \"private\" (10.0.0.0/8)"));
	guard_free(g);

	g = make(LIST("::/0"), NOTHING); /* no IPv6, however it is meant */
	CU_ASSERT_TRUE(says(g, "::ffff:8.8.8.8", "::ffff:8.8.8.8 is denied by \"::/0\""));
	CU_ASSERT_TRUE(allows(g, "8.8.8.8"));
	guard_free(g);
}

/* --- socket addresses -------------------------------------------------------------- */

static void test_socket_addresses(void)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_scope_id = 1 };
	const struct sockaddr other = { .sa_family = AF_UNIX };
	char text[IP_TEXT_SIZE];
	struct ip ip;

	(void) inet_pton(AF_INET, "192.0.2.1", &ipv4.sin_addr);
	CU_ASSERT_TRUE_FATAL(ip_of_sockaddr((const struct sockaddr *) &ipv4, &ip));
	ip_format(&ip, text);
	CU_ASSERT_STRING_EQUAL(text, "192.0.2.1");

	(void) inet_pton(AF_INET6, "fe80::1", &ipv6.sin6_addr);
	CU_ASSERT_TRUE_FATAL(ip_of_sockaddr((const struct sockaddr *) &ipv6, &ip));
	ip_format(&ip, text);
	CU_ASSERT_STRING_EQUAL(text, "fe80::1");

	CU_ASSERT_FALSE(ip_of_sockaddr(&other, &ip));
}

/* --- the addresses of a name ------------------------------------------------------- */

static struct addresses *addresses_of(const char *const *texts)
{
	struct addresses *a = addresses_create();

	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	for (; *texts; texts++)
		(void) snprintf(a->text[a->n++], RESOLVER_ADDRESS_SIZE, "%s", *texts);
	return a;
}

static void test_addresses_are_filtered(void)
{
	struct guard *g = make(LIST("private"), NOTHING);
	struct guard_refusal refusal = { 0 };
	struct addresses *left = NULL;
	char text[GUARD_REFUSAL_SIZE];

	struct addresses *all = addresses_of(LIST("8.8.8.8", "2606:4700:4700::1111"));
	CU_ASSERT_EQUAL(guard_filter(g, all, &left, &refusal), 0);
	CU_ASSERT_PTR_EQUAL(left, all); /* no copy where there is no need */
	addresses_unref(left);
	addresses_unref(all);

	all = addresses_of(LIST("10.0.0.1", "8.8.8.8", "::ffff:127.0.0.1", "64:ff9b::1.1.1.1", "::1"));
	CU_ASSERT_EQUAL(guard_filter(g, all, &left, &refusal), 0);
	CU_ASSERT_EQUAL_FATAL(left->n, 2);
	CU_ASSERT_STRING_EQUAL(left->text[0], "8.8.8.8");
	CU_ASSERT_STRING_EQUAL(left->text[1], "64:ff9b::1.1.1.1");
	CU_ASSERT_EQUAL(all->n, 5); /* others have it, too */
	addresses_unref(left);
	addresses_unref(all);

	all = addresses_of(LIST("10.0.0.1", "::1"));
	left = NULL;
	CU_ASSERT_EQUAL(guard_filter(g, all, &left, &refusal), -EACCES);
	CU_ASSERT_PTR_NULL(left);
	guard_refusal_format(&refusal, text);
	CU_ASSERT_STRING_EQUAL(text, "10.0.0.1 is denied by \"private\" (10.0.0.0/8)");
	addresses_unref(all);
	guard_free(g);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "good entries", test_good_entries },
		{ "bad entries", test_bad_entries },
		{ "a network has its addresses", test_a_network_has_its_addresses },
		{ "an address is itself", test_an_address_is_itself },
		{ "without entries all is allowed", test_without_entries_all_is_allowed },
		{ "allow wins", test_allow_wins },
		{ "loopback", test_loopback },
		{ "link-local", test_link_local },
		{ "multicast", test_multicast },
		{ "metadata", test_metadata },
		{ "private", test_private },
		{ "public addresses are not private", test_public_addresses_are_not_private },
		{ "ipv4 within ipv6 is denied", test_ipv4_within_ipv6_is_denied },
		{ "ipv4 within ipv6 is allowed if both are",
		  test_ipv4_within_ipv6_is_allowed_if_both_are },
		{ "socket addresses", test_socket_addresses },
		{ "addresses are filtered", test_addresses_are_filtered },
		CU_TEST_INFO_NULL,
	};
	return unit_run("guard", tests);
}
