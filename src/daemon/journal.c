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

/* MESSAGE_ID of systemd.journal-fields(7); packaging/catalog explains each. */
static const char *const message_ids[LOG_EVENTS] = {
	[LOG_EVENT_READY] = "be7c8cbd50124c0490e17bf6f47a65dd",
	[LOG_EVENT_STOPPING] = "63b67a7645394564acd918ea6ed05723",
	[LOG_EVENT_DRAINING] = "aba62a3078654bc3b87d4bf393323b5a",
	[LOG_EVENT_DRAINED] = "8c25c2c399fb4b54ad4e9406ffa02c89",
	[LOG_EVENT_RELOADED] = "ab3df62905cd4a4d9ab8ebc25b93ceb4",
	[LOG_EVENT_RELOAD_REFUSED] = "7c52fd10d1394abc92042bddea20d5b8",
	[LOG_EVENT_RESTART_NEEDED] = "217edd9b5e114aa7a19422a01cf9ef52",
	[LOG_EVENT_RESULTS_FAILING] = "8130091770e64f928050c5b7f704c639",
	[LOG_EVENT_RESULTS_WELL] = "63ce281219a94f058ca93c3e8a6ba2a9",
	[LOG_EVENT_RESULTS_REOPENED] = "ed045a54a4934148a84125c1bc8e909e",
	[LOG_EVENT_BACKLOG_FAILING] = "4c0f31eb3643437e8065820b696a9fcf",
	[LOG_EVENT_BACKLOG_WELL] = "ff5f93df21eb4bb993df70594873015e",
	[LOG_EVENT_BODIES_FAILING] = "d7b4896b85a048f9b1f5aa0052b2d7bc",
	[LOG_EVENT_BODIES_WELL] = "bfca043ff7ba4c7a87b0866ae02ad342",
	[LOG_EVENT_SOURCE_FAILED] = "469291b243d8438498d89087006b5e70",
	[LOG_EVENT_LINE_SKIPPED] = "f30e4da3c032414b8b14ef1a80a009bc",
	[LOG_EVENT_JOB_DEAD] = "8de34c4fcded4103b3e8f0fcd73f6bdf",
	[LOG_EVENT_JOB_POISONED] = "67762e6b7a804a3c9d64762871ebd6a7",
	[LOG_EVENT_CHANGED] = "cce829a788e34a62b3cd68531e7a039d",
	[LOG_EVENT_UNHEALTHY] = "97e72655ce9e441a9b2de8499726c151",
};

/* The longest line that base/log lets through, with the name of its field. */
enum { MAX_FIELDS = 9, FIELD_BYTES = 2048 + sizeof("PENSTOCK_ORIGIN=") };

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
	add_field(&m, "MESSAGE_ID", message_ids[about->event]);
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
