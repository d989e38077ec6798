/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SMILOG_H
#define JT_SMILOG_H
/*
 * Logs of `nvidia-smi --query-gpu=… --format=csv -lms …` and CSV files with the same
 * columns under names such as t_s and power_draw_w. Takes lines, gives samples;
 * opening files is replay.c's business. A log belongs to one thread at a time.
 */
#include "base/base.h"
#include "jouletap/source.h"

#define JT_SMILOG_MAX_COLUMNS 256
#define JT_SMILOG_MAX_GPUS 1024

struct jt_smilog_column {
	uint8_t kind;   /* which of smilog.c's columns */
	uint8_t digits; /* decimals that its default unit has in ours */
	char name[64];  /* as the header says, for errors */
};

/* A GPU of the log: becomes a domain. */
struct jt_smilog_gpu {
	char key[96]; /* what tells it from the others: uuid, else bus id, else index */
	/* Its sensor decides what power.draw means; set it before the pass whose samples matter. */
	struct jt_domain info;
	bool seen; /* in this pass */
	uint64_t last_ns;
};

struct jt_smilog {
	uint64_t origin_ns;    /* time of a sample at the file's zero */
	uint64_t zero_unix_ns; /* the first row's timestamp, local time taken as UTC; JT_NONE: none
	                          yet */
	struct jt_smilog_column columns[JT_SMILOG_MAX_COLUMNS];
	size_t n_columns; /* 0: no header yet */
	struct jt_smilog_gpu *gpus;
	size_t n_gpus;
	uint64_t n_backwards; /* rows older than their GPU's last: left out */
	uint64_t n_notices;   /* lines in which nvidia-smi says that it failed */
};

void jt__smilog_init(struct jt_smilog *l, uint64_t origin_ns);
void jt__smilog_fini(struct jt_smilog *l);

/* Forgets where it was but not the GPUs and the zero: the same lines may be fed once more. */
void jt__smilog_rewind(struct jt_smilog *l);

/*
 * A line without its newline; @where is "FILE:LINE" for the error, which names the column.
 * JT_EAGAIN: no sample in it (blank, header, left out). JT_EINVAL, JT_ENOMEM, JT_ELIMIT.
 */
int jt__smilog_line(struct jt_smilog *l, const char *line, size_t n, const char *where,
                    struct jt_sample *ret_sample, struct jt_error *err);

/* "2024/05/01 12:00:00.123" as unix time, as if it were UTC. false: it is not that. */
bool jt__smilog_parse_time(const char *text, size_t n, uint64_t *ret_unix_ns);

#endif
