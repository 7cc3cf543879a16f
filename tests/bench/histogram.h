/*
 * Times in nanoseconds, counted in buckets less than 1 % wide. Not thread-safe.
 */
#pragma once

#include <glib.h>

enum {
  HISTOGRAM_SUB_BITS = 7,
  HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

typedef struct Histogram {
  guint64 counts[HISTOGRAM_BUCKETS];
  guint64 count;
  guint64 max_ns;
} Histogram;

Histogram *histogram_new(void);
void histogram_free(Histogram *histogram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Histogram, histogram_free)

void histogram_add(Histogram *histogram, guint64 ns);

/* The time that `share` (0 to 1) of all do not exceed, in milliseconds; 0 when there is none. */
double histogram_ms(const Histogram *histogram, double share);
