#include "core/throttle.h"

enum {
  LONGEST_PAUSE_US = 100 * 1000,
  LEAST_COMMIT = 64 * 1024,
  LEAST_RETRY_MS = 1000,
  MOST_RETRY_MS = 10000
};

void throttle_update(Throttle *throttle, guint64 used, guint64 limit)
{
  if (limit == 0) {
    *throttle = (Throttle){0};
    return;
  }
  if (used > limit)
    throttle->refusing = TRUE;
  else if (used < limit / 100 * THROTTLE_RELEASE_PERCENT)
    throttle->refusing = FALSE;
  guint64 slow_at = limit / 100 * THROTTLE_SLOW_PERCENT;
  gdouble part = used > slow_at ? (gdouble)(used - slow_at) / (gdouble)(limit - slow_at) : 0;
  throttle->permille = (guint)(MIN(part, 1) * 1000);
}

void throttle_update_free(Throttle *throttle, guint64 free_bytes, guint64 reserve)
{
  if (reserve == 0) {
    *throttle = (Throttle){0};
    return;
  }
  if (free_bytes < reserve)
    throttle->refusing = TRUE;
  else if (free_bytes >= reserve + reserve / 2)
    throttle->refusing = FALSE;
  gdouble missing = free_bytes < reserve * 2 ? (gdouble)(reserve * 2 - free_bytes) : 0;
  throttle->permille = (guint)(MIN(missing / (gdouble)reserve, 1) * 1000);
}

/* Gently at first: the square. */
gint64 throttle_pause_us(guint permille)
{
  return (gint64)LONGEST_PAUSE_US * permille / 1000 * permille / 1000;
}

gsize throttle_commit_size(guint permille, gsize most)
{
  gsize size = (gsize)((guint64)most * (1000 - MIN(permille, 1000)) / 1000);
  return MIN(most, MAX(size, (gsize)LEAST_COMMIT));
}

gint32 throttle_retry_after_ms(gint64 refused_ms)
{
  return (gint32)CLAMP(refused_ms / 4, LEAST_RETRY_MS, MOST_RETRY_MS);
}

gboolean press_is_due(Press *press, gboolean wanted, gboolean much, gint64 now_us)
{
  enum { PRESS_FIRST_US = G_USEC_PER_SEC, PRESS_LONGEST_US = 32 * G_USEC_PER_SEC };
  if (!wanted) {
    *press = (Press){0};
    return FALSE;
  }
  if (press->pause_us != 0 && now_us < press->next_us && !much)
    return FALSE;
  press->pause_us = CLAMP(press->pause_us * 2, PRESS_FIRST_US, PRESS_LONGEST_US);
  press->next_us = now_us + press->pause_us;
  return TRUE;
}
