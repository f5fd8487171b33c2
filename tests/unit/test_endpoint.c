/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses with ports, and the hosts that a TCP listener may be asked as. */
#include "base/endpoint.h"
#include "control/tcp.h"
#include "unit.h"

#include <limits.h>
#include <unistd.h>

static void test_what_is_read_is_written_alike(void)
{
	static const char *const texts[] = {
		"127.0.0.1:9147", "0.0.0.0:0", "[::1]:9147", "[::]:65535", "[2001:db8::1]:1",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct endpoint e;
		char text[ENDPOINT_TEXT_SIZE];
		CU_ASSERT_TRUE_FATAL(endpoint_parse(texts[i], &e));
		endpoint_format(&e, text);
		CU_ASSERT_STRING_EQUAL(text, texts[i]);
	}
}

static void test_anything_else_is_refused(void)
{
	static const char *const texts[] = {
		"", ":", ":9147", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:100000",
		"127.0.0.1:-1", "127.0.0.1: 1", "127.0.0.1:1 ", "127.0.0.1:0x10", "127.1:80",
		"localhost:9147", "[127.0.0.1]:1", "::1:9147", "::1", "[::1]", "[::1]9147", "[]:1",
		"[::1:9147", "[", "]:1", "[]", "[::1%lo]:1", "*:9147",
		"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255.255.255.255]:1",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct endpoint e = { .size = 7 };
		CU_ASSERT_FALSE(endpoint_parse(texts[i], &e));
		CU_ASSERT_EQUAL(e.size, 7);
	}
}

static void test_hosts_are_addresses_this_machine_or_named(void)
{
	static const char *const listed[] = { "Metrics.example", "other.example" };
	static const struct config_strings names = { listed, ARRAY_LEN(listed) };
	static const struct {
		const char *host;
		bool is_ours;
	} cases[] = {
		{ "", true },             { "127.0.0.1", true },      { "127.0.0.1:9147", true },
		{ "192.0.2.7:80", true }, { "[::1]:9147", true },     { "[2001:db8::1]", true },
		{ "localhost", true },    { "LOCALHOST:9147", true }, { "localhost.:1", true },
		{ "metrics.example", true },  { "metrics.EXAMPLE.:9147", true },
		{ "other.example:1", true },  { "evil.example", false },
		{ "localhost.evil.example", false }, { "127.0.0.1.evil.example", false },
		{ "evil.example:127", false }, { "metrics.example.evil", false },
		{ "metrics.exampl", false },  { "xlocalhost", false }, { "127.1", false },
		{ "[evil.example]", false },  { "[::1", false },        { "[::1].evil.example", false },
	};
	char machine[HOST_NAME_MAX + 1] = "";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CU_ASSERT_EQUAL(control_tcp_is_host(cases[i].host, &names), cases[i].is_ours);
	CU_ASSERT_FALSE(control_tcp_is_host("metrics.example", NULL));
	CU_ASSERT_EQUAL_FATAL(gethostname(machine, sizeof(machine) - 1), 0);
	CU_ASSERT_TRUE(control_tcp_is_host(machine, NULL));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what is read is written alike", test_what_is_read_is_written_alike },
		{ "anything else is refused", test_anything_else_is_refused },
		{ "hosts are addresses, this machine, or named",
		  test_hosts_are_addresses_this_machine_or_named },
		CU_TEST_INFO_NULL,
	};
	return unit_run("endpoint", tests);
}
