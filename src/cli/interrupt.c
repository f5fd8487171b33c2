/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>

void interrupt_add_unless_ignored(sigset_t *set, int number)
{
	struct sigaction now;

	if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		(void) sigaddset(set, number);
}

int interrupt_open(void)
{
	sigset_t caught;

	(void) sigemptyset(&caught);
	interrupt_add_unless_ignored(&caught, SIGINT);
	(void) sigaddset(&caught, SIGTERM);
	interrupt_add_unless_ignored(&caught, SIGHUP);
	(void) sigprocmask(SIG_BLOCK, &caught, NULL);
	int fd = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
