/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_paint.h"

#include <curses.h>
#include <wchar.h>

enum { MAX_CELLS = 1024, LOOKS = PAINT_BOLD };

/* Takes a character off the text.  In a locale that is not UTF-8 only ASCII is left of it. */
static wchar_t next(const struct painter *p, const char **at, size_t *left)
{
	size_t n = buf_utf8_length(*at, *left);
	mbstate_t state = { 0 };
	wchar_t c = (unsigned char) **at < 0x80 ? **at : L'?';

	if (n > 0 && !p->is_ascii)
		(void) mbrtowc(&c, *at, n, &state);
	n = n > 0 ? n : 1;
	*at += n;
	*left -= n;
	return wcwidth(c) > 0 ? c : L'?';
}

/* What fits, marked if that is not all.  Returns the columns that it takes. */
static int fit(const struct painter *p, int width, wchar_t cells[static MAX_CELLS])
{
	const char *at = p->text.data;
	size_t left = p->text.len, n = 0;
	int used = 0, room = width < MAX_CELLS ? width : MAX_CELLS - 1;

	while (left > 0) {
		wchar_t c = next(p, &at, &left);
		if (used + wcwidth(c) > room) {
			while (n > 0 && used >= room)
				used -= wcwidth(cells[--n]);
			c = p->is_ascii ? L'~' : L'…';
			left = 0;
		}
		cells[n++] = c;
		used += wcwidth(c);
	}
	cells[n] = L'\0';
	return used;
}

static attr_t attributes(const struct painter *p, int look)
{
	attr_t a = A_NORMAL;

	if (p->is_grey)
		return A_DIM | (look & PAINT_REVERSED ? A_REVERSE : 0);
	a |= look & PAINT_BOLD ? A_BOLD : 0;
	a |= look & PAINT_REVERSED ? A_REVERSE : 0;
	a |= look & PAINT_UNDERLINED ? A_UNDERLINE : 0;
	return a;
}

void paint(struct painter *p, int row, int column, int width, int look)
{
	wchar_t cells[MAX_CELLS];
	int room = p->columns - column;

	width = width < room ? width : room;
	if (row < 0 || row >= p->rows || width <= 0 || p->text.failed) {
		buf_clear(&p->text);
		return;
	}
	int used = fit(p, width, cells);
	short colour = p->has_colours && !p->is_grey ? (short) (look & (LOOKS - 1)) : 0;
	(void) attr_set(attributes(p, look), colour, NULL);
	(void) mvhline(row, column, ' ' | (look & PAINT_REVERSED ? A_REVERSE : 0), width);
	(void) mvaddwstr(row, look & PAINT_RIGHT ? column + width - used : column, cells);
	(void) attr_set(A_NORMAL, 0, NULL);
	buf_clear(&p->text);
}

void paint_str(struct painter *p, int row, int column, int width, int look, const char *text)
{
	buf_clear(&p->text);
	buf_add_str(&p->text, text);
	paint(p, row, column, width, look);
}
