/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int event_create(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Nothing but a bug makes these two fail: EAGAIN is a full or an empty counter. */
void event_raise(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

void event_clear(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
}
