/*
 * How much writes are slowed down, and when they are refused, as something that has a limit fills
 * up: the logs on disk, the disk itself. Pure values.
 */
#pragma once

#include <glib.h>

/* From this part of the limit on writes are slowed; once refused they are taken again below … */
enum { THROTTLE_SLOW_PERCENT = 80, THROTTLE_RELEASE_PERCENT = 90 };

typedef struct Throttle {
  guint permille;    /* 0: not slowed, up to 1000: just below the limit */
  gboolean refusing; /* above the limit, or not yet far enough below it again */
} Throttle;

/* Takes over what is used now. A limit of 0 is none. */
void throttle_update(Throttle *throttle, guint64 used, guint64 limit);

/* The same for a disk: with less than `reserve` free writes are refused until there is half as much
 * again; below twice as much they are slowed. */
void throttle_update_free(Throttle *throttle, guint64 free_bytes, guint64 reserve);

/* How far apart commits are to be, and how large one may be, when it may be `most` otherwise. */
gint64 throttle_pause_us(guint permille);
gsize throttle_commit_size(guint permille, gsize most);

/* When to try again what has been refused for so long: what has lasted will not be over at once,
 * and many who ask all the time make nothing better. */
gint32 throttle_retry_after_ms(gint64 refused_ms);

/*
 * Whether the store is to be made durable now although little waits, so that logs can be shortened:
 * at once when that begins to be wanted, and whenever there is `much` by which they would be; else
 * after pauses that grow, as what lasts for days must not make a small file each second. Begins as
 * {0}.
 */
typedef struct Press {
  gint64 next_us, pause_us;
} Press;

gboolean press_is_due(Press *press, gboolean wanted, gboolean much, gint64 now_us);
