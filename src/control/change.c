/* SPDX-License-Identifier: Apache-2.0 */
#include "control/change.h"

#include "base/log.h"
#include "control/clients.h"

#include <stdarg.h>
#include <stdio.h>

void change_log(const struct task *t, const char *job, const char *origin, const char *format,
                ...)
{
	const struct ucred *peer = &t->client->peer;
	char what[1024], uid[16], pid[16];
	va_list args;

	va_start(args, format);
	(void) vsnprintf(what, sizeof(what), format, args); /* an id has at most 256 bytes */
	va_end(args);
	(void) snprintf(uid, sizeof(uid), "%u", (unsigned) peer->uid);
	(void) snprintf(pid, sizeof(pid), "%d", (int) peer->pid);
	const struct log_fields about = {
		.event = LOG_EVENT_CHANGED,
		.job = job,
		.origin = origin,
		.peer_uid = uid,
		.peer_pid = pid,
	};
	log_about(LOG_LEVEL_INFO, &about, "%s by uid %s (pid %s)", what, uid, pid);
}
