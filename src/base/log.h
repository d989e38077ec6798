/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LOG_H
#define JT_LOG_H
/*
 * Talk goes to stderr, through one function. Silent until jt_log_set() is
 * called. Any thread. error: we give up on something; warn: we go on and say
 * how; info: once per state change; debug: free.
 */
#include "base/base.h"

enum jt_log_level { JT_LOG_NONE, JT_LOG_ERROR, JT_LOG_WARN, JT_LOG_INFO, JT_LOG_DEBUG };

typedef void (*jt_log_fn)(void *user, enum jt_log_level level, const char *module,
                          const char *text);

/* Set before threads start. @fn NULL: stderr. */
void jt_log_set(enum jt_log_level level, jt_log_fn fn, void *user);

/* Whether what is logged at @level is heard by anybody. */
bool jt__log_wants(enum jt_log_level level);
void jt__log(enum jt_log_level level, const char *module, const char *fmt, ...) JT_PRINTF(3, 4);

/* Each file that logs defines LOG_MODULE first. */
#define log_error(...) jt__log(JT_LOG_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warn(...) jt__log(JT_LOG_WARN, LOG_MODULE, __VA_ARGS__)
#define log_info(...) jt__log(JT_LOG_INFO, LOG_MODULE, __VA_ARGS__)
/* Nothing of it is evaluated unless it is wanted. */
#define log_debug(...)                                                                             \
	(jt__log_wants(JT_LOG_DEBUG) ? jt__log(JT_LOG_DEBUG, LOG_MODULE, __VA_ARGS__) : (void)0)

#endif
