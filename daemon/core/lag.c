#include "core/lag.h"

static void set_mark(LagWatch *watch, guint64 ours, gint64 now_us)
{
  watch->mark = ours;
  watch->mark_us = now_us;
  watch->survived = FALSE;
}

void lag_watch_update(LagWatch *watch, guint64 ours, guint64 theirs, gint64 now_us)
{
  gboolean moved = theirs > watch->theirs;
  watch->theirs = theirs;
  if (theirs >= ours) {
    *watch = (LagWatch){.theirs = theirs, .moved_us = now_us};
    return;
  }
  if (!watch->behind) {
    watch->behind = TRUE;
    watch->moved_us = now_us;
    set_mark(watch, ours, now_us);
    return;
  }
  if (moved)
    watch->moved_us = now_us;
  if (theirs < watch->mark) {
    watch->survived = TRUE;
    return;
  }
  watch->last_lag_us = watch->survived ? now_us - watch->mark_us : 0;
  set_mark(watch, ours, now_us);
}

gint64 lag_watch_lag_us(const LagWatch *watch, gint64 now_us)
{
  if (!watch->behind)
    return 0;
  return watch->survived ? MAX(now_us - watch->mark_us, watch->last_lag_us) : watch->last_lag_us;
}

gint64 lag_watch_stuck_us(const LagWatch *watch, gint64 now_us)
{
  return watch->behind ? now_us - watch->moved_us : 0;
}
