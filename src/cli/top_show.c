/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of penstock top: one wait for a signal, a key, the terminal, an answer and the time.
 * What is slow is slow beside it: no key waits for the daemon.
 */
#include "cli/top.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/top_keys.h"

#include <curses.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_WINDOW_S = 300 };

#define REDRAW_NS NS_PER_S /* what is told in seconds */

/* All keys that are there.  Returns 0 or -ENOMEM. */
static int read_keys(struct top *t)
{
	int r = 0, key = getch();

	if (key == ERR && top_terminal_is_gone())
		t->ends = true;
	while (r == 0 && key != ERR) {
		r = top_press(t, key);
		key = getch();
	}
	return r;
}

/* Waits until there is something to do, or to draw.  Returns 0, or a negative error. */
static int wait_and_act(struct top *t, int stop_fd, uint64_t drawn_ns, bool *ret_is_news)
{
	struct pollfd fds[] = {
		{ .fd = stop_fd }, { .fd = t->terminal.signal_fd }, { .fd = STDIN_FILENO }
	};
	uint64_t redraw_ns = clock_after(drawn_ns, REDRAW_NS), next_ns = top_ask_next_ns(&t->ask);

	int wait_ms = clock_poll_ms(redraw_ns < next_ns ? redraw_ns : next_ns);
	int r = unix_http_wait(t->ask.http, fds, ARRAY_LEN(fds), wait_ms);
	if (r < 0)
		return r;
	t->ends |= fds[0].revents != 0;
	if (fds[1].revents != 0)
		top_terminal_changed(&t->terminal);
	if (fds[2].revents != 0)
		r = read_keys(t);
	*ret_is_news = top_ask_continue(&t->ask, &t->data) || fds[1].revents != 0 ||
	               fds[2].revents != 0 || clock_now_ns() >= redraw_ns;
	return r;
}

static int loop(struct top *t, int stop_fd)
{
	bool is_news = true;
	uint64_t drawn_ns = 0;
	int r = 0;

	while (r == 0 && !t->ends) {
		if (is_news) {
			drawn_ns = clock_now_ns();
			top_view_draw(&t->view, &t->data, drawn_ns);
		}
		r = wait_and_act(t, stop_fd, drawn_ns, &is_news);
	}
	return r;
}

static int show(struct top *t, int stop_fd)
{
	int code = top_terminal_open(&t->terminal);
	int r = 0;

	if (code == EXIT_OK) {
		t->view.painter.is_ascii = t->terminal.is_ascii;
		t->view.painter.has_colours = t->terminal.has_colours;
		r = loop(t, stop_fd);
	}
	top_terminal_close(&t->terminal);
	if (r == 0)
		return code;
	log_error("%s", r == -ENOMEM ? "out of memory" : "the socket cannot be waited for");
	return EXIT_INTERNAL;
}

/* The first answer is asked for without a screen: that there is no daemon is an ordinary error. */
int top_show(struct top_command *c)
{
	struct top t = {
		.ask = { .http = c->ask.http, .interval_ns = c->interval_ns,
		         .order = &lane_orders[LANE_BY_DEPTH] },
		.view = { .socket = c->ask.path, .window_s = DEFAULT_WINDOW_S },
	};

	int code = top_terminal_check();
	if (code == EXIT_OK)
		code = ask_daemon(&c->ask, "/v1/status", NULL, NULL, &t.data.status);
	if (code == EXIT_OK && !json_is_object(json_object_get(t.data.status, "ledger")))
		code = ask_misunderstood(&c->ask);
	if (code == EXIT_OK) {
		t.data.answered_ns = clock_now_ns();
		code = show(&t, c->ask.stop_fd);
	}
	unix_http_cancel(c->ask.http);
	top_ask_done(&t.ask);
	top_data_done(&t.data);
	top_view_done(&t.view);
	return code;
}
