/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "tap.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/ring.h"
#include "jouletap/record.h"

static const char *text_of(struct jt_buf *b)
{
	jt__buf_append(b, "", 1);
	return jt__buf_bytes(b);
}

static void a_buffer_never_exceeds_its_maximum(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 10);
	check(jt__buf_append(&b, "12345678", 8) == JT_OK);
	check(jt__buf_append(&b, "abc", 3) == JT_ELIMIT);
	check(jt__buf_len(&b) == 8 && b.failed);
	jt__buf_consume(&b, 8);
	check(jt__buf_append(&b, "abc", 3) == JT_OK && memcmp(jt__buf_bytes(&b), "abc", 3) == 0);
	jt__buf_fini(&b);
}

static void a_buffer_is_a_queue_of_bytes(void)
{
	struct jt_buf b;
	unsigned in = 0, out = 0;

	jt__buf_init(&b, 1 << 20);
	for (int i = 0; i < 1000; i++) {
		for (int k = 0; k < 7; k++, in++)
			jt__buf_append(&b, &(unsigned char){ in & 0xff }, 1);
		for (int k = 0; k < 6; k++, out++) {
			check((unsigned char)*jt__buf_bytes(&b) == (out & 0xff));
			jt__buf_consume(&b, 1);
		}
	}
	check(jt__buf_len(&b) == in - out);
	jt__buf_fini(&b);
}

static void json_numbers_are_exact(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 1000);
	jt__json_micro(&b, 1500000);
	jt__buf_append_text(&b, " ");
	jt__json_micro(&b, 1);
	jt__buf_append_text(&b, " ");
	jt__json_micro(&b, 0);
	jt__buf_append_text(&b, " ");
	jt__json_micro(&b, JT_NONE);
	jt__buf_append_text(&b, " ");
	jt__json_nano(&b, 20000000001);
	jt__buf_append_text(&b, " ");
	jt__json_double(&b, 0.1);
	check_text(text_of(&b), "1.5 0.000001 0 null 20.000000001 0.1");
	jt__buf_fini(&b);
}

static void members_of_an_object_are_parted_by_commas(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 1000);
	jt__buf_append(&b, "{", 1);
	jt__json_member_text(&b, "a", "x{");
	jt__json_key(&b, "b");
	jt__buf_append(&b, "{", 1);
	jt__json_member_text(&b, "c", "\"");
	jt__buf_append(&b, "}}", 2);
	check_text(text_of(&b), "{\"a\":\"x{\",\"b\":{\"c\":\"\\\"\"}}");
	jt__buf_fini(&b);
	/* a buffer in which nothing fitted is no reason to look before its beginning */
	jt__buf_init(&b, 0);
	jt__buf_append(&b, "{", 1);
	jt__json_key(&b, "a");
	check(b.failed && jt__buf_len(&b) == 0);
	jt__buf_fini(&b);
}

static void json_strings_survive_hostile_bytes(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 1000);
	jt__json_string(&b, "a\"\\\n\xc3\xa9\xff\xed\xa0\x80", 10);
	check_text(text_of(&b), "\"a\\\"\\\\\\u000a\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\"");
	jt__buf_fini(&b);
}

static void check_clean(const char *dirty, const char *clean)
{
	struct jt_error err;
	char text[64];

	jt__copy_text(text, sizeof(text), dirty, strlen(dirty));
	jt__clean_text(text);
	check_text(text, clean);
	jt__fail(&err, JT_EINVAL, dirty, "in '%s'", dirty);
	snprintf(text, sizeof(text), "in '%s'", clean);
	check_text(err.message, text);
	check_text(err.where, clean);
}

static void no_text_of_others_steers_a_terminal_or_begins_a_line(void)
{
	check_clean("VDD_IN é ✓ \xf0\x9f\x8f\x94", "VDD_IN é ✓ \xf0\x9f\x8f\x94");
	check_clean("\x1b[31mred\a\r\n\t\x7f", "?[31mred?????");
	check_clean("\xc2\x9b[m \xc2\xa0", "??[m \xc2\xa0");
	check_clean("\xff half \xe2\x82", "? half ??");
	check_clean("", "");
}

static void figures_that_do_not_fit_are_cut(void)
{
	check(jt__whole(0) == 0 && jt__whole(0.9) == 0 && jt__whole(41.9) == 41);
	check(jt__whole(-1) == 0 && jt__whole(-INFINITY) == 0 && jt__whole(NAN) == 0);
	check(jt__whole(0x1p62) == UINT64_C(1) << 62);
	check(jt__whole(0x1p63) == UINT64_C(1) << 63);
	check(jt__whole(1e300) == UINT64_C(1) << 63 && jt__whole(INFINITY) == UINT64_C(1) << 63);
}

static void a_full_ring_refuses_and_counts(void)
{
	struct jt_ring *r = jt__ring_new(4, sizeof(int));
	int v;

	for (int i = 0; i < 4; i++)
		check(jt__ring_push(r, &i));
	check(!jt__ring_push(r, &(int){ 9 }));
	check(jt__ring_dropped(r) == 1);
	for (int i = 0; i < 4; i++)
		check(jt__ring_pop(r, &v) && v == i);
	check(!jt__ring_pop(r, &v));
	jt__ring_free(r);
}

static void times_read_back(void)
{
	char text[32];
	uint64_t t_ns;

	jt__format_rfc3339(UINT64_C(1795199823123000000), text);
	check_text(text, "2026-11-20T18:37:03.123Z");
	check(jt__parse_rfc3339(text, &t_ns) && t_ns == UINT64_C(1795199823123000000));
	check(jt__parse_rfc3339("2026-11-20T20:37:03.123+02:00", &t_ns) &&
	      t_ns == UINT64_C(1795199823123000000));
	check(!jt__parse_rfc3339("yesterday", &t_ns));
}

static void edit_distance_counts_edits(void)
{
	check(jt__edit_distance("poll_intervall_ms", "poll_interval_ms") == 1);
	check(jt__edit_distance("kitten", "sitting") == 3);
	check(jt__edit_distance("", "abc") == 3);
}

int main(void)
{
	test(a_buffer_never_exceeds_its_maximum);
	test(a_buffer_is_a_queue_of_bytes);
	test(json_numbers_are_exact);
	test(members_of_an_object_are_parted_by_commas);
	test(json_strings_survive_hostile_bytes);
	test(no_text_of_others_steers_a_terminal_or_begins_a_line);
	test(figures_that_do_not_fit_are_cut);
	test(a_full_ring_refuses_and_counts);
	test(times_read_back);
	test(edit_distance_counts_edits);
	return tap_done();
}
