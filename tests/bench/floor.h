/*
 * The floor: the least that any such daemon must do. A receiver takes frames over loopback, appends
 * what came in to a file, syncs it once for all of it, copies it to two further receivers, which
 * append it too, and answers. No Thrift, no order, no store, nothing is decoded. Each receiver is a
 * process of its own.
 *
 * Files are filled with zeros and synced before, and used again from the begin when they are full,
 * so a sync writes data only.
 */
#pragma once

#include <glib.h>

enum { FLOOR_PROCESSES = 3 };

typedef struct Floor Floor;

/* Files go to `dir`. Forks: the caller has one thread. */
Floor *floor_start(const char *dir, GError **error);
/* Ends the processes. */
void floor_stop(Floor *floor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Floor, floor_stop)

const char *floor_address(const Floor *floor);
/* pid_t of all. */
const GArray *floor_pids(const Floor *floor);
/* Waits until both copies hold what the first receiver took; FALSE when they do not in time. */
gboolean floor_drain(const Floor *floor, gint64 timeout_ms);
