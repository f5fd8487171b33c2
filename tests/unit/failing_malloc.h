/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations that fail as faults.h says: ours, and with 'in_libraries' those of jansson and
 * libcurl.
 *
 * For one file of a program that is linked with FAILING_MALLOC (local.mk); without
 * that, failing_malloc_install() says so.
 */
#ifndef PENSTOCK_TESTS_FAILING_MALLOC_H
#define PENSTOCK_TESTS_FAILING_MALLOC_H

#include "base/attr.h"
#include "faults.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The linker's names: calls of malloc() go to the first, and this is the real one. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
PRINTF_LIKE(2, 3) int __wrap_asprintf(char **ret_text, const char *format, ...);
PRINTF_LIKE(3, 4)
int __wrap___asprintf_chk(char **ret_text, int flag, const char *format, ...);
void *__real_malloc(size_t size) __attribute__((weak));
void *__real_calloc(size_t n, size_t size) __attribute__((weak));
void *__real_realloc(void *p, size_t size) __attribute__((weak));
void *__real_reallocarray(void *p, size_t n, size_t size) __attribute__((weak));
char *__real_strdup(const char *text) __attribute__((weak));
char *__real_strndup(const char *text, size_t n) __attribute__((weak));

static atomic_bool in_libraries;

void *__wrap_malloc(size_t size) { return faults_next() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return faults_next() ? NULL : __real_calloc(n, size); }

void *__wrap_realloc(void *p, size_t size)
{
	return faults_next() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return faults_next() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *text) { return faults_next() ? NULL : __real_strdup(text); }

char *__wrap_strndup(const char *text, size_t n)
{
	return faults_next() ? NULL : __real_strndup(text, n);
}

int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list args;

	if (faults_next())
		return -1;
	va_start(args, format);
	int len = vasprintf(ret_text, format, args);
	va_end(args);
	return len;
}

/* What <stdio.h> makes of it with _FORTIFY_SOURCE. */
int __wrap___asprintf_chk(char **ret_text, int flag, const char *format, ...)
{
	va_list args;

	(void) flag;
	if (faults_next())
		return -1;
	va_start(args, format);
	int len = vasprintf(ret_text, format, args);
	va_end(args);
	return len;
}

/* What the libraries are given instead of malloc() and the others. */
static void *library_malloc(size_t size)
{
	return in_libraries ? malloc(size) : __real_malloc(size);
}

static void *library_calloc(size_t n, size_t size)
{
	return in_libraries ? calloc(n, size) : __real_calloc(n, size);
}

static void *library_realloc(void *p, size_t size)
{
	return in_libraries ? realloc(p, size) : __real_realloc(p, size);
}

static char *library_strdup(const char *text)
{
	char *copy = library_malloc(strlen(text) + 1);
	return copy ? strcpy(copy, text) : NULL;
}

/* Ends with curl_global_cleanup().  Returns false if the program was not linked for it. */
static bool failing_malloc_install(void)
{
	if (!__real_malloc)
		return false;
	json_set_alloc_funcs(library_malloc, free);
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, library_malloc, free, library_realloc,
	                         library_strdup, library_calloc) != CURLE_OK)
		abort();
	return true;
}

#endif
