/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the one suite of a unit test program. */
#ifndef PENSTOCK_TESTS_UNIT_H
#define PENSTOCK_TESTS_UNIT_H

#include <CUnit/Basic.h>

#include <stdlib.h>
#include <unistd.h>

/* Seconds after which a program that waits for what never comes is killed, sanitizers included. */
enum { UNIT_PATIENCE = 300 };

/* Sanitizers make all slow, and ThreadSanitizer sees nothing in what one thread repeats: of long
 * rows of such cases, each of another draw, they are shown every so many'th. */
#ifdef __SANITIZE_THREAD__
enum { UNIT_STRIDE = 8 };
#elif defined(__SANITIZE_ADDRESS__)
enum { UNIT_STRIDE = 3 };
#else
enum { UNIT_STRIDE = 1 };
#endif

/* Returns the exit status for main(): CUnit's own return value is 0 with failures. */
static inline int unit_run(const char *suite, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {
		{ .pName = suite, .pTests = tests },
		CU_SUITE_INFO_NULL,
	};

	(void) alarm(UNIT_PATIENCE);
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return EXIT_FAILURE;

	CU_basic_set_mode(CU_BRM_VERBOSE);
	(void) CU_basic_run_tests();
	unsigned bad = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
	CU_cleanup_registry();
	return bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
