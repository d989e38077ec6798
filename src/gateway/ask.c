/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/ask.h"
#include "jouletap/record.h"

#define BYTES_PER_TOKEN 4 /* of a prompt: English text, common vocabularies */
#define MAX_CHOICES 128   /* engines take no more */

enum id {
	DOCUMENT = 1,
	MODEL,
	STREAM,
	OPTIONS,
	INCLUDE_USAGE,
	N,
	MAX_TOKENS,
	PROMPT,
	INSIDE,     /* says nothing itself */
	ATTACHMENT, /* nor does anything in it */
};

/* clang-format off */
static const struct jt_path stream_options[] = { { "include_usage", INCLUDE_USAGE }, { "" } };
static const struct jt_path options[] = { { "num_predict", MAX_TOKENS }, { "" } };
static const struct jt_path prompt[] = { /* whatever is inside, at any depth */
	{ "image_url", ATTACHMENT }, { "input_audio", ATTACHMENT }, { "file", ATTACHMENT },
	{ "file_data", ATTACHMENT }, { "source", ATTACHMENT }, { "images", ATTACHMENT },
	{ "", PROMPT, prompt }, { "" },
};
static const struct jt_path document[] = {
	{ "model", MODEL }, { "stream", STREAM }, { "stream_options", OPTIONS, stream_options }, { "n", N },
	{ "max_tokens", MAX_TOKENS }, { "max_completion_tokens", MAX_TOKENS },
	{ "messages", PROMPT, prompt }, { "prompt", PROMPT, prompt }, { "input", PROMPT, prompt },
	{ "tools", PROMPT, prompt },
	{ "max_output_tokens", MAX_TOKENS }, { "instructions", PROMPT, prompt }, /* responses */
	{ "system", PROMPT, prompt },                                            /* messages, Ollama */
	{ "options", INSIDE, options },                                          /* Ollama */
	{ "n_predict", MAX_TOKENS },                                             /* llama.cpp */
	{ "query", PROMPT, prompt }, { "documents", PROMPT, prompt },            /* rerank */
	{ "text_1", PROMPT, prompt }, { "text_2", PROMPT, prompt }, { "" },       /* score */
};
static const struct jt_path root = { "", DOCUMENT, document };
/* clang-format on */

/* Where the values that an edit may touch begin and end. */
struct place {
	size_t begin, end;
	uint8_t type;
	bool seen;
	bool empty;
};

struct reader {
	struct jt_ask *ask;
	const struct jt_api *api;
	struct jt_scan scan;
	size_t begin; /* of the scalar at hand */
	struct place document, options, include_usage;
};

static void place_begins(struct reader *r, struct place *p)
{
	p->begin = r->begin;
	p->type = r->scan.type;
	p->seen = true;
}

static void place_ends(struct reader *r, struct place *p)
{
	p->end = (size_t)r->scan.offset;
	p->empty = r->scan.empty;
}

static void value_begins(struct reader *r)
{
	r->begin = (size_t)r->scan.offset - 1;
	switch (r->scan.id) {
	case DOCUMENT:
		place_begins(r, &r->document);
		break;
	case OPTIONS:
		r->include_usage.seen = false; /* of a stream_options before this one */
		place_begins(r, &r->options);
		break;
	case INCLUDE_USAGE:
		place_begins(r, &r->include_usage);
		break;
	}
}

static void value_ends(struct reader *r)
{
	const struct jt_scan *s = &r->scan;
	struct jt_ask *ask = r->ask;

	switch (s->id) {
	case DOCUMENT:
		place_ends(r, &r->document);
		break;
	case MODEL:
		jt__copy_text(ask->model, sizeof(ask->model), s->text,
		              s->type == JT_SCAN_STRING ? s->n_text : 0);
		break;
	case STREAM:
		ask->stream = s->type == JT_SCAN_NULL ? r->api->streams : s->type == JT_SCAN_TRUE;
		break;
	case OPTIONS:
		place_ends(r, &r->options);
		break;
	case INCLUDE_USAGE:
		place_ends(r, &r->include_usage);
		break;
	case N:
		ask->n = jt__scan_u64(s, 1);
		break;
	case MAX_TOKENS: /* under several names, of which a client may leave some null */
		if (s->type != JT_SCAN_NULL)
			ask->max_tokens = jt__scan_u64(s, 1);
		break;
	case PROMPT:
		if (s->type == JT_SCAN_STRING)
			ask->prompt_bytes += s->offset - r->begin - 2;
		break;
	}
}

static enum jt_option option_of(const struct place *p)
{
	if (!p->seen)
		return JT_OPTION_ABSENT;
	switch (p->type) {
	case JT_SCAN_NULL:
		return JT_OPTION_NULL;
	case JT_SCAN_FALSE:
		return JT_OPTION_FALSE;
	case JT_SCAN_TRUE:
		return JT_OPTION_TRUE;
	default:
		return JT_OPTION_OTHER;
	}
}

static struct jt_edit replace(const struct place *p, const char *text)
{
	return (struct jt_edit){ p->begin, p->end - p->begin, text };
}

/* Behind the opening brace: the one place where no comma has to be looked for. */
static struct jt_edit insert(const struct place *p, const char *member, const char *only_member)
{
	return (struct jt_edit){ p->begin + 1, 0, p->empty ? only_member : member };
}

static struct jt_edit edit_for(const struct reader *r)
{
	const struct jt_edit none = { 0 };

	if (!r->ask->stream)
		return none;
	if (!r->options.seen)
		return insert(&r->document, "\"stream_options\":{\"include_usage\":true},", NULL);
	if (r->options.type == JT_SCAN_NULL)
		return replace(&r->options, "{\"include_usage\":true}");
	if (r->options.type != JT_SCAN_OBJECT)
		return none;
	switch (r->ask->include_usage) {
	case JT_OPTION_ABSENT:
		return insert(&r->options, "\"include_usage\":true,", "\"include_usage\":true");
	case JT_OPTION_NULL:
	case JT_OPTION_FALSE:
		return replace(&r->include_usage, "true");
	default:
		return none;
	}
}

uint32_t jt__ask_prompt_tokens(const struct jt_ask *ask)
{
	return (uint32_t)JT_MIN(ask->prompt_bytes / BYTES_PER_TOKEN + 1, UINT32_MAX);
}

uint32_t jt__ask_choices(const struct jt_ask *ask)
{
	return ask->n == JT_NONE ? 1 : (uint32_t)JT_MAX(JT_MIN(ask->n, MAX_CHOICES), 1);
}

void jt__ask_read(struct jt_ask *ask, const struct jt_api *api, const char *body, size_t n)
{
	const char *p = body, *end = body + n;
	struct reader r = { .ask = ask, .api = api };
	enum jt_scan_event event;

	memset(ask, 0, sizeof(*ask));
	ask->n = ask->max_tokens = JT_NONE;
	ask->stream = api->streams;
	jt__scan_init(&r.scan, &root);
	while ((event = jt__scan_next(&r.scan, &p, end)) != JT_SCAN_MORE) {
		if (event == JT_SCAN_BEGIN)
			value_begins(&r);
		else if (event == JT_SCAN_END)
			value_ends(&r);
	}
	ask->valid = jt__scan_complete(&r.scan) && r.document.type == JT_SCAN_OBJECT;
	ask->include_usage = option_of(&r.include_usage);
	if (ask->valid && api->asks_usage)
		ask->edit = edit_for(&r);
}
