/* SPDX-License-Identifier: Apache-2.0 */
/* An engine that answers at once, in the shape and size of an OpenAI-compatible one. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "ends.h"

#define REQUEST_MAX 4096
#define BLOCK 16 /* events of one send, of a stream that is not paced */

struct conn {
	struct watch watch;
	struct ask ask; /* answer 0: no request is open */
	unsigned n_left;
	bool waits;               /* for room to send */
	struct conn *prev, *next; /* in the ring of paced streams */
	size_t n_in;
	char in[REQUEST_MAX];
};

static struct watch listener;
static struct conn *conns[1 << 16]; /* by descriptor */
static struct conn ring = { .prev = &ring, .next = &ring };
static uint64_t step_ns, due_ns = NEVER; /* of the next paced event */

static const char stream_head[] = "HTTP/1.1 200 OK\r\n"
				  "date: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
				  "server: uvicorn\r\n"
				  "content-type: text/event-stream; charset=utf-8\r\n"
				  "transfer-encoding: chunked\r\n\r\n";
static const char event_text[] =
	"data: {\"id\":\"chatcmpl-~0000000000000000\",\"object\":\"chat.completion.chunk\","
	"\"created\":1795255200,\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"choices\":[{"
	"\"index\":0,\"delta\":{\"content\":\" something\"},\"logprobs\":null,"
	"\"finish_reason\":null}]}\n\n";
static const char stream_end[] =
	"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795255200,"
	"\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"choices\":[{\"index\":0,\"delta\":{},"
	"\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
	"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795255200,"
	"\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"choices\":[],\"usage\":{"
	"\"prompt_tokens\":52,\"total_tokens\":308,\"completion_tokens\":256}}\n\n"
	"data: [DONE]\n\n";
static const char json_body[] =
	"{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1795255200,"
	"\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"choices\":[{\"index\":0,\"message\":{"
	"\"role\":\"assistant\",\"content\":\"The energy of a request is the integral of the power "
	"that its work drew, from the moment it entered the engine to the moment its last token "
	"left it.\",\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"stop\","
	"\"stop_reason\":null}],\"usage\":{\"prompt_tokens\":52,\"total_tokens\":83,"
	"\"completion_tokens\":31},\"prompt_logprobs\":null}";

static size_t put_chunk(char *out, const char *bytes, size_t n)
{
	size_t at = (size_t)sprintf(out, "%zx\r\n", n);

	memcpy(out + at, bytes, n);
	memcpy(out + at + n, "\r\n", 2);
	return at + n + 2;
}

static size_t put_event(char *out, uint64_t at_ns)
{
	size_t n = put_chunk(out, event_text, sizeof(event_text) - 1);
	char *digits = (char *)memchr(out, MARK, n) + 1;

	for (int i = 0; i < MARK_DIGITS; i++)
		digits[i] = "0123456789abcdef"[at_ns >> 4 * (MARK_DIGITS - 1 - i) & 15];
	return n;
}

static size_t put_end(char *out)
{
	size_t n = put_chunk(out, stream_end, sizeof(stream_end) - 1);

	memcpy(out + n, "0\r\n\r\n", 5);
	return n + 5;
}

static void leave_ring(struct conn *c)
{
	if (!c->next)
		return;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	c->prev = c->next = NULL;
}

static void enter_ring(struct conn *c)
{
	c->prev = ring.prev;
	c->next = &ring;
	ring.prev->next = c;
	ring.prev = c;
}

/* Whole blocks only: what a full socket has no room for is not made. */
static void send_block(struct conn *c)
{
	char out[(BLOCK + 4) * 512];
	size_t n = 0;

	for (int i = 0; i < BLOCK && c->n_left; i++, c->n_left--)
		n += put_event(out + n, now_ns());
	if (!c->n_left) {
		n += put_end(out + n);
		c->ask.answer = 0;
	}
	send_all(c->watch.fd, out, n);
	if (c->waits != (c->n_left > 0)) {
		c->waits = c->n_left > 0;
		watch(&c->watch, EPOLLIN | EPOLLRDHUP | (c->waits ? EPOLLOUT : 0), false);
	}
}

static void send_paced(struct conn *c, uint64_t at_ns)
{
	char out[2048];
	size_t n = put_event(out, at_ns);

	if (!--c->n_left) {
		leave_ring(c);
		c->ask.answer = 0;
		n += put_end(out + n);
	}
	send_all(c->watch.fd, out, n);
}

static void answer_json(struct conn *c)
{
	static char out[1024];
	static size_t n;

	if (!n)
		n = (size_t)snprintf(out, sizeof(out),
		                     "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
		                     "server: uvicorn\r\ncontent-length: %zu\r\n"
		                     "content-type: application/json\r\n\r\n%s",
		                     sizeof(json_body) - 1, json_body);
	c->ask.answer = 0;
	send_all(c->watch.fd, out, n);
}

static void begin_stream(struct conn *c)
{
	char out[2048];
	size_t n = sizeof(stream_head) - 1;

	memcpy(out, stream_head, n);
	c->n_left = c->ask.n_events - 1;
	n += put_event(out + n, now_ns());
	send_all(c->watch.fd, out, n);
	if (c->ask.answer == ANSWER_PACED)
		enter_ring(c);
	else
		send_block(c);
}

/* One request at a time and no pipelining, as proxies do. */
static bool is_complete(struct conn *c)
{
	char *end, *length, *ask;

	c->in[c->n_in] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	length = strcasestr(c->in, "content-length:");
	ask = strcasestr(c->in, ASK_HEADER);
	if (!end)
		return false;
	if (!length || !ask ||
	    sscanf(ask + strlen(ASK_HEADER), " %c %u %u", &c->ask.answer, &c->ask.n_events,
	           &c->ask.number) != 3) {
		fprintf(stderr, "load: the engine does not understand:\n%s\n", c->in);
		exit(1);
	}
	if (c->n_in >= (size_t)(end + 4 - c->in) + strtoul(length + 15, NULL, 10))
		return true;
	c->ask.answer = 0;
	return false;
}

static void take_request(struct conn *c)
{
	if (!is_complete(c))
		return;
	c->n_in = 0;
	engine_got_request(c->ask.number);
	if (c->ask.answer == ANSWER_JSON)
		answer_json(c);
	else if (c->ask.answer != ANSWER_NONE && c->ask.answer != ANSWER_SILENT)
		begin_stream(c);
}

static void close_conn(struct conn *c)
{
	if (c->ask.answer)
		engine_saw_close(c->ask.number);
	leave_ring(c);
	close(c->watch.fd);
	conns[c->watch.fd] = NULL;
	free(c);
}

static void on_event(struct watch *w, uint32_t events)
{
	struct conn *c = (struct conn *)w;
	ssize_t n = 1;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		n = recv(w->fd, c->in + c->n_in, REQUEST_MAX - 1 - c->n_in, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			close_conn(c);
			return;
		}
	}
	if (n > 0 && events & EPOLLIN) {
		c->n_in += (size_t)n;
		take_request(c);
	} else if (events & EPOLLOUT) {
		send_block(c);
	}
}

static void on_accept(struct watch *w, uint32_t events)
{
	int fd, on = 1;

	(void)events;
	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct conn *c =
			(size_t)fd < sizeof(conns) / sizeof(*conns) ? calloc(1, sizeof(*c)) : NULL;

		if (!c)
			fail("one more connection");
		conns[fd] = c;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c->watch = (struct watch){ fd, on_event };
		watch(&c->watch, EPOLLIN | EPOLLRDHUP, true);
	}
	if (errno != EAGAIN)
		fail("accept");
}

void engine_open(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	listener = (struct watch){ socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on_accept };
	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener.fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(listener.fd, 4096) < 0)
		fail("the engine's port");
	watch(&listener, EPOLLIN, true);
}

void engine_pace(uint64_t gap_ns, unsigned n_streams)
{
	step_ns = gap_ns / n_streams;
	due_ns = gap_ns ? now_ns() + step_ns : NEVER;
}

uint64_t engine_turn(uint64_t at_ns)
{
	while (due_ns <= at_ns) {
		struct conn *c = ring.next;

		due_ns += step_ns;
		if (c == &ring)
			continue;
		leave_ring(c);
		enter_ring(c);
		send_paced(c, now_ns());
	}
	return due_ns;
}
