/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live.h"

#include "base/log.h"
#include "daemon/listeners.h"

#include <errno.h>
#include <string.h>

static int load(const struct live *live, struct settings *ret_settings, struct config **ret_config,
                struct buf *errors)
{
	const struct daemon_options *o = live->options;

	return settings_load(SETTINGS_DAEMON, o->config_path, (const char *const *) o->overrides,
	                     o->n_overrides, ret_settings, ret_config, errors);
}

static bool allow_descriptors(const struct live *live, const struct settings *s)
{
	return settings_allow_descriptors(s, live->n_sources, listeners_needs(s).descriptors) == 0;
}

bool live_init(struct live *live, const struct daemon_options *options)
{
	struct buf errors = { 0 };

	*live = (struct live) { .options = options };
	int r = load(live, &live->settings, &live->first, &errors);
	if (r < 0)
		log_error_lines(errors.data, errors.len);
	buf_done(&errors);
	live->n_sources = live->settings.sources.n;
	if (r == 0)
		log_set_level((enum log_level) live->settings.log.level);
	return r == 0 && allow_descriptors(live, &live->settings);
}

void live_done(struct live *live)
{
	config_free(live->changed);
	config_free(live->first);
	*live = (struct live) { 0 };
}

/* --- what has changed -------------------------------------------------------------- */

/* The members of an answer. */
struct report {
	struct buf changed;
	struct buf restart;
	size_t n_changed;
	bool dry_run; /* nothing is logged then */
};

/* A text as it was written for --set: without the quotes that it has in a file. */
static void add_plain(struct buf *b, const char *text)
{
	size_t n = strlen(text);

	if (n >= 2 && text[0] == '"' && text[n - 1] == '"')
		buf_add_json(b, text + 1, n - 2);
	else
		buf_add_json(b, text, n);
}

static void report_changed(struct report *r, const struct config_difference *d)
{
	struct buf *b = &r->changed;

	buf_add_str(b, r->n_changed > 0 ? ", {\"key\": " : "{\"key\": ");
	buf_add_json_str(b, d->path);
	buf_add_str(b, ", \"before\": ");
	add_plain(b, d->before);
	buf_add_str(b, ", \"after\": ");
	add_plain(b, d->after);
	buf_add_char(b, '}');
	r->n_changed++;
}

static void log_restart(const struct config_difference *d)
{
	if (d->key->type == CONFIG_GROUPS) /* sources: jobs may hold secrets */
		log_event(LOG_LEVEL_WARNING, LOG_EVENT_RESTART_NEEDED,
		          "%s: has changed, and needs a restart", d->path);
	else
		log_event(LOG_LEVEL_WARNING, LOG_EVENT_RESTART_NEEDED,
		          "%s: %s stays in force, %s needs a restart", d->path, d->before, d->after);
}

static void on_difference(void *arg, const struct config_difference *d)
{
	struct report *r = arg;

	if (d->key->reloads) {
		report_changed(r, d);
		if (!r->dry_run)
			log_info("%s: %s, was %s", d->path, d->after, d->before);
		return;
	}
	buf_add_str(&r->restart, r->restart.len > 0 ? ", " : "");
	buf_add_json_str(&r->restart, d->path);
	if (!r->dry_run)
		log_restart(d);
}

/* Takes over the report. */
static void add_report(struct buf *answer, struct report *r, bool applied)
{
	buf_add_str(answer, "{\"changed\": [");
	buf_add(answer, r->changed.data, r->changed.len);
	buf_add_char(answer, ']');
	if (r->restart.len > 0) {
		buf_add_str(answer, ", \"needs_restart\": [");
		buf_add(answer, r->restart.data, r->restart.len);
		buf_add_char(answer, ']');
	}
	if (r->dry_run)
		buf_add_str(answer, ", \"dry_run\": true");
	if (!applied)
		buf_add_str(answer, ", \"warning\": \"not all workers could be started\"");
	buf_add_str(answer, "}\n");
	answer->failed = answer->failed || r->changed.failed || r->restart.failed;
	buf_done(&r->changed);
	buf_done(&r->restart);
}

/* --- changing ---------------------------------------------------------------------- */

/* Puts 'fresh' and the 'rules' made of it in force, as far as it takes effect.  Takes over its
 * config, and a reference. */
static void apply(struct live *live, struct engine *engine, const char *cause,
                  const struct settings *fresh, struct config *config, struct fetch_rules *rules,
                  struct buf *answer)
{
	struct report report = { 0 };

	size_t n = config_change(&settings_table, &live->settings, fresh, on_difference, &report);
	log_set_level((enum log_level) live->settings.log.level);
	bool applied = engine_apply(engine, rules) == 0;
	if (!applied)
		log_error("%s: not all workers could be started", cause);
	fetch_rules_unref(rules);
	log_event(LOG_LEVEL_INFO, LOG_EVENT_RELOADED, "%s: %zu %s", cause, n,
	          n == 1 ? "setting differs" : "settings differ");
	config_free(live->changed);
	live->changed = config;
	add_report(answer, &report, applied);
}

/* Only says what would change.  Takes over the same as apply(). */
static void preview(const struct live *live, const struct settings *fresh, struct config *config,
                    struct fetch_rules *rules, struct buf *answer)
{
	struct report report = { .dry_run = true };

	(void) config_compare(&settings_table, &live->settings, fresh, on_difference, &report);
	fetch_rules_unref(rules);
	config_free(config);
	add_report(answer, &report, true);
}

/* Whether there are descriptors for 'fresh', as far as it takes effect. */
static bool is_affordable(const struct live *live, const struct settings *fresh,
                          struct buf *answer)
{
	struct settings next = live->settings;

	next.workers = fresh->workers;
	if (allow_descriptors(live, &next))
		return true;
	buf_add_str(answer, "workers: there are not enough descriptors for so many; see the log\n");
	return false;
}

/* Takes over the config, of settings that cannot be used. */
static unsigned refuse(struct config *config, int error)
{
	config_free(config);
	return error == -ENOMEM ? 500 : error == -EINVAL ? 400 : 409;
}

/* Puts 'fresh' in force if there is all that it needs, and changes nothing otherwise.  Takes the
 * config over. */
static unsigned apply_if_possible(struct live *live, struct engine *engine, const char *cause,
                                  const struct settings *fresh, struct config *config,
                                  bool dry_run, struct buf *answer)
{
	struct fetch_rules *rules = NULL;

	if (!is_affordable(live, fresh, answer))
		return refuse(config, -EMFILE);
	int r = engine_make_rules(fresh, &rules, answer);
	if (r < 0)
		return refuse(config, r);
	if (dry_run)
		preview(live, fresh, config, rules, answer);
	else
		apply(live, engine, cause, fresh, config, rules, answer);
	return 200;
}

unsigned live_reload(struct live *live, struct engine *engine, bool dry_run, struct buf *answer)
{
	struct settings fresh;
	struct config *config = NULL;

	int r = load(live, &fresh, &config, answer);
	if (r < 0)
		return refuse(NULL, r == -ENOMEM ? r : -EINVAL);
	return apply_if_possible(live, engine, "reload", &fresh, config, dry_run, answer);
}

/* --- single keys ------------------------------------------------------------------- */

static void note_restart(void *arg, const struct config_difference *d)
{
	if (!d->key->reloads)
		buf_printf(arg, "%s: needs a restart; change it in the file\n", d->path);
}

unsigned live_set(struct live *live, struct engine *engine, const char *const *settings, size_t n,
                  bool dry_run, struct buf *answer)
{
	const struct config *newest = live->changed ? live->changed : live->first;
	struct settings fresh;
	struct config *config = NULL;

	int r = settings_amend(&live->settings, newest, settings, n, &fresh, &config, answer);
	if (r < 0)
		return refuse(NULL, r);
	(void) config_compare(&settings_table, &live->settings, &fresh, note_restart, answer);
	if (answer->len > 0)
		return refuse(config, -EBUSY);
	return apply_if_possible(live, engine, "set", &fresh, config, dry_run, answer);
}
