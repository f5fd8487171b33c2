// SPDX-License-Identifier: Apache-2.0
// Asks the daemon once a second what it does, and shows it.  What it says is only ever set as text.

import { Plot, element } from "./plot.js";
import { Samples } from "./samples.js";
import {
	FAILURES, OBSTACLES, REASONS, bytes, clock, count, counted, percent, rate, span,
} from "./words.js";

const PERIOD_MS = 1000;
const PATIENCE_MS = 5000;
const LANES_PATIENCE_MS = 65000; // a disk may hold them up, of which the daemon tells after 60 s
const LANES = 12; // that are listed

const $ = selector => document.querySelector(selector);
const samples = new Samples();
let status = null;               // the last answers
let lanes = { lanes: [], total: 0 };
let before = null;               // the status before that
let answered = null;             // when that was
let lost = null;                 // since when nobody answers
let ahead = 0;                   // so many ms the daemon's clock is before the browser's
let cursor = null;               // the sample that all plots point to
let timer = null, busy = false, asksLanes = false;

const plots = {
	queue: plot("#queue", "Queue depth", count),
	speed: plot("#speed", "Throughput", rate),
	waiting: plot("#waiting", "Jobs that wait, by what they wait for", count, true),
	failures: plot("#failures", "Failed fetches, by reason", rate, true),
};

function plot(panel, label, format, stacked = false) {
	return new Plot($(`${panel} .plot`), { label, format, stacked, moved: move });
}

function move(to) {
	cursor = to;
	showPlots();
}

function tell(panel, figure, unit, verdict, tone = "") {
	const p = $(`${panel} .figure`);

	p.replaceChildren(element("b", "", figure), ` ${unit}`);
	$(`${panel} .verdict`).textContent = verdict;
	$(panel).dataset.tone = tone;
}

// --- the plots ---------------------------------------------------------------------------

// When a sample was taken, as far as this browser's clock goes.
function when(number) {
	const ago = samples.next - 1 - number;
	const time = clock(new Date(answered - ago * 1000));

	return lost ? time : ago === 0 ? "now" : `${time}, ${span(ago)} ago`;
}

function line(name, look, series, from, to) {
	return { name, look, values: samples.values(series, from, to) };
}

// In the order of the words for them; what has none, on top.
function reasonLines(group, words, from, to) {
	const known = Object.keys(words);
	const place = why => known.includes(why) ? known.indexOf(why) : known.length;

	return samples.reasons(group, from, to)
		.sort(([a], [b]) => place(a) - place(b))
		.map(([why, values]) => ({ name: why, look: `why ${why}`, values }));
}

function showPlots() {
	if (!status || samples.n === 0)
		return;
	const to = samples.next - 1;
	const from = to - Number($("#span :checked").value);
	const range = { from, to, limit: null, when };
	const capacity = status.queue.capacity_jobs;

	plots.queue.show({
		...range,
		lines: [line("queued", "queued", "queue_jobs", from, to)],
		limit: { value: capacity, name: `capacity ${count(capacity)}` },
	}, cursor);
	plots.speed.show({
		...range,
		lines: [line("accepted", "accepted", "accepted", from, to),
			line("settled", "settled", "settled", from, to)],
	}, cursor);
	plots.waiting.show(
		{ ...range, lines: reasonLines("waiting_by_reason", REASONS, from, to) }, cursor);
	plots.failures.show(
		{ ...range, lines: reasonLines("failures_by_reason", FAILURES, from, to) }, cursor);
}

// --- what stands above them ----------------------------------------------------------------

function showQueue() {
	const q = status.queue;
	const part = Math.max(q.jobs / q.capacity_jobs, q.bytes / q.capacity_bytes);
	const room = `oom for ${count(Math.max(0, q.capacity_jobs - q.jobs))} more.`;
	const verdict = part >= 1 ? "Full: the feeder waits until a worker takes a job."
		: part >= 0.9 ? `Nearly full: r${room}`
			: q.jobs === 0 ? "Empty: workers take what comes at once." : `R${room}`;

	tell("#queue", count(q.jobs), `of ${count(q.capacity_jobs)}`, verdict, part >= 0.9 ? "full" : "");
}

function showSpeed() {
	tell("#speed", rate(samples.mean("settled", 10)), "settled",
		`${rate(samples.mean("accepted", 10))} accepted, ` +
		`${rate(samples.mean("attempts", 10))} fetches, ` +
		`${bytes(samples.mean("received_bytes", 10))}/s received; means of 10 s.`);
}

// The two largest of [["rate", 7], …]: "7 for their origin's rate limit, 2 for …".
function largest(reasons, words) {
	return reasons.slice(0, 2).map(([why, n]) => `${count(n)} ${words[why] ?? why}`).join(", ");
}

function showWaiting() {
	const reasons = Object.entries(status.waiting_by_reason).sort(([, a], [, b]) => b - a);
	const all = reasons.reduce((sum, [, n]) => sum + n, 0);
	const verdict = all === 0 ? "No job waits."
		: status.paused ? "Everything is paused, until penstock resume."
			: `${largest(reasons, REASONS)}.`;

	tell("#waiting", count(all), all === 1 ? "job" : "jobs", verdict, status.paused ? "full" : "");
}

function showFailures() {
	const failures = samples.total("failures", 60), attempts = samples.total("attempts", 60);
	const dead = `${count(samples.total("dead", 60))} of ` +
		`${counted(samples.total("settled", 60), "job")} dead`;
	const verdict = attempts === 0 ? "No fetch has ended in the last minute."
		: failures === 0 ? `No fetch failed in the last minute; ${dead}.`
			: `Last minute: ${largest(samples.totals("failures_by_reason", 60), FAILURES)}; ${dead}.`;

	tell("#failures", percent(attempts > 0 ? failures / attempts : 0), "of fetches", verdict,
		failures > 0 ? "bad" : "");
}

// --- lanes, workers, sources -----------------------------------------------------------------

function cell(text, className = "") {
	return element("td", className, text);
}

function row(name, ...cells) {
	const th = element("th", "title", name);

	th.scope = "row";
	return element("tr", "", th, ...cells);
}

function obstacle(lane) {
	const left = lane.until ? (new Date(lane.until) - Date.now() - ahead) / 1000 : 0;

	return (OBSTACLES[lane.state] ?? lane.state) + (left >= 1 ? ` for ${span(left)}` : "");
}

function laneRow(lane) {
	const running = lane.concurrency === null ? count(lane.running)
		: `${count(lane.running)} of ${count(lane.concurrency)}`;
	const waits = lane.wait_seconds === null ? "–" : span(lane.wait_seconds);
	const why = element("span", `why ${lane.state}`, element("i", "swatch"), obstacle(lane));

	return row(lane.origin, cell(count(lane.depth), "number"), cell(running, "number"),
		cell(lane.rate ?? "none", "number spare"), cell(waits, "number spare"),
		cell(count(lane.failures), `number spare ${lane.failures > 0 ? "bad" : ""}`), cell(why));
}

function showLanes() {
	const shown = lanes.lanes.slice(0, LANES);
	const more = lanes.total - shown.length;

	$("#lanes .figure").replaceChildren(element("b", "", count(lanes.total)),
		lanes.total === 1 ? " origin" : " origins");
	$("#lanes tbody").replaceChildren(...shown.map(laneRow));
	$("#lanes .note").textContent = lanes.error ? `They cannot be read: ${lanes.error}.`
		: shown.length === 0 ? "No origin has jobs."
		: more > 0 ? `${count(more)} more; penstock lanes lists them.` : "";
}

function meter(name, value, max, text) {
	const bar = element("div", "bar", element("div", "filled"));
	const part = max > 0 ? Math.min(1, value / max) : 0;

	bar.firstChild.style.width = `${100 * part}%`;
	bar.setAttribute("role", "meter");
	bar.setAttribute("aria-label", name);
	for (const [key, n] of Object.entries({ min: 0, max, now: value, text }))
		bar.setAttribute(`aria-value${key}`, n);
	return [element("dt", "", name), element("dd", "", bar, element("span", "", text))];
}

// The part of the time since the last status in which a source waited for room.
function waited(source, i) {
	const earlier = before?.sources[i];
	const seconds = status.uptime_seconds - (before?.uptime_seconds ?? 0);

	return earlier?.name === source.name && seconds > 0
		? (source.blocked_seconds - earlier.blocked_seconds) / seconds : 0;
}

function sourceRow(source, i) {
	const bad = source.bad_lines > 0 ? `; ${counted(source.bad_lines, "bad line")}` : "";
	const part = Math.min(1, waited(source, i));
	const state = source.ended ? "ended"
		: part < 0.05 ? "reads" : `waits ${Math.round(100 * part)} % of the time`;

	return row(source.name, cell(count(source.jobs), "number"), cell(state + bad));
}

function showParts() {
	const { workers, queue, backlog, results, sources } = status;
	const working = Math.max(0, workers.alive - queue.consumers_idle);
	const blocked = backlog.submitters_blocked;

	$("#meters").replaceChildren(
		...meter("workers", working, workers.alive, `${count(working)} of ${count(workers.alive)} busy`),
		...meter("backlog", backlog.held_jobs, backlog.max_jobs,
			`${count(backlog.held_jobs)} of ${count(backlog.max_jobs)} jobs` +
			(blocked > 0 ? `, ${count(blocked)} waiting for room` : "")),
		element("dt", "", "results"), element("dd", "", element("span", "",
			`${count(results.recorded)} recorded, ${count(results.pending)} pending`)));
	$("#sources").hidden = sources.length === 0;
	$("#sources tbody").replaceChildren(...sources.map(sourceRow));
}

// --- the head ------------------------------------------------------------------------------

function* troubles() {
	const { backlog, results } = status;

	if (lost)
		yield `The daemon does not answer since ${clock(lost)}; what is shown here was then.  ` +
			"Asking again every second.";
	if (backlog.error)
		yield `The backlog's database cannot be written: ${backlog.error}.`;
	if (backlog.free_bytes < backlog.min_free_bytes)
		yield `No jobs are taken: the backlog's disk has ${bytes(backlog.free_bytes)} free, less ` +
			`than backlog.min_free, ${bytes(backlog.min_free_bytes)}.`;
	if (results.error)
		yield `Results cannot be written: ${results.error}.`;
	if (results.bodies?.error)
		yield `Bodies cannot be written: ${results.bodies.error}.`;
	if (status.blocked)
		yield `Nothing moves: ${status.blocked}.`;
	if (status.paused)
		yield "Everything is paused, until penstock resume.";
	if (status.paused_lanes > 0)
		yield `${counted(status.paused_lanes, "origin")} paused, until penstock resume.`;
	if (status.state === "draining" || status.state === "drained")
		yield `The daemon is ${status.state} and takes no more jobs.`;
}

// Only if they have changed: they are read aloud.
function showTroubles() {
	const list = $("#troubles");
	const texts = status ? [...troubles()] : lost ? ["The daemon does not answer."] : [];

	if (texts.join("\n") !== [...list.children].map(item => item.textContent).join("\n"))
		list.replaceChildren(...texts.map(text => element("li", "trouble", text)));
}

function showHead() {
	const state = lost ? "no answer" : status.paused ? "paused" : status.state;

	$("#state").textContent = state;
	$("#state").dataset.state = state;
	$("#facts").textContent = `${status.version}, up ${span(status.uptime_seconds)}, ` +
		`process ${status.pid}`;
	document.title = `${lost ? "no answer" : `${count(status.queue.jobs)}/` +
		count(status.queue.capacity_jobs)} · penstock`;
}

function show() {
	document.body.classList.toggle("lost", lost !== null);
	if ($("#link").textContent !== (lost ? "no answer" : "live"))
		$("#link").textContent = lost ? "no answer" : "live";
	showTroubles();
	if (!answered)
		return;
	showHead();
	showQueue();
	showSpeed();
	showWaiting();
	showFailures();
	showParts();
	showPlots();
}

// --- asking --------------------------------------------------------------------------------

async function ask(path, patience = PATIENCE_MS) {
	const answer = await fetch(path, { signal: AbortSignal.timeout(patience) });
	const differs = Date.parse(answer.headers.get("Date")) - Date.now();
	const told = await answer.json();

	if (!answer.ok)
		throw new Error(told.detail);
	ahead = Math.abs(differs) > 2000 ? differs : 0; // it is in whole seconds
	return told;
}

// The backlog knows them; a slow disk must not hold up what the daemon can tell without.
async function askLanes() {
	if (asksLanes)
		return;
	asksLanes = true;
	try {
		lanes = await ask(`v1/lanes?limit=${LANES}`, LANES_PATIENCE_MS);
	} catch (error) {
		lanes.error = error.message;
	}
	asksLanes = false;
	showLanes();
}

async function refresh() {
	const now = await ask("v1/status");

	askLanes();
	while (!samples.add(await ask(`v1/history?since=${samples.next}`)))
		;
	before = status?.started_at === now.started_at ? status : null;
	status = now;
}

async function go() {
	clearTimeout(timer);
	if (busy || document.hidden)
		return;
	busy = true;
	try {
		await refresh();
		answered = new Date();
		lost = null;
	} catch {
		lost ??= new Date();
	}
	busy = false;
	timer = setTimeout(go, PERIOD_MS); // whatever becomes of the rest
	show();
}

document.addEventListener("visibilitychange", go);
$("#span").addEventListener("change", showPlots);
go();
