/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/seq_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void seq_set_done(struct seq_set *s)
{
	free(s->runs);
	*s = (struct seq_set) { 0 };
}

/* The index of the first run that does not end before 'seq'. */
static size_t find(const struct seq_set *s, uint64_t seq)
{
	size_t low = 0, high = s->n;

	if (s->n > 0 && s->runs[s->n - 1].last < seq)
		return s->n; /* how it mostly is */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->runs[middle].last < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int insert(struct seq_set *s, size_t at, uint64_t seq)
{
	if (s->n == SEQ_SET_MAX_RUNS)
		return -E2BIG;
	if (s->n == s->size) {
		size_t size = s->size > 0 ? s->size * 2 : 16;
		struct seq_run *grown = realloc(s->runs, size * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->runs = grown;
		s->size = size;
	}
	memmove(s->runs + at + 1, s->runs + at, (s->n - at) * sizeof(*s->runs));
	s->runs[at] = (struct seq_run) { .first = seq, .last = seq };
	s->n++;
	return 1;
}

static void join_with_next(struct seq_set *s, size_t at)
{
	s->runs[at].last = s->runs[at + 1].last;
	memmove(s->runs + at + 1, s->runs + at + 2, (s->n - at - 2) * sizeof(*s->runs));
	s->n--;
}

int seq_set_add(struct seq_set *s, uint64_t seq)
{
	size_t at = find(s, seq);

	if (at < s->n && s->runs[at].first <= seq)
		return 0;
	bool follows = at > 0 && s->runs[at - 1].last + 1 == seq;
	bool leads = at < s->n && s->runs[at].first == seq + 1;
	if (follows) {
		s->runs[at - 1].last = seq;
		if (leads)
			join_with_next(s, at - 1);
		return 1;
	}
	if (leads) {
		s->runs[at].first = seq;
		return 1;
	}
	return insert(s, at, seq);
}

bool seq_set_run_from(const struct seq_set *s, uint64_t seq, struct seq_run *ret_run)
{
	size_t at = find(s, seq);

	if (at == s->n)
		return false;
	*ret_run = s->runs[at];
	if (ret_run->first < seq)
		ret_run->first = seq;
	return true;
}
