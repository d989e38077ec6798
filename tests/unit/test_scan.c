/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/scan.h"
#include "base/buf.h"
#include "jouletap/record.h"
#include "tap.h"

enum { ROOT = 1, NAME, LIST, ITEM, NUMBER, ANY };

/* clang-format off */
static const struct jt_path item[] = { { "n", NUMBER }, { "" } };
static const struct jt_path list[] = { { "", ITEM, item }, { "" } };
static const struct jt_path any[] = { { "", ANY, any }, { "" } };
static const struct jt_path document[] = {
	{ "name", NAME }, { "list", LIST, list }, { "n", NUMBER }, { "any", ANY, any }, { "" },
};
static const struct jt_path root = { "", ROOT, document };
/* clang-format on */

/* What the scanner says about @json, given in pieces of @piece bytes: "<id", ">id:text", "!". */
static const char *events(const char *json, size_t n, size_t piece)
{
	static char said[4096];
	enum jt_scan_event event;
	struct jt_scan s;
	size_t used = 0;

	jt__scan_init(&s, &root);
	said[0] = '\0';
	for (size_t at = 0; at < n; at += piece) {
		const char *p = json + at, *end = p + JT_MIN(piece, n - at);

		while ((event = jt__scan_next(&s, &p, end)) != JT_SCAN_MORE && used < 4000) {
			const char *text =
				s.type == JT_SCAN_STRING || s.type == JT_SCAN_NUMBER ? s.text : "";

			used += (size_t)snprintf(said + used, sizeof(said) - used,
			                         event == JT_SCAN_BAD     ? "!"
			                         : event == JT_SCAN_BEGIN ? "<%d "
			                                                  : ">%d:%s ",
			                         s.id, text);
		}
	}
	if (jt__scan_complete(&s))
		snprintf(said + used, sizeof(said) - used, ".");
	return said;
}

static const char *whole(const char *json)
{
	return events(json, strlen(json), strlen(json));
}

static void names_the_places_it_was_told(void)
{
	check_text(whole("{\"name\":\"x\",\"other\":{\"name\":\"y\"}}"), "<1 <2 >2:x >1: .");
	check_text(whole("{\"list\":[{\"n\":1,\"name\":2},{\"n\":30}]}"),
	           "<1 <3 <4 <5 >5:1 >4: <4 <5 >5:30 >4: >3: >1: .");
	check_text(whole("{\"any\":{\"a\":[true],\"b\":\"c\"}}"),
	           "<1 <6 <6 <6 >6: >6: <6 >6:c >6: >1: .");
}

static void reports_the_same_in_pieces_of_any_size(void)
{
	static const char json[] = " {\"na\\u006de\" : \"\\ud83d\\ude00\\n\\u00e9\", \"x\":[[],{}],"
				   "\"list\":[ {\"n\":-12.5e+3 } , null ],\"n\":0}\n";
	char want[4096];

	snprintf(want, sizeof(want), "%s", whole(json));
	check_text(want, "<1 <2 >2:\xf0\x9f\x98\x80\n\xc3\xa9 <3 <4 <5 >5:-12.5e+3 >4: <4 >4: >3: "
	                 "<5 >5:0 >1: .");
	for (size_t piece = 1; piece < sizeof(json); piece++)
		check_text(events(json, sizeof(json) - 1, piece), want);
}

static void counts_bytes_from_the_beginning_of_the_document(void)
{
	static const char json[] = "{\"x\":1, \"name\": \"abc\" }";
	const char *p = json, *end = json + sizeof(json) - 1;
	struct jt_scan s;

	jt__scan_init(&s, &root);
	check(jt__scan_next(&s, &p, end) == JT_SCAN_BEGIN && s.offset == 1);
	check(jt__scan_next(&s, &p, end) == JT_SCAN_BEGIN);
	check(json[s.offset - 1] == '"' && json[s.offset] == 'a');
	check(jt__scan_next(&s, &p, end) == JT_SCAN_END);
	check(p == json + s.offset && strcmp(p, " }") == 0);
}

static void is_not_fooled_by_json_inside_strings(void)
{
	check_text(whole("{\"x\":\"\\\"name\\\":\\\"y\\\",{[\",\"n\":1}"), "<1 <5 >5:1 >1: .");
	check_text(whole("{\"name\":\"a\\\\\",\"n\":1}"), "<1 <2 >2:a\\ <5 >5:1 >1: .");
}

static void says_once_that_something_is_not_json(void)
{
	static const char *const bad[] = {
		"{,}",        "{\"a\"}",
		"{\"a\":}",   "[1,]",
		"{\"a\":1,}", "[1 2]",
		"[01]",       "[1.]",
		"[-]",        "[1e]",
		"[+1]",       "[.5]",
		"[nul]",      "[truE]",
		"[\"\\x\"]",  "[\"\\u12g4\"]",
		"[\"a\nb\"]", "[\"\x01\"]",
		"[1}",        "{]",
		"}",          "]",
		"{} {}",      "nan",
		"'a'",        "[\"a\"\"b\"]",
		"{1:2}",
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		const char *said = whole(bad[i]), *mark = strchr(said, '!');

		if (!check(mark && !strchr(mark + 1, '!') && !strchr(said, '.')))
			printf("# %s\n", bad[i]);
	}
	check(strchr(events("{\"a\0\":1}", 8, 8), '!') != NULL);
	check(strchr(events("{\"a\":\0}", 7, 1), '!') != NULL);
	check(strchr(events("[\"\\\0\"]", 6, 6), '!') != NULL);
	check(strchr(events("[\"\\u\0\"]", 7, 7), '!') != NULL);
}

static void takes_what_is_json(void)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"\"\"",
		"[0,-0,1.25,1E5,2e-3,-10.0E+1]",
		"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
		" \t\r\n[ ] \n",
		"[[[{}]],{\"\":{\"\":[]}}]",
		"[\"\x7f\xff\xc3\"]",
		"true",
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(good); i++)
		if (!check(strchr(whole(good[i]), '.') && !strchr(whole(good[i]), '!')))
			printf("# %s\n", good[i]);
	check(!strchr(whole("{\"a\":1"), '.'));
}

static void repairs_broken_surrogates(void)
{
	check_text(whole("{\"name\":\"\\ud83d\"}"), "<1 <2 >2:\xef\xbf\xbd >1: .");
	check_text(whole("{\"name\":\"\\ude00x\"}"), "<1 <2 >2:\xef\xbf\xbdx >1: .");
	check_text(whole("{\"name\":\"\\ud83d\\u0041\"}"), "<1 <2 >2:\xef\xbf\xbd"
	                                                   "A >1: .");
	check_text(whole("{\"name\":\"\\ud83d\\ud83d\\ude00\"}"),
	           "<1 <2 >2:\xef\xbf\xbd\xf0\x9f\x98\x80 >1: .");
	check_text(whole("{\"name\":\"a\\u0000b\"}"), "<1 <2 >2:a\xef\xbf\xbd"
	                                              "b >1: .");
}

static void cuts_long_text_between_characters(void)
{
	char json[512] = "{\"name\":\"x", *p = json + strlen(json);
	enum jt_scan_event event;
	struct jt_scan s;
	const char *at = json;

	for (int i = 0; i < 60; i++, p += 2)
		memcpy(p, "\xc3\xa9", 2);
	strcpy(p, "\"}");
	jt__scan_init(&s, &root);
	do
		event = jt__scan_next(&s, &at, p + 2);
	while (event != JT_SCAN_END);
	check(s.cut && !s.empty && s.n_text == 95 && (unsigned char)s.text[94] == 0xa9);
}

static void a_key_too_long_to_keep_matches_nothing(void)
{
	char json[512] = "{\"";

	memset(json + 2, 'n', 200);
	strcpy(json + 202, "\":1,\"n\":2}");
	check_text(whole(json), "<1 <5 >5:2 >1: .");
}

static void reports_duplicate_keys_each_time(void)
{
	check_text(whole("{\"n\":1,\"n\":2}"), "<1 <5 >5:1 <5 >5:2 >1: .");
}

static void says_what_is_empty(void)
{
	static const char *const json[] = { "{\"any\":{}}", "{\"any\":[ ]}", "{\"any\":\"\"}",
		                            "{\"any\":[0]}", "{\"any\":\" \"}" };

	for (size_t i = 0; i < JT_ARRAY_LEN(json); i++) {
		const char *p = json[i], *end = p + strlen(p);
		enum jt_scan_event event;
		struct jt_scan s;

		jt__scan_init(&s, &root);
		while ((event = jt__scan_next(&s, &p, end)) != JT_SCAN_MORE)
			if (event == JT_SCAN_END && s.id == ANY && s.depth == 1)
				check(s.empty == (i < 3));
	}
}

static void nesting_is_followed_to_a_limit_and_refused_beyond(void)
{
	char json[2 * JT_SCAN_DEPTH + 3];

	for (int depth = JT_SCAN_DEPTH; depth <= JT_SCAN_DEPTH + 1; depth++) {
		memset(json, '[', (size_t)depth);
		memset(json + depth, ']', (size_t)depth);
		json[2 * depth] = '\0';
		check((strchr(whole(json), '!') != NULL) == (depth > JT_SCAN_DEPTH));
	}
}

static uint64_t number(const char *text, double scale)
{
	char json[512];
	const char *p = json;
	struct jt_scan s;

	snprintf(json, sizeof(json), "{\"n\":%s}", text);
	jt__scan_init(&s, &root);
	while (jt__scan_next(&s, &p, json + strlen(json)) != JT_SCAN_END)
		;
	return jt__scan_u64(&s, scale);
}

static void numbers_are_exact_or_unknown(void)
{
	char digits[301];

	memset(digits, '9', 300);
	digits[300] = '\0';
	check(number("0", 1) == 0);
	check(number("4096", 1) == 4096);
	check(number("150.357", 1e6) == 150357000);
	check(number("1e3", 1) == 1000);
	check(number("123456789012345", 1) == 123456789012345);
	check(number("9007199254740991", 1) == 9007199254740991);
	check(number("9007199254740992", 1) == JT_NONE);
	check(number("-1", 1) == JT_NONE);
	check(number("1e999", 1) == JT_NONE);
	check(number(digits, 1) == JT_NONE);
	check(number("\"7\"", 1) == JT_NONE);
	check(number("null", 1) == JT_NONE);
}

int main(void)
{
	test(names_the_places_it_was_told);
	test(reports_the_same_in_pieces_of_any_size);
	test(counts_bytes_from_the_beginning_of_the_document);
	test(is_not_fooled_by_json_inside_strings);
	test(says_once_that_something_is_not_json);
	test(takes_what_is_json);
	test(repairs_broken_surrogates);
	test(cuts_long_text_between_characters);
	test(a_key_too_long_to_keep_matches_nothing);
	test(reports_duplicate_keys_each_time);
	test(says_what_is_empty);
	test(nesting_is_followed_to_a_limit_and_refused_beyond);
	test(numbers_are_exact_or_unknown);
	return tap_done();
}
