// SPDX-License-Identifier: Apache-2.0
// The predictor in a browser, a worker or Node: predictor.wasm, and a compiled model. Types: predictor.d.ts.

const NUMBER = 0, FLAG = 1, CHOICE = 2, COUNT = 3, TEXT = 4;
const PARTS = ["sum", "linear", "trees", "kernel"];
const OUTSIDE = { range: 1, far: 2, gpu: 4, weights: 8, engine: 16 };
// What is not said of a question: one device, no parallelism, a current engine; any other number is not known.
const DEFAULTS = { n_gpu: 1, tp: 1, pp: 1, dp: 1, ep: 1, is_vllm_new: true };

async function bytesOf(source) {
	if (source instanceof URL || typeof source === "string")
		source = await fetch(source);
	if (typeof Response !== "undefined" && source instanceof Response) {
		if (!source.ok)
			throw new Error(`cannot load '${source.url}': HTTP ${source.status}`);
		return new Uint8Array(await source.arrayBuffer());
	}
	return source instanceof Uint8Array ? source : new Uint8Array(source);
}

class Predictor {
	#w;
	#question;
	#prediction;
	#weights = [];
	#room = { n: 0, questions: 0, predictions: 0 };

	constructor(exports) {
		this.#w = exports;
		this.#question = this.#fields(exports.question_fields());
		this.#prediction = this.#fields(exports.prediction_fields());
		for (let i = 0, at; (at = exports.weights_name(i)) !== 0; i++)
			this.#weights.push(this.#text(at));
	}

	// Memory may grow, which detaches its old buffer: never kept.
	#view() {
		return new DataView(this.#w.memory.buffer);
	}

	#text(at) {
		const bytes = new Uint8Array(this.#w.memory.buffer, at);
		return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
	}

	// A table of {name, at, kind, size}; the row without a name has the size of the whole.
	#fields(table) {
		const v = this.#view(), fields = new Map();
		for (let row = table; ; row += 16) {
			const name = v.getUint32(row, true), at = v.getUint32(row + 4, true);
			if (name === 0)
				return { fields, size: at };
			fields.set(this.#text(name),
				{ at, kind: v.getUint32(row + 8, true), size: v.getUint32(row + 12, true) });
		}
	}

	#alloc(n) {
		const at = this.#w.alloc(n) >>> 0;
		if (at === 0)
			throw new Error(`no memory for ${n} bytes`);
		return at;
	}

	load(model) {
		const at = this.#alloc(model.length);
		new Uint8Array(this.#w.memory.buffer, at, model.length).set(model);
		if (this.#w.load(at, model.length) !== 0)
			throw new Error(this.#text(this.#w.error()));
	}

	#write(v, at, name, field, value) {
		if (field.kind === NUMBER) {
			if (value !== undefined && value !== null && typeof value !== "number")
				throw new TypeError(`'${name}' must be a number`);
			v.setFloat64(at, value ?? DEFAULTS[name] ?? NaN, true);
		} else if (field.kind === FLAG) {
			v.setUint8(at, value ?? DEFAULTS[name] ? 1 : 0);
		} else if (field.kind === CHOICE) {
			const which = this.#weights.indexOf(value ?? "bf16");
			if (which < 0)
				throw new TypeError(`'${name}' must be one of ${this.#weights.join(", ")}`);
			v.setInt32(at, which, true);
		} else {
			const bytes = new TextEncoder().encode(value ?? "");
			const out = new Uint8Array(v.buffer, at, field.size).fill(0);
			out.set(bytes.subarray(0, field.size - 1));
		}
	}

	#put(question, at) {
		const { fields, size } = this.#question, v = this.#view();
		for (const name of Object.keys(question))
			if (!fields.has(name))
				throw new TypeError(`'${name}' is nothing that a question has`);
		new Uint8Array(v.buffer, at, size).fill(0);
		for (const [name, field] of fields)
			this.#write(v, at + field.at, name, field, question[name]);
	}

	#get(question, at) {
		const v = this.#view(), { fields } = this.#prediction;
		const number = (name) => v.getFloat64(at + fields.get(name).at, true);
		const count = (name) => v.getInt32(at + fields.get(name).at, true);
		const parts = [];
		for (let i = 0, kind; (kind = this.#w.part_kind(i)) >= 0; i++)
			parts.push({ kind: PARTS[kind], log: v.getFloat64(at + fields.get("parts").at + 8 * i, true) });
		const outside = Object.keys(OUTSIDE).filter((name) => count("outside") & OUTSIDE[name]);
		const label = this.#w.label(count("nearest"));
		return {
			joulesPerToken: number("j_per_token"), lowJoules: number("lo_j"), highJoules: number("hi_j"),
			coverage: this.#w.coverage(), parts, factor: number("factor"), factorRows: count("factor_rows"),
			distance: Number.isNaN(number("distance")) ? null : number("distance"),
			nearest: label === 0 ? null : this.#text(label),
			outside, reason: this.#text(this.#w.reason(question, at)),
		};
	}

	// Room for so many is kept for the next time.
	#reserve(n) {
		if (n > this.#room.n)
			this.#room = { n, questions: this.#alloc(n * this.#question.size),
				predictions: this.#alloc(n * this.#prediction.size) };
		return this.#room;
	}

	predictMany(questions) {
		const { questions: from, predictions: to } = this.#reserve(questions.length);
		const at = (i) => [from + i * this.#question.size, to + i * this.#prediction.size];
		questions.forEach((q, i) => this.#put(q, at(i)[0]));
		const n = this.#w.predict(from, questions.length, to);
		if (n < questions.length)
			throw new RangeError(`question ${n}: ${this.#text(this.#w.error())}`);
		return questions.map((_, i) => this.#get(...at(i)));
	}

	predict(question) {
		return this.predictMany([question])[0];
	}

	// The same without objects: structs in, structs out, as the C library has them.
	predictRaw(questions) {
		const n = questions.length / this.#question.size;
		const { questions: from, predictions: to } = this.#reserve(n);
		new Uint8Array(this.#w.memory.buffer, from, questions.length).set(questions);
		const done = this.#w.predict(from, n, to);
		return new Uint8Array(this.#w.memory.buffer, to, done * this.#prediction.size).slice();
	}
}

export async function load(wasm, model) {
	const { instance } = await WebAssembly.instantiate(await bytesOf(wasm), {});
	const predictor = new Predictor(instance.exports);
	predictor.load(await bytesOf(model));
	return predictor;
}
