#include "histogram.h"

#include <math.h>

/* Below 2^SUB_BITS each value has a bucket; above, each power of two has 2^SUB_BITS of them. */
static guint bucket_of(guint64 ns)
{
  guint bits = ns == 0 ? 0 : 64 - (guint)__builtin_clzll(ns);
  if (bits <= HISTOGRAM_SUB_BITS)
    return (guint)ns;
  guint shift = bits - HISTOGRAM_SUB_BITS - 1;
  return ((shift + 1) << HISTOGRAM_SUB_BITS) +
         (guint)((ns >> shift) - (G_GUINT64_CONSTANT(1) << HISTOGRAM_SUB_BITS));
}

static guint64 bucket_end(guint bucket)
{
  guint row = bucket >> HISTOGRAM_SUB_BITS;
  guint64 sub = bucket & ((1U << HISTOGRAM_SUB_BITS) - 1);
  if (row == 0)
    return sub;
  return ((sub + 1 + (G_GUINT64_CONSTANT(1) << HISTOGRAM_SUB_BITS)) << (row - 1)) - 1;
}

Histogram *histogram_new(void)
{
  return g_new0(Histogram, 1);
}

void histogram_free(Histogram *histogram)
{
  g_free(histogram);
}

void histogram_add(Histogram *histogram, guint64 ns)
{
  guint bucket = bucket_of(ns);
  g_assert(bucket < HISTOGRAM_BUCKETS);
  histogram->counts[bucket]++;
  histogram->count++;
  histogram->max_ns = MAX(histogram->max_ns, ns);
}

double histogram_ms(const Histogram *histogram, double share)
{
  guint64 wanted = (guint64)ceil(share * (double)histogram->count), seen = 0;
  for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->counts[i];
    if (seen > 0 && seen >= wanted)
      return (double)MIN(bucket_end(i), histogram->max_ns) / 1e6;
  }
  return 0;
}
