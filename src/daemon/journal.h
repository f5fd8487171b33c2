/* SPDX-License-Identifier: Apache-2.0 */
/* Where a daemon's messages go. */
#ifndef PENSTOCK_DAEMON_JOURNAL_H
#define PENSTOCK_DAEMON_JOURNAL_H

/*
 * Chooses the log's sink: the journal, with PENSTOCK_JOB, PENSTOCK_ORIGIN and
 * PENSTOCK_SOURCE as fields, if stderr goes there and its socket is there;
 * "<N>message" on stderr if a service manager reads that; otherwise plain text.
 * See systemd.exec(5), $JOURNAL_STREAM.
 */
void journal_choose_sink(void);

#endif
