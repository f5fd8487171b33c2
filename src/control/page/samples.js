// SPDX-License-Identifier: Apache-2.0
// The daemon's last ten minutes, as /v1/history tells them piece by piece.

const KEPT = 601;

export class Samples {
	#started = null; // when the daemon was, whose samples these are
	#first = 0;      // the number of the oldest
	#series = new Map([["queue_jobs", []]]); // arrays of the same length
	#waiting = new Map();

	// How many there are.
	get n() {
		return this.#series.get("queue_jobs").length;
	}

	// The number of the one that comes next.
	get next() {
		return this.#first + this.n;
	}

	// Takes in the answer to the question for 'next' and later.  Returns false if another daemon
	// has given it: then all samples are gone, and the question is to be asked anew.
	add(answer) {
		const asked = this.next;

		if (answer.started_at !== this.#started || answer.first !== asked) {
			this.#series = new Map([["queue_jobs", []]]);
			this.#waiting.clear();
			this.#first = 0;
		}
		const known = answer.started_at === this.#started || asked === 0;
		this.#started = answer.started_at;
		if (!known)
			return false;
		const n = this.n;
		if (n === 0)
			this.#first = answer.first;
		this.#append(this.#series, answer.series, n);
		this.#append(this.#waiting, answer.waiting_by_reason, n);
		this.#level();
		return true;
	}

	// What comes for the first time had no jobs in the 'n' samples before.
	#append(map, answer, n) {
		for (const [name, values] of Object.entries(answer)) {
			if (!map.has(name))
				map.set(name, new Array(n).fill(0));
			map.get(name).push(...values);
		}
	}

	// A reason that was not told had no jobs.
	#level() {
		const excess = Math.max(0, this.n - KEPT);

		for (const values of this.#waiting.values())
			while (values.length < this.n)
				values.push(0);
		for (const map of [this.#series, this.#waiting])
			for (const values of map.values())
				values.splice(0, excess);
		this.#first += excess;
	}

	#cut(values, from, to) {
		return Array.from({ length: to - from + 1 },
			(_, i) => values?.[from + i - this.#first] ?? null);
	}

	// The values numbered 'from' to 'to'; null where there is none.
	values(name, from, to) {
		return this.#cut(this.#series.get(name), from, to);
	}

	// Likewise of those that waited for something, [["rate", values], …].
	waiting(from, to) {
		return [...this.#waiting].map(([why, values]) => [why, this.#cut(values, from, to)]);
	}

	// The sum of a series over the last 'n' samples, and how many of them there were.
	sum(name, n) {
		const last = (this.#series.get(name) ?? []).slice(-n);

		return { total: last.reduce((sum, value) => sum + value, 0), n: last.length };
	}
}
