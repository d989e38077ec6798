/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There is no tokenizer: four bytes of a prompt count as one token, the usual ratio of
 * English text, and each message of a chat as four more for its template. A prompt of token ids
 * counts as many as it has.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include "base/rng.h"
#include "demo/openai.h"

#define WHERE "demo"
#define DEFAULT_MAX_TOKENS 128
#define TOKENS_PER_MESSAGE 4

/* Bytes of text seen so far, and their FNV-1a hash (Fowler, Noll, Vo). */
struct tally {
	uint64_t n_bytes;
	uint64_t n_tokens; /* beyond those of the bytes */
	uint64_t hash;
};

static void tally_text(struct tally *t, const json_t *text)
{
	const char *p = json_string_value(text);
	size_t n = json_string_length(text);

	for (size_t i = 0; i < n; i++)
		t->hash = (t->hash ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
	t->n_bytes += n;
}

/* A message's content is a string or a list of parts, of which the texts count. */
static int tally_message(struct tally *t, const json_t *message)
{
	const json_t *content = json_object_get(message, "content");
	const json_t *part;
	size_t i;

	if (!json_is_object(message) || !json_is_string(json_object_get(message, "role")))
		return JT_EINVAL;
	t->n_tokens += TOKENS_PER_MESSAGE;
	tally_text(t, content);
	json_array_foreach((json_t *)content, i, part) tally_text(t, json_object_get(part, "text"));
	return JT_OK;
}

static int tally_chat(struct tally *t, const json_t *root, struct jt_error *err)
{
	const json_t *messages = json_object_get(root, "messages");
	const json_t *message;
	size_t i;

	if (json_array_size(messages) == 0)
		return jt__fail(err, JT_EINVAL, WHERE,
		                "'messages' must be a list that is not empty");
	json_array_foreach((json_t *)messages, i, message)
	{
		if (tally_message(t, message) < 0)
			return jt__fail(err, JT_EINVAL, WHERE,
			                "'messages[%zu]' must be an object with a role", i);
	}
	return JT_OK;
}

static int tally_prompt(struct tally *t, const json_t *root, struct jt_error *err)
{
	const json_t *prompt = json_object_get(root, "prompt");

	if (json_array_size(prompt) == 1 && json_is_string(json_array_get(prompt, 0)))
		prompt = json_array_get(prompt, 0);
	if (json_array_size(prompt) > 0 && json_is_integer(json_array_get(prompt, 0)))
		t->n_tokens += json_array_size(prompt);
	else if (json_is_string(prompt))
		tally_text(t, prompt);
	else
		return jt__fail(err, JT_EINVAL, WHERE,
		                "'prompt' must be a string or a list of token ids");
	return JT_OK;
}

static int parse_limits(const json_t *root, struct jt_demo_ask *ask, struct jt_error *err)
{
	const json_t *limit = json_object_get(root, "max_completion_tokens");
	const json_t *n = json_object_get(root, "n");

	if (!limit || json_is_null(limit))
		limit = json_object_get(root, "max_tokens");
	ask->max_tokens = DEFAULT_MAX_TOKENS;
	if (limit && !json_is_null(limit)) {
		json_int_t v = json_integer_value(limit);

		if (v < 1 || v > JT_DEMO_MAX_TOKENS)
			return jt__fail(err, JT_EINVAL, WHERE, "'max_tokens' must be 1 to %d",
			                JT_DEMO_MAX_TOKENS);
		ask->max_tokens = (uint32_t)v;
	}
	if (n && !json_is_null(n) && json_integer_value(n) != 1)
		return jt__fail(err, JT_EINVAL, WHERE, "'n' must be 1: one choice is all it makes");
	return JT_OK;
}

static int parse_object(const json_t *root, const char *model, struct jt_demo_ask *ask,
                        struct jt_error *err)
{
	const json_t *name = json_object_get(root, "model");
	const json_t *options = json_object_get(root, "stream_options");
	struct tally t = { .hash = UINT64_C(0xcbf29ce484222325) };
	uint64_t n_tokens;
	int status;

	if (!json_is_string(name))
		return jt__fail(err, JT_EINVAL, WHERE, "'model' must be a string");
	if (strcmp(json_string_value(name), model) != 0)
		return jt__fail(err, JT_ENOENT, WHERE, "model '%.64s' is not here, '%s' is",
		                json_string_value(name), model);
	if ((status = parse_limits(root, ask, err)) < 0)
		return status;
	status = ask->chat ? tally_chat(&t, root, err) : tally_prompt(&t, root, err);
	if (status < 0)
		return status;
	n_tokens = t.n_tokens + (t.n_bytes + 3) / 4;
	if (n_tokens == 0 || n_tokens > UINT32_MAX)
		return jt__fail(err, JT_EINVAL, WHERE, "the prompt is empty or too long");
	ask->prompt_tokens = (uint32_t)n_tokens;
	ask->stream = json_is_true(json_object_get(root, "stream"));
	ask->include_usage = json_is_true(json_object_get(options, "include_usage"));
	ask->seed = t.hash + (uint64_t)json_integer_value(json_object_get(root, "seed"));
	return JT_OK;
}

int jt__demo_ask_parse(const char *body, size_t n, bool chat, const char *model,
                       struct jt_demo_ask *ret_ask, struct jt_error *err)
{
	struct jt_demo_ask ask = { .chat = chat };
	json_error_t je;
	json_t *root = json_loadb(body, n, 0, &je);
	int status;

	if (!root)
		return jt__fail(err, JT_EINVAL, WHERE, "not JSON: line %d: %s", je.line, je.text);
	if (json_is_object(root))
		status = parse_object(root, model, &ask, err);
	else
		status = jt__fail(err, JT_EINVAL, WHERE, "the request must be a JSON object");
	json_decref(root);
	if (status == JT_OK)
		*ret_ask = ask;
	return status;
}

void jt__demo_word(uint64_t seed, uint32_t i, char out[16])
{
	static const char consonants[] = "bdfgklmnprstvz", vowels[] = "aeiou";
	struct jt_rng r = { seed + i * UINT64_C(0x9e3779b97f4a7c15) };
	size_t n = 0, n_syllables = 1 + jt__rng_below(&r, 3);

	out[n++] = ' ';
	for (size_t k = 0; k < n_syllables; k++) {
		out[n++] = consonants[jt__rng_below(&r, sizeof(consonants) - 1)];
		out[n++] = vowels[jt__rng_below(&r, sizeof(vowels) - 1)];
	}
	out[n] = '\0';
}

/* Id, object, creation and model: what every object begins with. */
static void begin(struct jt_buf *b, const struct jt_demo_answer *a, const char *object)
{
	jt__buf_printf(b,
	               "{\"id\":\"%s-%" PRIu64 "\",\"object\":\"%s\",\"created\":%" PRIu64
	               ",\"model\":",
	               a->ask->chat ? "chatcmpl" : "cmpl", a->id, object, a->created_unix_s);
	jt__json_string(b, a->model, strlen(a->model));
}

static void begin_event(struct jt_buf *b, const struct jt_demo_answer *a)
{
	jt__buf_append_text(b, "data: ");
	begin(b, a, a->ask->chat ? "chat.completion.chunk" : "text_completion");
	jt__buf_append_text(b, ",\"choices\":[");
}

static void usage(struct jt_buf *b, const struct jt_demo_answer *a, uint32_t n_tokens)
{
	jt__buf_printf(b,
	               ",\"usage\":{\"prompt_tokens\":%" PRIu32 ",\"completion_tokens\":%" PRIu32
	               ",\"total_tokens\":%" PRIu64 "}",
	               a->ask->prompt_tokens, n_tokens, (uint64_t)a->ask->prompt_tokens + n_tokens);
}

void jt__demo_event_text(struct jt_buf *b, const struct jt_demo_answer *a, const char *text,
                         bool first)
{
	if (a->ask->chat && first) {
		begin_event(b, a);
		jt__buf_append_text(
			b, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
			   "\"finish_reason\":null}]}\n\n");
	}
	begin_event(b, a);
	jt__buf_append_text(b, a->ask->chat ? "{\"index\":0,\"delta\":{\"content\":"
	                                    : "{\"index\":0,\"text\":");
	jt__json_string(b, text, strlen(text));
	jt__buf_append_text(b, a->ask->chat ? "},\"finish_reason\":null}]}\n\n"
	                                    : ",\"finish_reason\":null}]}\n\n");
}

void jt__demo_event_end(struct jt_buf *b, const struct jt_demo_answer *a, uint32_t n_tokens)
{
	begin_event(b, a);
	jt__buf_append_text(
		b, a->ask->chat ? "{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
				: "{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}]}\n\n");
	if (a->ask->include_usage) {
		begin_event(b, a);
		jt__buf_append_text(b, "]");
		usage(b, a, n_tokens);
		jt__buf_append_text(b, "}\n\n");
	}
	jt__buf_append_text(b, "data: [DONE]\n\n");
}

void jt__demo_body(struct jt_buf *b, const struct jt_demo_answer *a, const char *text, size_t n,
                   uint32_t n_tokens)
{
	begin(b, a, a->ask->chat ? "chat.completion" : "text_completion");
	jt__buf_append_text(b, ",\"choices\":[{\"index\":0,");
	jt__buf_append_text(b, a->ask->chat ? "\"message\":{\"role\":\"assistant\",\"content\":"
	                                    : "\"text\":");
	jt__json_string(b, text, n);
	jt__buf_append_text(b, a->ask->chat ? "}" : "");
	jt__buf_append_text(b, ",\"finish_reason\":\"length\"}]");
	usage(b, a, n_tokens);
	jt__buf_append_text(b, "}");
}

void jt__demo_models(struct jt_buf *b, const char *model)
{
	jt__buf_append_text(b, "{\"object\":\"list\",\"data\":[{\"object\":\"model\",\"id\":");
	jt__json_string(b, model, strlen(model));
	jt__buf_append_text(b, ",\"created\":0,\"owned_by\":\"jouletap-demo\"}]}");
}
