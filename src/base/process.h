/* SPDX-License-Identifier: Apache-2.0 */
/* What main() of each program does first. */
#ifndef PENSTOCK_BASE_PROCESS_H
#define PENSTOCK_BASE_PROCESS_H

/*
 * Prepares the process: standard descriptors that are closed become /dev/null, for
 * reading only, so that no other file can be taken for standard output; a pipe
 * without a reader and a file at its limit are errors, not signals; few heaps,
 * because one for each of hundreds of threads would hold on to memory that none
 * uses; and UTF-8 for host names, which libidn2 reads in the locale's character set.
 */
void process_prepare(void);

#endif
