/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog/submissions.h"

void submission_list_append(struct submission_list *list, struct submission *s)
{
	s->next = NULL;
	if (list->last)
		list->last->next = s;
	else
		list->first = s;
	list->last = s;
	list->len++;
}

struct submission *submission_list_take(struct submission_list *list)
{
	struct submission *s = list->first;

	if (s)
		(void) submission_list_remove(list, s);
	return s;
}

bool submission_list_remove(struct submission_list *list, struct submission *s)
{
	struct submission *before = NULL;
	struct submission **at = &list->first;

	for (; *at && *at != s; at = &before->next)
		before = *at;
	if (!*at)
		return false;
	*at = s->next;
	if (list->last == s)
		list->last = before;
	list->len--;
	s->next = NULL;
	return true;
}
