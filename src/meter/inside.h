/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_METER_INSIDE_H
#define JT_METER_INSIDE_H
/* The inside of a meter, shared by its files. */
#include "base/base.h"
#include "attribution/policy.h"
#include "jouletap/meter.h"
#include "meter/own.h"
#include "sampler/sampler.h"
#include "sources/source.h"

#define JT_MAX_DOMAINS 64
#define JT_MAX_SERVICES 64

/* One energy domain: its readings, its E(t) and its books. */
struct jt_station {
	const struct jt_meter_domain *domain;
	struct jt_timeline *timeline;
	struct jt_attribution *attribution;
	struct jt_sample latest;
	bool has_sample;
	struct jt_sample waiting; /* for the watermark, … */
	bool is_waiting;          /* … if so */
	uint64_t heard_ns;        /* when a sample last came, or was made up because none came */
	uint64_t lowest_mw;       /* mean of a second or so; JT_NONE: none yet. For own.c */
};

struct jt_service {
	char name[32];
	struct jt_weigher weigher;
	uint64_t domains; /* bit per station */
	char domain_names[sizeof(((struct jt_record *)0)->domains)];
	/* Requests that run, and the integral of their number over time, which may wrap, … */
	uint64_t n_running;
	uint64_t running_ns;
	uint64_t counted_ns; /* … up to here */
};

/* A request from its begin until its record is out. */
struct jt_open_request {
	struct jt_open_request *next; /* in its hash chain */
	uint64_t id;
	struct jt_service *service;
	struct jt_load load;
	struct jt_weight weight;
	uint64_t begin_ns;
	uint64_t first_ns;               /* first token; 0: none yet */
	uint64_t end_ns;                 /* 0: still running */
	uint64_t running_ns, counted_ns; /* of its service, when it began */
	uint64_t concurrency_milli;      /* from its end on */
	uint64_t waiting;                /* stations whose charges are still to come */
	struct jt_request_facts *facts;  /* from its end on; NULL then: there was no memory */
	/* charges so far, over the stations */
	uint64_t uj[JT_N_PHASES];
	uint64_t dynamic_uj;
	uint64_t bound_uj;
	uint32_t coverage_ppm;
	enum jt_provenance provenance;
	bool charged;
};

#define JT_REQUEST_BUCKETS 4096

struct jt_meter {
	struct jt_meter_options options;
	struct jt_source_set *sources;
	struct jt_sampler *sampler;
	struct jt_station stations[JT_MAX_DOMAINS];
	size_t n_stations;
	struct jt_service services[JT_MAX_SERVICES];
	size_t n_services;
	struct jt_open_request *requests[JT_REQUEST_BUCKETS];
	struct jt_own own;
	size_t n_ended; /* requests that are over and wait for charges */
};

struct jt_open_request *jt__request_find(struct jt_meter *m, uint64_t id);
void jt__request_charged(struct jt_meter *m, const struct jt_charge *c);
void jt__request_final(struct jt_meter *m, size_t station, uint64_t id);
void jt__requests_free(struct jt_meter *m);

#endif
