/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

#define BOUND(us, seconds) { UINT64_C(1000) * (us), seconds }

const struct histogram_bound histogram_bounds[HISTOGRAM_BOUNDS] = {
	BOUND(100, "0.0001"),      BOUND(250, "0.00025"),   BOUND(500, "0.0005"),
	BOUND(1000, "0.001"),      BOUND(2500, "0.0025"),   BOUND(5000, "0.005"),
	BOUND(10000, "0.01"),      BOUND(25000, "0.025"),   BOUND(50000, "0.05"),
	BOUND(100000, "0.1"),      BOUND(250000, "0.25"),   BOUND(500000, "0.5"),
	BOUND(1000000, "1.0"),     BOUND(2500000, "2.5"),   BOUND(5000000, "5.0"),
	BOUND(10000000, "10.0"),   BOUND(30000000, "30.0"), BOUND(60000000, "60.0"),
	BOUND(300000000, "300.0"),
};

void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned i = 0;

	while (i < HISTOGRAM_BOUNDS && ns > histogram_bounds[i].ns)
		i++;
	(void) atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
	(void) atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

void histogram_read(struct histogram *h, struct histogram_figures *ret_figures)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		ret_figures->counts[i] = atomic_load_explicit(&h->counts[i], memory_order_relaxed);
	ret_figures->sum_ns = atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
}
