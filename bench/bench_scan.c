/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token path: what reading and forwarding a streamed answer costs per event
 * and per byte, and what reading a request costs. The stream is a recorded one
 * over and over, in pieces of one event each, as a paced stream arrives.
 */
#include <stdio.h>
#include "base/clock.h"
#include "gateway/ask.h"
#include "stream.h"

enum { ROUNDS = 4000, RUNS = 5 };

static size_t n_sent; /* so that nothing is optimised away */

static const char *event_end(const struct capture *c, const char *p)
{
	const char *gap = c->kind == JT_ANSWER_LINES ? "\n" : "\n\n", *stop = strstr(p, gap);

	return stop ? stop + strlen(gap) : c->body + c->n_body;
}

static void forward_all(const struct capture *c, enum jt_filter_mode mode, uint64_t *ret_n_events)
{
	struct jt_filter f;

	*ret_n_events = 0;
	jt__filter_init(&f, mode, c->api->form, c->kind, 65536);
	for (const char *p = c->body, *end = p + c->n_body; p < end; ++*ret_n_events) {
		const char *stop = event_end(c, p);

		while (jt__filter_next(&f, &p, stop) != JT_FILTER_MORE)
			n_sent += f.out[0].n + f.out[1].n;
	}
	jt__filter_fini(&f);
}

static uint64_t time_stream(const struct capture *c, enum jt_filter_mode mode,
                            uint64_t *ret_n_events)
{
	uint64_t best_ns = UINT64_MAX;

	for (int run = 0; run < RUNS; run++) {
		uint64_t begin_ns = jt__cpu_ns();

		for (int i = 0; i < ROUNDS; i++)
			forward_all(c, mode, ret_n_events);
		best_ns = JT_MIN(best_ns, jt__cpu_ns() - begin_ns);
	}
	return best_ns;
}

static void bench_stream(const char *name)
{
	static const char *const modes[] = { "pass", "drop", "energy" };
	struct capture c = capture_load(name);

	for (int m = 0; m < 3; m++) {
		uint64_t n_events, ns = time_stream(&c, (enum jt_filter_mode)m, &n_events);

		printf("{\"bench\":\"answer\",\"stream\":\"%s\",\"mode\":\"%s\",\"ns_per_event\":%."
		       "1f,"
		       "\"mb_per_s\":%.0f}\n",
		       name, modes[m], (double)ns / ROUNDS / (double)n_events,
		       (double)c.n_body * ROUNDS * 1e3 / (double)ns);
	}
	capture_free(&c);
}

static void bench_ask(const char *name)
{
	struct capture c = capture_load(name);
	uint64_t best_ns = UINT64_MAX;
	struct jt_ask ask;

	for (int run = 0; run < RUNS; run++) {
		uint64_t begin_ns = jt__cpu_ns();

		for (int i = 0; i < ROUNDS; i++) {
			jt__ask_read(&ask, c.api, c.request, c.n_request);
			n_sent += ask.prompt_bytes;
		}
		best_ns = JT_MIN(best_ns, jt__cpu_ns() - begin_ns);
	}
	printf("{\"bench\":\"ask\",\"request\":\"%s\",\"bytes\":%zu,\"ns\":%.1f,\"mb_per_s\":%.0f}"
	       "\n",
	       name, c.n_request, (double)best_ns / ROUNDS,
	       (double)c.n_request * ROUNDS * 1e3 / (double)best_ns);
	capture_free(&c);
}

int main(void)
{
	bench_stream("chat_stream_usage");
	bench_stream("chat_finish_stop");
	bench_stream("chat_stream_logprobs");
	bench_stream("chat_stream_timings_per_token_progress");
	bench_stream("responses_stream");
	bench_stream("anthropic_messages_stream");
	bench_stream("../engine_streams/ollama_chat");
	bench_ask("chat_stream_usage");
	bench_ask("chat_stream_timings_per_token_progress");
	return n_sent == 0;
}
