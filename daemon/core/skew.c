#include "core/skew.h"

#include "base/limits.h"

#include <stdlib.h>

static gint compare_offsets(gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
  return (x > y) - (x < y);
}

gint64 skew_cluster_offset_ms(const gint64 *offsets_ms, guint count)
{
  g_assert(count < LIMIT_MEMBERS);
  if (count < 2)
    return 0;
  gint64 sorted[LIMIT_MEMBERS] = {0}; /* the own one is the first */
  for (guint i = 0; i < count; i++)
    sorted[i + 1] = offsets_ms[i];
  qsort(sorted, count + 1, sizeof *sorted, compare_offsets);
  gint64 low = sorted[count / 2], high = sorted[(count + 1) / 2];
  return ABS(low) <= ABS(high) ? low : high;
}

gboolean skew_is_ahead(const gint64 *offsets_ms, guint count, guint peers, gint64 limit_ms)
{
  guint behind = 0;
  for (guint i = 0; i < count; i++)
    behind += offsets_ms[i] < -limit_ms;
  return behind > peers / 2;
}
