#include "base/latency.h"

/* The first bucket of durations that are not less than 2^power. */
static guint first_bucket(guint power)
{
  return power < LATENCY_OCTAVES - 1 ? latency_bucket(1ULL << power) : LATENCY_BUCKETS;
}

void latency_view(const Latency *latency, LatencyView *out)
{
  *out = (LatencyView){.sum_us = __atomic_load_n(&latency->sum_us, __ATOMIC_RELAXED)};
  guint bucket = 0;
  for (guint i = 0; i < LATENCY_OCTAVES; i++) {
    for (; bucket < first_bucket(i); bucket++)
      out->octaves[i] += __atomic_load_n(&latency->counts[bucket], __ATOMIC_RELAXED);
    out->count += out->octaves[i];
  }
}

double latency_quantile(const LatencyView *view, double part)
{
  double wanted = part * (double)view->count, below = 0;
  for (guint i = 0; i < LATENCY_OCTAVES; i++) {
    double here = (double)view->octaves[i];
    if (here > 0 && below + here >= wanted) {
      double low = i > 0 ? (double)(1ULL << (i - 1)) : 0, high = (double)(1ULL << i);
      return low + (high - low) * (wanted - below) / here;
    }
    below += here;
  }
  return 0;
}
