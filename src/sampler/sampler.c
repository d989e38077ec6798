/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sampler costs is its wake-ups, and domains share their ticks: so one thread, the leader,
 * reads all domains one after the other. A reading that takes its time must not make the others
 * wait. Whoever is slow gets a thread for itself, for good, in one of two ways:
 *
 *   It hangs. The watch looks 20 times a second, and where a reading has been under way for
 *   PATIENCE_NS it relieves the leader: another thread leads from there, without the domain that
 *   is being read, and the old one finds out when its call returns, and stays with that domain.
 *
 *   It is too slow for the period. The leader sees that some readings in a row took more than
 *   their part of it, and stays with that domain; the watch starts another leader.
 *
 * At worst that ends with a thread for each domain. What decides who leads is busy_ns, when the
 * leader's reading began: the watch, relieving it, and the leader, back from its reading, both try
 * to set it to 0, and the one who does has the lead.
 *
 * A thread that is stuck in a driver call when the sampler stops is detached; it holds a reference
 * and lets go of it when the call returns, if it ever does.
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
#define WATCH_NS (50 * JT_NS_PER_MS)
#define PATIENCE_NS (20 * JT_NS_PER_MS)
#define MAX_SLOW 8 /* readings in a row: a few may have been due to a busy machine */

/* A domain; it belongs to the thread that reads it. */
struct feed {
	struct jt_meter_domain domain;
	uint32_t index;
	struct jt_pacer pacer;
	struct jt_ring *ring;
	uint64_t due_ns; /* 0: there is nothing more to read */
	unsigned n_slow; /* readings in a row */
	bool alone;      /* not the leader's; set by whoever has the lead */
	_Atomic uint64_t n_reads, n_late, max_read_ns;
};

struct reader {
	struct jt_sampler *sampler;
	pthread_t thread;
	_Atomic int clock; /* of its CPU time; 0: not yet running */
	_Atomic bool done;
};

struct jt_sampler {
	_Atomic int references; /* the caller's and one for each reader */
	_Atomic bool stop;
	size_t n;
	uint64_t part_ns;         /* of the period, for one domain */
	_Atomic size_t n_shared;  /* feeds that are not alone */
	_Atomic uint64_t busy_ns; /* 0: the leader is between readings */
	_Atomic size_t reading;   /* the feed that it is about */
	_Atomic bool leaderless;
	pthread_t watch;
	_Atomic int watch_clock;
	bool has_watch;
	struct reader
		*readers; /* as many as feeds; the watch's, and before and after it the caller's */
	_Atomic size_t n_readers;
	struct feed feeds[];
};

static void release(struct jt_sampler *s)
{
	if (!s || atomic_fetch_sub(&s->references, 1) > 1)
		return;
	for (size_t i = 0; i < s->n; i++)
		jt__ring_free(s->feeds[i].ring);
	jt__free(s->readers);
	jt__free(s);
}

/* false when asked to stop. */
static bool sleep_until(const struct jt_sampler *s, uint64_t due_ns)
{
	uint64_t now_ns = jt__now_ns();

	while (now_ns < due_ns && !atomic_load(&s->stop)) {
		uint64_t t_ns = JT_MIN(due_ns, now_ns + NAP_NS);
		struct timespec ts = { .tv_sec = (time_t)(t_ns / JT_NS_PER_S),
			               .tv_nsec = (long)(t_ns % JT_NS_PER_S) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		now_ns = jt__now_ns();
	}
	return !atomic_load(&s->stop);
}

/* One reading, begun at @begin_ns; how long it took. */
static uint64_t tick(struct feed *f, uint64_t begin_ns)
{
	struct jt_sample s = { 0 };
	int status = f->domain.ops->read(f->domain.state, f->domain.index, &s);
	uint64_t now_ns = jt__now_ns(), took_ns = now_ns - begin_ns;

	f->due_ns = 0;
	if (status == JT_EAGAIN)
		return took_ns;
	s.domain = f->index;
	if (s.end_ns == 0) {
		s.begin_ns = begin_ns;
		s.end_ns = now_ns;
	}
	jt__ring_push(f->ring, &s);
	f->due_ns = jt__pacer_next(&f->pacer, &s, now_ns);
	atomic_fetch_add_explicit(&f->n_reads, 1, memory_order_relaxed);
	atomic_store_explicit(&f->n_late, f->pacer.n_late, memory_order_relaxed);
	if (took_ns > atomic_load_explicit(&f->max_read_ns, memory_order_relaxed))
		atomic_store_explicit(&f->max_read_ns, took_ns, memory_order_relaxed);
	return took_ns;
}

/* ---- the leader ---- */

/* The one that is due first; NULL: all are over. */
static struct feed *next_feed(struct jt_sampler *s)
{
	struct feed *first = NULL;

	for (size_t i = 0; i < s->n; i++) {
		struct feed *f = &s->feeds[i];

		if (!f->alone && f->due_ns && (!first || f->due_ns < first->due_ns))
			first = f;
	}
	return first;
}

/* Whoever calls this has the lead. */
static void part(struct jt_sampler *s, struct feed *f)
{
	f->alone = true;
	s->n_shared--;
}

/* One reading; false where the thread has to stay with this feed and no longer leads. */
static bool lead(struct jt_sampler *s, struct feed *f)
{
	uint64_t begin_ns = jt__now_ns(), mine_ns = begin_ns, took_ns;

	atomic_store(&s->reading, f->index);
	atomic_store(&s->busy_ns, begin_ns);
	took_ns = tick(f, begin_ns);
	if (!atomic_compare_exchange_strong(&s->busy_ns, &mine_ns, 0))
		return false;
	f->n_slow = took_ns > s->part_ns ? f->n_slow + 1 : 0;
	if (f->n_slow < MAX_SLOW || s->n_shared == 1)
		return true;
	part(s, f);
	atomic_store(&s->leaderless, true);
	return false;
}

static void stay_with(struct jt_sampler *s, struct feed *f)
{
	char name[16];

	snprintf(name, sizeof(name), "jt read %.7s", f->domain.info.name);
	pthread_setname_np(pthread_self(), name);
	while (f->due_ns && sleep_until(s, f->due_ns))
		tick(f, jt__now_ns());
}

static void *run(void *arg)
{
	struct reader *r = arg;
	struct jt_sampler *s = r->sampler;
	struct feed *f = next_feed(s);

	atomic_store(&r->clock, jt__thread_clock());
	while (f && sleep_until(s, f->due_ns)) {
		if (!lead(s, f)) {
			stay_with(s, f);
			break;
		}
		f = next_feed(s);
	}
	atomic_store(&r->done, true);
	release(s);
	return NULL;
}

/* Signals are for the threads that expect them. */
static int start_thread(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(ret_thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0)
		pthread_setname_np(*ret_thread, name);
	return error;
}

static int start_reader(struct jt_sampler *s)
{
	size_t n = atomic_load(&s->n_readers);
	struct reader *r = &s->readers[n];
	int error;

	r->sampler = s;
	atomic_fetch_add(&s->references, 1);
	error = start_thread(&r->thread, "jt read", run, r);
	if (error == 0)
		atomic_store(&s->n_readers, n + 1);
	else
		atomic_fetch_sub(&s->references, 1);
	return error;
}

/* ---- the watch ---- */

/* true where the leader was inside a reading for too long, and leads no more. */
static bool relieve(struct jt_sampler *s)
{
	uint64_t busy_ns = atomic_load(&s->busy_ns);
	size_t reading = atomic_load(&s->reading);

	if (!busy_ns || jt__now_ns() < busy_ns + PATIENCE_NS || s->n_shared == 1 ||
	    !atomic_compare_exchange_strong(&s->busy_ns, &busy_ns, 0))
		return false;
	part(s, &s->feeds[reading]);
	return true;
}

static void *watch(void *arg)
{
	struct jt_sampler *s = arg;

	atomic_store(&s->watch_clock, jt__thread_clock());
	while (sleep_until(s, jt__now_ns() + WATCH_NS)) {
		bool leaderless = atomic_exchange(&s->leaderless, false) || relieve(s);

		/* without a thread to be had: again the next time */
		if (leaderless && start_reader(s) != 0)
			atomic_store(&s->leaderless, true);
	}
	return NULL;
}

/* ---- from outside ---- */

static int open_feed(struct jt_sampler *s, const struct jt_meter_domain *d, uint64_t period_ns,
                     uint64_t start_ns, struct jt_error *err)
{
	struct feed *f = &s->feeds[s->n];
	/* A model answers for the moment it is asked: it has no updates to find. */
	uint64_t update_ns =
		d->info.sensor.provenance == JT_MEASURED ? d->info.sensor.update_ns : 0;

	f->ring = jt__ring_new(RING_SAMPLES, sizeof(struct jt_sample));
	if (!f->ring)
		return jt__fail(err, JT_ENOMEM, "sampler", "cannot allocate a ring");
	f->domain = *d;
	f->index = (uint32_t)s->n++;
	s->n_shared = s->n;
	f->due_ns = start_ns;
	jt__pacer_init(&f->pacer, period_ns, update_ns, start_ns);
	return JT_OK;
}

static int start_threads(struct jt_sampler *s, struct jt_error *err)
{
	int error = start_reader(s);

	if (error == 0 && s->n > 1) {
		error = start_thread(&s->watch, "jt read watch", watch, s);
		s->has_watch = error == 0;
	}
	return error == 0 ? JT_OK
	                  : jt__fail(err, JT_EIO, "sampler", "cannot start a thread: %s",
	                             strerror(error));
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
	s = jt__alloc(1, sizeof(*s) + n * sizeof(s->feeds[0]));
	if (!s)
		return jt__fail(err, JT_ENOMEM, "sampler", "cannot allocate %zu domains", n);
	s->references = 1;
	s->part_ns = period_ns / JT_MAX(n, 1);
	s->readers = jt__alloc(n, sizeof(s->readers[0]));
	if (!s->readers)
		status = jt__fail(err, JT_ENOMEM, "sampler", "cannot allocate threads");
	for (size_t i = 0; i < n && status == JT_OK; i++)
		status = open_feed(s, domains[i], period_ns, start_ns, err);
	if (status == JT_OK && n)
		status = start_threads(s, err);
	if (status < 0) {
		jt__sampler_stop(s);
		return status;
	}
	*ret_sampler = s;
	return JT_OK;
}

/* true once the thread is over. */
static bool wait_done(const struct reader *r, uint64_t until_ns)
{
	while (!atomic_load(&r->done)) {
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

	if (!s)
		return true;
	atomic_store(&s->stop, true);
	if (s->has_watch)
		pthread_join(s->watch, NULL);
	for (size_t i = 0; i < atomic_load(&s->n_readers); i++) {
		if (wait_done(&s->readers[i], until_ns)) {
			pthread_join(s->readers[i].thread, NULL);
		} else {
			pthread_detach(s->readers[i].thread);
			all_done = false;
		}
	}
	release(s);
	return all_done;
}

bool jt__sampler_pop(struct jt_sampler *s, size_t i, struct jt_sample *ret_sample)
{
	return i < s->n && jt__ring_pop(s->feeds[i].ring, ret_sample);
}

void jt__sampler_stats(const struct jt_sampler *s, size_t i, struct jt_sampler_stats *ret_stats)
{
	const struct feed *f = &s->feeds[i];

	ret_stats->n_reads = atomic_load_explicit(&f->n_reads, memory_order_relaxed);
	ret_stats->n_late = atomic_load_explicit(&f->n_late, memory_order_relaxed);
	ret_stats->n_dropped = jt__ring_dropped(f->ring);
	ret_stats->max_read_ns = atomic_load_explicit(&f->max_read_ns, memory_order_relaxed);
}

uint64_t jt__sampler_cpu_ns(const struct jt_sampler *s)
{
	uint64_t sum_ns = 0, ns;

	for (size_t i = 0; s && i <= s->n; i++) {
		ns = jt__thread_cpu_ns(
			atomic_load(i < s->n ? &s->readers[i].clock : &s->watch_clock));
		sum_ns += ns == JT_NONE ? 0 : ns;
	}
	return sum_ns;
}
