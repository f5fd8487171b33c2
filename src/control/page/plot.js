// SPDX-License-Identifier: Apache-2.0
// A plot of some series over time, as SVG: colours are the style sheet's.  Its cursor, moved by
// pointer or arrow keys, shows in the legend how it was at another time.

const MARGIN = { top: 8, right: 10, bottom: 20, left: 46 };

export function element(name, className, ...children) {
	const e = document.createElement(name);

	if (className)
		e.className = className;
	e.append(...children);
	return e;
}

function shape(name, attributes, ...children) {
	const e = document.createElementNS("http://www.w3.org/2000/svg", name);

	for (const [key, value] of Object.entries(attributes))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

// A round number that is no less, of which the half is a whole one.
function ceiling(max) {
	const power = 10 ** Math.floor(Math.log10(Math.max(max, 4)));

	return [10, 12, 16, 20, 30, 40, 60, 80, 100].map(step => step * power / 10)
		.find(top => top >= max && top >= 4 && top % 2 === 0);
}

// The pieces of a line without gaps: arrays of indices.
function pieces(values) {
	const all = [[]];

	values.forEach((value, i) => {
		if (value !== null)
			all.at(-1).push(i);
		else if (all.at(-1).length > 0)
			all.push([]);
	});
	return all.filter(piece => piece.length > 0);
}

export class Plot {
	#options;
	#model = null;
	#cursor = null; // a sample's number
	#svg = shape("svg", { class: "drawing", tabindex: 0, role: "slider" });
	#legend = element("ul", "legend");
	#when = element("p", "when");
	#box = { width: 0, height: 0 };

	// 'options': what the plot is called, how to write a value, whether lines are stacked, and
	// whom to tell where the cursor shall be.
	constructor(host, { label, format, stacked = false, moved }) {
		const frame = element("div", "frame", this.#svg);

		this.#options = { format, stacked, moved };
		this.#svg.setAttribute("aria-label", `${label}, by time`);
		host.append(frame, element("div", "key", this.#legend, this.#when));
		new ResizeObserver(([entry]) => {
			this.#box = entry.contentRect;
			this.#draw();
		}).observe(frame);
		this.#svg.addEventListener("pointermove", event => this.#point(event));
		this.#svg.addEventListener("pointerdown", event => this.#point(event));
		this.#svg.addEventListener("pointerleave", () => moved(null));
		this.#svg.addEventListener("blur", () => moved(null));
		this.#svg.addEventListener("keydown", event => this.#press(event));
	}

	// 'model': { from, to } samples' numbers; { lines } of { name, look, values }, where 'look' is a
	// class; { limit }, null or a value with a name; { when } writes the time of a sample, the
	// last one's at the axis, too.
	show(model, cursor) {
		this.#model = model;
		this.#cursor = cursor === null || cursor < model.from ? null : Math.min(cursor, model.to);
		this.#draw();
	}

	// --- the cursor -----------------------------------------------------------------------

	#point(event) {
		const { from, to } = this.#model ?? { from: 0, to: 0 };
		const x = event.clientX - this.#svg.getBoundingClientRect().left - MARGIN.left;
		const part = x / (this.#box.width - MARGIN.left - MARGIN.right);

		this.#options.moved(Math.round(from + Math.min(1, Math.max(0, part)) * (to - from)));
	}

	#press(event) {
		const { from, to } = this.#model ?? { from: 0, to: 0 };
		const at = this.#cursor ?? to;
		const places = {
			ArrowLeft: at - 1, ArrowDown: at - 1, PageDown: at - 10, Home: from,
			ArrowRight: at + 1, ArrowUp: at + 1, PageUp: at + 10, End: null, Escape: null,
		};

		if (!(event.key in places))
			return;
		event.preventDefault();
		const place = places[event.key];
		this.#options.moved(place === null || place >= to ? null : Math.max(from, place));
	}

	// --- drawing --------------------------------------------------------------------------

	#x(i) {
		const { from, to } = this.#model;
		const width = this.#box.width - MARGIN.left - MARGIN.right;

		return (MARGIN.left + width * i / Math.max(1, to - from)).toFixed(1);
	}

	#y(value, max) {
		const height = this.#box.height - MARGIN.top - MARGIN.bottom;

		return (MARGIN.top + height * (1 - value / max)).toFixed(1);
	}

	// Each line between its lower and its upper edge; those that are not stacked stand on 0.
	#edges() {
		const { lines, from, to } = this.#model;
		let lower = new Array(to - from + 1).fill(0);

		return lines.map(line => {
			const upper = line.values.map((value, i) => value === null ? null : lower[i] + value);
			const edges = { line, lower, upper };
			if (this.#options.stacked)
				lower = upper.map((value, i) => value ?? lower[i]);
			return edges;
		});
	}

	#line({ line, lower, upper }, max) {
		const group = shape("g", { class: `line ${line.look}` });

		for (const piece of pieces(upper)) {
			const top = piece.map(i => `${this.#x(i)},${this.#y(upper[i], max)}`);
			const bottom = piece.map(i => `${this.#x(i)},${this.#y(lower[i], max)}`).reverse();
			group.append(shape("path", { class: "area", d: `M${[...top, ...bottom].join("L")}Z` }));
			group.append(shape("path", { class: "edge", d: `M${top.join("L")}` }));
		}
		return group;
	}

	#text(x, y, anchor, text) {
		return shape("text", { x, y, "text-anchor": anchor }, text);
	}

	#axes(max) {
		const { from, to, when } = this.#model;
		const { width, height } = this.#box;
		const most = Math.min(5, (width - MARGIN.left) / 70); // ticks
		const step = [15, 30, 60, 120].find(s => (to - from) / s <= most) ?? 300;
		const group = shape("g", { class: "axes" });

		for (const value of [0, max / 2, max]) {
			const y = this.#y(value, max);
			group.append(shape("path", { d: `M${MARGIN.left},${y}H${width - MARGIN.right}` }),
				this.#text(MARGIN.left - 6, Number(y) + 4, "end", this.#options.format(value)));
		}
		for (let ago = 0; ago <= to - from; ago += step) {
			const name = ago === 0 ? when(to) : ago < 60 ? `−${ago} s` : `−${ago / 60} min`;
			const anchor = ago === 0 ? "end" : ago === to - from ? "start" : "middle";
			group.append(this.#text(this.#x(to - from - ago), height - 5, anchor, name));
		}
		return group;
	}

	// The name of a band in a stack, where that ends high enough: its colour alone must not tell it.
	#name({ line, lower, upper }, max) {
		const i = upper.length - 1;
		const top = Number(this.#y(upper[i] ?? 0, max)), bottom = Number(this.#y(lower[i], max));

		return bottom - top < 14 ? ""
			: this.#text(this.#x(i) - 4, (top + bottom) / 2 + 4, "end", line.name);
	}

	#limit(max) {
		const { limit } = this.#model;
		const y = this.#y(limit.value, max);

		return shape("g", { class: "limit" },
			shape("path", { d: `M${MARGIN.left},${y}H${this.#box.width - MARGIN.right}` }),
			this.#text(MARGIN.left + 6, Number(y) + 13, "start", limit.name));
	}

	#mark(edges, max) {
		const i = this.#cursor - this.#model.from;
		const x = this.#x(i);
		const group = shape("g", { class: "cursor" }, shape("path",
			{ d: `M${x},${MARGIN.top}V${this.#box.height - MARGIN.bottom}` }));

		for (const { line, upper } of edges)
			if (upper[i] !== null && (!this.#options.stacked || line.values[i] > 0))
				group.append(shape("circle",
					{ class: line.look, cx: x, cy: this.#y(upper[i], max), r: 3.5 }));
		return group;
	}

	#draw() {
		if (!this.#model || this.#box.width === 0)
			return;
		const edges = this.#edges();
		const { limit } = this.#model;
		const values = edges.flatMap(({ upper }) => upper);
		const max = ceiling(Math.max(0, limit?.value ?? 0, ...values));

		this.#svg.setAttribute("viewBox", `0 0 ${this.#box.width} ${this.#box.height}`);
		this.#svg.replaceChildren(this.#axes(max), ...edges.map(e => this.#line(e, max)));
		if (this.#options.stacked)
			this.#svg.append(shape("g", { class: "bands" }, ...edges.map(e => this.#name(e, max))));
		if (limit)
			this.#svg.append(this.#limit(max));
		if (this.#cursor !== null)
			this.#svg.append(this.#mark(edges, max));
		this.#tell();
	}

	// The legend, from the top of a stack down, with the values at the cursor.
	#tell() {
		const { lines, from, to, when } = this.#model;
		const at = this.#cursor ?? to;
		const told = lines.map(({ name, look, values }) => ({
			name, look, value: this.#options.format(values[at - from]),
		}));
		const time = when(at);

		if (this.#options.stacked)
			told.reverse();
		this.#legend.replaceChildren(...told.map(({ name, look, value }) =>
			element("li", look, element("i", "swatch"), `${name} `, element("b", "", value))));
		this.#when.textContent = time;
		if (this.#cursor === null && document.activeElement === this.#svg)
			return; // or it would be read aloud every second
		for (const [key, value] of Object.entries({
			min: from, max: to, now: at,
			text: `${time}: ${told.map(({ name, value }) => `${name} ${value}`).join(", ")}`,
		}))
			this.#svg.setAttribute(`aria-value${key}`, value);
	}
}
