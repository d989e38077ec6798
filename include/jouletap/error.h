/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ERROR_H
#define JT_ERROR_H
/*
 * Errors are values: 0 or a negative status, and where a human will read it a
 * struct jt_error that the caller owns. Plain data, no thread rule.
 */
#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define JT_ERROR_MAP(X)                                                    \
	X(JT_ENOMEM,   -1, "out of memory")                                \
	X(JT_EINVAL,   -2, "invalid argument or input")                    \
	X(JT_ENOTSUP,  -3, "not supported by this hardware or driver")     \
	X(JT_EPERM,    -4, "permission denied")                            \
	X(JT_EIO,      -5, "input or output failed")                       \
	X(JT_ENOENT,   -6, "not found")                                    \
	X(JT_ELOST,    -7, "device lost")                                  \
	X(JT_EAGAIN,   -8, "not yet known")                                \
	X(JT_ERANGE,   -9, "outside the range that is kept")               \
	X(JT_ELIMIT,  -10, "a configured limit was reached")               \
	X(JT_ETIME,   -11, "timed out")
/* clang-format on */

enum jt_status {
	JT_OK = 0,
#define JT_X(name, value, text) name = value,
	JT_ERROR_MAP(JT_X)
#undef JT_X
};

/* Filled on failure, untouched on success. Nothing in it needs freeing. */
struct jt_error {
	int status;
	char where[48];    /* "rapl", "nvml:0", "serve.yaml:12" */
	char message[256]; /* one line, no full stop, names the thing that failed */
};

/* The fixed text of a status; "unknown status" for anything else. */
const char *jt_strerror(int status);

#ifdef __cplusplus
}
#endif
#endif
