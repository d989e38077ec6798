/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients, and the runs: each opens its connections, lets things settle, and
 * counts in a window of time. CPU time is all that the kernel has charged to the
 * proxy's threads within the window.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ends.h"

#define WAVE 128 /* streams that wait for their first event at a time, while many are opened */
#define IN_MAX 2048

struct client {
	struct watch watch;
	unsigned number;
	bool busy;   /* a request is out */
	bool opened; /* the first event has come */
	uint64_t sent_ns;
	uint64_t closed_ns; /* cancel */
	uint64_t seen_ns;   /* … by the engine */
	unsigned n_digits;  /* of a time stamp that is being read, 1 more; 0: none is */
	uint64_t stamp_ns;
	char tail[7]; /* of a stream */
	size_t n_in;
	char *in; /* of a plain answer */
};

struct samples {
	uint32_t *ns;
	size_t n, capacity;
};

enum phase { OPENING, SETTLING, COUNTING, PROBING, CANCELLING, OVER };

static const struct run *run;
static struct client *clients; /* one more than the run has, for the probe */
static unsigned n_begun, n_opened, n_asked, n_closed, n_seen;
static enum phase phase;
static uint64_t until_ns;

static struct samples delays, firsts, wholes; /* of events, first events, answers */
static uint64_t n_events, n_answers;
static uint64_t begin_ns, begin_cpu_ns, rss_kb;

static char request[2048];
static char *request_number; /* 5 digits in it */
static size_t request_n;

static const char body[] =
	"{\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"messages\":[{\"role\":\"system\","
	"\"content\":\"You are a helpful assistant. Answer briefly.\"},{\"role\":\"user\","
	"\"content\":\"What is the energy of a request, and from when to when does it count?\"}],"
	"\"max_tokens\":256,\"temperature\":0.7,\"top_p\":0.95,\"stream\":%s}";

/* ---- figures ---- */

static void add(struct samples *s, uint64_t ns)
{
	if (s->n == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 4096;
		s->ns = realloc(s->ns, s->capacity * sizeof(*s->ns));
		if (!s->ns)
			fail("realloc");
	}
	s->ns[s->n++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *s)
{
	if (!s->n)
		return;
	qsort(s->ns, s->n, sizeof(*s->ns), by_size);
	printf(", \"%s_p50_us\": %.2f, \"%s_p99_us\": %.2f", name, s->ns[s->n / 2] / 1e3, name,
	       s->ns[s->n * 99 / 100] / 1e3);
}

static uint64_t cpu_ns(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < run->n_pids; i++) {
		struct timespec ts;
		clockid_t id;

		if (clock_getcpuclockid(run->pids[i], &id) != 0 || clock_gettime(id, &ts) < 0)
			fail("the proxy's CPU clock");
		sum += (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
	}
	return sum;
}

static uint64_t sum_rss_kb(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < run->n_pids; i++) {
		char path[40], line[200];
		unsigned long kb = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/status", run->pids[i]);
		f = fopen(path, "r");
		if (!f)
			fail(path);
		while (fgets(line, sizeof(line), f) && sscanf(line, "VmRSS: %lu", &kb) != 1)
			;
		fclose(f);
		sum += kb;
	}
	return sum;
}

/* ---- one client ---- */

static void on_event(struct watch *w, uint32_t events);

static void ask(struct client *c)
{
	for (unsigned i = 0, n = c->number; i < 5; i++, n /= 10)
		request_number[4 - i] = (char)('0' + n % 10);
	c->busy = true;
	c->sent_ns = now_ns();
	send_all(c->watch.fd, request, request_n);
}

static void open_client(struct client *c, unsigned number)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons(run->port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail("connect");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->number = number;
	c->watch = (struct watch){ fd, on_event };
	watch(&c->watch, EPOLLIN, true);
	ask(c);
}

static void make_request(char answer, unsigned events)
{
	char text[sizeof(body) + 8];
	bool plain = answer == ANSWER_JSON || answer == ANSWER_SILENT;
	int n = snprintf(text, sizeof(text), body, plain ? "false" : "true");

	n = snprintf(request, sizeof(request),
	             "POST /v1/chat/completions HTTP/1.1\r\n"
	             "Host: 127.0.0.1:%u\r\n"
	             "Accept: application/json\r\n"
	             "Accept-Encoding: gzip, deflate\r\n"
	             "Authorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n"
	             "Content-Type: application/json\r\n"
	             "User-Agent: OpenAI/Python 1.51.0\r\n"
	             "X-Stainless-Lang: python\r\n" ASK_HEADER " %c %u 00000\r\n"
	             "Content-Length: %d\r\n\r\n%s",
	             run->port, answer, events, n, text);
	request_n = (size_t)n;
	request_number = strstr(request, " 00000\r\n") + 1;
}

static void check_status(const char *bytes, size_t n)
{
	if (n >= 12 && memcmp(bytes, "HTTP/1.1 200", 12) == 0)
		return;
	fprintf(stderr, "load: not the answer that was expected:\n%.*s\n", (int)n, bytes);
	exit(1);
}

static void finish_answer(struct client *c)
{
	n_answers++;
	add(&wholes, now_ns() - c->sent_ns);
	c->busy = false;
	if (phase < PROBING && run->answer != ANSWER_PACED)
		ask(c);
}

static void take_plain(struct client *c, const char *bytes, size_t n)
{
	char *end, *length;

	if (!c->in)
		c->in = malloc(IN_MAX);
	if (!c->in || c->n_in + n >= IN_MAX)
		fail("an answer of this length");
	memcpy(c->in + c->n_in, bytes, n);
	c->n_in += n;
	c->in[c->n_in] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	length = strcasestr(c->in, "content-length:");
	if (!end || !length || c->n_in < (size_t)(end + 4 - c->in) + strtoul(length + 15, NULL, 10))
		return;
	check_status(c->in, c->n_in);
	c->n_in = 0;
	finish_answer(c);
}

static void take_stamp(struct client *c, uint64_t at_ns)
{
	c->n_digits = 0;
	n_events++;
	add(&delays, at_ns - c->stamp_ns);
	if (c->opened)
		return;
	c->opened = true;
	n_opened++;
	add(&firsts, at_ns - c->sent_ns);
}

static const char *read_digit(struct client *c, const char *p)
{
	c->stamp_ns = c->stamp_ns << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	c->n_digits++;
	return p + 1;
}

static void read_stamps(struct client *c, const char *bytes, size_t n)
{
	const char *end = bytes + n;
	uint64_t at_ns = now_ns();

	while (bytes < end) {
		while (c->n_digits && bytes < end && c->n_digits <= MARK_DIGITS)
			bytes = read_digit(c, bytes);
		if (c->n_digits > MARK_DIGITS)
			take_stamp(c, at_ns);
		bytes = memchr(bytes, MARK, (size_t)(end - bytes));
		if (!bytes)
			return;
		bytes++;
		c->n_digits = 1;
		c->stamp_ns = 0;
	}
}

static void take_stream(struct client *c, const char *bytes, size_t n)
{
	size_t keep = sizeof(c->tail), last = n < keep ? n : keep;

	if (!c->opened && !c->n_digits)
		check_status(bytes, n);
	read_stamps(c, bytes, n);
	memmove(c->tail, c->tail + last, keep - last);
	memcpy(c->tail + keep - last, bytes + n - last, last);
	if (memcmp(c->tail, "\r\n0\r\n\r\n", keep) != 0)
		return;
	c->opened = false;
	memset(c->tail, 0, keep);
	finish_answer(c);
}

static void on_event(struct watch *w, uint32_t events)
{
	struct client *c = (struct client *)w;
	ssize_t n = recv(w->fd, scratch, sizeof(scratch), 0);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail(n < 0 ? "a client's connection" : "the proxy closed a client's connection");
	if (run->answer == ANSWER_JSON)
		take_plain(c, scratch, (size_t)n);
	else
		take_stream(c, scratch, (size_t)n);
}

/* ---- runs ---- */

void engine_got_request(unsigned number)
{
	(void)number;
	n_asked++;
}

void engine_saw_close(unsigned number)
{
	struct client *c = &clients[number];

	if (phase != CANCELLING || !c->closed_ns)
		return;
	c->seen_ns = now_ns();
	n_seen++;
}

static bool is(const char *mode)
{
	return strcmp(run->mode, mode) == 0;
}

void client_begin(const struct run *r)
{
	run = r;
	clients = calloc(r->n_conns + 1, sizeof(*clients));
	if (!clients)
		fail("calloc");
	make_request(r->answer, r->n_events);
}

static void enter(enum phase p, uint64_t end_ns)
{
	phase = p;
	until_ns = end_ns;
}

/* Streams that stay are opened in waves, the others all at once. */
static void go_on_opening(uint64_t at_ns)
{
	bool waits = is("paced") || is("idle") || is("cancel");
	unsigned n_ready = run->answer == ANSWER_PACED ? n_opened : n_asked;

	while (n_begun < run->n_conns && (!waits || n_begun < n_ready + WAVE)) {
		if (n_begun == 1 && is("idle")) { /* what the first stream needs is no growth */
			if (!n_ready)
				break;
			rss_kb = sum_rss_kb();
		}
		open_client(&clients[n_begun], n_begun);
		n_begun++;
	}
	if (n_begun < run->n_conns || (waits && n_ready < run->n_conns))
		return;
	if (run->gap_ns)
		engine_pace(run->gap_ns, run->n_conns);
	enter(SETTLING, at_ns + run->settle_ns);
}

static void begin_window(uint64_t at_ns)
{
	n_events = n_answers = delays.n = firsts.n = wholes.n = 0;
	begin_cpu_ns = cpu_ns();
	begin_ns = now_ns();
	enter(COUNTING, at_ns + run->window_ns);
}

static void print_window(void)
{
	double seconds = (double)(now_ns() - begin_ns) * 1e-9;
	double cpu_us = (double)(cpu_ns() - begin_cpu_ns) * 1e-3;
	uint64_t n = is("json") ? n_answers : n_events;

	printf("{\"n\": %llu, \"per_s\": %.1f, \"cpu_us\": %.4f, \"cpu_share\": %.4f",
	       (unsigned long long)n, (double)n / seconds, n ? cpu_us / (double)n : 0,
	       cpu_us / seconds * 1e-6);
	if (is("json"))
		print_samples("latency", &wholes);
	if (is("stream"))
		print_samples("first", &firsts);
	if (is("paced"))
		print_samples("delay", &delays);
}

/* Now and then a short stream beside the paced ones: how long does its first event take? */
static void probe(uint64_t at_ns)
{
	struct client *c = &clients[run->n_conns];

	if (until_ns <= at_ns) {
		print_samples("first", &firsts);
		printf("}\n");
		enter(OVER, 0);
	} else if (!c->watch.fd) {
		firsts.n = 0;
		make_request(ANSWER_FLAT, 2);
		open_client(c, 0);
	} else if (!c->busy) {
		ask(c);
	}
}

static void end_window(uint64_t at_ns)
{
	print_window();
	if (is("paced")) {
		enter(PROBING, at_ns + run->window_ns / 3);
		return;
	}
	printf("}\n");
	enter(OVER, 0);
}

/* Closes one client each 10 ms, then waits until the engine has heard of all. */
static uint64_t cancel(uint64_t at_ns)
{
	if (n_closed < run->n_conns) {
		struct client *c = &clients[n_closed++];

		c->closed_ns = now_ns();
		close(c->watch.fd);
		until_ns = at_ns + run->patience_ns;
		return at_ns + 10 * MS;
	}
	if (n_seen < run->n_conns && at_ns < until_ns)
		return until_ns;
	for (unsigned i = 0; i < run->n_conns; i++)
		if (clients[i].seen_ns)
			add(&delays, clients[i].seen_ns - clients[i].closed_ns);
	printf("{\"n\": %u, \"n_seen\": %u", run->n_conns, n_seen);
	print_samples("seen", &delays);
	if (n_seen)
		printf(", \"seen_max_us\": %.2f", delays.ns[delays.n - 1] / 1e3);
	printf("}\n");
	enter(OVER, 0);
	return 0;
}

static void end_settling(uint64_t at_ns)
{
	if (is("idle")) {
		printf("{\"n\": %u, \"rss_bytes\": %.1f, \"rss_base_kb\": %llu}\n", run->n_conns,
		       1024.0 * (double)(sum_rss_kb() - rss_kb) / (run->n_conns - 1),
		       (unsigned long long)rss_kb);
		enter(OVER, 0);
	} else if (is("cancel")) {
		delays.n = 0;
		enter(CANCELLING, 0);
	} else {
		begin_window(at_ns);
	}
}

uint64_t client_turn(uint64_t at_ns)
{
	if (phase == OPENING)
		go_on_opening(at_ns);
	if (phase == SETTLING && until_ns <= at_ns)
		end_settling(at_ns);
	if (phase == COUNTING && until_ns <= at_ns)
		end_window(at_ns);
	if (phase == PROBING) {
		probe(at_ns);
		return phase == OVER ? 0 : at_ns + 2 * MS;
	}
	if (phase == CANCELLING)
		return cancel(at_ns);
	if (phase == OPENING)
		return at_ns + 5 * MS;
	return phase == OVER ? 0 : until_ns;
}
