/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/results.h"

#include "base/event.h"
#include "base/sync.h"
#include "sink/target.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int results_open(const char *path, struct results **ret_results)
{
	struct results *r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;

	*r = (struct results){ .cancel_fd = event_create(), .target.fd = -1, .next.fd = -1 };
	int err = mutex_init(&r->lock);
	if (err < 0)
		goto close_event;
	r->path = strdup(path);
	r->target.cancel_fd = r->cancel_fd;
	err = !r->path ? -ENOMEM : r->cancel_fd < 0 ? r->cancel_fd : 0;
	if (err == 0)
		err = strcmp(path, "-") == 0 ? target_open_stdout(&r->target)
		                             : target_open(&r->target, path);
	if (err < 0)
		goto destroy_lock;

	*ret_results = r;
	return 0;

destroy_lock:
	free(r->path);
	mutex_destroy(&r->lock);
close_event:
	if (r->cancel_fd >= 0)
		(void) close(r->cancel_fd);
	free(r);
	return err;
}

/* --- rotation ---------------------------------------------------------------------- */

/* Which file it is; the rest is the appending thread's. */
static struct target identity(const struct target *t)
{
	return (struct target){
		.owned = t->owned,
		.regular = t->regular,
		.device = t->device,
		.inode = t->inode,
	};
}

/* Whether the path still leads to the file that is appended to. */
static bool is_current(const struct results *r, const struct target *t)
{
	struct stat st;

	return stat(r->path, &st) == 0 && st.st_dev == t->device && st.st_ino == t->inode;
}

int results_reopen(struct results *r)
{
	struct target fresh = { .cancel_fd = r->cancel_fd }, unused = { .fd = -1 };

	mutex_lock(&r->lock);
	struct target current = identity(r->reopened ? &r->next : &r->target);
	mutex_unlock(&r->lock);
	if (!current.owned || !current.regular || is_current(r, &current))
		return 0;

	int err = target_open(&fresh, r->path);
	if (err < 0)
		return err;
	err = target_mend(&fresh);
	if (err < 0) {
		target_close(&fresh);
		return err;
	}
	mutex_lock(&r->lock);
	if (r->reopened)
		unused = r->next;
	r->next = fresh;
	r->reopened = true;
	mutex_unlock(&r->lock);
	target_close(&unused);
	return 0;
}

/* What a failed append has left behind is the beginning of lines that will be given
 * again: they are finished in the same file, unless that was deleted. */
static bool may_leave(const struct results *r)
{
	struct stat st;

	return r->begun == 0 || (fstat(r->target.fd, &st) == 0 && st.st_nlink == 0);
}

/* Goes over to the file that results_reopen() has opened.  Returns as results_turn() does. */
static int go_over(struct results *r)
{
	mutex_lock(&r->lock);
	bool reopened = r->reopened;
	mutex_unlock(&r->lock);
	if (!reopened || !may_leave(r))
		return 0;
	int err = target_sync(&r->target);
	if (err == 0 && r->kept)
		err = target_sync_folder(r->path);
	if (err < 0)
		return err;

	mutex_lock(&r->lock);
	struct target old = r->target;
	r->target = r->next;
	r->next.fd = -1;
	r->reopened = false;
	mutex_unlock(&r->lock);
	r->begun = 0;
	target_close(&old);
	return 1;
}

/* --- appending --------------------------------------------------------------------- */

/* Counts or takes back what was written of lines that were not written whole. */
static void note_failure(struct results *r, size_t written)
{
	if (!r->target.regular)
		return;
	if (r->kept)
		r->begun += written;
	else if (written > 0)
		target_cut_back(&r->target, written);
}

int results_append(struct results *r, const char *data, size_t len)
{
	struct target *t = &r->target;
	size_t written = 0;

	int err = r->kept ? 0 : go_over(r); /* not before the new file's position is kept */
	if (err >= 0)
		err = target_mend(t);
	if (err < 0)
		return err;
	assert(len >= r->begun);
	err = target_write(t, data + r->begun, len - r->begun, &written);
	if (err < 0) {
		note_failure(r, written);
		return err;
	}
	r->begun = 0;
	if (t->regular && len > 0) /* more than 'len' further if somebody else has appended, too */
		t->end = lseek(t->fd, 0, SEEK_CUR);
	return 0;
}

void results_cancel(struct results *r) { event_raise(r->cancel_fd); }

/* --- durability -------------------------------------------------------------------- */

int results_sync(struct results *r, struct results_position *ret_position)
{
	int err = target_mend(&r->target);
	if (err == 0)
		err = target_sync(&r->target);
	if (err == 0)
		*ret_position = target_position(&r->target);
	return err;
}

int results_turn(struct results *r, struct results_position *ret_position)
{
	int turned = go_over(r);

	if (turned == 1)
		*ret_position = target_position(&r->target);
	return turned;
}

int results_close(struct results *r)
{
	if (!r)
		return 0;

	int err = go_over(r);
	int sync_err = target_sync(&r->target);
	target_close(&r->target);
	target_close(&r->next);
	(void) close(r->cancel_fd);
	mutex_destroy(&r->lock);
	free(r->path);
	free(r);
	return err < 0 ? err : sync_err;
}
