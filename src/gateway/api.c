/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/api.h"

#define AT(place) JT_PLACE_##place

/* clang-format off */

/* ---- what engines add to the answers of several APIs ---- */

static const struct jt_path timings[] = { /* llama.cpp; queue_ms is the demo engine's own */
	{ "prompt_n", AT(COMPUTED_TOKENS) }, { "cache_n", AT(REUSED_TOKENS) },
	{ "predicted_n", AT(DECODED_TOKENS) }, { "queue_ms", AT(QUEUE_MS) },
	{ "prompt_ms", AT(PREFILL_MS) }, { "predicted_ms", AT(DECODE_MS) }, { "" },
};
static const struct jt_path metrics[] = { /* vLLM --enable-per-request-metrics */
	{ "queue_time_ms", AT(QUEUE_MS) }, { "time_to_first_token_ms", AT(PREFILL_MS) },
	{ "generation_time_ms", AT(DECODE_MS) }, { "" },
};
#define EXTRAS { "timings", AT(TIMINGS), timings }, { "metrics", AT(TIMINGS), metrics }

/* ---- OpenAI's completions ---- */

#define CHAT_CONTENT                                                                             \
	{ "content", AT(CONTENT) }, { "reasoning_content", AT(CONTENT) }, { "reasoning", AT(CONTENT) }, \
	{ "tool_calls", AT(CONTENT) }, { "text", AT(CONTENT) }, { "refusal", AT(CONTENT) }
static const struct jt_path chat_message[] = { CHAT_CONTENT, { "" } };
static const struct jt_path choice[] = {
	{ "index", AT(INDEX) }, { "delta", AT(INSIDE), chat_message }, { "finish_reason", AT(FINISH) },
	{ "message", AT(INSIDE), chat_message }, CHAT_CONTENT, { "" },
};
static const struct jt_path choices[] = { { "", AT(CHOICE), choice }, { "" } };
static const struct jt_path cached[] = { { "cached_tokens", AT(CACHED_TOKENS) }, { "" } };
static const struct jt_path reasoning[] = { { "reasoning_tokens", AT(REASONING_TOKENS) }, { "" } };
static const struct jt_path chat_usage[] = {
	{ "prompt_tokens", AT(PROMPT_TOKENS) }, { "completion_tokens", AT(COMPLETION_TOKENS) },
	{ "prompt_tokens_details", AT(INSIDE), cached },
	{ "completion_tokens_details", AT(INSIDE), reasoning },
	{ "reasoning_tokens", AT(REASONING_TOKENS) }, { "" }, /* SGLang */
};
static const struct jt_path chat[] = {
	{ "choices", AT(CHOICES), choices }, { "usage", AT(USAGE), chat_usage }, EXTRAS,
	{ "error", AT(FAILURE) }, { "" },
};
static const struct jt_form chat_form = { { "", AT(DOCUMENT), chat }, .has_choices = true };

/* ---- what only prefills: in usage, all tokens are of the prompt ---- */

static const struct jt_path input_usage[] = {
	{ "prompt_tokens", AT(PROMPT_TOKENS) }, { "total_tokens", AT(PROMPT_TOKENS) },
	{ "prompt_tokens_details", AT(INSIDE), cached }, { "" },
};
static const struct jt_path input[] = {
	{ "usage", AT(USAGE), input_usage }, EXTRAS, { "error", AT(FAILURE) }, { "" },
};
static const struct jt_form input_form = { { "", AT(DOCUMENT), input } };

/* ---- OpenAI's responses: an answer is in `response` of the event that ends it ---- */

static const struct jt_path responses_usage[] = {
	{ "input_tokens", AT(PROMPT_TOKENS) }, { "output_tokens", AT(COMPLETION_TOKENS) },
	{ "input_tokens_details", AT(INSIDE), cached },
	{ "output_tokens_details", AT(INSIDE), reasoning }, { "" },
};
#define RESPONSE                                                                                 \
	{ "usage", AT(USAGE), responses_usage }, { "status", AT(STATUS) }, EXTRAS, { "error", AT(FAILURE) }
static const struct jt_path response[] = { RESPONSE, { "" } };
static const struct jt_path responses[] = {
	{ "delta", AT(CONTENT) }, { "type", AT(TYPE) }, { "response", AT(INSIDE), response },
	{ "output", AT(CONTENT) }, RESPONSE, { "" },
};
static const struct jt_form responses_form = { { "", AT(DOCUMENT), responses } };

/* ---- Anthropic's messages. At the start the output is not counted yet, whatever stands there; a
   signature is no token: the engine makes it up afterwards. ---- */

#define MESSAGES_INPUT                                                                           \
	{ "input_tokens", AT(FRESH_TOKENS) }, { "cache_read_input_tokens", AT(CACHED_TOKENS) },         \
	{ "cache_creation_input_tokens", AT(WRITTEN_TOKENS) }
static const struct jt_path messages_input[] = { MESSAGES_INPUT, { "" } };
static const struct jt_path messages_usage[] = {
	{ "output_tokens", AT(COMPLETION_TOKENS) }, MESSAGES_INPUT, { "" },
};
static const struct jt_path message_start[] = { { "usage", AT(INSIDE), messages_input }, { "" } };
static const struct jt_path messages_delta[] = {
	{ "text", AT(CONTENT) }, { "thinking", AT(CONTENT) }, { "partial_json", AT(CONTENT) },
	{ "stop_reason", AT(FINISH) }, { "" },
};
static const struct jt_path messages[] = {
	{ "type", AT(TYPE) }, { "delta", AT(INSIDE), messages_delta },
	{ "message", AT(INSIDE), message_start }, { "usage", AT(USAGE), messages_usage },
	{ "content", AT(CONTENT) }, { "stop_reason", AT(FINISH) }, EXTRAS, { "error", AT(FAILURE) }, { "" },
};
static const struct jt_form messages_form = { { "", AT(DOCUMENT), messages } };

/* ---- Ollama's own ---- */

static const struct jt_path ollama_message[] = {
	{ "content", AT(CONTENT) }, { "thinking", AT(CONTENT) }, { "tool_calls", AT(CONTENT) }, { "" },
};
static const struct jt_path ollama[] = {
	{ "message", AT(INSIDE), ollama_message }, { "response", AT(CONTENT) },
	{ "thinking", AT(CONTENT) }, { "tool_calls", AT(CONTENT) }, { "done", AT(OVER) }, { "done_reason", AT(FINISH) },
	{ "prompt_eval_count", AT(PROMPT_TOKENS) }, { "prompt_eval_duration", AT(PREFILL_NS) },
	{ "eval_count", AT(COMPLETION_TOKENS) }, { "eval_duration", AT(DECODE_NS) },
	{ "load_duration", AT(LOAD_NS) }, { "total_duration", AT(TOTAL_NS) },
	{ "error", AT(FAILURE) }, { "" },
};
static const struct jt_form ollama_form = { { "", AT(DOCUMENT), ollama }, .energy_on_top = true };

/* ---- llama.cpp's own ---- */

static const struct jt_path native[] = {
	{ "content", AT(CONTENT) }, { "stop", AT(OVER) }, { "tokens_evaluated", AT(PROMPT_TOKENS) },
	{ "tokens_predicted", AT(COMPLETION_TOKENS) }, EXTRAS, { "error", AT(FAILURE) }, { "" },
};
static const struct jt_form native_form = { { "", AT(DOCUMENT), native }, .energy_on_top = true };

/* ---- the table ---- */

static const struct jt_api apis[] = {
	{ "/v1/chat/completions", &chat_form,      .asks_usage = true },
	{ "/v1/completions",      &chat_form,      .asks_usage = true },
	{ "/v1/responses",        &responses_form },
	{ "/v1/messages",         &messages_form },
	{ "/api/chat",            &ollama_form,    .streams = true },
	{ "/api/generate",        &ollama_form,    .streams = true },
	{ "/completion",          &native_form },
	{ "/v1/embeddings",       &input_form,     .prefill_only = true },
	{ "/api/embed",           &ollama_form,    .prefill_only = true },
	{ "/api/embeddings",      &ollama_form,    .prefill_only = true },
	{ "/v1/rerank",           &input_form,     .prefill_only = true },
	{ "/v2/rerank",           &input_form,     .prefill_only = true },
	{ "/rerank",              &input_form,     .prefill_only = true },
	{ "/v1/score",            &input_form,     .prefill_only = true },
	{ "/score",               &input_form,     .prefill_only = true },
	{ "/v1/classify",         &input_form,     .prefill_only = true },
	{ "/classify",            &input_form,     .prefill_only = true },
	{ "/pooling",             &input_form,     .prefill_only = true },
};
/* clang-format on */

const struct jt_api jt__api_unread = { 0 };

const struct jt_api *jt__api_find(const char *path)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(apis); i++)
		if (strcmp(apis[i].path, path) == 0)
			return &apis[i];
	return NULL;
}
