/* SPDX-License-Identifier: Apache-2.0 */
#include "config/load.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list rather than one growing block, so that nothing moves. */
struct config_block {
	struct config_block *next;
	alignas(max_align_t) char data[];
};

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;

	while (c->blocks) {
		struct config_block *next = c->blocks->next;
		free(c->blocks);
		c->blocks = next;
	}
	free(c->origins);
	free(c);
	return NULL;
}

void *config_alloc(struct loading *l, size_t n, size_t size)
{
	size_t bytes = 0;

	if (__builtin_mul_overflow(n, size, &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(struct config_block), &bytes)) {
		l->no_memory = true;
		return NULL;
	}
	struct config_block *block = calloc(1, bytes);
	if (!block) {
		l->no_memory = true;
		return NULL;
	}
	block->next = l->config->blocks;
	l->config->blocks = block;
	return block->data;
}

const char *config_copy(struct loading *l, const char *text, size_t n)
{
	char *copy = config_alloc(l, n + 1, 1);
	if (!copy)
		return "";
	memcpy(copy, text, n);
	return copy;
}

const char *config_format(struct loading *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *text = n < 0 ? NULL : config_alloc(l, (size_t) n + 1, 1);
	if (!text)
		return "";

	va_start(args, format);
	(void) vsnprintf(text, (size_t) n + 1, format, args);
	va_end(args);
	return text;
}

/* What a peer or a file name put into a line must not end it, or move the cursor. */
static void hide_controls(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
}

void config_problem(struct loading *l, const struct place *place, const char *format, ...)
{
	char text[1024];
	size_t start = l->errors->len;
	va_list args;

	va_start(args, format);
	(void) vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	buf_add_str(l->errors, place->where);
	buf_add_str(l->errors, ": ");
	if (place->path) {
		buf_add_str(l->errors, place->path);
		buf_add_str(l->errors, ": ");
	}
	buf_add_str(l->errors, text);
	if (l->errors->len > start)
		hide_controls(l->errors->data + start, l->errors->len - start);
	buf_add_char(l->errors, '\n');
	l->n_problems++;
}

void config_add_origin(struct loading *l, const char *path, const char *text)
{
	struct config *c = l->config;
	struct config_origin *known = config_find_origin(c, path);

	if (known) {
		known->text = text;
		return;
	}
	if (c->n_origins == c->origins_size) {
		size_t size = c->origins_size > 0 ? c->origins_size * 2 : 32;
		struct config_origin *grown = reallocarray(c->origins, size, sizeof(*grown));
		if (!grown) {
			l->no_memory = true;
			return;
		}
		c->origins = grown;
		c->origins_size = size;
	}
	c->origins[c->n_origins++] = (struct config_origin) { .path = path, .text = text };
}

static int by_path(const void *a, const void *b)
{
	const struct config_origin *left = a, *right = b;

	return strcmp(left->path, right->path);
}

struct config_origin *config_find_origin(const struct config *c, const char *path)
{
	const struct config_origin wanted = { .path = path };

	if (c->n_sorted == 0)
		return NULL;
	return bsearch(&wanted, c->origins, c->n_sorted, sizeof(wanted), by_path);
}

void config_sort_origins(struct config *c)
{
	if (c->n_origins > 0)
		qsort(c->origins, c->n_origins, sizeof(*c->origins), by_path);
	c->n_sorted = c->n_origins;
}

void config_set_origin(struct loading *l, const char *path, const char *text)
{
	config_add_origin(l, path, text);
	if (l->config->n_sorted < l->config->n_origins)
		config_sort_origins(l->config);
}

/* The index of the element of 'list' that 'path' is, or is in; and what follows it. */
static const char *read_element_path(const char *path, const char *list, size_t *ret_index)
{
	size_t n = strlen(list);
	char *end = NULL;

	if (strncmp(path, list, n) != 0 || path[n] != '[')
		return NULL;
	*ret_index = strtoul(path + n + 1, &end, 10);
	return end;
}

void config_shift_origins(struct loading *l, const char *list, size_t n)
{
	for (size_t i = 0; i < l->config->n_origins; i++) {
		struct config_origin *origin = &l->config->origins[i];
		size_t index = 0;
		const char *rest = read_element_path(origin->path, list, &index);
		if (rest)
			origin->path = config_format(l, "%s[%zu%s", list, index + n, rest);
	}
	config_sort_origins(l->config);
}

void config_drop_origins(struct config *c, const char *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_origins; i++)
		if (!read_element_path(c->origins[i].path, list, &(size_t) { 0 }))
			c->origins[kept++] = c->origins[i];
	c->n_origins = kept;
	config_sort_origins(c);
}
