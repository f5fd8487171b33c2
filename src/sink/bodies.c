/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/bodies.h"

#include "base/clock.h"
#include "sink/bodies_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long files that fail are left alone, and how long a thread waits for them. */
#define RETRY_NS (1 * NS_PER_S)

const char *bodies_mode_name(enum bodies_mode mode)
{
	return mode == BODIES_INLINE ? "inline" : mode == BODIES_FILES ? "files" : "none";
}

/* --- the budget -------------------------------------------------------------------- */

/* The same for all who wait, so that any of them may be woken. */
static bool has_room(const struct bodies *b) REQUIRES(b->lock)
{
	return b->cancelled ||
	       b->options.inline_memory - b->memory_bytes >= b->options.max_inline;
}

/* Whoever waits goes first, so that small bodies cannot keep a large one out. */
static bool may_draw_at_once(const struct bodies *b, uint64_t n) REQUIRES(b->lock)
{
	return b->memory_wake.waiters == 0 && b->options.inline_memory - b->memory_bytes >= n;
}

int bodies_draw(struct bodies *b, uint64_t n, uint64_t deadline_ns)
{
	bool in_time = true;

	mutex_lock(&b->lock);
	bool room = may_draw_at_once(b, n);
	while (!room && in_time) {
		in_time = wake_wait(&b->memory_wake, &b->lock, deadline_ns);
		room = has_room(b);
	}
	int error = b->cancelled ? -ECANCELED : room ? 0 : -ETIMEDOUT;
	if (error == 0)
		b->memory_bytes += n;
	if (has_room(b))
		wake_one(&b->memory_wake);
	mutex_unlock(&b->lock);
	return error;
}

void bodies_give_back(struct bodies *b, uint64_t n)
{
	mutex_lock(&b->lock);
	b->memory_bytes -= n;
	if (has_room(b))
		wake_one(&b->memory_wake);
	mutex_unlock(&b->lock);
}

/* --- trouble ----------------------------------------------------------------------- */

int bodies_error(const struct bodies *b) { return atomic_load(&b->error); }

static void tell(struct bodies *b, int error)
{
	if (b->options.trouble)
		b->options.trouble(b->options.arg, error);
}

void bodies_failed(struct bodies *b, int error)
{
	mutex_lock(&b->lock);
	bool begins = atomic_exchange(&b->error, error) == 0;
	b->next_try_ns = clock_now_ns() + RETRY_NS;
	mutex_unlock(&b->lock);
	if (begins)
		tell(b, error);
}

void bodies_succeeded(struct bodies *b)
{
	if (bodies_error(b) == 0)
		return;
	mutex_lock(&b->lock);
	bool ends = atomic_exchange(&b->error, 0) < 0;
	wake_all(&b->trouble_wake);
	mutex_unlock(&b->lock);
	if (ends)
		tell(b, 0);
}

/* Waits for the end of the trouble, or for a turn to try: one thread each RETRY_NS.  Returns 0
 * at the end, 1 for a turn, or the error. */
static int await_turn(struct bodies *b)
{
	uint64_t until_ns = clock_now_ns() + RETRY_NS;
	bool in_time = true, turn = false;

	mutex_lock(&b->lock);
	while (bodies_error(b) < 0 && !b->cancelled && in_time && !turn) {
		uint64_t next_ns = b->next_try_ns < until_ns ? b->next_try_ns : until_ns;
		in_time = wake_wait(&b->trouble_wake, &b->lock, next_ns) ||
		          clock_now_ns() < until_ns;
		turn = bodies_error(b) < 0 && clock_now_ns() >= b->next_try_ns;
	}
	if (turn)
		b->next_try_ns = clock_now_ns() + RETRY_NS;
	int r = b->cancelled ? -ECANCELED : turn ? 1 : bodies_error(b);
	mutex_unlock(&b->lock);
	return r;
}

int bodies_admit(struct bodies *b)
{
	if (bodies_error(b) == 0)
		return 0;
	int r = await_turn(b);
	if (r <= 0)
		return r;
	r = bodies_dir_try(&b->dir);
	if (r < 0)
		bodies_failed(b, r);
	return r;
}

int bodies_sync(struct bodies *b)
{
	if (!b->options.durable || b->options.mode != BODIES_FILES)
		return 0;
	int error = bodies_dir_sync(&b->dir);
	if (error < 0)
		bodies_failed(b, error);
	else if (b->sync_failed)
		bodies_succeeded(b);
	b->sync_failed = error < 0;
	return error;
}

/* --- lifecycle --------------------------------------------------------------------- */

static int init_locks(struct bodies *b)
{
	int error = mutex_init(&b->lock);
	if (error < 0)
		return error;
	error = wake_init(&b->memory_wake);
	if (error < 0)
		goto destroy_lock;
	error = wake_init(&b->trouble_wake);
	if (error < 0)
		goto destroy_wake;
	return 0;

destroy_wake:
	wake_destroy(&b->memory_wake);
destroy_lock:
	mutex_destroy(&b->lock);
	return error;
}

int bodies_open(const struct bodies_options *options, struct bodies **ret_bodies)
{
	struct bodies *b = calloc(1, sizeof(*b));
	int error = -ENOMEM;

	if (!b)
		return error;
	b->options = *options;
	b->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!b->sha256)
		goto free_store;
	error = init_locks(b);
	if (error < 0)
		goto free_sha256;
	error = options->mode == BODIES_FILES
	                ? bodies_dir_open(&b->dir, options->dir, options->durable) : 0;
	if (error < 0)
		goto destroy_locks;
	*ret_bodies = b;
	return 0;

destroy_locks:
	wake_destroy(&b->trouble_wake);
	wake_destroy(&b->memory_wake);
	mutex_destroy(&b->lock);
free_sha256:
	EVP_MD_free(b->sha256);
free_store:
	free(b);
	return error;
}

struct bodies *bodies_close(struct bodies *b)
{
	if (!b)
		return NULL;
	if (b->options.mode == BODIES_FILES)
		bodies_dir_close(&b->dir);
	wake_destroy(&b->trouble_wake);
	wake_destroy(&b->memory_wake);
	mutex_destroy(&b->lock);
	EVP_MD_free(b->sha256);
	free(b);
	return NULL;
}

static int check_parent(const char *path)
{
	char *parent = strdup(path);
	if (!parent)
		return -ENOMEM;

	size_t len = strlen(parent);
	while (len > 1 && parent[len - 1] == '/')
		parent[--len] = '\0';
	char *slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = '\0';
	int error = access(slash ? parent : ".", W_OK | X_OK) < 0 ? -errno : 0;
	free(parent);
	return error;
}

int bodies_check_dir(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? check_parent(path) : -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return access(path, R_OK | W_OK | X_OK) < 0 ? -errno : 0;
}

void bodies_cancel(struct bodies *b)
{
	mutex_lock(&b->lock);
	b->cancelled = true;
	wake_all(&b->memory_wake);
	wake_all(&b->trouble_wake);
	mutex_unlock(&b->lock);
}

void bodies_stats(struct bodies *b, struct bodies_stats *ret_stats)
{
	mutex_lock(&b->lock);
	*ret_stats = (struct bodies_stats) {
		.mode = b->options.mode,
		.kept = atomic_load(&b->kept),
		.kept_bytes = atomic_load(&b->kept_bytes),
		.duplicates = atomic_load(&b->duplicates),
		.memory_bytes = b->memory_bytes,
		.waiting = b->memory_wake.waiters,
		.waited_ns = wake_waited_ns(&b->memory_wake),
		.error = bodies_error(b),
	};
	mutex_unlock(&b->lock);
	histogram_read(&b->publications, &ret_stats->publications);
}
