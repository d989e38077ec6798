// SPDX-License-Identifier: Apache-2.0
// usage: predictor_wasm.mjs PREDICTOR.WASM DIRECTORY: what fitted_rows put there, again in WebAssembly. Prints TAP.
import { readFileSync, statSync } from "node:fs";
import { load } from "../../web/predictor/predictor.js";

const [wasmFile, directory] = process.argv.slice(2);
const read = (name) => new Uint8Array(readFileSync(`${directory}/${name}`));
const wasm = new Uint8Array(readFileSync(wasmFile));
let n = 0, failed = 0;

function check(ok, what, detail) {
	console.log(`${ok ? "ok" : "not ok"} ${++n} - ${what}`);
	if (!ok && detail !== undefined)
		console.log(`# ${detail}`);
	failed += !ok;
}

async function message(promise) {
	try {
		await promise;
		return "nothing";
	} catch (e) {
		return `${e.name}: ${e.message}`;
	}
}

check(WebAssembly.Module.imports(new WebAssembly.Module(wasm)).length === 0, "the module imports nothing");
check(statSync(wasmFile).size < 50000, "the module is below 50 kB", statSync(wasmFile).size);

const questions = read("questions.bin"), want = read("predictions.bin");
const predictor = await load(wasm, read("model.bin"));
const began = performance.now();
const got = predictor.predictRaw(questions);
const perRow = 1e6 * (performance.now() - began) / 10000;
const differs = want.findIndex((byte, i) => byte !== got[i]);
check(got.length === want.length && differs < 0, "10,000 predictions have the same bits as native ones",
	`${got.length} of ${want.length} bytes; the first that differs: ${differs}`);
console.log(`# ${statSync(wasmFile).size} bytes, ${perRow.toFixed(0)} ns a prediction`);

const llama = { n_layers: 32, hidden_size: 4096, intermediate_size: 14336, n_heads: 32, n_kv_heads: 8, head_dim: 128,
	vocab_size: 128256, ffn_mats: 3, gpu: "H100", gpu_mem_gb: 80, gpu_bw_gbs: 3350, gpu_bf16_tflops: 989,
	gpu_fp8_tflops: 1978, gpu_tdp_w: 700, batch: 32, max_num_seqs: 32, in_tokens: 500, out_tokens: 500,
	weights: "fp8" };
const one = predictor.predict(llama);
check(one.lowJoules > 0 && one.lowJoules < one.joulesPerToken && one.joulesPerToken < one.highJoules,
	"an object is a question too", JSON.stringify(one));
const sum = one.parts.reduce((log, part) => log + part.log, 0);
check(Math.abs(Math.exp(sum) / one.joulesPerToken - 1) < 1e-12, "the parts explain the joules", JSON.stringify(one.parts));
check(!one.reason.includes("fp8") && !one.outside.includes("gpu"), "what was measured is inside the data", one.reason);
const other = predictor.predict({ ...llama, gpu: "MI300X", weights: "awq" });
check(other.outside.includes("gpu") && other.outside.includes("weights") &&
	other.reason.startsWith("nothing was measured on GPU 'MI300X'; nothing was measured with weights in awq"),
	"what was not is told with a reason", other.reason);
const many = predictor.predictMany(Array.from({ length: 3000 }, () => llama));
check(many.length === 3000 && many.every((p) => p.joulesPerToken === one.joulesPerToken), "memory grows with the questions");

const wrong = async (question) => predictor.predict(question);
check(/^RangeError: question 0: .*batch/.test(await message(wrong({ ...llama, batch: null, max_num_seqs: null }))),
	"what is missing is named", await message(wrong({ ...llama, batch: null, max_num_seqs: null })));
check(/^TypeError: 'layers'/.test(await message(wrong({ layers: 3 }))), "an unknown field is named");
check(/^TypeError: 'weights' must be one of bf16/.test(await message(wrong({ ...llama, weights: "int3" }))),
	"unknown weights are refused with those that are known");
const model = read("model.bin");
check(/damaged/.test(await message(load(wasm, model.slice(0, -8)))), "a model that is cut is refused",
	await message(load(wasm, model.slice(0, -8))));
model[8] ^= 2;
check(/version/.test(await message(load(wasm, model))), "a model of another version is refused");
console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
