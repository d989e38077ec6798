/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NET_H
#define JT_NET_H
/* TCP sockets for the loop: addresses, listening, connecting. Every socket is non-blocking. */
#include <sys/socket.h>
#include "base/base.h"

struct jt_address {
	struct sockaddr_storage storage;
	socklen_t len;
};
#define JT_ADDRESS_TEXT 64

/*
 * "127.0.0.1:80", "[::1]:80", "name:80", ":80" (every interface: *host is "").
 * Port 0 is allowed.
 */
int jt__net_split(const char *text, char *host, size_t host_size, char *port, size_t port_size,
                  struct jt_error *err);
/* Asks the resolver, which may block; at most @n addresses in its order. *ret_n > 0 on success. */
int jt__net_resolve(const char *host, const char *port, struct jt_address *ret_addresses, size_t n,
                    size_t *ret_n, struct jt_error *err);
/* The socket listens. @ret_address: what it is bound to, as text. */
int jt__net_listen(const char *address, bool reuse_port, int *ret_fd,
                   char ret_address[JT_ADDRESS_TEXT], struct jt_error *err);
/* Begins to connect: writable when done. A descriptor, or -1 with errno. */
int jt__net_connect(const struct jt_address *a);
/* JT_OK, or JT_EIO with errno: what came of jt__net_connect(). */
int jt__net_connected(int fd);
void jt__net_no_delay(int fd);

#endif
