/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "gateway/figures.h"
#include "ledger/ledger.h"

static struct jt_record record_of(const char *id, uint64_t total_uj)
{
	struct jt_record r;

	jt__record_init(&r);
	strcpy(r.id, id);
	r.total_uj = total_uj;
	return r;
}

static void a_request_is_known_by_its_id_until_its_time_is_over(void)
{
	struct jt_memory *m = jt__memory_new(4, 1000);
	struct jt_record r = record_of("a", 5);
	struct jt_figures f;
	uint64_t key;
	bool final;

	check(!jt__memory_find(m, 0, "a", &final, &key, &f));
	jt__memory_begin(m, "a", 7);
	check(jt__memory_find(m, 0, "a", &final, &key, &f) && !final && key == 7);
	jt__memory_final(m, 100, 7, &r);
	check(jt__memory_find(m, 1100, "a", &final, &key, &f) && final && f.total_uj == 5);
	check(!f.provisional);
	check(!jt__memory_find(m, 1101, "a", &final, &key, &f));
	jt__memory_free(m);
}

static void the_latest_of_an_id_is_meant(void)
{
	struct jt_memory *m = jt__memory_new(4, 1000);
	struct jt_record first = record_of("a", 1), second = record_of("a", 2);
	struct jt_figures f;
	uint64_t key;
	bool final;

	jt__memory_begin(m, "a", 1);
	jt__memory_begin(m, "a", 2);
	jt__memory_final(m, 0, 1, &first);
	check(jt__memory_find(m, 0, "a", &final, &key, &f) && !final && key == 2);
	jt__memory_final(m, 0, 2, &second);
	check(jt__memory_find(m, 0, "a", &final, &key, &f) && final && f.total_uj == 2);
	jt__memory_free(m);
}

static void the_oldest_is_forgotten_when_there_are_too_many(void)
{
	struct jt_memory *m = jt__memory_new(4, 1000);
	char id[] = "0";
	struct jt_figures f;
	uint64_t key;
	bool final;

	for (; id[0] < '9'; id[0]++)
		jt__memory_begin(m, id, (uint64_t)id[0]);
	check(!jt__memory_find(m, 0, "4", &final, &key, &f));
	for (id[0] = '5'; id[0] < '9'; id[0]++)
		check(jt__memory_find(m, 0, id, &final, &key, &f) && key == (uint64_t)id[0]);
	jt__memory_free(m);
}

static void figures_say_what_is_unknown(void)
{
	struct jt_record r = record_of("a", 1500000);
	struct jt_figures f;
	struct jt_buf b;

	jt__buf_init(&b, 1000);
	jt__figures_of(&f, &r, true);
	jt__figures_answer(&b, "a", &f);
	jt__buf_append(&b, "", 1);
	check_text(jt__buf_bytes(&b),
	           "{\"id\":\"a\",\"energy\":{\"prefill_j\":null,\"decode_j\":null,\"total_j\":1.5,"
	           "\"bound_j\":null,\"provenance\":null,\"provisional\":true}}");
	jt__buf_fini(&b);
}

int main(void)
{
	test(a_request_is_known_by_its_id_until_its_time_is_over);
	test(the_latest_of_an_id_is_meant);
	test(the_oldest_is_forgotten_when_there_are_too_many);
	test(figures_say_what_is_unknown);
	return tap_done();
}
