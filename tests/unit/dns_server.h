/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small name server for tests, on a free port of loopback, over UDP and TCP
 * (RFC 1035).  It answers from the table below.
 */
#ifndef PENSTOCK_TESTS_DNS_SERVER_H
#define PENSTOCK_TESTS_DNS_SERVER_H

#include "base/attr.h"

#include <CUnit/Basic.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28 };
enum { NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3 };
enum { MAX_HELD = 64, PACKET_SIZE = 512, TCP_SIZE = 2048 };

/* What the server says of a name; of any other, NXDOMAIN. */
struct record {
	const char *name;
	bool alias; /* a CNAME comes before the addresses */
	uint32_t ttl;
	int rcode_a, rcode_aaaa;
	bool silent;    /* never answered */
	bool held;      /* answered after server_release() */
	bool truncated; /* answered in full over TCP only */
	const char *a[12], *aaaa[12];
	const char *then_a[12]; /* in place of 'a' after server_rebind() */
};

#define KEPT 3600 /* a TTL that no test outlives */

static const struct record records[] = {
	{ .name = "both.test",
	  .ttl = KEPT,
	  .a = { "192.0.2.1", "192.0.2.2" },
	  .aaaa = { "2001:db8::1" } },
	{ .name = "one.test", .ttl = KEPT, .a = { "192.0.2.11" } },
	{ .name = "two.test", .ttl = KEPT, .a = { "192.0.2.12" } },
	{ .name = "three.test", .ttl = KEPT, .a = { "192.0.2.13" } },
	{ .name = "six.test", .ttl = KEPT, .aaaa = { "2001:db8::6" } },
	{ .name = "brief.test", .ttl = 0, .a = { "192.0.2.20" } },
	{ .name = "alias.test", .alias = true, .ttl = KEPT, .a = { "192.0.2.30" } },
	{ .name = "half.test", .ttl = KEPT, .a = { "192.0.2.40" }, .rcode_aaaa = SERVFAIL },
	{ .name = "empty.test" },
	{ .name = "broken.test", .rcode_a = SERVFAIL, .rcode_aaaa = SERVFAIL },
	{ .name = "silent.test", .silent = true },
	{ .name = "silent2.test", .silent = true },
	{ .name = "held.test", .ttl = KEPT, .held = true, .a = { "192.0.2.50" } },
	{ .name = "many.test",
	  .ttl = KEPT,
	  .truncated = true,
	  .a = { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6",
	         "192.0.2.7", "192.0.2.8", "192.0.2.9" },
	  .aaaa = { "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5" } },
	{ .name = "there.test", .ttl = KEPT, .a = { "127.0.0.2" } },
	{ .name = "local.test", .ttl = KEPT, .a = { "127.0.0.1" }, .aaaa = { "::1" } },
	{ .name = "mapped.test", .ttl = KEPT, .aaaa = { "::ffff:127.0.0.1" } },
	{ .name = "nat64.test", .ttl = KEPT, .aaaa = { "64:ff9b::7f00:1" } },
	{ .name = "mixed.test",
	  .ttl = 0,
	  .a = { "127.0.0.1", "127.0.0.2", "127.0.0.3" },
	  .aaaa = { "::1", "::ffff:127.0.0.1" },
	  .then_a = { "127.0.0.1", "127.0.0.3" } },
	{ .name = "rebind.test", .ttl = 0, .a = { "127.0.0.2" }, .then_a = { "127.0.0.1" } },
	{ .name = "127.1", .ttl = KEPT, .a = { "127.0.0.2" } }, /* as if it were a name */
	{ .name = "metadata.test", .ttl = KEPT, .a = { "169.254.169.254" } },
};

struct packet {
	struct sockaddr_in from;
	size_t size;
	unsigned char bytes[PACKET_SIZE];
};

struct server {
	int udp, tcp, wake; /* on the same port; an eventfd */
	char list[32];      /* for resolver_options.servers */
	pthread_t thread;
	_Atomic bool released, failing, rebound, stopping;
	_Atomic unsigned packets; /* that came */
	struct packet held[MAX_HELD]; /* the thread's */
	size_t n_held;
};

static void put16(unsigned char *at, unsigned value)
{
	at[0] = (unsigned char) (value >> 8);
	at[1] = (unsigned char) value;
}

/* Reads the name of the question; returns the position behind it. */
static size_t read_question(const unsigned char *bytes, size_t size, char name[static 256])
{
	size_t at = 12, n = 0;
	while (at < size && bytes[at] != 0 && n + bytes[at] + 1 < 256 && at + bytes[at] < size) {
		memcpy(name + n, bytes + at + 1, bytes[at]);
		n += bytes[at];
		name[n++] = '.';
		at += bytes[at] + 1u;
	}
	name[n > 0 ? n - 1 : 0] = '\0';
	return at + 1;
}

/* 'owner' is the offset of a name in the message. */
static size_t put_record(unsigned char *out, size_t at, size_t owner, unsigned type, uint32_t ttl,
                         const void *data, size_t size)
{
	put16(out + at, 0xc000 | (unsigned) owner);
	put16(out + at + 2, type);
	put16(out + at + 4, 1);
	put16(out + at + 6, ttl >> 16);
	put16(out + at + 8, ttl & 0xffff);
	put16(out + at + 10, (unsigned) size);
	memcpy(out + at + 12, data, size);
	return at + 12 + size;
}

/* The addresses of a type that the server gives now. */
static const char *const *addresses_for(const struct server *s, const struct record *record,
                                        unsigned type)
{
	if (type != TYPE_A)
		return record->aaaa;
	return record->then_a[0] && atomic_load(&s->rebound) ? record->then_a : record->a;
}

static size_t put_answers(const struct server *s, const struct record *record, unsigned type,
                          unsigned char *out, size_t at)
{
	unsigned n = 0;
	size_t owner = 12; /* the name of the question */
	if (record->alias) {
		static const unsigned char real[] = "\4real\4test";
		owner = at + 12;
		at = put_record(out, at, 12, TYPE_CNAME, record->ttl, real, sizeof(real));
		n++;
	}
	const char *const *texts = addresses_for(s, record, type);
	for (; *texts != NULL; texts++, n++) {
		unsigned char address[16];
		(void) inet_pton(type == TYPE_A ? AF_INET : AF_INET6, *texts, address);
		size_t size = type == TYPE_A ? 4 : 16;
		at = put_record(out, at, owner, type, record->ttl, address, size);
	}
	put16(out + 6, n);
	return at;
}

/* Writes the answer to a question; returns its size. */
static size_t answer(const struct server *s, const struct record *record,
                     const unsigned char *bytes, size_t end, bool tcp,
                     unsigned char out[static TCP_SIZE])
{
	unsigned type = bytes[end + 1];
	memcpy(out, bytes, end + 4);
	put16(out + 2, 0x8180); /* a recursive answer */
	put16(out + 4, 1);
	memset(out + 6, 0, 6);

	unsigned rcode = NXDOMAIN;
	if (record != NULL)
		rcode = (unsigned) (type == TYPE_A ? record->rcode_a : record->rcode_aaaa);
	out[3] = (unsigned char) (out[3] | rcode);
	if (record == NULL || rcode != NOERROR)
		return end + 4;
	if (record->truncated && !tcp) {
		out[2] |= 2;
		return end + 4;
	}
	return put_answers(s, record, type, out, end + 4);
}

static const struct record *find_record(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(records); i++)
		if (strcasecmp(records[i].name, name) == 0)
			return &records[i];
	return NULL;
}

static void serve_packet(struct server *s, const struct packet *p)
{
	char name[256];
	size_t end = read_question(p->bytes, p->size, name);
	const struct record *record = find_record(atomic_load(&s->failing) ? "broken.test" : name);
	if (end + 4 > p->size || (record != NULL && record->silent))
		return;

	if (record != NULL && record->held && !atomic_load(&s->released)) {
		if (s->n_held < MAX_HELD)
			s->held[s->n_held++] = *p;
		return;
	}
	unsigned char out[TCP_SIZE];
	size_t size = answer(s, record, p->bytes, end, false, out);
	(void) !sendto(s->udp, out, size, 0, (const struct sockaddr *) &p->from, sizeof(p->from));
}

/* Answers each question of one connection. */
static void serve_connection(const struct server *s, int fd)
{
	unsigned char length[2], bytes[PACKET_SIZE], out[2 + TCP_SIZE];
	char name[256];
	while (recv(fd, length, 2, MSG_WAITALL) == 2) {
		size_t size = (size_t) length[0] << 8 | length[1];
		if (size > sizeof(bytes) || recv(fd, bytes, size, MSG_WAITALL) != (ssize_t) size)
			break;
		size_t end = read_question(bytes, size, name);
		size = answer(s, find_record(name), bytes, end, true, out + 2);
		put16(out, (unsigned) size);
		(void) !send(fd, out, size + 2, MSG_NOSIGNAL);
	}
	(void) close(fd);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	while (!atomic_load(&s->stopping)) {
		struct pollfd fds[] = {
			{ .fd = s->wake, .events = POLLIN },
			{ .fd = s->udp, .events = POLLIN },
			{ .fd = s->tcp, .events = POLLIN },
		};
		(void) poll(fds, ARRAY_LEN(fds), -1);

		uint64_t count;
		if ((fds[0].revents & POLLIN) != 0 && read(s->wake, &count, sizeof(count)) > 0 &&
		    atomic_load(&s->released))
			while (s->n_held > 0)
				serve_packet(s, &s->held[--s->n_held]);

		struct packet p = { 0 };
		socklen_t length = sizeof(p.from);
		ssize_t n = recvfrom(s->udp, p.bytes, sizeof(p.bytes), MSG_DONTWAIT,
		                     (struct sockaddr *) &p.from, &length);
		if (n > 0) {
			(void) atomic_fetch_add(&s->packets, 1);
			p.size = (size_t) n;
			serve_packet(s, &p);
		}
		int fd = (fds[2].revents & POLLIN) != 0 ? accept(s->tcp, NULL, NULL) : -1;
		if (fd >= 0)
			serve_connection(s, fd);
	}
	return NULL;
}

static void poke(struct server *s)
{
	(void) !write(s->wake, &(uint64_t) { 1 }, sizeof(uint64_t));
}

static inline void server_release(struct server *s)
{
	atomic_store(&s->released, true);
	poke(s);
}

static inline void server_rebind(struct server *s) { atomic_store(&s->rebound, true); }

/* Binds both sockets to one free port of loopback. */
static bool bind_port(struct server *s)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(at);
	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->udp, (struct sockaddr *) &at, length) == 0 &&
	    getsockname(s->udp, (struct sockaddr *) &at, &length) == 0 &&
	    bind(s->tcp, (struct sockaddr *) &at, length) == 0 && listen(s->tcp, 16) == 0) {
		(void) snprintf(s->list, sizeof(s->list), "127.0.0.1:%u", ntohs(at.sin_port));
		return true;
	}
	(void) close(s->udp);
	(void) close(s->tcp);
	return false;
}

static void server_start(struct server *s)
{
	memset(s, 0, sizeof(*s));
	bool bound = false;
	for (int i = 0; i < 100 && !bound; i++)
		bound = bind_port(s);
	CU_ASSERT_TRUE_FATAL(bound);
	s->wake = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(s->wake >= 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	atomic_store(&s->stopping, true);
	poke(s);
	CU_ASSERT_EQUAL(pthread_join(s->thread, NULL), 0);
	(void) close(s->udp);
	(void) close(s->tcp);
	(void) close(s->wake);
}

#endif
