/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal digits in places of a fixed width: every record has some hundred of them. */
#ifndef PENSTOCK_BASE_DIGITS_H
#define PENSTOCK_BASE_DIGITS_H

#include <string.h>

/* Writes 'value', below 100, with two digits.  Pairs are looked up: a division for each digit
 * was a fifth of what a record costs. */
static inline void digits_put2(char *at, unsigned value)
{
	static const char pairs[] = "00010203040506070809"
	                            "10111213141516171819"
	                            "20212223242526272829"
	                            "30313233343536373839"
	                            "40414243444546474849"
	                            "50515253545556575859"
	                            "60616263646566676869"
	                            "70717273747576777879"
	                            "80818283848586878889"
	                            "90919293949596979899";
	memcpy(at, pairs + 2 * (size_t) value, 2);
}

/* The same below 1,000,000, with six. */
static inline void digits_put6(char *at, unsigned value)
{
	digits_put2(at, value / 10000);
	digits_put2(at + 2, value / 100 % 100);
	digits_put2(at + 4, value % 100);
}

#endif
