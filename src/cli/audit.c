/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `penstock audit`: proves from the database and the results log that every accepted job
 * is accounted for.
 *
 * The snapshot of the database is taken first.  A record is in the database before it is
 * in the log, so a daemon that works on can only make the log longer than the snapshot says;
 * what the log does not have yet is waited for.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cli/audit_check.h"
#include "cli/cli.h"
#include "engine/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a daemon that runs has for writing what it has settled. */
enum { LAG_S = 10 };
#define LAG_NS   (LAG_S * NS_PER_S)
#define SOON_NS  NS_PER_S
#define PAUSE_NS (20 * NS_PER_MS)

enum { OPT_DATABASE = 256, OPT_RESULTS };

/* Files are renamed while they are looked for; each time is one more look. */
enum { MAX_LOOKS = 10 };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "database", required_argument, NULL, OPT_DATABASE },
	{ "results", required_argument, NULL, OPT_RESULTS },
	{ "quiet", no_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct audit {
	const char *config_path;
	const char *given_database;
	const char **given_results; /* n_results of them */
	size_t n_results;
	bool quiet;

	char *database;             /* owned, as the next */
	char *results;              /* NULL: 'given_results' */
	char *bodies_dir;           /* NULL: nobody knows */
	char *bodies_base;          /* as in struct audit_bodies; owned */
	bool is_stream;             /* the results go to a pipe or terminal: there is no log */
	bool was_in_use;
	struct audit_db *db;
	struct audit_log log;
	struct audit_report report;
	struct audit_check check;
	struct audit_bodies bodies;
};

/* --- options ----------------------------------------------------------------------- */

static void print_help(void)
{
	(void) printf(
		"Usage: penstock audit [OPTION]...\n"
		"Prove from the daemon's files, whether it runs or not, that every accepted job is\n"
		"waiting or has exactly one record in the results log; say what is missing.\n\n"
		"  -c, --config FILE    the daemon's settings, which say where its files are; else\n"
		"                       %s/penstock/penstock.conf\n"
		"      --database FILE  the backlog's database\n"
		"      --results FILE   a file of the results log; may be given again; else the log\n"
		"                       and what rotation has made of it, RESULTS.* and RESULTS-*\n"
		"  -s, --quiet          write problems only\n"
		"  -h, --help           print this and exit\n\n"
		"Exit status: 0 it balances, 1 it does not, 64 usage, 66 no such file, 70 internal,\n"
		"74 cannot read or write, 78 settings.\n",
		PENSTOCK_SYSCONFDIR);
}

static int take_option(struct audit *a, int option)
{
	switch (option) {
	case 'c':
		a->config_path = optarg;
		return 0;
	case OPT_DATABASE:
		a->given_database = optarg;
		return 0;
	case OPT_RESULTS:
		if (strcmp(optarg, "-") == 0) {
			log_error("--results -: standard input cannot be read; name the file");
			return -EINVAL;
		}
		a->given_results[a->n_results++] = optarg;
		return 0;
	case 's':
		a->quiet = true;
		return 0;
	case 'h':
		print_help();
		return 1;
	default: /* getopt_long() has said what is wrong */
		log_error("see penstock audit --help");
		return -EINVAL;
	}
}

/* Returns 0, 1 if --help was asked for, or -EINVAL after the problem was said. */
static int read_options(struct audit *a, int argc, char **argv)
{
	static char name[] = "penstock audit";
	int option = 0, r = 0;

	argv[0] = name; /* what getopt_long() puts in front of its messages */
	while (r == 0 && (option = getopt_long(argc, argv, "c:sh", long_options, NULL)) != -1)
		r = take_option(a, option);
	if (r == 0 && optind < argc) {
		log_error("%s: penstock audit takes no such argument; see penstock audit --help",
		          argv[optind]);
		r = -EINVAL;
	}
	return r;
}

/* --- where the files are ----------------------------------------------------------- */

/* 'path' in the first folder of a list of the service manager's, or else in 'folder'. */
static char *below(const char *variable, const char *folder, const char *path)
{
	const char *list = getenv(variable);
	char *full = NULL;
	int n = 0;

	if (*path == '/' || strcmp(path, "-") == 0)
		return strdup(path);
	if (list && *list != '\0')
		n = asprintf(&full, "%.*s/%s", (int) strcspn(list, ":"), list, path);
	else
		n = folder ? asprintf(&full, "%s/%s", folder, path) : asprintf(&full, "%s", path);
	return n < 0 ? NULL : full;
}

static int name_files(struct audit *a, const struct settings *settings)
{
	/* As penstockd finds them: from a checkout where it was started, installed where its
	 * unit has it write. */
	const char *folder = a->config_path ? NULL : PENSTOCK_LOCALSTATEDIR "/lib/penstock";
	const char *results = settings->results.path;

	if (!a->given_database && settings->backlog.type != BACKLOG_SQLITE) {
		log_error("backlog.type is not \"sqlite\": there is no database");
		return EXIT_CONFIG;
	}
	a->database = a->given_database ? strdup(a->given_database)
	                                : below("STATE_DIRECTORY", folder, settings->backlog.path);
	if (a->n_results == 0)
		a->results = below("STATE_DIRECTORY", folder,
		                   *results != '\0' ? results : "results.jsonl");
	if (settings->results.bodies_dir) {
		a->bodies_dir = below("STATE_DIRECTORY", folder, settings->results.bodies_dir);
		a->bodies_base = below("STATE_DIRECTORY", folder, "");
	}
	bool named = !settings->results.bodies_dir || (a->bodies_dir && a->bodies_base);
	if (a->database && (a->results || a->n_results > 0) && named)
		return EXIT_OK;
	log_error("out of memory");
	return EXIT_INTERNAL;
}

static int read_settings(struct audit *a)
{
	struct settings settings = { 0 };
	struct config *config = NULL;
	struct buf errors = { 0 };

	if (a->given_database && a->n_results > 0)
		return name_files(a, &settings);
	char *path = a->config_path ? strdup(a->config_path)
	                            : below("CONFIGURATION_DIRECTORY", PENSTOCK_SYSCONFDIR "/penstock",
	                                    "penstock.conf");
	int r = path ? settings_load(SETTINGS_DAEMON, path, NULL, 0, &settings, &config, &errors) : -ENOMEM;
	if (r < 0)
		log_error_lines(errors.data, errors.len);
	int code = r < 0 ? EXIT_CONFIG : name_files(a, &settings);
	buf_done(&errors);
	config_free(config);
	free(path);
	return code;
}

/* --- reading ----------------------------------------------------------------------- */

static int say_unreadable(const char *path, int error)
{
	if (error == -ENOMEM) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	if (error == -EISDIR)
		log_error("%s: is a directory; name a file of the results log", path ? path : "?");
	else if (error == -EINVAL)
		log_error("%s: is not a regular file", path ? path : "?");
	else if (error == -EACCES)
		log_error("%s: Permission denied; ask as root, or as the user that penstockd runs as",
		          path ? path : "?");
	else
		log_error("%s: cannot be read: %s", path ? path : "?", strerror(-error));
	return error == -ENOENT ? EXIT_NO_INPUT : EXIT_IO;
}

static int say_database_failed(const struct audit *a)
{
	log_error("%s: cannot be read: %s", a->database, audit_db_error(a->db));
	return EXIT_IO;
}

/* Looks until nothing new is found: a rotation may be under way. */
static int open_log(struct audit *a)
{
	size_t before = 0;
	char *failed = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->n_results; i++)
		r = audit_log_open(&a->log, a->given_results[i], true, &failed);
	for (int i = 0; r == 0 && a->results && !a->is_stream && i < MAX_LOOKS; i++) {
		before = a->log.n;
		r = audit_log_open(&a->log, a->results, false, &failed);
		if (a->log.n == before)
			break;
	}
	int code = r < 0 ? say_unreadable(failed ? failed : a->results, r) : EXIT_OK;
	free(failed);
	return code;
}

static int read_log(struct audit *a)
{
	for (size_t i = 0; i < a->log.n; i++) {
		struct audit_file *file = &a->log.files[i];
		int r = audit_file_read(file, audit_check_line, &a->check);
		if (r == -EUCLEAN || (r < 0 && *audit_db_error(a->db) != '\0'))
			return say_database_failed(a);
		if (r == -E2BIG) {
			log_error("%s:%llu: there are more than %d gaps", file->path,
			          (unsigned long long) file->lines, SEQ_SET_MAX_RUNS);
			return EXIT_IO;
		}
		if (r < 0)
			return say_unreadable(file->path, r);
	}
	return EXIT_OK;
}

static void say_no_log(const struct audit *a)
{
	const char *results = a->results;

	if (a->was_in_use)
		log_warning("%s: there is no such file, and no rotated one, %s.* or %s-*; waiting up to "
		            "%d s for penstockd to write there", results, results, results, LAG_S);
	else
		log_warning("%s: there is no such file, and no rotated one, %s.* or %s-*", results, results,
		            results);
}

/* Says what takes so long, once. */
static void say_waiting(const struct audit *a, bool *said)
{
	if (!*said && !a->quiet)
		log_info("waiting up to %d s for penstockd to write its records, up to seq %llu, to the "
		         "log", LAG_S, (unsigned long long) a->check.totals.last_seq);
	*said = true;
}

/* A daemon that runs will have written the last record of the snapshot soon. */
static int read_on(struct audit *a)
{
	const struct timespec pause = clock_timespec(PAUSE_NS);
	uint64_t start_ns = clock_now_ns(), now_ns = start_ns;
	bool said = a->log.n == 0;
	int code = EXIT_OK;

	if (said && !audit_check_is_whole(&a->check))
		say_no_log(a);
	while (code == EXIT_OK && a->was_in_use && !audit_check_is_whole(&a->check) &&
	       (now_ns = clock_now_ns()) - start_ns < LAG_NS) {
		if (now_ns - start_ns >= SOON_NS)
			say_waiting(a, &said);
		(void) nanosleep(&pause, NULL);
		code = open_log(a);
		if (code == EXIT_OK)
			code = read_log(a);
	}
	return code;
}

/* What is left behind the last line end: the daemon may be writing it just now, or was killed
 * when it did. */
static int check_ends(struct audit *a)
{
	bool begun = false; /* one file at most ends so */

	for (size_t i = 0; i < a->log.n; i++) {
		const struct audit_file *file = &a->log.files[i];
		unsigned long long number = file->lines + 1;
		if (file->rest.len == 0 || (a->was_in_use && audit_check_is_whole(&a->check)))
			continue;
		int r = begun ? 0 : audit_check_is_begun(&a->check, file);
		if (r < 0)
			return r;
		if (r > 0)
			audit_say(&a->report, "log       %s:%llu: the beginning of seq %llu, which that start "
			          "completes", file->path, number,
			          (unsigned long long) a->check.pending.first);
		else
			audit_problem(&a->report, AUDIT_LINE, "%s:%llu: torn: the line has no end", file->path,
			              number);
		begun |= r > 0;
	}
	return 0;
}

/* --- the command ------------------------------------------------------------------- */

static int open_database(struct audit *a)
{
	struct buf errors = { 0 };

	int r = audit_db_open(a->database, &a->db, &errors);
	if (r < 0)
		log_error_lines(errors.data, errors.len);
	buf_done(&errors);
	return r == 0 ? EXIT_OK : r == -ENOENT ? EXIT_NO_INPUT : r == -ENOMEM ? EXIT_INTERNAL : EXIT_IO;
}

static void say_files(struct audit *a)
{
	audit_say(&a->report, "database  %s%s", a->database,
	          a->was_in_use ? " (penstockd works with it; this is about one moment)" : "");
	for (size_t i = 0; i < a->log.n; i++)
		audit_say(&a->report, "log       %s", a->log.files[i].path);
	if (a->log.n == 0)
		audit_say(&a->report, "log       %s: %s", a->results,
		          a->is_stream ? "no file: only the database is checked"
		                       : "there is no such file");
	if (a->log.unread.len > 0)
		audit_say(&a->report, "log       compressed, and not read: %.*s", (int) a->log.unread.len,
		          a->log.unread.data);
}

static int check_log(struct audit *a)
{
	int code = read_log(a);

	if (code == EXIT_OK)
		code = read_on(a);
	if (code != EXIT_OK)
		return code;
	int r = audit_check_log(&a->check);
	if (r == 0 && a->check.bodies)
		audit_bodies_end(&a->bodies, a->bodies_dir);
	if (r == 0)
		r = check_ends(a);
	if (r < 0)
		return *audit_db_error(a->db) != '\0' ? say_database_failed(a)
		                                      : say_unreadable(a->database, r);
	return EXIT_OK;
}

static int conclude(struct audit *a)
{
	uint64_t problems = audit_report_end(&a->report);

	if (!a->was_in_use && audit_db_is_in_use(a->db)) {
		log_error("penstockd was started meanwhile, and what was found means nothing: audit again");
		return EXIT_IO;
	}
	if (problems == 0)
		audit_say(&a->report, "balanced");
	else
		audit_say(&a->report, "NOT BALANCED: %llu problem%s", (unsigned long long) problems,
		          problems == 1 ? "" : "s");
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_error("standard output cannot be written: %s", strerror(errno));
		return EXIT_IO;
	}
	return problems == 0 ? EXIT_OK : EXIT_SOME_FAILED;
}

static int perform(struct audit *a)
{
	struct stat st;

	int code = open_database(a);
	if (code != EXIT_OK)
		return code;
	a->was_in_use = audit_db_was_in_use(a->db);
	a->report = (struct audit_report) { .out = stdout, .quiet = a->quiet };
	a->check = (struct audit_check) {
		.report = &a->report, .db = a->db, .in_use = a->was_in_use };
	if (a->bodies_dir) {
		a->bodies = (struct audit_bodies) { .report = &a->report, .base = a->bodies_base };
		a->check.bodies = &a->bodies;
	}
	a->is_stream = a->results && (strcmp(a->results, "-") == 0 ||
	                              (stat(a->results, &st) == 0 && !S_ISREG(st.st_mode) &&
	                               !S_ISDIR(st.st_mode)));
	code = open_log(a);
	if (code != EXIT_OK)
		return code;
	say_files(a);
	if (audit_check_books(&a->check) < 0)
		return say_database_failed(a);
	if (!a->is_stream)
		code = check_log(a);
	return code == EXIT_OK ? conclude(a) : code;
}

int cli_audit(int argc, char **argv)
{
	struct audit a = { .given_results = calloc((size_t) argc, sizeof(char *)) };

	if (!a.given_results) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	int r = read_options(&a, argc, argv);
	int code = r == 0 ? read_settings(&a) : r > 0 ? EXIT_OK : EXIT_USAGE;
	if (r == 0 && code == EXIT_OK)
		code = perform(&a);
	audit_check_done(&a.check);
	audit_bodies_done(&a.bodies);
	audit_log_close(&a.log);
	audit_db_close(a.db);
	free(a.database);
	free(a.results);
	free(a.bodies_dir);
	free(a.bodies_base);
	free((void *) a.given_results);
	return code;
}
