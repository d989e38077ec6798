/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes choose a cluster, options and requests, all small; what must hold of any run holds of this
 * one. A choice takes a byte, or four where there is more to choose from; behind the last byte all
 * choices are the first.
 */
#include <stdlib.h>

static void must(int holds)
{
	if (!holds)
		__builtin_trap();
}

#include "random_world.h"

#define MAX_BATCHES 20000 /* more than the largest of these runs takes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct bytes {
	const uint8_t *at, *end;
};

static uint32_t next_choice(void *user, uint32_t below)
{
	struct bytes *b = user;
	uint32_t v = 0;

	for (int i = 0; i < (below > 256 ? 4 : 1) && b->at < b->end; i++)
		v = v << 8 | *b->at++;
	return v % below;
}

static struct tree dir;

static void remove_dir(void)
{
	tree_free(&dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes bytes = { data, data + n };
	struct random_world w;
	struct world_run r;

	if (!dir.root[0]) {
		dir = world_new();
		atexit(remove_dir);
	}
	w = world_random(next_choice, &bytes);
	world_put_requests(&dir, &w);
	if (world_open(&r, &dir, &w)) {
		r.status = jt__sim_run(r.sim, MAX_BATCHES, &r.err);
		must(r.status <= 0);
		if (r.status == 0)
			world_check(&r, &w);
	} else {
		r.status = r.err.status;
	}
	must(r.status == 0 || r.status == JT_ELIMIT || r.status == JT_EINVAL);
	must(!strstr(r.err.message, "nothing can go on"));
	must((r.status == 0) == (r.err.message[0] == '\0'));
	world_close(&r);
	return 0;
}
