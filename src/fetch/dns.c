/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/dns.h"

#include "base/sync.h"
#include "base/thread.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct dns {
	ares_channel channel; /* the thread's alone while it runs: c-ares 1.18 has no locks */
	int epoll_fd;         /* the channel's sockets, and event_fd */
	int event_fd;         /* readable: something was asked, or stop */
	dns_answered_fn *answered;
	void *arg;
	pthread_t thread;

	struct mutex lock;
	struct dns_query *first GUARDED_BY(lock); /* asked, not begun */
	struct dns_query *last GUARDED_BY(lock);  /* valid if 'first' is */
	bool stopping GUARDED_BY(lock);
};

/* ares_library_init() is not safe from several threads. */
static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_status;

static void init_library(void) { library_status = ares_library_init(ARES_LIB_INIT_ALL); }

/* --- answers --- */

static struct dns_answer failed(int status, const char *why)
{
	return (struct dns_answer) { .status = status, .why = why };
}

static struct dns_answer failure(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
		return failed(-ENOENT, "no such host");
	case ARES_ENODATA:
		return failed(-ENOENT, "the name has no address");
	case ARES_EBADNAME:
		return failed(-ENOENT, "not a host name");
	case ARES_ETIMEOUT:
		return failed(-ETIMEDOUT, "no name server answered");
	case ARES_ENOMEM:
		return failed(-ENOMEM, "out of memory");
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		return failed(-ECANCELED, "stopped");
	default:
		/* Among them ARES_ECONNREFUSED, which c-ares 1.18 reports for a
		 * closed port and also where every server said SERVFAIL. */
		return failed(-EIO, "the name server failed");
	}
}

static size_t count_family(const struct ares_addrinfo_node *node, int family)
{
	size_t n = 0;
	for (; node != NULL; node = node->ai_next)
		n += node->ai_family == family;
	return n;
}

static const void *address_bytes(const struct ares_addrinfo_node *node)
{
	const void *address = node->ai_addr;
	const struct sockaddr_in *ipv4 = address;
	const struct sockaddr_in6 *ipv6 = address;
	return node->ai_family == AF_INET ? (const void *) &ipv4->sin_addr : &ipv6->sin6_addr;
}

/* Appends the first 'n' addresses of 'family' in c-ares's order (RFC 6724). */
static void add_family(struct addresses *to, const struct ares_addrinfo_node *node, int family,
                       size_t n)
{
	for (; n > 0 && node != NULL; node = node->ai_next) {
		if (node->ai_family != family)
			continue;
		char *text = to->text[to->n];
		if (inet_ntop(family, address_bytes(node), text, RESOLVER_ADDRESS_SIZE) != NULL)
			to->n++;
		n--;
	}
}

/* RFC 2181, section 8: a TTL with the top bit set counts as zero. */
static uint32_t shortest_ttl(const struct ares_addrinfo_node *node)
{
	int ttl = node->ai_ttl;
	for (; node != NULL; node = node->ai_next)
		if (node->ai_ttl < ttl)
			ttl = node->ai_ttl;
	return ttl < 0 ? 0 : (uint32_t) ttl;
}

static struct dns_answer success(const struct ares_addrinfo *info)
{
	size_t n4 = count_family(info->nodes, AF_INET);
	size_t n6 = count_family(info->nodes, AF_INET6);
	if (n4 + n6 == 0)
		return failure(ARES_ENODATA);

	struct addresses *addresses = addresses_create();
	if (addresses == NULL)
		return failure(ARES_ENOMEM);

	/* If not all fit, each family keeps up to half, so that neither crowds
	 * out the one that works from here. */
	enum { HALF = RESOLVER_MAX_ADDRESSES / 2 };
	size_t room6 = n4 < HALF ? RESOLVER_MAX_ADDRESSES - n4 : HALF;
	size_t kept6 = n6 < room6 ? n6 : room6;
	add_family(addresses, info->nodes, AF_INET, RESOLVER_MAX_ADDRESSES - kept6);
	add_family(addresses, info->nodes, AF_INET6, kept6);

	return (struct dns_answer) { .addresses = addresses, .ttl_s = shortest_ttl(info->nodes) };
}

static void on_result(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_query *query = arg;
	struct dns *dns = query->dns;
	(void) timeouts;

	bool found = status == ARES_SUCCESS && info != NULL;
	const struct dns_answer answer = found ? success(info) : failure(status);
	if (info != NULL)
		ares_freeaddrinfo(info);
	dns->answered(dns->arg, query, &answer);
}

/* --- the thread --- */

/* Takes all that was asked since the last call.  Returns false on stop. */
static bool take_asked(struct dns *dns, struct dns_query **ret_first)
{
	mutex_lock(&dns->lock);
	*ret_first = dns->first;
	dns->first = NULL;
	bool go_on = !dns->stopping;
	mutex_unlock(&dns->lock);
	return go_on;
}

static void begin(struct dns *dns, struct dns_query *query)
{
	static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC };
	for (struct dns_query *next; query != NULL; query = next) {
		next = query->next; /* the call may answer, and 'query' be gone */
		ares_getaddrinfo(dns->channel, query->host, NULL, &hints, on_result, query);
	}
}

static void refuse(struct dns *dns, struct dns_query *query)
{
	const struct dns_answer answer = failure(ARES_ECANCELLED);
	for (struct dns_query *next; query != NULL; query = next) {
		next = query->next;
		dns->answered(dns->arg, query, &answer);
	}
}

/* Called by c-ares when it wants to know other things of a socket, or closes it.
 * A socket that cannot be watched is as if its server did not answer. */
static void watch(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = arg;
	struct epoll_event event = {
		.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
		.data.fd = fd,
	};

	if (event.events == 0)
		(void) epoll_ctl(dns->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(dns->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		(void) epoll_ctl(dns->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Milliseconds until c-ares has a try to end, rounded up; -1 if nothing is open. */
static int next_timeout_ms(struct dns *dns)
{
	struct timeval tv;
	if (ares_timeout(dns->channel, NULL, &tv) == NULL)
		return -1;
	return (int) (tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

static void wait_and_process(struct dns *dns)
{
	struct epoll_event events[16];
	int n = epoll_wait(dns->epoll_fd, events, ARRAY_LEN(events), next_timeout_ms(dns));

	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		if (fd == dns->event_fd) {
			uint64_t count;
			(void) !read(fd, &count, sizeof(count));
			continue;
		}
		/* An error is found by reading. */
		bool in = (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
		bool out = (events[i].events & EPOLLOUT) != 0;
		ares_process_fd(dns->channel, in ? fd : ARES_SOCKET_BAD,
		                out ? fd : ARES_SOCKET_BAD);
	}

	/* Timeouts, which a steady stream of new questions must not hold up. */
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void *run(void *arg)
{
	struct dns *dns = arg;
	struct dns_query *asked;

	while (take_asked(dns, &asked)) {
		begin(dns, asked);
		wait_and_process(dns);
	}
	refuse(dns, asked);
	ares_destroy(dns->channel); /* answers all that is open */
	return NULL;
}

/* --- from other threads --- */

static void notify(struct dns *dns)
{
	/* Fails only if the counter is full, and then it is readable anyway. */
	(void) !write(dns->event_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
}

void dns_ask(struct dns *dns, struct dns_query *query)
{
	query->dns = dns;
	query->next = NULL;

	mutex_lock(&dns->lock);
	bool was_empty = dns->first == NULL;
	if (was_empty)
		dns->first = query;
	else
		dns->last->next = query;
	dns->last = query;
	mutex_unlock(&dns->lock);

	if (was_empty)
		notify(dns);
}

/* --- making and freeing --- */

/* Reads "ADDRESS", "IPV4:PORT" or "[IPV6]:PORT".  ares_set_servers_ports_csv()
 * would do, but takes port 65589 for 53 and "127.1" for an address. */
static bool read_server(char *item, struct ares_addr_port_node *server)
{
	char *host = item, *port = NULL;
	if (*item == '[') {
		char *end = strchr(item, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		host = item + 1;
		port = end[1] == ':' ? end + 2 : NULL;
		*end = '\0';
	} else if ((port = strchr(item, ':')) != NULL) {
		if (strchr(port + 1, ':') != NULL)
			port = NULL; /* a bare IPv6 address */
		else
			*port++ = '\0';
	}

	long number = 53;
	if (port != NULL) {
		size_t digits = strspn(port, "0123456789");
		number = strtol(port, NULL, 10);
		if (digits == 0 || digits > 5 || port[digits] != '\0' || number < 1 ||
		    number > 65535)
			return false;
	}

	*server = (struct ares_addr_port_node) {
		.udp_port = (int) number,
		.tcp_port = (int) number,
	};
	if (*item != '[' && inet_pton(AF_INET, host, &server->addr.addr4) == 1)
		server->family = AF_INET;
	else if (inet_pton(AF_INET6, host, &server->addr.addr6) == 1)
		server->family = AF_INET6;
	return server->family != AF_UNSPEC;
}

bool dns_is_server(const char *server)
{
	struct ares_addr_port_node node;
	char text[80];

	if (strlen(server) >= sizeof(text))
		return false;
	memcpy(text, server, strlen(server) + 1);
	return read_server(text, &node);
}

static int set_servers(ares_channel channel, const char *servers)
{
	if (servers == NULL || *servers == '\0')
		return 0;

	int r = -ENOMEM;
	char *text = strdup(servers);
	size_t n = 1;
	for (const char *at = servers; *at != '\0'; at++)
		n += *at == ',';
	struct ares_addr_port_node *list = calloc(n, sizeof(*list));
	if (text == NULL || list == NULL)
		goto free_all;

	r = -EINVAL;
	char *rest = text;
	for (size_t i = 0; i < n; i++) {
		if (!read_server(strsep(&rest, ","), &list[i]))
			goto free_all;
		list[i].next = i + 1 < n ? &list[i + 1] : NULL;
	}
	r = ares_set_servers_ports(channel, list) == ARES_SUCCESS ? 0 : -ENOMEM;

free_all:
	free(list);
	free(text);
	return r;
}

static int open_channel(struct dns *dns, const char *servers)
{
	if (pthread_once(&library_once, init_library) != 0 || library_status != ARES_SUCCESS)
		return -ENOMEM;

	char lookups[] = "fb"; /* files, then DNS ("bind") */
	struct ares_options options = {
		.timeout = DNS_FIRST_TRY_MS,
		.tries = DNS_TRIES,
		.lookups = lookups,
		.sock_state_cb = watch,
		.sock_state_cb_data = dns,
	};
	int status = ares_init_options(&dns->channel, &options,
	                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
	                                       ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS)
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;

	int r = set_servers(dns->channel, servers);
	if (r < 0)
		ares_destroy(dns->channel);
	return r;
}

static int open_descriptors(struct dns *dns)
{
	dns->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (dns->epoll_fd < 0)
		return -errno;

	int r;
	dns->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dns->event_fd < 0) {
		r = -errno;
		goto close_epoll;
	}

	struct epoll_event event = { .events = EPOLLIN, .data.fd = dns->event_fd };
	if (epoll_ctl(dns->epoll_fd, EPOLL_CTL_ADD, dns->event_fd, &event) == 0)
		return 0;
	r = -errno;
	(void) close(dns->event_fd);
close_epoll:
	(void) close(dns->epoll_fd);
	return r;
}

int dns_create(const char *servers, dns_answered_fn *answered, void *arg, struct dns **ret_dns)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	if (dns == NULL)
		return -ENOMEM;
	dns->answered = answered;
	dns->arg = arg;

	int r = mutex_init(&dns->lock);
	if (r < 0)
		goto free_dns;
	r = open_descriptors(dns);
	if (r < 0)
		goto destroy_lock;
	r = open_channel(dns, servers);
	if (r < 0)
		goto close_descriptors;
	r = thread_start(&dns->thread, "resolver", THREAD_STACK_SMALL, run, dns);
	if (r < 0)
		goto destroy_channel;

	*ret_dns = dns;
	return 0;

destroy_channel:
	ares_destroy(dns->channel);
close_descriptors:
	(void) close(dns->event_fd);
	(void) close(dns->epoll_fd);
destroy_lock:
	mutex_destroy(&dns->lock);
free_dns:
	free(dns);
	return r;
}

struct dns *dns_free(struct dns *dns)
{
	if (dns == NULL)
		return NULL;

	mutex_lock(&dns->lock);
	dns->stopping = true;
	mutex_unlock(&dns->lock);
	notify(dns);
	thread_join(dns->thread);

	(void) close(dns->event_fd);
	(void) close(dns->epoll_fd);
	mutex_destroy(&dns->lock);
	free(dns);
	return NULL;
}
