/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TEST_SOCKETS_H
#define JT_TEST_SOCKETS_H
/*
 * The other end of a connection, for tests that turn an event loop themselves:
 * plain sockets on loopback that never block. Single-threaded.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "http/loop.h"

#define PATIENCE_NS                                                                                \
	(10 * JT_NS_PER_S) /* a busy machine; nothing waits this long when all is well */

/* Turns @l until @cond holds. The value says whether it came to hold. */
#define turn_until(l, cond)                                                                        \
	({                                                                                         \
		uint64_t give_up_ns_ = jt__now_ns() + PATIENCE_NS;                                 \
		bool holds_;                                                                       \
		while (!(holds_ = (cond)) && jt__now_ns() < give_up_ns_)                           \
			jt__loop_turn(l, JT_NS_PER_MS);                                            \
		holds_;                                                                            \
	})

static inline void turn_for(struct jt_loop *l, uint64_t ns)
{
	uint64_t end_ns = jt__now_ns() + ns;

	while (jt__now_ns() < end_ns)
		jt__loop_turn(l, JT_NS_PER_MS);
}

static inline void never_block(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Connects to "127.0.0.1:PORT"; @receive_buffer 0: the kernel's choice. */
static inline int dial(const char *address, int receive_buffer)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	/* Else a request in two pieces waits for the first one's acknowledgement. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	never_block(fd);
	return fd;
}

/* A listening socket that someone else's code will dial. */
static inline int listen_any(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bind(fd, (struct sockaddr *)&a, sizeof(a));
	listen(fd, 64);
	getsockname(fd, (struct sockaddr *)&a, &len);
	*ret_port = ntohs(a.sin_port);
	never_block(fd);
	return fd;
}

static inline int accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd >= 0)
		never_block(fd);
	return fd;
}

/* Sends all of it, turning @l while the socket is full. */
static inline void say(struct jt_loop *l, int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		} else if (sent < 0 && errno != EAGAIN) {
			return; /* the other side has had enough */
		} else {
			jt__loop_turn(l, 0);
		}
	}
}

static inline void say_text(struct jt_loop *l, int fd, const char *text)
{
	say(l, fd, text, strlen(text));
}

/* Reads what is there, NUL-terminated. True once the other side has closed. */
static inline bool hear(int fd, struct jt_buf *b)
{
	char bytes[16 << 10];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		jt__buf_append(b, bytes, (size_t)n);
	if (jt__buf_reserve(b, 1))
		b->data[b->end] = '\0';
	return n == 0 || errno != EAGAIN;
}

static inline bool heard(int fd, struct jt_buf *b, const char *text)
{
	hear(fd, b);
	return strstr(jt__buf_bytes(b), text) != NULL;
}

#endif
