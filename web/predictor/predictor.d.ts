// SPDX-License-Identifier: Apache-2.0
/** How weights are kept. */
export type Weights = "bf16" | "fp16" | "fp32" | "fp8" | "mxfp4" | "int8" | "nf4" | "awq" | "gptq";

/** What is asked. A number that is left out or null is not known; counts of devices are then 1. */
export interface Question {
	/** The transformer, named as in a Hugging Face config.json. */
	n_layers?: number | null;
	hidden_size?: number | null;
	intermediate_size?: number | null;
	n_heads?: number | null;
	n_kv_heads?: number | null;
	head_dim?: number | null;
	vocab_size?: number | null;
	n_experts?: number | null;
	experts_per_tok?: number | null;
	moe_intermediate_size?: number | null;
	n_shared_experts?: number | null;
	/** Of a mixture's feed-forward blocks, those without experts. */
	first_k_dense?: number | null;
	/** Latent attention; q_lora_rank 0: queries are not compressed. */
	kv_lora_rank?: number | null;
	q_lora_rank?: number | null;
	qk_nope_head_dim?: number | null;
	qk_rope_head_dim?: number | null;
	v_head_dim?: number | null;
	sliding_window?: number | null;
	/** Of all layers, those with a window, with attention, with a feed-forward block. Default: a guess, all, all. */
	n_sliding_layers?: number | null;
	n_attention_layers?: number | null;
	n_ffn_layers?: number | null;
	/** Layers that mix tokens without attention; parameters and elements of state of one. */
	n_ssm_layers?: number | null;
	ssm_params?: number | null;
	ssm_state?: number | null;
	/** Matrices of a feed-forward block: 3 gated, 2 plain. */
	ffn_mats?: number | null;
	/** 1: output and input share their embedding; 0: they do not. */
	tie_embeddings?: number | null;
	/** 10^9 parameters, as published. */
	params_total_b?: number | null;
	params_active_b?: number | null;
	/** Numbers in the KV cache for a token of context. */
	kv_elems_per_token?: number | null;
	/** Some layers are not attention. */
	is_hybrid?: boolean;
	/** Default: bf16. */
	weights?: Weights;
	/** Of one device: GB, GB/s, TFLOP/s dense, W. */
	gpu_mem_gb?: number | null;
	gpu_bw_gbs?: number | null;
	gpu_bf16_tflops?: number | null;
	gpu_fp8_tflops?: number | null;
	gpu_tdp_w?: number | null;
	/** What one draws with a model loaded and nothing to do. Default: 0.17 of gpu_tdp_w. */
	gpu_idle_w?: number | null;
	/** Energy of a byte read, relative to HBM3. Default: 1. */
	gpu_byte_cost?: number | null;
	/** GB/s to other GPUs of its node, one direction. Default: 32. */
	gpu_link_gbs?: number | null;
	/** Devices, and how the model is spread over them. */
	n_gpu?: number | null;
	tp?: number | null;
	pp?: number | null;
	dp?: number | null;
	ep?: number | null;
	/** Requests running at once: the mean, and the most. */
	batch?: number | null;
	max_num_seqs?: number | null;
	/** Tokens of a request. */
	in_tokens?: number | null;
	out_tokens?: number | null;
	/** vLLM 0.9 or later. Default: true. */
	is_vllm_new?: boolean;
	/** Hugging Face transformers. */
	is_eager?: boolean;
	is_multimodal_task?: boolean;
	/** Names, for the interval, the factor and the reasons. */
	gpu?: string;
	task?: string;
	model?: string;
	model_group?: string;
	source?: string;
	engine?: string;
}

export interface Part {
	kind: "sum" | "linear" | "trees" | "kernel";
	/** What it adds to the natural logarithm of joules per token. */
	log: number;
}

export interface Prediction {
	/** Joules of the GPUs per output token, and the interval that holds `coverage` (0 … 1) of all cases. */
	joulesPerToken: number;
	lowJoules: number;
	highJoules: number;
	coverage: number;
	parts: Part[];
	/** What the meter has taught about this model on this GPU (1: nothing), from so many requests. */
	factor: number;
	factorRows: number;
	/** The nearest that was measured: how far (in lengths of the kernel) and what; null: the model does not say. */
	distance: number | null;
	nearest: string | null;
	/** Why the data says little about this; empty: it does not. */
	outside: ("range" | "far" | "gpu" | "weights" | "engine")[];
	/** The same in words. */
	reason: string;
}

export interface Predictor {
	/** TypeError: not a question. RangeError: one that cannot be answered; the message says why. */
	predict(question: Question): Prediction;
	predictMany(questions: Question[]): Prediction[];
	/** Structs of the C library in and out; shorter than asked for where a question cannot be answered. */
	predictRaw(questions: Uint8Array): Uint8Array;
}

/** predictor.wasm and a compiled model: bytes, or where they are. */
export function load(
	wasm: URL | string | Response | ArrayBuffer | Uint8Array,
	model: URL | string | Response | ArrayBuffer | Uint8Array,
): Promise<Predictor>;
