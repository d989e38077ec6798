/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"
#include "cli/term.h"

#define REDRAW_NS (100 * JT_NS_PER_MS)

bool jt__term_is(FILE *f)
{
	return isatty(fileno(f));
}

unsigned jt__term_width(FILE *f)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	int n = columns ? atoi(columns) : 0;

	if (ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return n > 0 && n <= 1000 ? (unsigned)n : 80;
}

void jt__progress_format(const struct jt_progress *p, uint64_t done, unsigned width, char *ret_line,
                         size_t size)
{
	double part = p->total ? JT_MIN(1.0, (double)done / p->total) : 0;
	size_t around = strlen(p->label) + sizeof(" [] 100 %");
	size_t room = width > around ? JT_MIN(width - around, 40) : 0;
	char bar[41];

	memset(bar, '.', room);
	memset(bar, '#', (size_t)(part * room));
	bar[room] = '\0';
	snprintf(ret_line, size, "%s [%s] %3d %%", p->label, bar, (int)(part * 100));
}

void jt__progress_update(struct jt_progress *p, uint64_t done)
{
	uint64_t now_ns = jt__now_ns();
	char line[256];

	if (!jt__term_is(stderr) || (p->shown && now_ns - p->drawn_ns < REDRAW_NS))
		return;
	jt__progress_format(p, done, jt__term_width(stderr), line, sizeof(line));
	fprintf(stderr, "\r%s", line);
	fflush(stderr);
	p->drawn_ns = now_ns;
	p->shown = true;
}

void jt__progress_end(struct jt_progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
