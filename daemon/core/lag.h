/*
 * How far a peer is behind in time, and whether it still gets on, seen about once a second from two
 * indices: what this node has durably of its log, and what the peer says to have durably. A peer
 * that answers heartbeats but confirms nothing is told from one that has nothing to confirm. Pure.
 */
#pragma once

#include <glib.h>

typedef struct LagWatch {
  gboolean behind;
  guint64 theirs;
  gint64 moved_us;    /* when `theirs` last grew, or the peer had all */
  guint64 mark;       /* while behind: an index of ours … */
  gint64 mark_us;     /* … since when it is durable here, about */
  gboolean survived;  /* … and it was not confirmed at the next look */
  gint64 last_lag_us; /* what the mark before took; 0: less than from one look to the next */
} LagWatch;

void lag_watch_update(LagWatch *watch, guint64 ours, guint64 theirs, gint64 now_us);

/* The time by which the peer is behind, 0 when it is less than from one look to the next. */
gint64 lag_watch_lag_us(const LagWatch *watch, gint64 now_us);

/* For how long nothing was confirmed although entries wait; 0: none wait. */
gint64 lag_watch_stuck_us(const LagWatch *watch, gint64 now_us);
