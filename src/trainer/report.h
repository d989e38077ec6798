/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_REPORT_H
#define JT_REPORT_H
/* What an evaluation says: as a page with plots, as JSON, as a few lines. One thread. */
#include <stdio.h>
#include "trainer/evaluate.h"
#include "trainer/page.h"

/* Mean and deviation over the repetitions of a split, of one learner. */
struct jt_summary {
	size_t n_trials;
	struct jt_metrics mean;
	double mape_sd;
};
int jt__summarise(const struct jt_evaluation *e, enum jt_split split, int learner,
                  struct jt_summary *ret, struct jt_error *err);

/* The texts of a key, each once, as they first appear; all to jt__free(). */
struct jt_values {
	const char **all;
	size_t n;
};
int jt__values(const struct jt_dataset *d, enum jt_key key, struct jt_values *ret,
               struct jt_error *err);

/* Each backbone's figures with that one left out, the worst of ours first; *ret to jt__free(), NULL
 * where there is no such trial. */
struct jt_backbone {
	const char *name;
	struct jt_metrics of[JT_N_LEARNERS];
};
int jt__backbones(const struct jt_evaluation *e, struct jt_backbone **ret, size_t *ret_n,
                  struct jt_error *err);
/* The median of their mean errors. */
double jt__median_backbone(const struct jt_backbone *b, size_t n, int learner);

/* What a model file says beside its fit: intervals, scores, data. @date NULL: today. @note is kept.
 */
int jt__report_notes(const struct jt_evaluation *e, const char *date, const char *note,
                     struct jt_fit_notes *ret, struct jt_error *err);

/* To @path, *.md or *.html; of a full evaluation. */
int jt__report_write(const struct jt_evaluation *e, uint32_t seed, const char *path,
                     struct jt_error *err);
int jt__report_json(const struct jt_evaluation *e, uint32_t seed, struct jt_buf *out,
                    struct jt_error *err);
int jt__report_print(const struct jt_evaluation *e, FILE *to, struct jt_error *err);

/* What each term of the sum costs, in physical units, as rows of a table. JT_ENOMEM, JT_EINVAL. */
int jt__report_terms(const struct jt_evaluation *e, struct jt_page *page, struct jt_error *err);

#endif
