/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/records.h"

bool record_range_add(struct record_range *r, enum outcome outcome, const char *line, size_t len,
                      struct buf *page)
{
	if ((r->outcomes >> outcome) & 1U) {
		size_t room = page->len < r->page_bytes ? r->page_bytes - page->len : 0;
		size_t rest = len - r->offset;
		if (rest > room && page->len > 0)
			return false;
		buf_add(page, line + r->offset, rest < room ? rest : room);
		if (rest > room) {
			r->offset += room;
			return false;
		}
		r->offset = 0;
		r->left--;
	}
	r->next_seq++;
	return !record_range_is_over(r);
}

bool record_range_reaches(const struct record_range *r, enum outcome outcome, int64_t settled_us,
                          uint64_t *n)
{
	if (settled_us < r->since_us || (r->newest > 0 && *n == r->newest))
		return false;
	*n += (r->outcomes >> outcome) & 1U;
	return true;
}
