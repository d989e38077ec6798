/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include "gateway/ask.h"
#include "jouletap/record.h"
#include "tap.h"

static struct jt_ask read_as(const char *path, const char *body)
{
	struct jt_ask ask;

	jt__ask_read(&ask, jt__api_find(path), body, strlen(body));
	return ask;
}

static struct jt_ask read_text(const char *body)
{
	return read_as("/v1/chat/completions", body);
}

static char *edited(const char *body, const struct jt_edit *e)
{
	size_t n = strlen(body), add = strlen(e->text);
	char *out = calloc(1, n + add + 1);

	memcpy(out, body, e->offset);
	memcpy(out + e->offset, e->text, add);
	memcpy(out + e->offset + add, body + e->offset + e->remove, n - e->offset - e->remove);
	return out;
}

/* Applied to @body the edit sets include_usage, and nothing else differs. */
static void check_sets_usage(const char *body)
{
	struct jt_ask ask = read_text(body), again;
	json_t *before = json_loads(body, 0, NULL), *after, *options;
	char *text;

	if (!check(ask.valid && ask.edit.text && before)) {
		printf("# %s\n", body);
		return;
	}
	text = edited(body, &ask.edit);
	after = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!after)
		after = json_loads(text, 0, NULL);
	if (!check(after != NULL))
		printf("# %s\n", text);
	options = json_object_get(after, "stream_options");
	check(json_is_true(json_object_get(options, "include_usage")));

	/* All other keys are as before. */
	if (json_is_object(json_object_get(before, "stream_options"))) {
		json_object_del(json_object_get(before, "stream_options"), "include_usage");
		json_object_del(options, "include_usage");
	} else {
		json_object_del(before, "stream_options");
		json_object_del(after, "stream_options");
	}
	check(json_equal(before, after));

	again = read_text(text);
	check(again.valid && again.include_usage == JT_OPTION_TRUE && !again.edit.text);
	json_decref(before);
	json_decref(after);
	free(text);
}

static void sets_include_usage_wherever_it_is_missing(void)
{
	static const char *const bodies[] = {
		"{\"stream\":true}",
		"  {  \"stream\" : true , \"model\" : \"m\" }  \n",
		"{\"stream\":true,\"stream_options\":{}}",
		"{\"stream\":true,\"stream_options\": { \n } }",
		"{\"stream\":true,\"stream_options\":{\"continuous_usage_stats\":true}}",
		"{\"stream\":true,\"stream_options\":{ \"a\":[1,{\"include_usage\":true}] }}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\":false}}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\" : false , \"b\":1}}",
		"{\"stream\":true,\"stream_options\":{\"b\":1,\"include_usage\":null}}",
		"{\"stream_options\":null,\"stream\":true}",
		"{\"stream_options\" : null ,\"stream\":true}",
		"{\"stream\":true,\"messages\":[{\"content\":\"\\\"stream_options\\\":{}\"}]}",
		"{\"stream\":true,\"other\":{\"stream_options\":{\"include_usage\":true}}}",
		"{\"stream\":true,\"stream\\u005foptions\":{\"include_us\\u0061ge\":false}}",
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(bodies); i++)
		check_sets_usage(bodies[i]);
}

static void of_duplicate_keys_the_last_one_counts(void)
{
	check_sets_usage("{\"stream\":false,\"stream\":true}");
	check_sets_usage("{\"stream\":true,\"stream_options\":{\"include_usage\":true},"
	                 "\"stream_options\":{}}");
	check_sets_usage("{\"stream\":true,\"stream_options\":{\"include_usage\":true},"
	                 "\"stream_options\":null}");
	check_sets_usage("{\"stream\":true,\"stream_options\":{\"include_usage\":true,"
	                 "\"include_usage\":false}}");
	check(!read_text("{\"stream\":true,\"stream_options\":null,"
	                 "\"stream_options\":{\"include_usage\":true}}")
	               .edit.text);
	check(!read_text("{\"stream\":true,\"stream\":false}").edit.text);
	check_text(read_text("{\"model\":\"a\",\"model\":\"b\"}").model, "b");
	check_text(read_text("{\"model\":\"a\",\"model\":7}").model, "");
}

static void leaves_alone_what_needs_no_usage_or_is_wrong(void)
{
	static const char *const bodies[] = {
		"{}",
		"{\"stream\":false}",
		"{\"stream\":\"true\"}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\":\"yes\"}}",
		"{\"stream\":true,\"stream_options\":[]}",
		"{\"stream\":true,\"stream_options\":7}",
	};
	static const char *const invalid[] = {
		"",
		" ",
		"[]",
		"[{\"stream\":true}]",
		"\"x\"",
		"null",
		"12",
		"{\"stream\":true",
		"{\"stream\":true}}",
		"{\"stream\":true,}",
		"{\"stream\":true} x",
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(bodies); i++)
		if (!check(read_text(bodies[i]).valid && !read_text(bodies[i]).edit.text))
			printf("# %s\n", bodies[i]);
	for (size_t i = 0; i < JT_ARRAY_LEN(invalid); i++)
		if (!check(!read_text(invalid[i]).valid && !read_text(invalid[i]).edit.text))
			printf("# %s\n", invalid[i]);
}

static void reads_what_the_gateway_routes_and_meters_by(void)
{
	struct jt_ask ask = read_text("{\"model\":\"org\\/m\\u00f6del\",\"n\":3,\"stream\":true,"
	                              "\"max_completion_tokens\":77,"
	                              "\"stream_options\":{\"include_usage\":true}}");

	check(ask.valid && ask.stream && ask.include_usage == JT_OPTION_TRUE);
	check_text(ask.model, "org/m\xc3\xb6"
	                      "del");
	check(ask.n == 3 && ask.max_tokens == 77);
	ask = read_text("{\"max_tokens\":5}");
	check(ask.max_tokens == 5 && ask.n == JT_NONE && !ask.stream && !ask.model[0]);
	check(ask.include_usage == JT_OPTION_ABSENT);
	check(read_text("{\"stream_options\":{\"include_usage\":null}}").include_usage ==
	      JT_OPTION_NULL);
	check(read_text("{\"n\":-1}").n == JT_NONE);
}

static void cuts_a_long_model_name(void)
{
	char body[400] = "{\"model\":\"";

	memset(body + 10, 'm', 300);
	strcpy(body + 310, "\"}");
	check(strlen(read_text(body).model) == 95);
}

static void adds_up_the_bytes_of_the_prompt(void)
{
	check(read_text("{\"prompt\":\"12345\"}").prompt_bytes == 5);
	check(read_text("{\"prompt\":[\"12345\",\"678\"]}").prompt_bytes == 8);
	check(read_text("{\"messages\":[{\"role\":\"user\",\"content\":\"12345\"}]}")
	              .prompt_bytes == 9);
	check(read_text("{\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":\"12\"},"
	                "{\"image_url\":{\"url\":\"data:0123456789\"}}]}]}")
	              .prompt_bytes == 6);
	check(read_text("{\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":{\"a\":[\"bc\"]}}"
	                "}]}")
	              .prompt_bytes == 3);
	check(read_text("{\"user\":\"12345\",\"x\":{\"prompt\":\"12345\"}}").prompt_bytes == 0);
}

static void only_the_completions_are_asked_for_usage(void)
{
	static const char body[] = "{\"model\":\"m\",\"stream\":true}";
	static const char *const others[] = { "/v1/responses", "/v1/messages", "/api/chat",
		                              "/completion", "/v1/embeddings" };

	check(read_as("/v1/completions", body).edit.text != NULL);
	for (size_t i = 0; i < JT_ARRAY_LEN(others); i++) {
		struct jt_ask ask = read_as(others[i], body);

		check(ask.valid && ask.stream && !ask.edit.text);
	}
}

static void ollama_streams_unless_it_is_told_not_to(void)
{
	check(read_as("/api/chat", "{}").stream);
	check(read_as("/api/generate", "{\"stream\":null}").stream);
	check(read_as("/api/generate", "{\"stream\":true}").stream);
	check(!read_as("/api/chat", "{\"stream\":false}").stream);
	check(!read_as("/v1/messages", "{}").stream);
	check(!read_text("{\"stream\":null}").stream);
}

static void every_api_has_its_name_for_the_most_tokens(void)
{
	check(read_as("/v1/responses", "{\"max_output_tokens\":5}").max_tokens == 5);
	check(read_as("/v1/messages", "{\"max_tokens\":6}").max_tokens == 6);
	check(read_as("/api/chat", "{\"options\":{\"seed\":1,\"num_predict\":7}}").max_tokens == 7);
	check(read_as("/completion", "{\"n_predict\":8}").max_tokens == 8);
	check(read_as("/api/chat", "{\"options\":{\"num_predict\":-1}}").max_tokens == JT_NONE);
	check(read_text("{\"max_completion_tokens\":9,\"max_tokens\":null}").max_tokens == 9);
}

static void every_api_has_its_places_for_the_prompt(void)
{
	check(read_as("/v1/responses",
	              "{\"instructions\":\"ab\",\"input\":[{\"content\":[{\"text\":"
	              "\"cde\"},{\"image_url\":\"data:0123\"},{\"file_data\":\"0123\"}]}]}")
	              .prompt_bytes == 5);
	check(read_as("/v1/messages", "{\"system\":[{\"text\":\"ab\"}],\"messages\":[{\"content\":["
	                              "{\"source\":{\"data\":\"0123\"}},{\"text\":\"cde\"}]}]}")
	              .prompt_bytes == 5);
	check(read_as("/api/chat", "{\"messages\":[{\"content\":\"abc\",\"images\":[\"0123\"]}]}")
	              .prompt_bytes == 3);
	check(read_as("/api/generate", "{\"system\":\"a\",\"prompt\":\"bc\",\"images\":[\"01\"]}")
	              .prompt_bytes == 3);
	check(read_as("/rerank", "{\"query\":\"a\",\"documents\":[\"bc\",{\"text\":\"d\"}]}")
	              .prompt_bytes == 4);
	check(read_as("/score", "{\"text_1\":\"a\",\"text_2\":[\"bc\",\"d\"]}").prompt_bytes == 4);
}

static void the_table_has_only_inferences(void)
{
	static const char *const others[] = { "/v1/messages/count_tokens",
		                              "/v1/models",
		                              "/health",
		                              "/api/tags",
		                              "/tokenize",
		                              "",
		                              "/v1/messages/" };

	for (size_t i = 0; i < JT_ARRAY_LEN(others); i++)
		check(!jt__api_find(others[i]));
	check(jt__api_find("/pooling")->prefill_only && jt__api_find("/api/embed")->prefill_only);
	check(!jt__api_find("/v1/responses")->prefill_only);
}

int main(void)
{
	test(sets_include_usage_wherever_it_is_missing);
	test(of_duplicate_keys_the_last_one_counts);
	test(leaves_alone_what_needs_no_usage_or_is_wrong);
	test(reads_what_the_gateway_routes_and_meters_by);
	test(cuts_a_long_model_name);
	test(adds_up_the_bytes_of_the_prompt);
	test(only_the_completions_are_asked_for_usage);
	test(ollama_streams_unless_it_is_told_not_to);
	test(every_api_has_its_name_for_the_most_tokens);
	test(every_api_has_its_places_for_the_prompt);
	test(the_table_has_only_inferences);
	return tap_done();
}
