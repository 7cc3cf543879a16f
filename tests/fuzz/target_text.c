/* Texts that people and files give for times, durations, values, tokens and names: what is read,
 * written again, is read as the same. Beside it a log line of the daemon about such a text. */
#include "base/times.c"
#include "ctl/file_names.c"
#include "ctl/values.c"

#include "base/logging.h"
#include "fuzz/fuzz.h"

#include <jansson.h>
#include <math.h>

static void run_time(const char *text, guint options)
{
  static const gint64 precisions[] = {1000, 1000000, 1000000000};
  gint64 per_second = precisions[options % 3], time, again, duration;
  g_autoptr(GError) error = NULL;
  char out[TIME_TEXT_SIZE];
  if (time_parse_stamp(text, per_second, options >> 7, &time, &error)) {
    time_format(time, per_second, out);
    g_assert(strlen(out) < sizeof out);
    g_assert(time_parse_stamp(out, per_second, FALSE, &again, NULL) && again == time);
  } else {
    g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_INVALID);
  }
  g_clear_error(&error);
  if (!time_parse(text, per_second, 1700000000000, &time, &error))
    g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_INVALID);
  g_clear_error(&error);
  if (duration_parse(text, per_second, &duration, &error))
    g_assert(duration >= 0 && duration_format_ms(duration, out) == out);
  else
    g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_INVALID);
}

static gboolean same_value(const Value *a, const Value *b)
{
  switch (a->type) {
  case DATA_BOOLEAN:
    return a->boolean == b->boolean;
  case DATA_INT32:
    return a->int32 == b->int32;
  case DATA_INT64:
    return a->int64 == b->int64;
  case DATA_FLOAT:
    return isnan(a->float32) ? isnan(b->float32) != 0 : memcmp(&a->float32, &b->float32, 4) == 0;
  case DATA_DOUBLE:
    return isnan(a->float64) ? isnan(b->float64) != 0 : memcmp(&a->float64, &b->float64, 8) == 0;
  case DATA_TEXT:
    return a->text.size == b->text.size && memcmp(a->text.bytes, b->text.bytes, a->text.size) == 0;
  }
  return FALSE;
}

static void run_value(const char *text, gsize size, guint options)
{
  DataType type = (DataType)(DATA_BOOLEAN + options % 6);
  Value value, again;
  g_autoptr(GError) error = NULL;
  if (!value_parse(text, size, type, &value, &error)) {
    g_assert(error->domain == SYNCLOG_ERROR);
    g_assert(value_infer(text, size) != type || type == DATA_TEXT);
    return;
  }
  GString *out = g_string_new(NULL);
  value_append_text(out, &value);
  g_assert(value_parse(out->str, out->len, type, &again, &error));
  g_assert(same_value(&value, &again));
  value_clear(&value);
  value_clear(&again);
  g_string_free(out, TRUE);
}

static void run_names(const char *text)
{
  int type;
  g_autofree char *name = measurement_split(text, &type);
  g_autofree char *head = measurement_join(name, type != 0 ? (DataType)type : DATA_TEXT, type != 0);
  int type_again;
  g_autofree char *name_again = measurement_split(head, &type_again);
  g_assert_cmpstr(name, ==, name_again);
  g_assert(type == 0 || type == type_again);
  if (g_utf8_validate(text, -1, NULL) && *text != '\0') {
    g_autofree char *file = file_name_of_device(text);
    g_autofree char *device = device_of_path(file);
    g_assert(strchr(file, '/') == NULL && *file != '.' && strlen(file) <= 255);
    /* A long one, of which each byte became three, may not fit: then the file tells no device. */
    enum { ALWAYS_FITS = 80 };
    gboolean hashed = strlen(text) > ALWAYS_FITS && g_str_has_prefix(file, "%~");
    g_assert_cmpstr(device, ==, hashed ? NULL : text);
  }
  g_autofree char *unused = device_of_path(text);
}

static void run_token(const char *text)
{
  Token token, again;
  g_autoptr(GError) error = NULL;
  char out[TOKEN_TEXT_SIZE];
  if (!token_parse(text, &token, &error)) {
    g_assert(error != NULL);
    return;
  }
  g_assert(token_parse(token_format(&token, out), &again, NULL));
  g_assert(log_id_equal(token.log, again.log) && token.index == again.index &&
           token.group == again.group);
}

/* One message is one line, and in JSON a line that others can read. */
static void run_log_line(const char *text, gsize size, guint options)
{
  LogFormat format = options & 1 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
  GLogField fields[] = {
      {"MESSAGE", text, -1}, {"PEER", text, (gssize)size}, {"ADDRESS", "10.0.0.2:7671", -1}};
  g_autofree char *line = log_format_line(format, G_LOG_LEVEL_WARNING, fields, 3, 1700000000000000);
  gsize length = strlen(line);
  g_assert(length > 0 && strchr(line, '\n') == line + length - 1);
  for (gsize i = 0; i + 1 < length; i++)
    g_assert((guchar)line[i] >= 0x20);
  if (format != LOG_FORMAT_JSON)
    return;
  json_error_t problem;
  json_t *json = json_loads(line, 0, &problem);
  g_assert(json_is_object(json) && json_object_get(json, "message") != NULL);
  json_decref(json);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  guint kind = fuzz_u8(&in), options = fuzz_u8(&in);
  g_autofree char *text = g_strndup((const char *)in.bytes, in.left);
  gsize length = strlen(text);
  switch (kind % 5) {
  case 0:
    run_time(text, options);
    break;
  case 1:
    run_value(text, length, options);
    break;
  case 2:
    run_names(text);
    break;
  case 3:
    run_token(text);
    break;
  default:
    run_log_line(text, length, options);
  }
}

static void give_seed(const char *name, guint kind, guint options, const char *text)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, kind, 1);
  seed_number(out, options, 1);
  g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
  seed_end(name, out);
}

void fuzz_seeds(void)
{
  give_seed("stamp", 0, 0, "2026-01-02T03:04:05.678+01:30");
  give_seed("wide-year", 0, 0, "-292275055-05-16T16:47:04.192Z");
  give_seed("now", 0, 1, "now-1h30m");
  give_seed("double", 1, 4, "-1.5e-300");
  give_seed("float", 1, 3, "3.4028235e38");
  give_seed("int", 1, 1, "-2147483648");
  give_seed("name", 2, 0, "a:b:INT32");
  give_seed("file", 2, 0, "a/b%\xC3\xA4.csv");
  give_seed("token", 3, 0, "7-1700000000000000:12");
  give_seed("line", 4, 0, "it said \"\x01\n\xC3\xA4\xFF\"");
}
