/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "trainer/files.h"
#include "trainer/page.h"

#define MAX_PAGE (64u << 20)

static const char style[] =
	"body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
	"table{border-collapse:collapse;margin:1em 0;font-size:13px}"
	"th,td{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:left}"
	"svg{max-width:100%;height:auto}code{background:#f4f4f4}";

static bool ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n > m && strcmp(path + n - m, end) == 0;
}

int jt__page_init(struct jt_page *p, const char *path, const char *title, struct jt_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	memset(p, 0, sizeof(*p));
	p->html = ends_with(path, ".html");
	if (!p->html && !ends_with(path, ".md"))
		return jt__fail(err, JT_EINVAL, "train",
		                "a report is a '.md' or a '.html' file, not '%.100s'", path);
	if (strlen(path) >= sizeof(p->dir) || strlen(name) >= sizeof(p->folder))
		return jt__fail(err, JT_EINVAL, "train", "path is too long: '%.100s…'", path);
	snprintf(p->dir, sizeof(p->dir), "%.*s/", (int)strlen(path) - 3, path); /* without ".md" */
	snprintf(p->folder, sizeof(p->folder), "%.*s/", (int)strlen(name) - 3, name);
	jt__buf_init(&p->out, MAX_PAGE);
	if (p->html)
		jt__buf_printf(&p->out,
		               "<!doctype html><meta charset=\"utf-8\"><title>%s</title><style>%s"
		               "</style>\n<h1>%s</h1>\n",
		               title, style, title);
	else
		jt__buf_printf(&p->out, "# %s\n", title);
	return JT_OK;
}

/* Text for HTML, `code` included. */
static void put_html(struct jt_buf *out, const char *text)
{
	bool code = false;

	for (const char *c = text; *c; c++)
		if (*c == '`') {
			jt__buf_append_text(out, code ? "</code>" : "<code>");
			code = !code;
		} else if (*c == '<' || *c == '>' || *c == '&') {
			jt__buf_append_text(out, *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "&amp;");
		} else {
			jt__buf_append(out, c, 1);
		}
}

static void end_table(struct jt_page *p)
{
	if (p->in_table && p->html)
		jt__buf_append_text(&p->out, "</table>\n");
	p->in_table = false;
}

void jt__page_heading(struct jt_page *p, const char *text)
{
	end_table(p);
	jt__buf_printf(&p->out, p->html ? "<h2>%s</h2>\n" : "\n## %s\n", text);
}

void jt__page_text(struct jt_page *p, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	end_table(p);
	jt__buf_append_text(&p->out, p->html ? "<p>" : "\n");
	if (p->html)
		put_html(&p->out, text);
	else
		jt__buf_append_text(&p->out, text);
	jt__buf_append_text(&p->out, p->html ? "</p>\n" : "\n");
}

static void put_rule(struct jt_buf *out, const char *row)
{
	jt__buf_append_text(out, "|---|");
	for (; *row; row++)
		if (*row == '\t')
			jt__buf_append_text(out, "---|");
	jt__buf_append_text(out, "\n");
}

void jt__page_row(struct jt_page *p, const char *fmt, ...)
{
	bool head = !p->in_table;
	char row[1024], copy[1024], *cells = row, *cell;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(row, sizeof(row), fmt, ap);
	va_end(ap);
	memcpy(copy, row, sizeof(row)); /* strsep() takes the row apart */
	p->in_table = true;
	if (p->html)
		jt__buf_append_text(&p->out, head ? "<table>\n<tr>" : "<tr>");
	else
		jt__buf_append_text(&p->out, head ? "\n|" : "|");
	while ((cell = strsep(&cells, "\t"))) {
		jt__buf_append_text(&p->out, !p->html ? " " : head ? "<th>" : "<td>");
		if (p->html)
			put_html(&p->out, cell);
		else
			jt__buf_printf(&p->out, "%s |", cell);
	}
	jt__buf_append_text(&p->out, "\n");
	if (head && !p->html)
		put_rule(&p->out, copy);
}

void jt__page_figure(struct jt_page *p, const char *name, const char *what,
                     const struct jt_buf *svg)
{
	char path[700];

	end_table(p);
	if (p->html) {
		jt__buf_append(&p->out, jt__buf_bytes(svg), jt__buf_len(svg));
		return;
	}
	jt__buf_printf(&p->out, "\n![%s](%s%s.svg)\n", what, p->folder, name);
	snprintf(path, sizeof(path), "%s%s.svg", p->dir, name);
	mkdir(p->dir, 0777); /* if it is not there, the write below says so */
	if (p->status == JT_OK)
		p->status = jt__file_write(path, jt__buf_bytes(svg), jt__buf_len(svg), &p->err);
}

int jt__page_finish(struct jt_page *p, const char *path, struct jt_error *err)
{
	int status = p->status;

	end_table(p);
	if (status < 0 && err)
		*err = p->err;
	else if (p->out.failed)
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
	else
		status = jt__file_write(path, jt__buf_bytes(&p->out), jt__buf_len(&p->out), err);
	jt__buf_fini(&p->out);
	return status;
}
