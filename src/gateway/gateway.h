/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_GATEWAY_H
#define JT_GATEWAY_H
/*
 * The gateway as a whole: workers that relay, a bookkeeper that meters. Start,
 * stop and free from one thread; reopen from any.
 */
#include "config/config.h"
#include "jouletap/meter.h"

struct jt_gateway; /* opaque */

struct jt_gateway_options {
	const struct jt_config *config;                   /* must outlive the gateway */
	const struct jt_source_ops *const *extra_sources; /* as in jt_meter_options */
	/* Called for each final record, from the bookkeeper's thread. Optional. */
	void (*on_record)(void *user, const struct jt_record *record);
	void *user;
};

int jt__gateway_start(const struct jt_gateway_options *o, struct jt_gateway **ret_gateway,
                      struct jt_error *err);
const char *jt__gateway_address(const struct jt_gateway *g); /* "127.0.0.1:8080" */
const char *jt__gateway_admin_address(const struct jt_gateway *g);
void jt__gateway_reopen_logs(struct jt_gateway *g);

/*
 * Stops accepting, lets requests end for at most @drain_ns and then cuts them, waits until their
 * records are out, and stops the threads. false: some were cut.
 */
bool jt__gateway_stop(struct jt_gateway *g, uint64_t drain_ns);
/* The meter; for the caller's thread only once the gateway is stopped. */
struct jt_meter *jt__gateway_meter(struct jt_gateway *g);
void jt__gateway_free(struct jt_gateway *g); /* accepts NULL; stops it first if need be */

#endif
