/* SPDX-License-Identifier: Apache-2.0 */
#include "jouletap/record.h"

const char *jt_provenance_name(enum jt_provenance p)
{
	static const char *const names[JT_N_PROVENANCES] = { "measured", "derived", "modelled",
		                                             "predicted" };

	return (unsigned)p < JT_N_PROVENANCES ? names[p] : "unknown";
}

const char *jt_phase_name(enum jt_phase p)
{
	static const char *const names[JT_N_PHASES] = { "queue", "prefill", "decode" };

	return (unsigned)p < JT_N_PHASES ? names[p] : "unknown";
}
