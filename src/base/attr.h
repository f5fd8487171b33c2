/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes: one spelling each, empty where unsupported. */
#ifndef PENSTOCK_BASE_ATTR_H
#define PENSTOCK_BASE_ATTR_H

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NODISCARD              __attribute__((warn_unused_result))
#define NONNULL(...)           __attribute__((nonnull(__VA_ARGS__)))
#define CLEANUP(fn)            __attribute__((cleanup(fn)))

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif

/*
 * Lock annotations, checked by `clang -Wthread-safety`.  In C a field attribute
 * cannot name a sibling lock, so GUARDED_BY() tells the reader which lock and
 * the compiler only "some lock".  REQUIRES() is exact.
 */
#define CAPABILITY(name)  TSA(capability(name))
#define GUARDED_BY(lock)  TSA(guarded_var)
#define ACQUIRES(...)     TSA(acquire_capability(__VA_ARGS__))
#define RELEASES(...)     TSA(release_capability(__VA_ARGS__))
#define REQUIRES(...)     TSA(requires_capability(__VA_ARGS__))
#define UNCHECKED_LOCKING TSA(no_thread_safety_analysis)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
