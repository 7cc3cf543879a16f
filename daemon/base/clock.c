#include "base/clock.h"

static guint64 system_wall_ms(gpointer ctx)
{
  (void)ctx;
  gint64 us = g_get_real_time();
  return us < 0 ? 0 : (guint64)us / 1000;
}

static gint64 system_mono_us(gpointer ctx)
{
  (void)ctx;
  return g_get_monotonic_time();
}

const Clock *clock_system(void)
{
  static const Clock clock = {system_wall_ms, system_mono_us, NULL};
  return &clock;
}
