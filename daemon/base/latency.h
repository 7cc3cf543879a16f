/*
 * Counts of durations by their size: buckets that grow by a quarter of a power of two, from 1 µs to
 * two minutes, so that a quantile is told to within a quarter. A plain value of 900 bytes; zero is
 * empty.
 *
 * Adding costs two relaxed additions and no lock. Several threads may add and read at once; who
 * reads while others add may miss the latest.
 */
#pragma once

#include <glib.h>

enum {
  LATENCY_BUCKETS = 104,
  LATENCY_OCTAVES = 28, /* less than 1, 2, 4 … µs; the last one holds all that is longer */
};

typedef struct Latency {
  guint64 counts[LATENCY_BUCKETS];
  guint64 sum_us;
} Latency;

/* The bucket of a duration. */
static inline guint latency_bucket(guint64 us)
{
  if (us < 4)
    return (guint)us;
  guint power = 63 - (guint)__builtin_clzll(us);
  guint bucket = (power - 1) * 4 + (guint)((us >> (power - 2)) & 3);
  return MIN(bucket, LATENCY_BUCKETS - 1);
}

/* A negative duration counts as none. */
static inline void latency_add(Latency *latency, gint64 us)
{
  guint64 value = us > 0 ? (guint64)us : 0;
  __atomic_fetch_add(&latency->counts[latency_bucket(value)], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&latency->sum_us, value, __ATOMIC_RELAXED);
}

/* The same where nobody else adds meanwhile: cheaper. */
static inline void latency_add_alone(Latency *latency, gint64 us)
{
  guint64 value = us > 0 ? (guint64)us : 0;
  guint64 *count = &latency->counts[latency_bucket(value)];
  __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&latency->sum_us, __atomic_load_n(&latency->sum_us, __ATOMIC_RELAXED) + value,
                   __ATOMIC_RELAXED);
}

/* A histogram in halves of its precision, to be told to others: octaves[i] durations are less than
 * 2^i µs and not less than 2^(i-1). */
typedef struct LatencyView {
  guint64 octaves[LATENCY_OCTAVES];
  guint64 count, sum_us;
} LatencyView;

void latency_view(const Latency *latency, LatencyView *out);

/* The duration that so much of all (0 … 1) do not exceed, in µs; 0 of an empty one. Within an
 * octave it is taken as even. */
double latency_quantile(const LatencyView *view, double part);
