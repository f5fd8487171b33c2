/* SPDX-License-Identifier: Apache-2.0 */
#include "control/text.h"

#include "base/buf.h"

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
