/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/safe_text.h"

void safe_text_add(struct buf *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
		buf_add_char(b, *p < 0x20 || *p == 0x7f || c1 ? '?' : (char) *p);
		p += c1;
	}
}
