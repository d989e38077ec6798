/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "tap.h"
#include "base/clock.h"
#include "demo/demo.h"
#include "jouletap/record.h"

#define CHAT "POST /v1/chat/completions"
#define COMPLETION "POST /v1/completions"
#define HELLO "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"How much is it?\"}]"

/* A fast GPU, so that a token takes 8 ms. */
static struct jt_demo_engine *start(void)
{
	struct jt_demo_options o = jt__demo_defaults();
	struct jt_demo_engine *e = NULL;
	struct jt_error err;

	o.model = "m";
	o.node.gpu = *jt__gpu_find("H100-SXM5-80GB");
	if (!check(jt__demo_engine_start(&o, &e, &err) == JT_OK)) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	return e;
}

static int dial(const struct jt_demo_engine *e)
{
	const char *address = jt__demo_engine_address(e);
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	check(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

/* Sends a request without waiting for the answer. @start: "POST /path". */
static int ask(const struct jt_demo_engine *e, const char *start_line, const char *id,
               const char *body)
{
	char head[512];
	int fd = dial(e);
	int n = snprintf(head, sizeof(head),
	                 "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-request-id: %s\r\n"
	                 "Content-Length: %zu\r\n\r\n",
	                 start_line, id, strlen(body));

	check(send(fd, head, (size_t)n, MSG_NOSIGNAL) == n);
	check(send(fd, body, strlen(body), MSG_NOSIGNAL) == (ssize_t)strlen(body));
	return fd;
}

static char answer[1 << 20];

/* Reads to the end of the connection into answer; returns the status code. */
static int hear(int fd)
{
	size_t n = 0;
	ssize_t got;

	while ((got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0)) > 0)
		n += (size_t)got;
	answer[n] = '\0';
	close(fd);
	return n > 12 ? atoi(answer + 9) : -1;
}

static int talk(const struct jt_demo_engine *e, const char *start_line, const char *id,
                const char *body)
{
	return hear(ask(e, start_line, id, body));
}

static const char *body_of_answer(void)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end ? end + 4 : "";
}

/* Puts the texts of a stream's events together; returns how many had any. */
static int stream_text(const char *key, char *out, size_t size)
{
	int n_texts = 0;

	*out = '\0';
	for (char *p = answer; (p = strstr(p, "data: {")); p += 6) {
		json_t *event = json_loads(p + 6, JSON_DISABLE_EOF_CHECK, NULL);
		json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
		json_t *delta = json_object_get(choice, "delta");
		const char *text = json_string_value(json_object_get(delta ? delta : choice, key));

		check(event != NULL);
		if (text && *text) {
			n_texts++;
			strncat(out, text, size - strlen(out) - 1);
		}
		json_decref(event);
	}
	return n_texts;
}

static void streams_a_chat_with_its_usage(void)
{
	struct jt_demo_engine *e = start();
	struct jt_node_truth t;
	char text[1000];

	check(talk(e, CHAT, "r1",
	           "{" HELLO ",\"max_tokens\":6,\"stream\":true,"
	           "\"stream_options\":{\"include_usage\":true}}") == 200);
	check(strstr(answer, "Content-Type: text/event-stream") != NULL);
	check(strstr(answer, "\"role\":\"assistant\"") != NULL);
	check(stream_text("content", text, sizeof(text)) == 6);
	check(strstr(answer, "\"finish_reason\":\"length\"") != NULL);
	check(strstr(answer,
	             "\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":6,"
	             "\"total_tokens\":14}}\n\n") != NULL);
	check(strstr(answer, "data: [DONE]\n\n") != NULL);
	check(jt__demo_engine_truth(e, "r1", &t) == JT_OK);
	check(t.prompt_tokens == 8 && t.output_tokens == 6);
	check(t.prefill_j > 0 && t.decode_j > t.prefill_j);
	jt__demo_engine_stop(e);
}

static void says_no_usage_unless_asked(void)
{
	struct jt_demo_engine *e = start();

	check(talk(e, CHAT, "", "{" HELLO ",\"max_tokens\":2,\"stream\":true}") == 200);
	check(strstr(answer, "usage") == NULL && strstr(answer, "[DONE]") != NULL);
	jt__demo_engine_stop(e);
}

static void answers_in_one_piece_what_it_would_have_streamed(void)
{
	static const char *const cases[][4] = {
		{ CHAT, HELLO, "content", "message" },
		{ COMPLETION, "\"model\":\"m\",\"prompt\":\"Once upon a time\"", "text", NULL },
	};
	struct jt_demo_engine *e = start();

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		char request[500], text[1000];
		json_t *root, *choice;

		snprintf(request, sizeof(request), "{%s,\"max_tokens\":9,\"stream\":true}",
		         cases[i][1]);
		check(talk(e, cases[i][0], "", request) == 200);
		check(stream_text(cases[i][2], text, sizeof(text)) == 9);
		snprintf(request, sizeof(request), "{%s,\"max_tokens\":9}", cases[i][1]);
		check(talk(e, cases[i][0], "", request) == 200);
		root = json_loads(body_of_answer(), 0, NULL);
		choice = json_array_get(json_object_get(root, "choices"), 0);
		if (cases[i][3])
			choice = json_object_get(choice, cases[i][3]);
		check_text(json_string_value(json_object_get(choice, cases[i][2])), text);
		check(json_integer_value(json_object_get(json_object_get(root, "usage"),
		                                         "completion_tokens")) == 9);
		json_decref(root);
	}
	jt__demo_engine_stop(e);
}

static void estimates_prompt_tokens_as_it_says(void)
{
	static const struct {
		const char *path, *body;
		uint32_t tokens;
	} cases[] = {
		{ CHAT,
		  "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"system\","
		  "\"content\":\"12345678\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		  "\"text\":\"123\"}]}]}",
		  4 + 4 + 3 },
		{ COMPLETION, "{\"model\":\"m\",\"max_tokens\":1,\"prompt\":[\"12345\"]}", 2 },
		{ COMPLETION, "{\"model\":\"m\",\"max_tokens\":1,\"prompt\":[5,6,7]}", 3 },
	};
	struct jt_demo_engine *e = start();

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		struct jt_node_truth t = { 0 };

		check(talk(e, cases[i].path, "same", cases[i].body) == 200);
		check(jt__demo_engine_truth(e, "same", &t) == JT_OK);
		check(t.prompt_tokens == cases[i].tokens);
	}
	jt__demo_engine_stop(e);
}

static void refuses_what_it_cannot_do_as_openai_does(void)
{
	static const struct {
		const char *start, *body;
		int status;
		const char *says;
	} cases[] = {
		{ CHAT, "{\"model\":", 400, "not JSON" },
		{ CHAT, "", 400, "not JSON" },
		{ CHAT, "[]", 400, "JSON object" },
		{ CHAT, "{\"model\":\"m\"}", 400, "'messages'" },
		{ CHAT, "{\"model\":\"m\",\"messages\":[3]}", 400, "'messages[0]'" },
		{ CHAT, "{\"messages\":[]}", 400, "'model'" },
		{ CHAT, "{\"model\":\"gpt-5\"}", 404, "'gpt-5'" },
		{ CHAT, "{" HELLO ",\"n\":2}", 400, "'n'" },
		{ CHAT, "{" HELLO ",\"max_tokens\":0}", 400, "'max_tokens'" },
		{ CHAT, "{" HELLO ",\"max_tokens\":100000}", 400, "'max_tokens'" },
		{ COMPLETION, "{\"model\":\"m\",\"prompt\":\"\"}", 400, "empty" },
		{ COMPLETION, "{\"model\":\"m\"}", 400, "'prompt'" },
		{ "POST /v1/embeddings", "{}", 404, "/v1/embeddings" },
		{ "GET /v1/chat/completions", "", 405, "GET" },
	};
	struct jt_demo_engine *e = start();

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		json_t *root, *error;
		const char *message;

		check(talk(e, cases[i].start, "", cases[i].body) == cases[i].status);
		root = json_loads(body_of_answer(), 0, NULL);
		error = json_object_get(root, "error");
		message = json_string_value(json_object_get(error, "message"));
		if (!check(message && strstr(message, cases[i].says)))
			printf("# case %zu: %s\n", i, message ? message : answer);
		check(json_integer_value(json_object_get(error, "code")) == cases[i].status);
		json_decref(root);
	}
	jt__demo_engine_stop(e);
}

static void refuses_more_tokens_than_its_memory_holds(void)
{
	static char request[2 << 20];
	struct jt_demo_engine *e = start();
	int n = snprintf(request, sizeof(request), "{\"model\":\"m\",\"prompt\":\"");

	/* 56 GB for the KV cache, 131 KB a token: 425 thousand tokens, of four bytes. */
	memset(request + n, 'x', 1900000);
	strcpy(request + n + 1900000, "\"}");
	check(talk(e, COMPLETION, "", request) == 400);
	check(strstr(answer, "KV memory") != NULL);
	jt__demo_engine_stop(e);
}

static void tells_its_models_health_and_metrics(void)
{
	struct jt_demo_engine *e = start();

	check(talk(e, "GET /v1/models?x=1", "", "") == 200);
	check(strstr(answer, "\"id\":\"m\"") != NULL);
	check(talk(e, "GET /health", "", "") == 200);
	check(talk(e, CHAT, "", "{" HELLO ",\"max_tokens\":3}") == 200);
	check(talk(e, "GET /metrics", "", "") == 200);
	check(strstr(answer, "\ndemo_generation_tokens_total 3\n") != NULL);
	check(strstr(answer, "\ndemo_requests_total 1\n") != NULL);
	jt__demo_engine_stop(e);
}

/* Waits for the truth of a request that was given up; false after 10 s. */
static bool await_end(struct jt_demo_engine *e, const char *id, struct jt_node_truth *ret_truth)
{
	for (int i = 0; i < 1000; i++) {
		if (jt__demo_engine_truth(e, id, ret_truth) == JT_OK &&
		    ret_truth->finished_ns != JT_NONE)
			return true;
		usleep(10000);
	}
	return false;
}

static void stops_computing_for_a_client_that_went(void)
{
	struct jt_demo_engine *e = start();
	struct jt_node_truth t;
	char first[200];
	int fd = ask(e, CHAT, "gone", "{" HELLO ",\"max_tokens\":8000,\"stream\":true}");

	check(recv(fd, first, sizeof(first), 0) > 0);
	close(fd);
	check(await_end(e, "gone", &t) && t.output_tokens < 8000);
	/* Not streamed: it leaves before anything was sent. */
	fd = ask(e, CHAT, "gone2", "{" HELLO ",\"max_tokens\":8000}");
	while (jt__demo_engine_truth(e, "gone2", &t) != JT_OK)
		usleep(1000);
	close(fd);
	check(await_end(e, "gone2", &t) && t.output_tokens < 8000);
	check(talk(e, "GET /metrics", "", "") == 200);
	check(strstr(answer, "\ndemo_requests_running 0\n") != NULL);
	jt__demo_engine_stop(e);
}

static void the_truth_of_concurrent_requests_adds_up_to_its_energy(void)
{
	enum { N = 6 };
	struct jt_demo_engine *e = start();
	struct jt_demo_totals totals;
	char id[16], request[300];
	double sum_j = 0;
	int fds[N];

	for (int i = 0; i < N; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		snprintf(request, sizeof(request), "{" HELLO ",\"max_tokens\":%d,\"stream\":true}",
		         5 + 3 * i);
		fds[i] = ask(e, CHAT, id, request);
	}
	for (int i = 0; i < N; i++) {
		check(hear(fds[i]) == 200);
		check(strstr(answer, "[DONE]") != NULL);
	}
	jt__demo_engine_totals(e, &totals);
	for (int i = 0; i < N; i++) {
		struct jt_node_truth t = { 0 };

		snprintf(id, sizeof(id), "c%d", i);
		check(jt__demo_engine_truth(e, id, &t) == JT_OK);
		check(t.output_tokens == 5 + 3 * (uint32_t)i);
		sum_j += t.prefill_j + t.decode_j;
	}
	check(sum_j > 0 && totals.idle_j > 0);
	check_near(sum_j + totals.idle_j, totals.energy_j, 1e-9 * totals.energy_j);
	check(jt__demo_engine_truth(e, "c99", &(struct jt_node_truth){ 0 }) == JT_ENOENT);
	check(jt__demo_engine_truth(e, "", &(struct jt_node_truth){ 0 }) == JT_ENOENT);
	jt__demo_engine_stop(e);
}

static void the_device_shows_the_true_energy_in_steps(void)
{
	struct jt_demo_engine *e = start();
	struct jt_demo_totals before, after;
	struct jt_domain d;
	struct jt_sample s = { 0 };
	void *state = NULL;

	check(jt__source_demo.open(NULL, &state, NULL) == JT_ENOENT);
	jt__demo_device_attach(e);
	check(jt__source_demo.open(NULL, &state, NULL) == JT_OK);
	check(jt__source_demo.count(state) == 1);
	jt__source_demo.describe(state, 0, &d);
	check_text(d.name, "demo:0");
	check(jt__gpu_find(d.device) == jt__gpu_find("H100-SXM5-80GB"));
	check(d.sensor.provenance == JT_MODELLED);
	check(talk(e, CHAT, "", "{" HELLO ",\"max_tokens\":30}") == 200);
	jt__demo_engine_totals(e, &before);
	do {
		usleep(5000);
		check(jt__source_demo.read(state, 0, &s) == JT_OK);
		jt__demo_engine_totals(e, &after);
		check((double)s.energy_uj <= after.energy_j * 1e6);
	} while ((double)s.energy_uj < before.energy_j * 1e6 &&
	         after.t_ns < before.t_ns + 10 * JT_NS_PER_S);
	check((double)s.energy_uj >= before.energy_j * 1e6);
	check(s.valid == (JT_HAS_ENERGY | JT_HAS_POWER) && s.energy_uj % 1000 == 0);
	check(s.power_mw >= 100000 && s.power_mw <= 700000);
	jt__source_demo.close(state);
	jt__demo_device_attach(NULL);
	jt__demo_engine_stop(e);
}

static void survives_running_out_of_memory_at_the_start(void)
{
	struct jt_demo_options o = jt__demo_defaults();
	struct jt_demo_engine *e = NULL;
	int status = JT_ENOMEM;
	uint64_t nth;

	for (nth = 1; status < 0 && nth < 1000; nth++) {
		jt__alloc_fail_at(nth);
		status = jt__demo_engine_start(&o, &e, NULL);
	}
	jt__alloc_fail_at(0);
	check(status == JT_OK && nth > 5);
	jt__demo_engine_stop(e);
	o.listen = "nowhere";
	check(jt__demo_engine_start(&o, &e, NULL) < 0);
	jt__demo_engine_stop(NULL);
}

int main(void)
{
	test(streams_a_chat_with_its_usage);
	test(says_no_usage_unless_asked);
	test(answers_in_one_piece_what_it_would_have_streamed);
	test(estimates_prompt_tokens_as_it_says);
	test(refuses_what_it_cannot_do_as_openai_does);
	test(refuses_more_tokens_than_its_memory_holds);
	test(tells_its_models_health_and_metrics);
	test(stops_computing_for_a_client_that_went);
	test(the_truth_of_concurrent_requests_adds_up_to_its_energy);
	test(the_device_shows_the_true_energy_in_steps);
	test(survives_running_out_of_memory_at_the_start);
	return tap_done();
}
