/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_terminal.h"

#include "base/log.h"
#include "cli/cli.h"
#include "cli/interrupt.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

enum { ESCAPE_DELAY_MS = 25 };

/* --- giving it back in a crash ------------------------------------------------------ */

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT };

/* Read by the signal handler. */
static struct {
	struct termios modes;   /* as they were */
	char text[256];         /* what ends the full screen */
	volatile sig_atomic_t len;
	struct sigaction before[ARRAY_LEN(crash_signals)];
} rescue;

/* Only what signal-safety(7) allows; endwin() does not belong to it.  Then the signal comes
 * again, to whom it would have come. */
static void on_crash(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void) context;
	(void) !write(STDOUT_FILENO, rescue.text, (size_t) rescue.len);
	(void) tcsetattr(STDIN_FILENO, TCSANOW, &rescue.modes);
	for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
		(void) sigaction(crash_signals[i], &rescue.before[i], NULL);
	if (info->si_code <= 0) /* a process sent it, not an instruction that will be repeated */
		(void) raise(number);
	errno = saved;
}

/* Collects what tputs() puts out: it leaves the padding away here, as there is none to print. */
static int collect(int c)
{
	if ((size_t) rescue.len < sizeof(rescue.text))
		rescue.text[rescue.len++] = (char) c;
	return c;
}

static void add_capability(const char *text)
{
	if (text)
		(void) tputs(text, 1, collect);
}

static void catch_crashes(void)
{
	struct sigaction action = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO };

	rescue.len = 0;
	add_capability(exit_attribute_mode);
	add_capability(keypad_local);
	add_capability(cursor_normal);
	add_capability(exit_ca_mode);
	for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
		(void) sigaction(crash_signals[i], &action, &rescue.before[i]);
}

static void release_crashes(void)
{
	for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
		(void) sigaction(crash_signals[i], &rescue.before[i], NULL);
}

/* --- what it can do ----------------------------------------------------------------- */

/* The locale of the user, whose variables may name one that is not installed here. */
static bool set_locale(void)
{
	if (!setlocale(LC_CTYPE, ""))
		(void) setlocale(LC_CTYPE, "C.UTF-8");
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

int top_terminal_check(void)
{
	const char *type = getenv("TERM");
	int found = 0;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		log_error("penstock top needs a terminal as standard input and output; penstock status "
		          "does without");
		return EXIT_USAGE;
	}
	if (setupterm(NULL, STDOUT_FILENO, &found) == ERR) {
		log_error("the terminal type \"%s\" is not known here; set TERM, for example to xterm",
		          type ? type : "");
		return EXIT_USAGE;
	}
	bool can = cursor_address && clear_screen;
	(void) del_curterm(cur_term); /* newterm() has its own */
	if (can)
		return EXIT_OK;
	log_error("a terminal of type \"%s\" cannot show a full screen; penstock status --watch does "
	          "without", type ? type : "");
	return EXIT_USAGE;
}

/* no-color.org: of whatever value, if it is not empty. */
static bool set_colours(void)
{
	const char *none = getenv("NO_COLOR");

	if ((none && *none != '\0') || !has_colors() || start_color() == ERR)
		return false;
	short ground = use_default_colors() == OK ? -1 : COLOR_BLACK;
	(void) init_pair(TOP_GOOD, COLOR_GREEN, ground);
	(void) init_pair(TOP_WARNING, COLOR_YELLOW, ground);
	(void) init_pair(TOP_BAD, COLOR_RED, ground);
	(void) init_pair(TOP_TITLE, COLOR_CYAN, ground);
	return true;
}

/* --- signals ------------------------------------------------------------------------ */

static void never_called(int number) { (void) number; }

/*
 * SIGTSTP gets a handler, although it is blocked: without one ncurses installs its own, and then
 * has the signal ignored while it draws (_nc_signal_handler()), which also drops one that is
 * waiting in the signalfd.
 */
static int open_signals(void)
{
	const struct sigaction handled = { .sa_handler = never_called };
	sigset_t caught;

	(void) sigemptyset(&caught);
	(void) sigaddset(&caught, SIGWINCH);
	(void) sigaddset(&caught, SIGCONT);
	interrupt_add_unless_ignored(&caught, SIGTSTP);
	if (sigismember(&caught, SIGTSTP) == 1)
		(void) sigaction(SIGTSTP, &handled, NULL);
	(void) sigprocmask(SIG_BLOCK, &caught, NULL);
	return signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void resize(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		(void) resizeterm(size.ws_row, size.ws_col);
	(void) clearok(curscr, TRUE); /* whatever is there by now */
}

void top_terminal_changed(struct top_terminal *t)
{
	struct signalfd_siginfo info;
	bool stops = false;

	while (read(t->signal_fd, &info, sizeof(info)) == sizeof(info))
		stops |= info.ssi_signo == SIGTSTP;
	if (stops) {
		(void) endwin();
		(void) raise(SIGSTOP);
		(void) refresh(); /* back to the full screen */
	}
	resize();
}

bool top_terminal_is_gone(void)
{
	struct pollfd terminal = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&terminal, 1, 0) > 0 && (terminal.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* --- taking it over ----------------------------------------------------------------- */

static void set_modes(struct top_terminal *t)
{
	(void) cbreak();
	(void) noecho();
	(void) nonl();
	(void) keypad(stdscr, TRUE);
	(void) nodelay(stdscr, TRUE);
	(void) set_escdelay(ESCAPE_DELAY_MS);
	(void) curs_set(0);
	t->has_colours = set_colours();
}

int top_terminal_open(struct top_terminal *t)
{
	*t = (struct top_terminal) { .signal_fd = -1 };
	t->is_ascii = !set_locale();
	t->signal_fd = open_signals();
	if (t->signal_fd < 0 || tcgetattr(STDIN_FILENO, &rescue.modes) < 0) {
		log_error("the terminal cannot be used: %s", strerror(errno));
		return EXIT_INTERNAL;
	}
	t->screen = newterm(NULL, stdout, stdin);
	if (!t->screen) {
		log_error("the terminal cannot be used; is there memory?");
		return EXIT_INTERNAL;
	}
	catch_crashes();
	set_modes(t);
	return EXIT_OK;
}

void top_terminal_close(struct top_terminal *t)
{
	if (t->screen) {
		(void) endwin();
		release_crashes();
		delscreen(t->screen);
	}
	if (t->signal_fd >= 0)
		(void) close(t->signal_fd);
	*t = (struct top_terminal) { .signal_fd = -1 };
}
