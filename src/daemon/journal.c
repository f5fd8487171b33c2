/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/journal.h"

#include "base/attr.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

/* The longest line that base/log lets through, with the name of its field. */
enum { MAX_FIELDS = 8, FIELD_BYTES = 2048 + sizeof("PENSTOCK_ORIGIN=") };

/* One message under way to the journal; each field is "NAME=value". */
struct message {
	struct iovec fields[MAX_FIELDS];
	char text[MAX_FIELDS][FIELD_BYTES];
	int n;
};

static void add_field(struct message *m, const char *name, const char *value)
{
	if (!value)
		return;
	int len = snprintf(m->text[m->n], FIELD_BYTES, "%s=%s", name, value);
	if (len < 0)
		return;
	if ((size_t) len >= FIELD_BYTES) /* not in the middle of a character */
		for (len = FIELD_BYTES - 1; len > 0 && (m->text[m->n][len] & 0xc0) == 0x80;)
			len--;
	m->fields[m->n] = (struct iovec) {
		.iov_base = m->text[m->n],
		.iov_len = (size_t) len,
	};
	m->n++;
}

static void journal_sink(enum log_level level, const struct log_fields *about, const char *text)
{
	static const char *const priorities[] = { "3", "4", "6", "7" };
	struct message m = { .n = 0 };

	add_field(&m, "PRIORITY", priorities[level]);
	add_field(&m, "SYSLOG_IDENTIFIER", "penstockd");
	add_field(&m, "MESSAGE", text);
	add_field(&m, "PENSTOCK_JOB", about->job);
	add_field(&m, "PENSTOCK_ORIGIN", about->origin);
	add_field(&m, "PENSTOCK_SOURCE", about->source);
	add_field(&m, "PENSTOCK_PEER_UID", about->peer_uid);
	add_field(&m, "PENSTOCK_PEER_PID", about->peer_pid);
	if (sd_journal_sendv(m.fields, m.n) < 0)
		log_prefixed_sink(level, about, text);
}

/* Whether $JOURNAL_STREAM names the device and inode that stderr is. */
static bool stderr_is_stream(const char *stream)
{
	unsigned long long device = 0, inode = 0;
	struct stat st;

	return sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

void journal_choose_sink(void)
{
	const char *stream = getenv("JOURNAL_STREAM");

	if (!stream || !stderr_is_stream(stream))
		return;
	/* Without its socket sd_journal_sendv(3) says 0, and the message is lost. */
	log_set_sink(access("/run/systemd/journal/socket", W_OK) == 0 ? journal_sink
	                                                              : log_prefixed_sink);
}
