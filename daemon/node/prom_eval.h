/*
 * Answers the queries of promql.h from a store. A series is a measurement of a device, with the
 * labels `__name__` (the measurement), `device`, and the tags of the device's name where it has
 * some (series_name.h). Characters that no label may have become '_' in a tag's key; tags called
 * device or
 * __name__ get "exported_" before them. TEXT and conflicting columns are left out; BOOLEAN is 0
 * or 1.
 *
 * At each step a selector gives the last value that is younger than PROM_LOOKBACK_MS, and a
 * function over time all values of (step - range, step]. What a query may cost is bounded: series,
 * series times steps, values read, and its time.
 */
#pragma once

#include "http/promql.h"
#include "store/store.h"

enum { PROM_LOOKBACK_MS = 5 * 60 * 1000, PROM_MAX_STEPS = 11000 };

/* Label names and values in turn, by name; owned strings. */
typedef GPtrArray PromLabels;

typedef struct PromSeries {
  PromLabels *labels;
  double *values; /* one per step; prom_is_absent() where there is none */
} PromSeries;

typedef struct PromResult {
  gboolean scalar;
  double number;     /* of a scalar */
  GPtrArray *series; /* PromSeries*; of all others */
} PromResult;

/* Steps start, start + step, …, at or before end; at most PROM_MAX_STEPS. */
typedef struct PromSteps {
  gint64 start_ms, end_ms, step_ms;
} PromSteps;

typedef struct PromContext {
  Store *store;
  gint64 per_second;  /* units of the store's time */
  gint64 deadline_us; /* of clock_system(); TIMEOUT behind it */
} PromContext;

guint prom_step_count(const PromSteps *steps);
gboolean prom_is_absent(double value);

/* Sorted by labels. INVALID, TOO_LARGE, TIMEOUT, or what the store says. Transfer full. */
PromResult *prom_eval(const PromContext *context, const PromExpr *expr, const PromSteps *steps,
                      GError **error);
void prom_result_free(PromResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PromResult, prom_result_free)

/* Calls each(data, labels) for the labels of every series that a selector finds (NULL: all), until
 * it returns FALSE. */
typedef gboolean (*PromEach)(gpointer data, const PromLabels *labels);
gboolean prom_find(const PromContext *context, const PromSelector *selector, PromEach each,
                   gpointer data, GError **error);

/* The value of a label, NULL when it is not there. */
const char *prom_label(const PromLabels *labels, const char *name);
