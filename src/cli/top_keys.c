/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_keys.h"

#include "base/sync.h"

#include <curses.h>
#include <stddef.h>

enum { ESCAPE = 27, CTRL_L = 12 };

#define NO_LANE "select a lane first, with the arrow keys"

static const char pause_question[] = "Pause everything? y/n";
static const char drain_question[] =
	"Drain: take no more jobs until the daemon is started anew? y/n";

/* --- lanes ------------------------------------------------------------------------- */

static void sort(struct top *t, size_t step)
{
	t->view.order = (t->view.order + step) % LANE_ORDERS;
	t->view.from = 0;
	top_ask_sort(&t->ask, &t->data, &lane_orders[t->view.order]);
}

/* The first key selects the first lane that is seen. */
static int move_selection(struct top *t, int key)
{
	size_t at = t->view.at, page = t->view.n_seen, last = t->data.n_lanes;

	if (!t->view.selected && key != KEY_END && key != KEY_HOME)
		return top_view_select(&t->view, &t->data, t->view.from);
	switch (key) {
	case KEY_UP:
		return top_view_select(&t->view, &t->data, at > 0 ? at - 1 : 0);
	case KEY_DOWN:
		return top_view_select(&t->view, &t->data, at + 1);
	case KEY_PPAGE:
		return top_view_select(&t->view, &t->data, at > page ? at - page : 0);
	case KEY_NPAGE:
		return top_view_select(&t->view, &t->data, at + page);
	default:
		return top_view_select(&t->view, &t->data, key == KEY_HOME ? 0 : last);
	}
}

static int order_lane(struct top *t, const char *lever)
{
	if (t->view.selected)
		return top_ask_order(&t->ask, lever, t->view.selected);
	t->view.hint = NO_LANE;
	return 0;
}

/* --- the rest ---------------------------------------------------------------------- */

static void widen(struct top_view *v)
{
	static const unsigned minutes[] = { 1, 2, 5, 10 };
	size_t at = 0;

	while (minutes[at] * 60 != v->window_s)
		at++;
	v->window_s = minutes[(at + 1) % ARRAY_LEN(minutes)] * 60;
}

static int answer(struct top *t, int key)
{
	const char *question = t->view.question;

	t->view.question = NULL;
	if (key != 'y' && key != 'Y')
		return 0;
	return top_ask_order(&t->ask, question == drain_question ? "drain" : "pause", NULL);
}

static int press_lane_key(struct top *t, int key)
{
	switch (key) {
	case 'j':
		return move_selection(t, KEY_DOWN);
	case 'k':
		return move_selection(t, KEY_UP);
	case KEY_UP:
	case KEY_DOWN:
	case KEY_PPAGE:
	case KEY_NPAGE:
	case KEY_HOME:
	case KEY_END:
		return move_selection(t, key);
	case 'p':
		return order_lane(t, "pause");
	case 'r':
		return order_lane(t, "resume");
	default:
		return 0;
	}
}

int top_press(struct top *t, int key)
{
	struct top_view *v = &t->view;

	if (key == KEY_RESIZE)
		return 0;
	v->hint = NULL;
	buf_clear(&t->data.message);
	if (v->question)
		return answer(t, key);
	if (v->shows_help && key != 'q') {
		v->shows_help = false;
		return 0;
	}
	switch (key) {
	case 'q':
		t->ends = true;
		break;
	case 'h':
	case '?':
		v->shows_help = true;
		break;
	case 's':
		sort(t, 1);
		break;
	case 'S':
		sort(t, LANE_ORDERS - 1);
		break;
	case 'w':
		widen(v);
		break;
	case ESCAPE:
		top_view_unselect(v);
		break;
	case CTRL_L:
		(void) clearok(curscr, TRUE);
		break;
	case 'P':
		v->question = pause_question;
		break;
	case 'D':
		v->question = drain_question;
		break;
	case 'R':
		return top_ask_order(&t->ask, "resume", NULL);
	default:
		return press_lane_key(t, key);
	}
	return 0;
}
