#include "base/logging.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static LogFormat chosen_format = LOG_FORMAT_TEXT;
static gint chosen_level = LOG_LEVEL_INFO; /* atomic */

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static LogLevel level_of(GLogLevelFlags flags)
{
  if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return LOG_LEVEL_ERROR;
  if (flags & G_LOG_LEVEL_WARNING)
    return LOG_LEVEL_WARNING;
  if (flags & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
    return LOG_LEVEL_INFO;
  return LOG_LEVEL_DEBUG;
}

/* What GLib puts beside the message by itself; only journald gets that. */
static gboolean is_own_field(const char *name)
{
  static const char *const known[] = {
      "MESSAGE",   "MESSAGE_ID",        "PRIORITY",    "CODE_FILE",        "CODE_LINE",
      "CODE_FUNC", "SYSLOG_IDENTIFIER", "GLIB_DOMAIN", "GLIB_OLD_LOG_API", NULL};
  return !g_strv_contains(known, name);
}

/* The field's value as valid UTF-8. A length below 0 means a C string. */
static char *field_text(const GLogField *field)
{
  return g_utf8_make_valid(field->value, field->length);
}

static char *field_name(const GLogField *field)
{
  return g_ascii_strdown(field->key, -1);
}

static void append_escaped(GString *line, const char *text, gboolean quotes)
{
  for (const char *c = text; *c != '\0'; c++) {
    if (*c == '\n')
      g_string_append(line, "\\n");
    else if (*c == '\t')
      g_string_append(line, "\\t");
    else if ((guchar)*c < 0x20 || *c == 0x7f)
      g_string_append_printf(line, "\\u%04x", (guchar)*c);
    else if (quotes && (*c == '"' || *c == '\\'))
      g_string_append_printf(line, "\\%c", *c);
    else
      g_string_append_c(line, *c);
  }
}

static void append_quoted(GString *line, const char *text)
{
  g_string_append_c(line, '"');
  append_escaped(line, text, TRUE);
  g_string_append_c(line, '"');
}

static char *time_text(gint64 wall_us)
{
  g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
  if (seconds == NULL)
    return g_strdup_printf("%" G_GINT64_FORMAT "us", wall_us);
  g_autofree char *text = g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S");
  return g_strdup_printf("%s.%03dZ", text, (int)(wall_us / 1000 % 1000));
}

static char *message_text(const GLogField *fields, gsize field_count)
{
  for (gsize i = 0; i < field_count; i++)
    if (strcmp(fields[i].key, "MESSAGE") == 0)
      return field_text(&fields[i]);
  return g_strdup("");
}

static void append_text_line(GString *line, const GLogField *fields, gsize field_count)
{
  g_autofree char *message = message_text(fields, field_count);
  append_escaped(line, message, FALSE);
  for (gsize i = 0; i < field_count; i++) {
    if (!is_own_field(fields[i].key))
      continue;
    g_autofree char *name = field_name(&fields[i]);
    g_autofree char *value = field_text(&fields[i]);
    g_string_append_printf(line, " %s=", name);
    if (*value == '\0' || strpbrk(value, " \"=\\") != NULL)
      append_quoted(line, value);
    else
      append_escaped(line, value, FALSE);
  }
}

static void append_json_member(GString *line, const char *name, const char *value)
{
  g_string_append_c(line, ',');
  append_quoted(line, name);
  g_string_append_c(line, ':');
  append_quoted(line, value);
}

static void append_json_members(GString *line, const GLogField *fields, gsize field_count)
{
  g_autofree char *message = message_text(fields, field_count);
  append_json_member(line, "message", message);
  for (gsize i = 0; i < field_count; i++) {
    if (!is_own_field(fields[i].key))
      continue;
    g_autofree char *name = field_name(&fields[i]);
    g_autofree char *value = field_text(&fields[i]);
    append_json_member(line, name, value);
  }
}

char *log_format_line(LogFormat format, GLogLevelFlags flags, const GLogField *fields,
                      gsize field_count, gint64 wall_us)
{
  g_autofree char *time = time_text(wall_us);
  const char *level = level_names[level_of(flags)];
  GString *line = g_string_sized_new(256);
  if (format == LOG_FORMAT_JSON) {
    g_string_append_printf(line, "{\"time\":\"%s\",\"level\":\"%s\"", time, level);
    append_json_members(line, fields, field_count);
    g_string_append(line, "}\n");
  } else {
    g_string_append_printf(line, "%s %s ", time, level);
    append_text_line(line, fields, field_count);
    g_string_append_c(line, '\n');
  }
  return g_string_free(line, FALSE);
}

/* One lock around the pieces of a line, so that lines of different threads do not mix. */
static void write_line(const char *line)
{
  static GMutex lock;
  gsize left = strlen(line);
  g_mutex_lock(&lock);
  while (left > 0) {
    gssize written = write(STDERR_FILENO, line, left);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      break; /* nobody to tell */
    line += written;
    left -= (gsize)written;
  }
  g_mutex_unlock(&lock);
}

#define GROUP_FIELD "SYNCLOG_GROUP"
static _Thread_local char group_text[12]; /* empty: none */

void log_set_group(guint32 group)
{
  group_text[0] = '\0';
  if (group != 0)
    g_snprintf(group_text, sizeof group_text, "%u", group);
}

static GLogWriterOutput write_fields(GLogLevelFlags flags, const GLogField *fields,
                                     gsize field_count)
{
  if (chosen_format == LOG_FORMAT_JOURNAL &&
      g_log_writer_journald(flags, fields, field_count, NULL) == G_LOG_WRITER_HANDLED)
    return G_LOG_WRITER_HANDLED;
  g_autofree char *line =
      log_format_line(chosen_format, flags, fields, field_count, g_get_real_time());
  write_line(line);
  return G_LOG_WRITER_HANDLED;
}

static GLogWriterOutput write_message(GLogLevelFlags flags, const GLogField *fields,
                                      gsize field_count, gpointer data)
{
  (void)data;
  if ((gint)level_of(flags) > g_atomic_int_get(&chosen_level))
    return G_LOG_WRITER_HANDLED;
  gboolean named = group_text[0] == '\0';
  for (gsize i = 0; i < field_count && !named; i++)
    named = strcmp(fields[i].key, GROUP_FIELD) == 0;
  if (named)
    return write_fields(flags, fields, field_count);
  g_autofree GLogField *more = g_new(GLogField, field_count + 1);
  memcpy(more, fields, field_count * sizeof *fields);
  more[field_count] = (GLogField){GROUP_FIELD, group_text, -1};
  return write_fields(flags, more, field_count + 1);
}

void log_start(LogFormat format, LogLevel level)
{
  if (format == LOG_FORMAT_AUTO)
    format = g_log_writer_is_journald(STDERR_FILENO) ? LOG_FORMAT_JOURNAL : LOG_FORMAT_TEXT;
  chosen_format = format;
  log_set_level(level);
  g_log_set_writer_func(write_message, NULL, NULL);
}

void log_set_level(LogLevel level)
{
  g_atomic_int_set(&chosen_level, (gint)level);
}

gboolean log_limit_pass(LogLimit *limit, gint64 now_us, guint64 *out_suppressed)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&limit->lock);
  if (limit->used && now_us - limit->last_us < limit->interval_us) {
    limit->suppressed++;
    return FALSE;
  }
  *out_suppressed = limit->suppressed;
  limit->suppressed = 0;
  limit->used = TRUE;
  limit->last_us = now_us;
  return TRUE;
}
