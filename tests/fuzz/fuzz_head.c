/* SPDX-License-Identifier: Apache-2.0 */
/* head.h: lines of any bytes; nothing is read beyond their ends, and a fault stays. */
#include "fetch/head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct head head = { 0 };

	for (bool taken = true; taken && size > 0;) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t n = end ? (size_t) (end - data) + 1 : size;
		char *line = malloc(n); /* of just that size, for the sanitizer */
		if (!line)
			abort();
		memcpy(line, data, n);
		taken = head_take(&head, line, n, false);
		if (taken != (head.fault == NULL) || head.bytes < n)
			abort();
		free(line);
		data += n;
		size -= n;
	}
	return 0;
}
