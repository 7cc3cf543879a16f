/* Between prom_eval.c and prom_windows.c. */
#pragma once

#include "node/prom_eval.h"

enum { PROM_MOST_VALUES = 50000000 }; /* looked at for one query */

/* What stands for a step without a value. */
double prom_absent(void);

/* One column, to be brought to steps: at each step `function` of its values in
 * (step - offset - range, step - offset]. */
typedef struct PromWindows {
  const PromContext *context;
  const char *device, *measurement;
  DataType type;
  const PromSteps *steps;
  guint count; /* of steps */
  gint64 offset_ms, range_ms;
  PromFunction function;
} PromWindows;

/* Fills `out_values`, of which those without a value stay as they are. *budget is used up. */
gboolean prom_read_windows(const PromWindows *windows, guint64 *budget, double *out_values,
                           GError **error);
