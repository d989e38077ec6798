/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "http/net.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

static bool is_port(const char *text)
{
	size_t n = strlen(text);

	return n && n <= 5 && strspn(text, "0123456789") == n && atoi(text) <= 65535;
}

int jt__net_split(const char *text, char *host, size_t host_size, char *port, size_t port_size,
                  struct jt_error *err)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (!colon || !is_port(colon + 1))
		return jt__fail(err, JT_EINVAL, "http",
		                "'%s' has no port from 0 to 65535: write it as '127.0.0.1:8080'",
		                text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	} else if (memchr(text, ':', n)) {
		return jt__fail(err, JT_EINVAL, "http",
		                "'%s' looks like an IPv6 address: write it as '[::1]:8080'", text);
	}
	if (!jt__copy_text(host, host_size, text, n) ||
	    !jt__copy_text(port, port_size, colon + 1, strlen(colon + 1)))
		return jt__fail(err, JT_EINVAL, "http", "the host name in '%s' is too long", text);
	return JT_OK;
}

int jt__net_resolve(const char *host, const char *port, struct jt_address *ret_addresses, size_t n,
                    size_t *ret_n, struct jt_error *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		                        .ai_socktype = SOCK_STREAM,
		                        .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list;
	int e = getaddrinfo(*host ? host : NULL, port, &hints, &list);

	if (e)
		return jt__fail(err, JT_ENOENT, "http", "cannot resolve '%s' port '%s': %s", host,
		                port, e == EAI_SYSTEM ? strerror(errno) : gai_strerror(e));
	*ret_n = 0;
	for (struct addrinfo *a = list; a && *ret_n < n; a = a->ai_next) {
		struct jt_address *out = &ret_addresses[(*ret_n)++];

		memcpy(&out->storage, a->ai_addr, a->ai_addrlen);
		out->len = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return JT_OK;
}

static void describe(int fd, char out[JT_ADDRESS_TEXT])
{
	struct jt_address a = { .len = sizeof(a.storage) };
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";

	if (getsockname(fd, (struct sockaddr *)&a.storage, &a.len) == 0)
		getnameinfo((struct sockaddr *)&a.storage, a.len, host, sizeof(host), port,
		            sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, JT_ADDRESS_TEXT, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int listen_failed(const char *address, struct jt_error *err)
{
	switch (errno) {
	case EADDRINUSE:
		return jt__fail(err, JT_EIO, "http",
		                "'%s' is in use: stop the program that listens there, or choose "
		                "another port (0 for any free one)",
		                address);
	case EACCES:
		return jt__fail(err, JT_EPERM, "http",
		                "not allowed to listen on '%s': choose a port above 1023", address);
	case EADDRNOTAVAIL:
		return jt__fail(err, JT_EIO, "http",
		                "'%s' is not an address of this machine: try '127.0.0.1:8080', or "
		                "':8080' for every interface",
		                address);
	default:
		return jt__fail(err, JT_EIO, "http", "cannot listen on '%s': %s", address,
		                strerror(errno));
	}
}

/* A listening socket on @a, or -1 with errno. */
static int listen_on(const struct jt_address *a, bool reuse_port)
{
	int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, saved;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if ((!reuse_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
	    bind(fd, (const struct sockaddr *)&a->storage, a->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int jt__net_listen(const char *address, bool reuse_port, int *ret_fd,
                   char ret_address[JT_ADDRESS_TEXT], struct jt_error *err)
{
	char host[256], port[8];
	struct jt_address a[4];
	int status, fd = -1;
	size_t n;

	status = jt__net_split(address, host, sizeof(host), port, sizeof(port), err);
	if (status == JT_OK)
		status = jt__net_resolve(host, port, a, JT_ARRAY_LEN(a), &n, err);
	if (status < 0)
		return status;
	/* A name may also stand for addresses of a protocol that is switched off here. */
	for (size_t i = 0; i < n && fd < 0; i++)
		fd = listen_on(&a[i], reuse_port);
	if (fd < 0)
		return listen_failed(address, err);
	describe(fd, ret_address);
	*ret_fd = fd;
	return JT_OK;
}

int jt__net_connect(const struct jt_address *a)
{
	int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd < 0)
		return -1;
	jt__net_no_delay(fd);
	if (connect(fd, (const struct sockaddr *)&a->storage, a->len) == 0 || errno == EINPROGRESS)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int jt__net_connected(int fd)
{
	int e = 0;
	socklen_t len = sizeof(e);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 && !e)
		return JT_OK;
	errno = e;
	return JT_EIO;
}

void jt__net_no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}
