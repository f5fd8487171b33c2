/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/guard.h"

#include "fetch/guard_names.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A network of an entry. */
struct part {
	struct network network;
	const char *text;
	bool excepted; /* no part of it, although one that it lies in is */
};

struct entry {
	char *text;
	struct part *parts;
	size_t n;
};

struct list {
	struct entry *entries;
	size_t n;
};

struct guard {
	struct list deny, allow;
};

/* --- reading ----------------------------------------------------------------------- */

const char *guard_entry_trouble(const char *entry)
{
	struct network network;

	if (guard_named(entry))
		return NULL;
	if (strpbrk(entry, ".:/"))
		return network_parse(entry, &network);
	return "must be a network such as 10.0.0.0/8, an address, \"private\", \"loopback\", "
	       "\"link-local\", \"metadata\" or \"multicast\"";
}

static int read_named(struct entry *entry, const char *const *networks)
{
	size_t n = 0;

	while (networks[n])
		n++;
	entry->parts = calloc(n, sizeof(*entry->parts));
	if (!entry->parts)
		return -ENOMEM;
	for (; entry->n < n; entry->n++) {
		struct part *part = &entry->parts[entry->n];
		part->excepted = *networks[entry->n] == '!';
		part->text = networks[entry->n] + part->excepted;
		const char *trouble = network_parse(part->text, &part->network);
		assert(!trouble);
		(void) trouble;
	}
	return 0;
}

static int read_entry(struct entry *entry, const char *text)
{
	const char *const *named = guard_named(text);

	entry->text = strdup(text);
	if (!entry->text)
		return -ENOMEM;
	if (named)
		return read_named(entry, named);

	entry->parts = calloc(1, sizeof(*entry->parts));
	if (!entry->parts)
		return -ENOMEM;
	entry->n = 1;
	entry->parts[0].text = entry->text;
	return network_parse(text, &entry->parts[0].network) ? -EINVAL : 0;
}

static void list_done(struct list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->entries[i].text);
		free(list->entries[i].parts);
	}
	free(list->entries);
}

static int read_list(struct list *list, const struct guard_list *from)
{
	int r = 0;

	list->entries = calloc(from->n + 1, sizeof(*list->entries));
	if (!list->entries)
		return -ENOMEM;
	while (r == 0 && list->n < from->n) {
		r = read_entry(&list->entries[list->n], from->entries[list->n]);
		list->n++;
	}
	return r;
}

int guard_create(const struct guard_list *deny, const struct guard_list *allow,
                 struct guard **ret_guard)
{
	struct guard *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;

	int r = read_list(&g->deny, deny);
	if (r == 0)
		r = read_list(&g->allow, allow);
	if (r < 0) {
		guard_free(g);
		return r;
	}
	*ret_guard = g;
	return 0;
}

struct guard *guard_free(struct guard *g)
{
	if (g) {
		list_done(&g->deny);
		list_done(&g->allow);
		free(g);
	}
	return NULL;
}

/* --- checking ---------------------------------------------------------------------- */

/* The network of an entry that has the address; the smallest one decides whether it is a part. */
static const struct part *find_part(const struct entry *entry, const struct ip *ip)
{
	const struct part *found = NULL;

	for (size_t i = 0; i < entry->n; i++) {
		const struct part *part = &entry->parts[i];
		if (network_has(&part->network, ip) &&
		    (!found || part->network.prefix > found->network.prefix))
			found = part;
	}
	return found && !found->excepted ? found : NULL;
}

/* The first entry that has the address; NULL if none does. */
static const struct entry *find(const struct list *list, const struct ip *ip,
                                const struct part **ret_part)
{
	for (size_t i = 0; i < list->n; i++) {
		*ret_part = find_part(&list->entries[i], ip);
		if (*ret_part)
			return &list->entries[i];
	}
	return NULL;
}

/* Whether the address is refused for itself. */
static bool refuses(const struct guard *g, const struct ip *ip, struct guard_refusal *refusal)
{
	const struct part *denied = NULL, *allowed = NULL;
	const struct entry *entry = find(&g->deny, ip, &denied);

	if (!entry || find(&g->allow, ip, &allowed))
		return false;
	refusal->entry = entry->text;
	refusal->network = denied->text;
	return true;
}

int guard_check(const struct guard *g, const struct ip *ip, struct guard_refusal *ret_refusal)
{
	struct guard_refusal refusal = { .address = *ip };
	struct ip inner[IP_MAX_INNER];
	size_t n = ip_inner(ip, inner);

	bool refused = refuses(g, ip, &refusal);
	for (size_t i = 0; i < n && !refused; i++) {
		refused = refuses(g, &inner[i], &refusal);
		refusal.inner = inner[i];
	}
	if (!refused)
		return 0;
	*ret_refusal = refusal;
	return -EACCES;
}

/* Whether one of a name's addresses may be connected to. */
static bool allows(const struct guard *g, const char *address, struct guard_refusal *refusal)
{
	struct ip ip = { 0 };

	bool parsed = ip_parse(address, &ip);
	assert(parsed);
	return parsed && guard_check(g, &ip, refusal) == 0;
}

int guard_filter(const struct guard *g, struct addresses *all, struct addresses **ret_allowed,
                 struct guard_refusal *ret_refusal)
{
	bool allowed[RESOLVER_MAX_ADDRESSES];
	struct guard_refusal later;
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		allowed[i] = allows(g, all->text[i], i == 0 ? ret_refusal : &later);
		n += allowed[i];
	}
	if (n == 0)
		return -EACCES;

	struct addresses *some = n == all->n ? addresses_ref(all) : addresses_create();
	if (!some)
		return -ENOMEM;
	for (size_t i = 0; some != all && i < all->n; i++)
		if (allowed[i])
			memcpy(some->text[some->n++], all->text[i], sizeof(all->text[i]));
	*ret_allowed = some;
	return 0;
}

/* --- saying ------------------------------------------------------------------------ */

void guard_refusal_format(const struct guard_refusal *refusal, char text[static GUARD_REFUSAL_SIZE])
{
	char address[IP_TEXT_SIZE], inner[IP_TEXT_SIZE] = "";
	bool has_inner = refusal->inner.bits > 0;
	bool has_name = strcmp(refusal->entry, refusal->network) != 0;

	ip_format(&refusal->address, address);
	if (has_inner)
		ip_format(&refusal->inner, inner);
	(void) snprintf(text, GUARD_REFUSAL_SIZE, "%s%s%s%s is denied by \"%s\"%s%s%s", address,
	                has_inner ? " (" : "", inner, has_inner ? ")" : "", refusal->entry,
	                has_name ? " (" : "", has_name ? refusal->network : "",
	                has_name ? ")" : "");
}
