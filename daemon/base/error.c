#include "base/error.h"

#include <errno.h>

/* What an error carries besides its message. */
typedef struct SynclogErrorPrivate {
  gboolean answered;
} SynclogErrorPrivate;

static void synclog_error_private_init(SynclogErrorPrivate *private)
{
  private->answered = FALSE;
}

static void synclog_error_private_copy(const SynclogErrorPrivate *from, SynclogErrorPrivate *to)
{
  *to = *from;
}

static void synclog_error_private_clear(SynclogErrorPrivate *private)
{
  (void)private;
}

G_DEFINE_EXTENDED_ERROR(SynclogError, synclog_error)

void synclog_error_set_answered(GError *error)
{
  synclog_error_get_private(error)->answered = TRUE;
}

gboolean synclog_error_is_answer(const GError *error)
{
  return error != NULL && error->domain == SYNCLOG_ERROR &&
         synclog_error_get_private(error)->answered;
}

const char *synclog_status_text(int code)
{
  switch (code) {
#define X(name, number, text, retryable)                                                           \
  case number:                                                                                     \
    return text;
    SYNCLOG_STATUS_TABLE(X)
#undef X
  }
  return "unknown status";
}

const char *synclog_status_name(int code)
{
  switch (code) {
#define X(name, number, text, retryable)                                                           \
  case number:                                                                                     \
    return #name;
    SYNCLOG_STATUS_TABLE(X)
#undef X
  }
  return "UNKNOWN";
}

gboolean synclog_status_retryable(int code)
{
  switch (code) {
#define X(name, number, text, retryable)                                                           \
  case number:                                                                                     \
    return retryable;
    SYNCLOG_STATUS_TABLE(X)
#undef X
  }
  return FALSE;
}

gboolean synclog_error_is_lack(const GError *error)
{
  return g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_NO_SPACE) ||
         g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_OVERLOADED);
}

gint32 synclog_status_retry_after_ms(int code)
{
  switch (code) {
  case SYNCLOG_OVERLOADED:
    return 100; /* a queue is emptied quickly */
  case SYNCLOG_NO_SPACE:
  case SYNCLOG_CLOCK_WRONG:
  case SYNCLOG_NOT_READY:
    return 1000;
  }
  return 0;
}

gboolean fail(GError **error, SynclogStatus code, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  if (error != NULL)
    *error = g_error_new_valist(SYNCLOG_ERROR, code, format, args);
  va_end(args);
  return FALSE;
}

gboolean fail_errno(GError **error, SynclogStatus code, int errno_value, const char *format, ...)
{
  if (error == NULL)
    return FALSE;
  va_list args;
  va_start(args, format);
  g_autofree char *what = g_strdup_vprintf(format, args);
  va_end(args);
  if (errno_value == ENOSPC || errno_value == EDQUOT)
    code = SYNCLOG_NO_SPACE;
  *error = g_error_new(SYNCLOG_ERROR, code, "%s: %s", what, g_strerror(errno_value));
  return FALSE;
}

gboolean fail_prefix(GError **error, const char *format, ...)
{
  if (error == NULL || *error == NULL)
    return FALSE;
  va_list args;
  va_start(args, format);
  g_autofree char *prefix = g_strdup_vprintf(format, args);
  va_end(args);
  g_prefix_error(error, "%s", prefix);
  return FALSE;
}
