/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock submit`: hands the jobs of files over to the daemon. */
#include "cli/submit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/socket_path.h"
#include "cli/url_files.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long ull; /* for %llu */

#define DEFAULT_TIMEOUT_NS (60 * NS_PER_S)

/* An id is at most 256 bytes; the number behind the prefix takes up to 21. */
enum { MAX_PREFIX_BYTES = 200 };

enum { OPT_SOCKET = 256, OPT_IDS, OPT_ID_PREFIX, OPT_WAIT, OPT_TIMEOUT, OPT_RESULTS };

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ "results", required_argument, NULL, OPT_RESULTS },
	{ "ids", no_argument, NULL, OPT_IDS },
	{ "id-prefix", required_argument, NULL, OPT_ID_PREFIX },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "quiet", no_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* --- options ----------------------------------------------------------------------- */

static void print_help(void)
{
	(void) printf(
		"Usage: penstock submit [OPTION]... [FILE|-]...\n"
		"Hand the jobs in FILEs, or in standard input, over to the daemon: a line is a URL, or a\n"
		"JSON job such as {\"url\": \"http://…\", \"method\": \"POST\"}.\n\n"
		"      --socket PATH      the daemon's control socket; else $PENSTOCK_SOCKET, else\n"
		"                         control.sock in $RUNTIME_DIRECTORY, else\n"
		"                         %s\n"
		"      --wait             then wait until all of these jobs are settled\n"
		"      --results FILE     --wait, and write their results to FILE (-: standard output),\n"
		"                         in the order of the lines; what was in it is gone\n"
		"      --ids              write the id of each job to standard output\n"
		"      --id-prefix TEXT   ids of lines without one are TEXT-1, TEXT-2 and so on: if it is\n"
		"                         broken off, give the same again, and nothing is done twice\n"
		"      --timeout TIME     give up when the daemon has not answered for so long (1m)\n"
		"  -s, --quiet            no progress line and no summary\n"
		"  -h, --help             print this and exit\n\n"
		"Exit status: 0 all accepted or known (--wait: and done), 1 some lines refused\n"
		"(--wait: or some jobs dead or cancelled), 7 interrupted, 64 usage, 66 no input,\n"
		"69 no daemon answers, 70 internal, 73 no temporary file for --wait, or none for results,\n"
		"74 cannot read or write.\n",
		PENSTOCK_RUNSTATEDIR "/penstock/control.sock");
}

static bool is_prefix(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > MAX_PREFIX_BYTES || strncmp(text, "p-", 2) == 0 ||
	    strcmp(text, "p") == 0)
		return false;
	for (; *text > 0x20 && *text < 0x7f; text++)
		;
	return *text == '\0';
}

static int take_value(struct submit_args *args, int option)
{
	switch (option) {
	case OPT_ID_PREFIX:
		args->prefix = optarg;
		if (is_prefix(optarg))
			return 0;
		log_error("--id-prefix %s: give 1 to %d printable ASCII characters without blanks, "
		          "not beginning with \"p-\"", optarg, MAX_PREFIX_BYTES);
		return -EINVAL;
	case OPT_RESULTS:
		args->results = optarg;
		args->wait = true;
		return 0;
	case OPT_TIMEOUT:
		if (units_parse_duration(optarg, &args->timeout_ns) == 0)
			return 0;
		log_error("--timeout %s: give a time with its unit, such as 30s", optarg);
		return -EINVAL;
	default:
		args->socket = optarg;
		return 0;
	}
}

static int take_option(struct submit_args *args, int option)
{
	switch (option) {
	case OPT_SOCKET:
	case OPT_ID_PREFIX:
	case OPT_RESULTS:
	case OPT_TIMEOUT:
		return take_value(args, option);
	case OPT_WAIT:
		args->wait = true;
		return 0;
	case OPT_IDS:
		args->ids = true;
		return 0;
	case 's':
		args->quiet = true;
		return 0;
	case 'h':
		print_help();
		return 1;
	default: /* getopt_long() has said what is wrong */
		log_error("see penstock submit --help");
		return -EINVAL;
	}
}

/* Returns 0, 1 if --help was asked for, or -EINVAL after the problem was said. */
static int read_options(struct submit_args *args, int argc, char **argv)
{
	static char name[] = "penstock submit";
	static char dash[] = "-";
	static char *standard_input[] = { dash };
	int option = 0, r = 0;

	argv[0] = name; /* what getopt_long() puts in front of its messages */
	while (r == 0 && (option = getopt_long(argc, argv, "sh", long_options, NULL)) != -1)
		r = take_option(args, option);
	args->files = argv + optind;
	args->n_files = (size_t) (argc - optind);
	if (r == 0 && args->n_files == 0 && isatty(STDIN_FILENO)) {
		log_error("no jobs: name a FILE, or - for standard input; see penstock submit --help");
		return -EINVAL;
	}
	if (r == 0 && args->ids && args->results && strcmp(args->results, "-") == 0) {
		log_error("--ids and --results -: only one of them can be written to standard output");
		return -EINVAL;
	}
	if (args->n_files == 0) {
		args->files = standard_input;
		args->n_files = 1;
	}
	return r;
}

/* --- progress ---------------------------------------------------------------------- */

static uint64_t settled(const struct submit_totals *t)
{
	return t->done + t->dead + t->cancelled + t->forgotten;
}

/* Moves the rate towards what it was since the last line; a second is its memory. */
static void measure(struct submit *s, uint64_t n, uint64_t now_ns)
{
	double seconds = (double) (now_ns - s->drawn_ns) / (double) NS_PER_S;
	double latest = (double) (n - s->drawn_lines) / seconds;

	s->rate += (latest - s->rate) * (s->drawn_lines == 0 ? 1 : seconds / (seconds + 1));
	s->drawn_lines = n;
	s->drawn_ns = now_ns;
}

static void add_time_left(const struct submit *s, struct buf *b)
{
	uint64_t all = s->totals.accepted + s->totals.known, n = settled(&s->totals);

	if (all > 0)
		buf_printf(b, "  %.0f%%", 100.0 * (double) n / (double) all);
	if (all > n && s->rate >= 0.1) {
		buf_add_str(b, "  ETA ");
		units_add_duration_rough(b, (uint64_t) ((double) (all - n) / s->rate) * NS_PER_S);
	}
}

static void draw(struct submit *s, uint64_t now_ns)
{
	const struct submit_totals *t = &s->totals;
	const struct job_lines *lines = &s->lines;
	struct buf b = { 0 };

	measure(s, s->waiting ? settled(t) : submit_receipts(s), now_ns);
	if (s->waiting)
		buf_printf(&b, "%llu/%llu settled  %llu done  %llu dead  %.0f/s", (ull) settled(t),
		           (ull) (t->accepted + t->known), (ull) t->done, (ull) t->dead, s->rate);
	else
		buf_printf(&b, "%llu accepted  %llu known  %llu refused  %.0f/s", (ull) t->accepted,
		           (ull) t->known, (ull) t->refused, s->rate);
	if (s->waiting)
		add_time_left(s, &b);
	else if (lines->bytes_total > 0)
		buf_printf(&b, "  %.0f%%", 100.0 * (double) lines->bytes / (double) lines->bytes_total);
	if (!b.failed)
		progress_show(b.data, b.len);
	buf_done(&b);
}

static void on_tick(void *arg)
{
	struct submit *s = arg;
	uint64_t now_ns = clock_now_ns();

	if (s->draws && now_ns - s->drawn_ns >= PROGRESS_INTERVAL_MS * NS_PER_MS)
		draw(s, now_ns);
}

/* --- the end ----------------------------------------------------------------------- */

static void add_counts(const struct submit *s, struct buf *b)
{
	const struct submit_totals *t = &s->totals;

	buf_printf(b, "%llu accepted, %llu known, %llu refused", (ull) t->accepted, (ull) t->known,
	           (ull) t->refused);
	if (s->waiting)
		buf_printf(b, "; %llu done, %llu dead, %llu cancelled", (ull) t->done, (ull) t->dead,
		           (ull) t->cancelled);
	if (t->forgotten > 0)
		buf_printf(b, ", %llu settled and forgotten", (ull) t->forgotten);
}

static void summarise(const struct submit *s)
{
	struct buf b = { 0 };

	add_counts(s, &b);
	buf_add_str(&b, "; in ");
	units_add_duration_rough(&b, clock_now_ns() - s->start_ns);
	buf_add_char(&b, '\0');
	if (!b.failed)
		log_info("%s", b.data);
	buf_done(&b);
}

/* Where it was broken off, and how to go on. */
static void say_unfinished(const struct submit *s)
{
	const struct upload *u = &s->upload;
	ull receipts = (ull) submit_receipts(s);

	if (s->waiting) {
		log_info("stopped: at least %llu of %llu jobs are settled; all are the daemon's",
		         (ull) settled(&s->totals), (ull) (s->totals.accepted + s->totals.known));
		log_info("to go on waiting, and do nothing twice, give the same lines again with --wait "
		         "--id-prefix %s", s->args.prefix);
		return;
	}
	if (u->n > 0)
		log_info("stopped: %llu lines have a receipt; the first that has none is %s:%llu", receipts,
		         job_lines_name(&s->lines, u->lines[0].place.file),
		         (ull) u->lines[0].place.number);
	else
		log_info("stopped: %llu lines have a receipt", receipts);
	log_info("to go on, and do nothing twice, give the same lines again with --id-prefix %s",
	         s->args.prefix);
}

/* The exit code of a run that came to its end. */
static int judge(const struct submit *s)
{
	const struct submit_totals *t = &s->totals;

	return t->refused + t->dead + t->cancelled + t->forgotten > 0 ? EXIT_SOME_FAILED : EXIT_OK;
}

static int finish(struct submit *s, int code)
{
	if (s->draws)
		progress_wipe();
	if (code != EXIT_OK && (code == EXIT_UNFINISHED || s->patience.was_there))
		say_unfinished(s);
	if (!s->args.quiet && s->patience.was_there)
		summarise(s);
	return code == EXIT_OK ? judge(s) : code;
}

/* --- the command ------------------------------------------------------------------- */

static int open_lines(struct submit *s)
{
	size_t failed = 0;

	if (url_files_given("submit", s->args.files, s->args.n_files))
		return EXIT_USAGE;
	int r = job_lines_open(&s->lines, s->args.files, s->args.n_files, s->stop_fd, &failed);
	if (r == 0)
		return EXIT_OK;
	if (r == -ENOMEM) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	log_error("%s: cannot be read: %s", s->args.files[failed], strerror(-r));
	return EXIT_NO_INPUT;
}

static int open_results(struct submit *s)
{
	const char *path = s->args.results;

	if (path)
		s->results = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	if (!path || s->results)
		return EXIT_OK;
	log_error("%s: cannot be opened: %s", path, strerror(errno));
	return EXIT_CANNOT_CREATE;
}

static int prepare(struct submit *s)
{
	const struct unix_http_watch watch = { .stop_fd = s->stop_fd, .tick = on_tick, .arg = s };

	s->path = socket_path(s->args.socket);
	s->http = s->path ? unix_http_open(s->path, &watch) : NULL;
	if (!s->http) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	s->patience = (struct patience) {
		.path = s->path, .watch = watch, .limit_ns = s->args.timeout_ns };
	if (!s->args.prefix) {
		(void) snprintf(s->prefix, sizeof(s->prefix), "s-%016llx", (ull) random_seed());
		s->args.prefix = s->prefix;
	}
	if (s->args.wait && !(s->wait_for = tmpfile())) {
		log_error("no temporary file can be made for --wait: %s", strerror(errno));
		return EXIT_CANNOT_CREATE;
	}
	int code = open_results(s);
	if (code != EXIT_OK)
		return code;
	s->draws = !s->args.quiet && isatty(STDERR_FILENO) &&
	           !((s->args.ids || s->results == stdout) && isatty(STDOUT_FILENO));
	s->start_ns = s->drawn_ns = clock_now_ns();
	return EXIT_OK;
}

static int perform(struct submit *s)
{
	s->stop_fd = interrupt_open();
	if (s->stop_fd < 0) {
		log_error("signals cannot be waited for: %s", strerror(-s->stop_fd));
		return EXIT_INTERNAL;
	}
	int code = open_lines(s);
	if (code == EXIT_OK)
		code = prepare(s);
	if (code != EXIT_OK)
		return code;

	code = submit_send(s);
	if (code == EXIT_OK && s->wait_for)
		code = submit_wait(s);
	return finish(s, code);
}

int cli_submit(int argc, char **argv)
{
	struct submit s = { .args.timeout_ns = DEFAULT_TIMEOUT_NS, .stop_fd = -1 };

	int r = read_options(&s.args, argc, argv);
	if (r != 0)
		return r > 0 ? EXIT_OK : EXIT_USAGE;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised");
		return EXIT_INTERNAL;
	}
	int code = perform(&s);
	unix_http_close(s.http);
	curl_global_cleanup();
	job_lines_close(&s.lines);
	upload_done(&s.upload);
	buf_done(&s.refusal);
	if (s.wait_for)
		(void) fclose(s.wait_for);
	if (s.results && s.results != stdout)
		(void) fclose(s.results); /* it is flushed, and that was checked */
	if (s.stop_fd >= 0)
		(void) close(s.stop_fd);
	free(s.path);
	return code;
}
