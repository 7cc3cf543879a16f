/*
 * Failures that can happen at run time, as GError of one domain.
 *
 * The codes are also the outcome of a request: their numbers are those of TStatusCode in
 * thrift/types.thrift, so a GError crosses the wire without a second table. Code 0 is success and
 * never stands in a GError.
 */
#pragma once

#include <glib.h>

/* name, number, text, whether the same request can succeed later */
#define SYNCLOG_STATUS_TABLE(X)                                                                    \
  X(OK, 0, "ok", FALSE)                                                                            \
  X(PENDING, 1, "durable here, still spreading", FALSE)                                            \
  X(INVALID, 2, "invalid request", FALSE)                                                          \
  X(UNKNOWN_GROUP, 3, "unknown group", FALSE)                                                      \
  X(UNKNOWN_LOG, 4, "unknown log", FALSE)                                                          \
  X(TYPE_MISMATCH, 5, "type mismatch", FALSE)                                                      \
  X(TOO_LARGE, 6, "too large", FALSE)                                                              \
  X(OVERLOADED, 7, "overloaded", TRUE)                                                             \
  X(READ_ONLY, 8, "log is read-only", TRUE)                                                        \
  X(NO_SPACE, 9, "no space on disk", TRUE)                                                         \
  X(TIMEOUT, 10, "timed out", TRUE)                                                                \
  X(NOT_READY, 11, "node not ready", TRUE)                                                         \
  X(WRONG_CLUSTER, 12, "other cluster", FALSE)                                                     \
  X(WRONG_VERSION, 13, "other protocol version", FALSE)                                            \
  X(WRONG_PRECISION, 14, "other time precision", FALSE)                                            \
  X(DUPLICATE_NODE, 15, "node id already in use", FALSE)                                           \
  X(NOT_MEMBER, 16, "not a member", FALSE)                                                         \
  X(OUT_OF_WINDOW, 17, "batch out of window", TRUE)                                                \
  X(CORRUPT, 18, "corrupt data", FALSE)                                                            \
  X(INTERNAL, 19, "internal error", TRUE)                                                          \
  X(CLOCK_WRONG, 20, "the node's clock is wrong", TRUE)                                            \
  X(FORGOTTEN, 21, "declared lost for good", FALSE)

typedef enum {
#define X(name, number, text, retryable) SYNCLOG_##name = number,
  SYNCLOG_STATUS_TABLE(X)
#undef X
} SynclogStatus;

enum { SYNCLOG_STATUS_LAST = SYNCLOG_FORGOTTEN };

#define SYNCLOG_ERROR (synclog_error_quark())
GQuark synclog_error_quark(void);

/* The text of a code, for people; "unknown status" for a number that is none. */
const char *synclog_status_text(int code);

/* The name of a code as in the table ("TYPE_MISMATCH"); "UNKNOWN" for a number that is none. */
const char *synclog_status_name(int code);

/* Whether the same request can succeed later. */
gboolean synclog_status_retryable(int code);

/* Whether something failed for want of room (NO_SPACE), or of memory or descriptors (OVERLOADED),
 * which says nothing against the disk and may have an end. */
gboolean synclog_error_is_lack(const GError *error);

/* Whether the error is what a node answered, and not that it could not be asked: a client says both
 * by the same codes. The first is for clients, of an error of this domain. */
void synclog_error_set_answered(GError *error);
gboolean synclog_error_is_answer(const GError *error);

/* How long to wait before a retry, as a hint; 0: none. */
gint32 synclog_status_retry_after_ms(int code);

/* Sets *error and returns FALSE, so that a caller can `return fail(error, …)`. */
gboolean fail(GError **error, SynclogStatus code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* As fail(), with ": " and the text of errno_value behind. ENOSPC and EDQUOT become NO_SPACE
 * whatever `code` says. */
gboolean fail_errno(GError **error, SynclogStatus code, int errno_value, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* Puts a prefix before the message of *error, if there is one, and returns FALSE. */
gboolean fail_prefix(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
