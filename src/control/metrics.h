/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics: the daemon's figures for Prometheus and its like. */
#ifndef PENSTOCK_CONTROL_METRICS_H
#define PENSTOCK_CONTROL_METRICS_H

#include "base/attr.h"
#include "base/buf.h"
#include "control/reply.h"

enum metrics_format {
	METRICS_TEXT,        /* Prometheus' text format, version 0.0.4 */
	METRICS_OPENMETRICS, /* OpenMetrics 1.0.0 */
};

/* The format that an Accept header (RFC 9110, section 12.5.1) prefers; the text format
 * unless it names OpenMetrics, and not below text/plain. */
NODISCARD NONNULL(1) enum metrics_format metrics_choose_format(const char *accept);
const char *metrics_content_type(enum metrics_format format);

NONNULL(1, 3)
void metrics_write(const struct view *view, enum metrics_format format, struct buf *b);

#endif
