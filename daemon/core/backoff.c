#include "core/backoff.h"

void backoff_init(Backoff *backoff, guint64 basic_wait_ms, guint64 max_wait_ms, guint64 seed)
{
  *backoff =
      (Backoff){.basic_wait_ms = basic_wait_ms, .max_wait_ms = max_wait_ms, .random_state = seed};
}

/* splitmix64 (Steele, Lea, Flood 2014): good enough for jitter, and any seed will do. */
static guint64 next_random(Backoff *backoff)
{
  guint64 z = backoff->random_state += G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

/* basic × 2^(failures-1), at most max. */
static guint64 full_wait_ms(const Backoff *backoff)
{
  guint shift = backoff->failures - 1;
  if (shift >= 64 || backoff->basic_wait_ms > backoff->max_wait_ms >> shift)
    return backoff->max_wait_ms;
  return backoff->basic_wait_ms << shift;
}

guint64 backoff_next_ms(Backoff *backoff)
{
  if (backoff->failures < G_MAXUINT)
    backoff->failures++;
  guint64 wait_ms = full_wait_ms(backoff);
  guint64 least_ms = wait_ms / 2;
  guint64 drawn_ms = least_ms + next_random(backoff) % (wait_ms - least_ms + 1);
  g_assert(drawn_ms <= backoff->max_wait_ms); /* INV-8 */
  return drawn_ms;
}

void backoff_reset(Backoff *backoff)
{
  backoff->failures = 0;
}
