/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each domain has a worker: a thread with its own ring, counters and copy of the domain. Worker
 * and sampler hold one reference each; a thread that is stuck in a driver call when the sampler
 * stops is detached and drops the last reference when the call returns, if it ever does.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/ring.h"
#include "sampler/pacer.h"
#include "sampler/sampler.h"

#define MIN_PERIOD_NS (10 * JT_NS_PER_MS)
#define MAX_PERIOD_NS (10 * JT_NS_PER_S)
#define RING_SAMPLES 256 /* 2.5 s at the shortest period */
#define STOP_WAIT_NS (2 * JT_NS_PER_S)
#define NAP_NS (100 * JT_NS_PER_MS) /* how long a stop may go unnoticed while asleep */

struct worker {
	struct jt_meter_domain domain;
	uint32_t index;
	struct jt_pacer pacer;
	struct jt_ring *ring;
	pthread_t thread;
	_Atomic int references;
	_Atomic bool stop, done;
	_Atomic uint64_t n_reads, n_late, max_read_ns;
};

struct jt_sampler {
	size_t n;
	struct worker *workers[];
};

static void worker_release(struct worker *w)
{
	if (!w || atomic_fetch_sub(&w->references, 1) > 1)
		return;
	jt__ring_free(w->ring);
	jt__free(w);
}

/* false when asked to stop. */
static bool sleep_until(const struct worker *w, uint64_t due_ns)
{
	uint64_t now_ns = jt__now_ns();

	while (now_ns < due_ns && !atomic_load(&w->stop)) {
		uint64_t t_ns = JT_MIN(due_ns, now_ns + NAP_NS);
		struct timespec ts = { .tv_sec = (time_t)(t_ns / JT_NS_PER_S),
			               .tv_nsec = (long)(t_ns % JT_NS_PER_S) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		now_ns = jt__now_ns();
	}
	return !atomic_load(&w->stop);
}

/* One reading; when the next is due, or 0 when there is nothing more to read. */
static uint64_t tick(struct worker *w)
{
	struct jt_sample s = { 0 };
	uint64_t begin_ns = jt__now_ns(), now_ns, due_ns;
	int status = w->domain.ops->read(w->domain.state, w->domain.index, &s);

	if (status == JT_EAGAIN)
		return 0;
	now_ns = jt__now_ns();
	s.domain = w->index;
	if (s.end_ns == 0) {
		s.begin_ns = begin_ns;
		s.end_ns = now_ns;
	}
	jt__ring_push(w->ring, &s);
	due_ns = jt__pacer_next(&w->pacer, &s, now_ns);
	atomic_fetch_add_explicit(&w->n_reads, 1, memory_order_relaxed);
	atomic_store_explicit(&w->n_late, w->pacer.n_late, memory_order_relaxed);
	if (now_ns - begin_ns > atomic_load_explicit(&w->max_read_ns, memory_order_relaxed))
		atomic_store_explicit(&w->max_read_ns, now_ns - begin_ns, memory_order_relaxed);
	return due_ns;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	uint64_t due_ns = w->pacer.grid_ns;

	while (due_ns && sleep_until(w, due_ns))
		due_ns = tick(w);
	atomic_store(&w->done, true);
	worker_release(w);
	return NULL;
}

/* Signals are for the threads that expect them. */
static int start_thread(struct worker *w)
{
	char name[16];
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0) {
		snprintf(name, sizeof(name), "jt %.12s", w->domain.info.name);
		pthread_setname_np(w->thread, name);
	}
	return error;
}

static int worker_start(const struct jt_meter_domain *d, uint32_t index, uint64_t period_ns,
                        uint64_t start_ns, struct worker **ret_worker, struct jt_error *err)
{
	struct worker *w = jt__alloc(1, sizeof(*w));
	/* A model answers for the moment it is asked: it has no updates to find. */
	uint64_t update_ns =
		d->info.sensor.provenance == JT_MEASURED ? d->info.sensor.update_ns : 0;
	int error;

	if (!w)
		return jt__fail(err, JT_ENOMEM, "sampler", "cannot allocate a worker");
	w->references = 1;
	w->domain = *d;
	w->index = index;
	w->ring = jt__ring_new(RING_SAMPLES, sizeof(struct jt_sample));
	if (!w->ring) {
		worker_release(w);
		return jt__fail(err, JT_ENOMEM, "sampler", "cannot allocate a ring");
	}
	jt__pacer_init(&w->pacer, period_ns, update_ns, start_ns);
	w->references = 2;
	error = start_thread(w);
	if (error != 0) {
		w->references = 1;
		worker_release(w);
		return jt__fail(err, JT_EIO, "sampler", "cannot start the thread of '%s': %s",
		                d->info.name, strerror(error));
	}
	*ret_worker = w;
	return JT_OK;
}

int jt__sampler_start(const struct jt_meter_domain *const *domains, size_t n, uint64_t period_ns,
                      struct jt_sampler **ret_sampler, struct jt_error *err)
{
	uint64_t start_ns = jt__now_ns();
	struct jt_sampler *s;
	int status = JT_OK;

	if (period_ns < MIN_PERIOD_NS || period_ns > MAX_PERIOD_NS)
		return jt__fail(err, JT_EINVAL, "sampler",
		                "a period of %.9g ms is not within 10 ms and 10 s",
		                (double)period_ns / (double)JT_NS_PER_MS);
	s = jt__alloc(1, sizeof(*s) + n * sizeof(s->workers[0]));
	if (!s)
		return jt__fail(err, JT_ENOMEM, "sampler", "cannot allocate %zu workers", n);
	for (; s->n < n && status == JT_OK; s->n += status == JT_OK)
		status = worker_start(domains[s->n], (uint32_t)s->n, period_ns, start_ns,
		                      &s->workers[s->n], err);
	if (status < 0) {
		jt__sampler_stop(s);
		return status;
	}
	*ret_sampler = s;
	return JT_OK;
}

/* true once the thread is over. */
static bool wait_done(const struct worker *w, uint64_t until_ns)
{
	while (!atomic_load(&w->done)) {
		if (jt__now_ns() >= until_ns)
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = JT_NS_PER_MS }, NULL);
	}
	return true;
}

bool jt__sampler_stop(struct jt_sampler *s)
{
	uint64_t until_ns = jt__now_ns() + STOP_WAIT_NS;
	bool all_done = true;

	for (size_t i = 0; s && i < s->n; i++)
		atomic_store(&s->workers[i]->stop, true);
	for (size_t i = 0; s && i < s->n; i++) {
		struct worker *w = s->workers[i];
		pthread_t thread = w->thread;

		if (wait_done(w, until_ns)) {
			pthread_join(thread, NULL);
		} else {
			pthread_detach(thread);
			all_done = false;
		}
		worker_release(w);
	}
	jt__free(s);
	return all_done;
}

bool jt__sampler_pop(struct jt_sampler *s, size_t i, struct jt_sample *ret_sample)
{
	return i < s->n && jt__ring_pop(s->workers[i]->ring, ret_sample);
}

void jt__sampler_stats(const struct jt_sampler *s, size_t i, struct jt_sampler_stats *ret_stats)
{
	const struct worker *w = s->workers[i];

	ret_stats->n_reads = atomic_load_explicit(&w->n_reads, memory_order_relaxed);
	ret_stats->n_late = atomic_load_explicit(&w->n_late, memory_order_relaxed);
	ret_stats->n_dropped = jt__ring_dropped(w->ring);
	ret_stats->max_read_ns = atomic_load_explicit(&w->max_read_ns, memory_order_relaxed);
}
