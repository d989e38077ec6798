/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that are known to be alike are not walked one by one: nothing may come of that. */
#include "tap.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "simulator/wave.h"

#define N_BLOCKS 12
#define N_OPS 10
#define MAX_MEMBERS 3

static struct jt_rng rng = { .state = 11 };

/* What a member does. Its blocks are one, or each has a copy of its own. */
struct plan {
	struct jt_op ops[N_OPS * N_BLOCKS], outside;
	struct jt_block at[N_BLOCKS];
	uint64_t lat[N_OPS + 1];
	struct jt_work work;
};

struct scene {
	struct jt_instance in;
	uint32_t n_members;
	struct plan plans[MAX_MEMBERS];
	struct jt_member members[MAX_MEMBERS];
	struct jt_memory cpu;
	struct jt_fabric fabric;
	struct jt_wave wave;
};

static uint64_t up_to(uint64_t n)
{
	return 1 + jt__rng_below(&rng, n);
}

static struct jt_op draw_op(const struct jt_instance *in, uint32_t i)
{
	static const enum jt_op_kind kinds[N_OPS] = { JT_OP_RUN,     JT_OP_REDUCE,  JT_OP_RUN,
		                                      JT_OP_SEND_KV, JT_OP_RUN,     JT_OP_GATHER,
		                                      JT_OP_EXPERTS, JT_OP_SCATTER, JT_OP_REDUCE,
		                                      JT_OP_RUN };
	struct jt_op op = { .kind = kinds[i], .first = i, .n = 1, .ns = up_to(5000) };

	op.bytes = op.kind == JT_OP_RUN ? 0 : up_to(100000);
	if (op.kind == JT_OP_EXPERTS) {
		op.first = UINT32_MAX;
		op.n = in->local_ep;
	}
	return op;
}

static void draw_plan(struct plan *p, const struct jt_instance *in)
{
	*p = (struct plan){ 0 };
	for (uint32_t i = 0; i < N_OPS; i++) {
		p->ops[i] = draw_op(in, i);
		p->lat[i] = p->ops[i].ns;
	}
	p->outside = (struct jt_op){ JT_OP_RUN, .first = N_OPS, .n = 1, .ns = up_to(900) };
	p->lat[N_OPS] = p->outside.ns;
	p->work.input_bytes = up_to(1000);
	p->work.output_bytes = up_to(1000);
	p->work.hidden_bytes = up_to(100000);
}

/* All members do the same kinds of things, each in its own time. */
static void draw(struct scene *s)
{
	uint32_t tp = (uint32_t)up_to(4), pp = (uint32_t)up_to(3), n = (uint32_t)up_to(MAX_MEMBERS);
	bool joined = jt__rng_below(&rng, 2);

	*s = (struct scene){ .n_members = n };
	s->in = (struct jt_instance){ .n_npus = tp * pp, .tp = tp, .pp = pp, .local_ep = tp };
	s->in.ep = joined ? tp * n : tp;
	s->in.role = jt__rng_below(&rng, 3) ? JT_ROLE_BOTH : JT_ROLE_PREFILL;
	s->cpu = (struct jt_memory){ .bytes_per_ns = 100, .latency_ns = up_to(50), .queued = true };
	for (uint32_t d = 0; d < 3; d++)
		s->fabric.dims[d] = (struct jt_link){ 16, (double)up_to(300), 1000 };
	s->fabric.stage_dim = 1;
	s->fabric.group_dim = 2;
	for (uint32_t m = 0; m < n; m++)
		draw_plan(&s->plans[m], &s->in);
}

static void open_wave(struct scene *s, bool apart)
{
	s->fabric.cpu = &s->cpu;
	for (uint32_t m = 0; m < s->n_members; m++) {
		struct plan *p = &s->plans[m];

		for (uint32_t b = 0; b < N_BLOCKS; b++) {
			uint32_t first = apart ? b * N_OPS : 0;

			p->at[b] = (struct jt_block){ first, first, first + N_OPS };
			for (uint32_t i = 0; i < N_OPS; i++)
				p->ops[b * N_OPS + i] = p->ops[i];
		}
		p->work.lat = p->lat;
		p->work.at = p->at;
		p->work.n_blocks = N_BLOCKS;
		p->work.prologue = p->work.head = (struct jt_ops){ &p->outside, 1, 1 };
		p->work.blocks = (struct jt_ops){ p->ops, N_OPS * N_BLOCKS, N_OPS * N_BLOCKS };
		s->members[m] = (struct jt_member){ &s->in, &p->work, 1 };
	}
	check(jt__wave_open(&s->wave, &s->fabric, s->members, s->n_members) == JT_OK);
}

static void begin_both(struct scene *a, struct scene *b)
{
	for (uint32_t r = 0; r < a->in.n_npus; r++) {
		for (uint32_t m = 0; m < a->n_members; m++) {
			uint64_t begin_ns = jt__rng_below(&rng, 3) ? 1000 : up_to(9000);

			jt__wave_begin(&a->wave, m, r, begin_ns);
			jt__wave_begin(&b->wave, m, r, begin_ns);
		}
	}
}

/* Returns when the last rank is done. */
static uint64_t compare_ends(const struct scene *a, const struct scene *b)
{
	uint64_t last_ns = 0;

	for (uint32_t r = 0; r < a->in.n_npus; r++) {
		for (uint32_t m = 0; m < a->n_members; m++) {
			uint64_t sent_ns = jt__wave_sent_ns(&a->wave, m, r);

			check(jt__wave_end_ns(&a->wave, m, r) == jt__wave_end_ns(&b->wave, m, r));
			check(sent_ns == jt__wave_sent_ns(&b->wave, m, r));
			last_ns = JT_MAX(last_ns, sent_ns);
		}
	}
	return last_ns;
}

static void alike_blocks_take_as_long_as_others(void)
{
	static struct scene alike, apart;

	for (int round = 0; round < 300; round++) {
		uint64_t end_ns, t_ns = 0;

		draw(&alike);
		apart = alike;
		open_wave(&alike, false);
		open_wave(&apart, true);
		begin_both(&alike, &apart);
		end_ns = compare_ends(&alike, &apart);
		while ((t_ns += up_to(end_ns / 30)) < end_ns)
			check(jt__wave_next_event(&alike.wave, t_ns, JT_NONE) ==
			      jt__wave_next_event(&apart.wave, t_ns, JT_NONE));
		jt__wave_fini(&alike.wave);
		jt__wave_fini(&apart.wave);
	}
}

/* Asking again and again finds every end of a run and more, and never what is over. */
static void walk_the_events(struct scene *s)
{
	uint64_t t_ns = 0, next_ns, last_ns = 0, n = 0;

	while ((next_ns = jt__wave_next_event(&s->wave, t_ns, JT_NONE)) != JT_NONE) {
		check(next_ns >= t_ns);
		check(jt__wave_next_event(&s->wave, t_ns + (next_ns - t_ns) / 2, JT_NONE) ==
		      next_ns);
		check(jt__wave_next_event(&s->wave, t_ns, next_ns) == next_ns);
		check(jt__wave_next_event(&s->wave, t_ns, t_ns) == t_ns);
		last_ns = next_ns;
		t_ns = next_ns + 1;
		n++;
	}
	check(n > 4 * N_BLOCKS);
	for (uint32_t m = 0; m < s->n_members; m++) {
		for (uint32_t r = 0; r < s->in.n_npus; r++)
			check(jt__wave_end_ns(&s->wave, m, r) <= last_ns);
	}
	check(jt__wave_next_event(&s->wave, t_ns, last_ns + 1000) == last_ns + 1000);
}

static void the_next_event_is_the_first_one_from_then_on(void)
{
	static struct scene s;

	for (int round = 0; round < 20; round++) {
		draw(&s);
		open_wave(&s, false);
		for (uint32_t r = 0; r < s.in.n_npus; r++) {
			for (uint32_t m = 0; m < s.n_members; m++)
				jt__wave_begin(&s.wave, m, r, 1000);
		}
		walk_the_events(&s);
		jt__wave_fini(&s.wave);
	}
}

int main(void)
{
	test(alike_blocks_take_as_long_as_others);
	test(the_next_event_is_the_first_one_from_then_on);
	return tap_done();
}
