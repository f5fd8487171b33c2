/* SPDX-License-Identifier: Apache-2.0 */
#include "control/text.h"

#include "base/buf.h"
#include "job/job.h"

#include <stdlib.h>
#include <string.h>

json_t *text_json(const char *text)
{
	struct buf b = { 0 };
	json_t *json = NULL;

	/* jansson refuses what is not UTF-8; the writer of result lines replaces it. */
	buf_add_json_str(&b, text);
	if (!b.failed)
		json = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
	buf_done(&b);
	return json;
}

/* Each value takes memory, of which job_parse() bounds the number too. */
static bool has_few_values(const char *line, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += line[i] == ',' || line[i] == '[' || line[i] == '{';
	return n <= JOB_MAX_VALUES;
}

char *text_find_id(const char *line, size_t len, struct text_place *ret_place)
{
	enum { MAX_ID_BYTES = 256 };
	json_error_t error = { 0 };

	*ret_place = (struct text_place) { 0 };
	if (*line != '{' || !has_few_values(line, len))
		return NULL;
	json_auto_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!json && error.text[0] != '\0')
		*ret_place = (struct text_place) { .line = error.line, .column = error.column };
	json_t *id = json_object_get(json, "id");
	return json_is_string(id) && json_string_length(id) <= MAX_ID_BYTES &&
	       strlen(json_string_value(id)) == json_string_length(id)
	               ? strdup(json_string_value(id))
	               : NULL;
}

bool text_number(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = 10 * value + (uint64_t) (*text - '0');
	}
	*ret_value = value;
	return *text == '\0';
}
