/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics.h"

#include "control/metrics_parts.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* --- the format -------------------------------------------------------------------- */

/* The weight in thousandths (RFC 9110, section 12.4.2) among the parameters up to 'end'. */
static int weight_of(const char *p, const char *end)
{
	int weight = 1000;

	while (p && p < end) {
		for (; p < end && (*p == ';' || isspace((unsigned char) *p)); p++)
			;
		if (end - p > 2 && strncasecmp(p, "q=", 2) == 0) {
			weight = p[2] == '1' ? 1000 : 0;
			for (int i = 4, unit = 100; p + i < end && p[2] == '0' && unit > 0 &&
			                            isdigit((unsigned char) p[i]); i++, unit /= 10)
				weight += (p[i] - '0') * unit;
		}
		p = memchr(p, ';', (size_t) (end - p));
	}
	return weight;
}

/* The best weight that an Accept header gives to 'type' by name; -1 if it names it not. */
static int find_weight(const char *accept, const char *type)
{
	size_t len = strlen(type);
	int best = -1;

	for (const char *p = accept; *p != '\0'; p += *p == ',') {
		const char *end = strchrnul(p, ',');
		for (; p < end && isspace((unsigned char) *p); p++)
			;
		bool named = (size_t) (end - p) >= len && strncasecmp(p, type, len) == 0 &&
		             strchr(" \t;,", p[len]); /* or the header's end */
		if (named) {
			int weight = weight_of(p + len, end);
			best = weight > best ? weight : best;
		}
		p = end;
	}
	return best;
}

enum metrics_format metrics_choose_format(const char *accept)
{
	int openmetrics = find_weight(accept, "application/openmetrics-text");

	return openmetrics > 0 && openmetrics >= find_weight(accept, "text/plain")
	               ? METRICS_OPENMETRICS
	               : METRICS_TEXT;
}

const char *metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
	               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
	               : "text/plain; version=0.0.4; charset=utf-8";
}

/* --- the whole --------------------------------------------------------------------- */

static void add_daemon(struct exposition *x, const struct view *view)
{
	const struct metric_row rows[] = {
		{ "penstock_build", METRIC_INFO, "The version of penstock.", "version",
		  view->options->version, 1, false },
		GAUGE("penstock_ready", "1 while the daemon takes jobs.", view->phase == CONTROL_READY),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

void metrics_write(const struct view *view, enum metrics_format format, struct buf *b)
{
	struct exposition x = { .out = b, .format = format };
	struct engine *engine = view->options->engine;
	struct engine_stats stats;

	engine_stats(engine, &stats);
	add_daemon(&x, view);
	metrics_add_jobs(&x, &stats);
	metrics_add_fetches(&x, &stats, engine);
	metrics_add_results(&x, view, &stats);
	metrics_add_sources(&x, engine);
	metrics_add_process(&x, view->options->started_wall_us);
	exposition_end(&x);
}
