/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/body.h"

#include "base/base64.h"
#include "base/clock.h"
#include "sink/bodies_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct body {
	struct bodies *store;
	EVP_MD_CTX *sha256;
	bool begun;
	bool truncated;
	uint64_t bytes; /* taken, and kept */

	/* BODIES_INLINE */
	char *data;
	size_t size;  /* drawn from the budget */
	bool is_text; /* as which it goes into the record; of a finished one */

	/* BODIES_FILES */
	struct bodies_file file;

	char hex[BODIES_DIR_HEX + 1]; /* of a finished one */
};

int body_create(struct bodies *store, struct body **ret_body)
{
	struct body *body = calloc(1, sizeof(*body));
	if (!body)
		return -ENOMEM;

	body->store = store;
	body->file.fd = -1;
	body->sha256 = EVP_MD_CTX_new();
	if (!body->sha256) {
		free(body);
		return -ENOMEM;
	}
	*ret_body = body;
	return 0;
}

struct body *body_free(struct body *body)
{
	if (body) {
		body_drop(body);
		EVP_MD_CTX_free(body->sha256);
		free(body);
	}
	return NULL;
}

void body_drop(struct body *body)
{
	if (body->size > 0)
		bodies_give_back(body->store, body->size);
	free(body->data);
	bodies_dir_discard(&body->store->dir, &body->file);
	body->data = NULL;
	body->size = 0;
	body->bytes = 0;
	body->begun = body->truncated = false;
}

int body_admit(struct body *body) { return bodies_admit(body->store); }

/* --- taking ------------------------------------------------------------------------ */

static int begin_inline(struct body *body, uint64_t announced, uint64_t deadline_ns)
{
	uint64_t max = body->store->options.max_inline;
	uint64_t n = announced < max ? announced : max;

	if (n == 0)
		return 0;
	int error = bodies_draw(body->store, n, deadline_ns);
	if (error < 0)
		return error;
	body->size = (size_t) n;
	body->data = malloc((size_t) n);
	return body->data ? 0 : -ENOMEM;
}

static int begin_file(struct body *body)
{
	int error = bodies_dir_create(&body->store->dir, &body->file);

	if (error < 0)
		bodies_failed(body->store, error);
	return error;
}

int body_begin(void *arg, uint64_t announced, uint64_t deadline_ns)
{
	struct body *body = arg;

	body_drop(body);
	body->begun = true;
	if (EVP_DigestInit_ex2(body->sha256, body->store->sha256, NULL) != 1)
		return -ENOMEM;
	return body->store->options.mode == BODIES_FILES ? begin_file(body)
	                                                 : begin_inline(body, announced, deadline_ns);
}

static int take_inline(struct body *body, const char *data, size_t n)
{
	size_t left = body->size - (size_t) body->bytes;

	body->truncated = body->truncated || n > left;
	n = n < left ? n : left;
	if (n > 0)
		memcpy(body->data + body->bytes, data, n);
	body->bytes += n;
	return 0;
}

static int take_file(struct body *body, const char *data, size_t n)
{
	int error = bodies_file_write(&body->file, data, n);

	if (error < 0 && error != -EFBIG) /* no disk will ever have that */
		bodies_failed(body->store, error);
	if (error < 0)
		return error;
	body->bytes += n;
	return EVP_DigestUpdate(body->sha256, data, n) == 1 ? 0 : -ENOMEM;
}

int body_take(void *arg, const char *data, size_t n)
{
	struct body *body = arg;

	return body->store->options.mode == BODIES_FILES ? take_file(body, data, n)
	                                                 : take_inline(body, data, n);
}

/* --- finishing --------------------------------------------------------------------- */

/* How many of the 'n' bytes are left without a character that is cut off at their end. */
static size_t whole_characters(const char *data, size_t n)
{
	for (size_t back = 1; back <= 3 && back <= n; back++) {
		unsigned char c = (unsigned char) data[n - back];
		size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		if ((c & 0xc0) != 0x80) /* where the last character begins */
			return len > back ? n - back : n;
	}
	return n;
}

static bool is_text(const char *data, size_t n)
{
	size_t len = 0;

	return n == 0 || (buf_measure_json(data, n, &len) && len - 2 <= 2 * n);
}

static int finish_inline(struct body *body)
{
	size_t n = body->truncated ? whole_characters(body->data, (size_t) body->bytes)
	                           : (size_t) body->bytes;

	body->is_text = is_text(body->data, n);
	if (body->is_text)
		body->bytes = n;
	return body->bytes == 0 ||
	       EVP_DigestUpdate(body->sha256, body->data, (size_t) body->bytes) == 1 ? 0 : -ENOMEM;
}

static int finish_hash(struct body *body)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (EVP_DigestFinal_ex(body->sha256, hash, NULL) != 1)
		return -ENOMEM;
	for (size_t i = 0; i < BODIES_DIR_HEX; i++)
		body->hex[i] = digits[hash[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
	return 0;
}

static int publish(struct body *body)
{
	struct bodies *store = body->store;
	uint64_t start_ns = clock_now_ns();

	int r = bodies_dir_publish(&store->dir, &body->file, body->hex, body->bytes);
	histogram_add(&store->publications, clock_now_ns() - start_ns);
	if (r < 0) {
		bodies_failed(store, r);
		return r;
	}
	bodies_succeeded(store);
	(void) atomic_fetch_add_explicit(&store->duplicates, (uint64_t) r, memory_order_relaxed);
	return 0;
}

int body_finish(struct body *body, bool truncated)
{
	struct bodies *store = body->store;
	int error = body->begun ? 0 : body_begin(body, 0, 0);

	body->truncated = body->truncated || truncated;
	if (error == 0 && store->options.mode == BODIES_INLINE)
		error = finish_inline(body);
	if (error == 0)
		error = finish_hash(body);
	if (error == 0 && store->options.mode == BODIES_FILES)
		error = publish(body);
	if (error < 0)
		return error;
	(void) atomic_fetch_add_explicit(&store->kept, 1, memory_order_relaxed);
	(void) atomic_fetch_add_explicit(&store->kept_bytes, body->bytes, memory_order_relaxed);
	return 0;
}

/* --- the record -------------------------------------------------------------------- */

static void add_path(const struct body *body, struct buf *b)
{
	const char *dir = body->store->options.dir;
	size_t len = strlen(dir);

	buf_add_str(b, "{\"path\":");
	buf_add_json(b, dir, len);
	b->len -= b->failed ? 0 : 1; /* the quote; hexadecimal digits need no escapes */
	buf_add_str(b, len > 0 && dir[len - 1] == '/' ? "" : "/");
	buf_add(b, body->hex, 2);
	buf_add_char(b, '/');
	buf_add_str(b, body->hex + 2);
	buf_add_char(b, '"');
}

static void add_content(const struct body *body, struct buf *b)
{
	if (body->is_text) {
		buf_add_str(b, "{\"text\":");
		buf_add_json(b, body->data, (size_t) body->bytes);
		return;
	}
	buf_add_str(b, "{\"base64\":\"");
	base64_add(b, body->data, (size_t) body->bytes);
	buf_add_char(b, '"');
}

void body_add_json(const struct body *body, struct buf *b)
{
	if (body->store->options.mode == BODIES_FILES)
		add_path(body, b);
	else
		add_content(body, b);
	buf_add_str(b, ",\"bytes\":");
	buf_add_u64(b, body->bytes);
	buf_add_str(b, ",\"sha256\":\"");
	buf_add_str(b, body->hex);
	buf_add_str(b, body->truncated ? "\",\"truncated\":true}" : "\",\"truncated\":false}");
}
