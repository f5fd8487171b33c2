/* SPDX-License-Identifier: Apache-2.0 */
#include "control/inbox.h"

#include "base/event.h"
#include "control/task.h"

#include <unistd.h>

int inbox_init(struct inbox *inbox)
{
	*inbox = (struct inbox) { .event_fd = event_create() };
	if (inbox->event_fd < 0)
		return inbox->event_fd;
	int r = mutex_init(&inbox->lock);
	if (r < 0)
		(void) close(inbox->event_fd);
	return r;
}

void inbox_destroy(struct inbox *inbox)
{
	mutex_destroy(&inbox->lock);
	(void) close(inbox->event_fd);
}

void inbox_put(struct inbox *inbox, struct task *task, int error)
{
	task->error = error;
	mutex_lock(&inbox->lock);
	bool was_empty = !inbox->first;
	task->next = inbox->first;
	inbox->first = task;
	/* With the lock held, which the reader takes before it lets the inbox go: so the
	 * descriptor is still there.  An eventfd does not block. */
	if (was_empty)
		event_raise(inbox->event_fd);
	mutex_unlock(&inbox->lock);
}

struct task *inbox_take(struct inbox *inbox)
{
	event_clear(inbox->event_fd); /* first: what comes after this raises it again */
	mutex_lock(&inbox->lock);
	struct task *first = inbox->first;
	inbox->first = NULL;
	mutex_unlock(&inbox->lock);
	return first;
}
