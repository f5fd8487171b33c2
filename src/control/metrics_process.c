/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics_parts.h"

#include "base/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static uint64_t us_of(struct timeval t)
{
	return (uint64_t) t.tv_sec * (NS_PER_S / NS_PER_US) + (uint64_t) t.tv_usec;
}

static void add_cpu(struct exposition *x)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return;
	const struct metric_row row = {
		"process_cpu_seconds", METRIC_COUNTER, "Processor time used, by user and system.", NULL,
		NULL, us_of(usage.ru_utime) + us_of(usage.ru_stime), true,
	};
	exposition_add(x, &row, 1);
}

/* Fields 20, 23 and 24 of proc(5)'s stat; the name before them is ours, and has no ")". */
static void add_memory(struct exposition *x)
{
	long threads = 0, pages = 0;
	unsigned long bytes = 0;
	FILE *f = fopen("/proc/self/stat", "re");

	if (!f)
		return;
	int n = fscanf(f, "%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
	               "%*d %ld %*d %*u %lu %ld", &threads, &bytes, &pages);
	(void) fclose(f);
	if (n != 3)
		return;
	const struct metric_row rows[] = {
		GAUGE("process_virtual_memory_bytes", "Size of the address space.", bytes),
		GAUGE("process_resident_memory_bytes", "Memory in use.",
		      (uint64_t) pages * (uint64_t) sysconf(_SC_PAGESIZE)),
		GAUGE("process_threads", "Threads.", (uint64_t) threads),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

/* Without the two names of folders, and the one it is read by. */
static void add_descriptors(struct exposition *x)
{
	DIR *folder = opendir("/proc/self/fd");
	struct rlimit limit;
	uint64_t n = 0;

	if (!folder)
		return;
	while (readdir(folder))
		n++;
	(void) closedir(folder);
	if (n < 3 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	const struct metric_row rows[] = {
		GAUGE("process_open_fds", "Open descriptors.", n - 3),
		GAUGE("process_max_fds", "Descriptors that may be open.", limit.rlim_cur),
	};
	exposition_add(x, rows, ARRAY_LEN(rows));
}

void metrics_add_process(struct exposition *x, int64_t started_wall_us)
{
	const struct metric_row row = {
		"process_start_time_seconds", METRIC_GAUGE,
		"When the daemon was started, in seconds since 1970.", NULL, NULL,
		(uint64_t) started_wall_us, true,
	};

	exposition_add(x, &row, 1);
	add_cpu(x);
	add_memory(x);
	add_descriptors(x);
}
