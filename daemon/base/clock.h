/*
 * Time as an interface, so that tests and the simulator bring their own. All code takes time from
 * here or as an argument.
 */
#pragma once

#include <glib.h>

typedef struct Clock {
  /* Milliseconds since 1970-01-01 UTC; may jump either way. */
  guint64 (*wall_ms)(gpointer ctx);
  /* Microseconds of a clock that never goes back. */
  gint64 (*mono_us)(gpointer ctx);
  gpointer ctx;
} Clock;

static inline guint64 clock_wall_ms(const Clock *clock)
{
  return clock->wall_ms(clock->ctx);
}

static inline gint64 clock_mono_us(const Clock *clock)
{
  return clock->mono_us(clock->ctx);
}

/* The machine's clocks. */
const Clock *clock_system(void);
