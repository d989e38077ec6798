/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_REPLAY_H
#define JT_REPLAY_H
/*
 * A recording or an nvidia-smi log, opened: its domains, then what it holds in the order of the
 * file. The source `replay` and the command of that name both stand on it. One thread at a time.
 */
#include "sources/recording.h"

struct jt_replay; /* opaque */

/*
 * Where the file's zero lies on the time axis of samples: late enough for what
 * an averaging window reaches back to before the first reading.
 */
#define JT_REPLAY_ORIGIN_NS (10000 * JT_NS_PER_S)

/* Bytes of a standard input at most; a file may be longer. */
#define JT_REPLAY_MAX_STDIN (UINT64_C(4) << 30)

/*
 * @path is read twice where it has no list of domains, so it must be a regular file, or "-" for
 * standard input, which is copied into one. @sensor: kind, or name of a board, that all domains
 * have; NULL: as the file says, else told from the names of GPU and file, else
 * "gpu" with its wide bounds, which is said in a warning. JT_EINVAL names file, line and field.
 */
int jt__replay_open(const char *path, const char *sensor, struct jt_replay **ret_replay,
                    struct jt_error *err);
void jt__replay_close(struct jt_replay *r); /* accepts NULL */

size_t jt__replay_n_domains(const struct jt_replay *r);
const struct jt_domain *jt__replay_domain(const struct jt_replay *r, size_t i);

/* The unix time of the file's zero; an nvidia-smi log's local time is taken as UTC. JT_NONE: not
 * known. */
uint64_t jt__replay_zero_unix_ns(const struct jt_replay *r);

/* JT_EAGAIN at the end, where a warning says what was left out. */
int jt__replay_next(struct jt_replay *r, struct jt_entry *ret_entry, struct jt_error *err);

#define JT_REPLAY_MAX_ENTRIES ((size_t)1 << 24)

/* A change of activity, and the number of samples that came before it. */
struct jt_track_change {
	struct jt_activity change;
	size_t n_before;
};

/* All samples of one domain in the order of the file, and what it was told. */
struct jt_track {
	struct jt_domain info;
	struct jt_sample *samples;
	size_t n;
	size_t capacity;
	struct jt_track_change *changes;
	size_t n_changes;
	size_t changes_capacity;
	size_t next; /* where the source `replay` is */
};

/* A whole file in memory. */
struct jt_tracks {
	struct jt_track *tracks;
	size_t n_tracks;
	size_t n_entries;      /* samples and changes */
	uint64_t zero_unix_ns; /* as jt__replay_zero_unix_ns() */
};

/*
 * As jt__replay_open(); JT_ELIMIT beyond JT_REPLAY_MAX_ENTRIES. Nothing is left to free on failure.
 */
int jt__replay_load(const char *path, const char *sensor, struct jt_tracks *ret_tracks,
                    struct jt_error *err);
void jt__tracks_fini(struct jt_tracks *ts);

/* All of a track into a new timeline of its sensor; samples out of order are counted there. */
void jt__track_play(const struct jt_track *t, struct jt_timeline *tl);

#endif
