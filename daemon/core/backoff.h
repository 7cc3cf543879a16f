/*
 * Exponential backoff with jitter, between basic_retry_wait and max_retry_wait. The n-th wait is
 * drawn evenly from [d/2, d] with d = basic × 2^(n-1), at most max. The random state is in the
 * value and comes from a seed, so that a simulation repeats. Not thread-safe.
 */
#pragma once

#include <glib.h>

typedef struct Backoff {
  guint64 basic_wait_ms, max_wait_ms;
  guint failures;
  guint64 random_state;
} Backoff;

void backoff_init(Backoff *backoff, guint64 basic_wait_ms, guint64 max_wait_ms, guint64 seed);

/* One more failure: how long to wait before the next try. */
guint64 backoff_next_ms(Backoff *backoff);

/* A success: the next wait is the basic one again. */
void backoff_reset(Backoff *backoff);
