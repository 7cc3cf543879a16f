/*
 * Where the daemon's own messages go. g_warning(), g_info() and the like, and events with fields by
 * g_log_structured(), end here once log_start() has run:
 *
 *   text     2026-11-23T07:24:48.123Z warning peer is gone peer=2 address=10.0.0.2:7671
 *   json     {"time":"2026-11-23T07:24:48.123Z","level":"warning","message":"peer is gone",…}
 *   journal  journald's own protocol, fields and all
 *
 * A field's name is upper-case for g_log_structured ("PEER", "2") and lower-case in text and JSON.
 * Control characters and line ends are escaped, so one message is one line whatever it quotes.
 * Thread-safe: all of it.
 */
#pragma once

#include <glib.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } LogLevel;

typedef enum {
  LOG_FORMAT_AUTO, /* journal where stderr is the journal, else text */
  LOG_FORMAT_TEXT,
  LOG_FORMAT_JSON,
  LOG_FORMAT_JOURNAL,
} LogFormat;

/* From now on messages go to stderr in this form, those below `level` nowhere. Once per process. */
void log_start(LogFormat format, LogLevel level);

/* Any time, before log_start too. */
void log_set_level(LogLevel level);

/* What the calling thread says from now on is about this group, a field SYNCLOG_GROUP in messages
 * that have none; 0: about none. */
void log_set_group(guint32 group);

/* The line for one message, with its line end. wall_us since 1970. */
char *log_format_line(LogFormat format, GLogLevelFlags flags, const GLogField *fields,
                      gsize field_count, gint64 wall_us);

/*
 * Lets one of a kind of message through per interval, so that a fault which repeats does not fill
 * the disk. Zero-initialized (static or in the struct that it belongs to), interval set.
 */
typedef struct LogLimit {
  gint64 interval_us;
  GMutex lock;
  gboolean used;
  gint64 last_us;     /* guarded by lock */
  guint64 suppressed; /* guarded by lock: since the last one let through */
} LogLimit;

/* Whether to write the message now; *out_suppressed is how many were held back before it. now_us of
 * a clock that never goes back. */
gboolean log_limit_pass(LogLimit *limit, gint64 now_us, guint64 *out_suppressed);
