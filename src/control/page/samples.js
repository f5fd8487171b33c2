// SPDX-License-Identifier: Apache-2.0
// The daemon's last ten minutes, as /v1/history tells them piece by piece: groups of arrays, all of
// the same length.

const KEPT = 601;
const GROUPS = ["series", "waiting_by_reason", "failures_by_reason"];

function sum(values) {
	return values.reduce((total, value) => total + value, 0);
}

export class Samples {
	#started = null; // when the daemon was, whose samples these are
	#first = 0;      // the number of the oldest
	#n = 0;          // how many there are
	#groups = {};    // by its name, each array

	constructor() {
		this.#clear();
	}

	get n() {
		return this.#n;
	}

	// The number of the one that comes next.
	get next() {
		return this.#first + this.#n;
	}

	#clear() {
		this.#first = this.#n = 0;
		for (const group of GROUPS)
			this.#groups[group] = new Map();
	}

	// Takes in the answer to the question for 'next' and later.  Returns false if another daemon
	// has given it: then all samples are gone, and the question is to be asked anew.
	add(answer) {
		const asked = this.next;
		const known = answer.started_at === this.#started || asked === 0;

		if (!known || answer.first !== asked)
			this.#clear();
		this.#started = answer.started_at;
		if (!known)
			return false;
		if (this.#n === 0)
			this.#first = answer.first;
		for (const group of GROUPS)
			this.#append(this.#groups[group], answer[group]);
		this.#n += answer.series.queue_jobs.length;
		this.#level();
		return true;
	}

	#append(group, added) {
		for (const [name, values] of Object.entries(added)) {
			if (!group.has(name))
				group.set(name, new Array(this.#n).fill(0));
			group.get(name).push(...values);
		}
	}

	// What was not told did not happen; what is too old goes.
	#level() {
		const excess = Math.max(0, this.#n - KEPT);

		for (const values of GROUPS.flatMap(group => [...this.#groups[group].values()])) {
			while (values.length < this.#n)
				values.push(0);
			values.splice(0, excess);
		}
		this.#first += excess;
		this.#n -= excess;
	}

	#cut(values, from, to) {
		return Array.from({ length: to - from + 1 },
			(_, i) => values[from + i - this.#first] ?? null);
	}

	// The values of a series numbered 'from' to 'to'; null where there is none.
	values(name, from, to) {
		return this.#cut(this.#groups.series.get(name), from, to);
	}

	// Likewise of the reasons of a group that there were in that time, [["rate", values], …].
	reasons(group, from, to) {
		return [...this.#groups[group]]
			.map(([why, values]) => [why, this.#cut(values, from, to)])
			.filter(([, values]) => values.some(value => value > 0));
	}

	// The sum of a series over the last 'n' samples; the mean of so many as there are.
	total(name, n) {
		return sum((this.#groups.series.get(name) ?? []).slice(-n));
	}

	mean(name, n) {
		return this.total(name, n) / Math.max(1, Math.min(n, this.#n));
	}

	// Likewise of the reasons of a group, the most frequent first, [["timeout", 7], …].
	totals(group, n) {
		return [...this.#groups[group]].map(([why, values]) => [why, sum(values.slice(-n))])
			.filter(([, total]) => total > 0)
			.sort(([, a], [, b]) => b - a);
	}
}
