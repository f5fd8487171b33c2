// SPDX-License-Identifier: Apache-2.0
// Figures and codes as people read them.

const NONE = "–"; // there is no figure

function whole(n) {
	return n.toLocaleString("en", { maximumFractionDigits: 0 });
}

export function count(n) {
	if (n === null || n === undefined)
		return NONE;
	return Math.abs(n) < 100000 ? whole(n)
		: n.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });
}

// 1 job, 2 jobs.
export function counted(n, one, many = one + "s") {
	return `${count(n)} ${n === 1 ? one : many}`;
}

export function rate(n) {
	if (n === null || n === undefined)
		return NONE;
	return `${n > 0 && n < 10 ? n.toFixed(1) : count(n)}/s`;
}

export function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;

	for (; n >= 1024 && unit < units.length - 1; unit++)
		n /= 1024;
	return `${unit > 0 && n < 100 ? n.toFixed(1) : whole(n)} ${units[unit]}`;
}

export function percent(part) {
	return `${part > 0 && part < 0.1 ? (100 * part).toFixed(1) : whole(100 * part)} %`;
}

// The two largest units: "2 h 5 min".
export function span(seconds) {
	const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
	let rest = Math.max(0, Math.round(seconds));
	const parts = [];

	for (const [size, name] of units) {
		if (parts.length > 0 && rest < size)
			break;
		if (rest >= size && parts.length < 2)
			parts.push(`${Math.floor(rest / size)} ${name}`);
		rest %= size;
	}
	return parts.join(" ") || "0 s";
}

export function clock(date) {
	return date.toLocaleTimeString("en-GB");
}

// What jobs wait for, by the codes of penstock(1); in the order in which they are stacked, what is
// usual at the bottom.
export const REASONS = {
	worker: "for a worker",
	queue: "for a place in the queue",
	concurrency: "for their origin's concurrency",
	rate: "for their origin's rate limit",
	retry: "for the pause before a retry",
	not_before: "for their not_before",
	retry_after: "for their origin's Retry-After",
	breaker: "for a breaker that is open",
	names: "for name lookups",
	bodies: "for room for bodies",
	paused: "for penstock resume",
	poison: "set aside as poison",
};

// Why fetches fail, by the codes of the metrics; in the order in which they are stacked.
export const FAILURES = {
	http_4xx: "with HTTP 4xx",
	http_5xx: "with HTTP 5xx",
	http_other: "with another HTTP status",
	timeout: "timed out",
	deadline: "past their job's deadline",
	connect: "not connected",
	reset: "broken off",
	name: "without an address",
	tls: "not trusted (TLS)",
	protocol: "with bad HTTP",
	redirect: "at a redirect",
	too_large: "too large",
	guard: "denied by the guard",
	body: "without their body",
	other: "for other reasons",
};

// What is in a lane's way, shorter.
export const OBSTACLES = {
	open: "nothing",
	concurrency: "concurrency",
	rate: "rate limit",
	retry_after: "Retry-After",
	breaker: "breaker open",
	paused: "paused",
};
