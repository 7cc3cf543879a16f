#include "http/line_protocol.h"

#include "base/limits.h"
#include "http/series_name.h"

#include <math.h>
#include <string.h>

/* A series that long can't be a device's name, however it is escaped. */
enum { LONGEST_SERIES = 16 * LIMIT_NAME_SIZE };

struct LineReader {
  const char *text;
  gsize size, offset;
  const char *line; /* the last one */
  gsize line_size;
  GByteArray *scratch; /* a copy of it, unescaped in place, with NULs behind the parts */
  GArray *tags;        /* SeriesTag */
  GArray *fields;      /* LineField */
  GString *device;
};

LineReader *line_reader_new(const char *text, gsize size)
{
  LineReader *reader = g_new0(LineReader, 1);
  reader->text = text;
  reader->size = size;
  reader->scratch = g_byte_array_new();
  reader->tags = g_array_new(FALSE, FALSE, sizeof(SeriesTag));
  reader->fields = g_array_new(FALSE, FALSE, sizeof(LineField));
  reader->device = g_string_new(NULL);
  return reader;
}

void line_reader_free(LineReader *reader)
{
  if (reader == NULL)
    return;
  g_byte_array_unref(reader->scratch);
  g_array_unref(reader->tags);
  g_array_unref(reader->fields);
  g_string_free(reader->device, TRUE);
  g_free(reader);
}

const char *line_reader_text(const LineReader *reader, gsize *out_size)
{
  *out_size = reader->line_size;
  return reader->line;
}

gsize line_reader_offset(const LineReader *reader)
{
  return reader->offset;
}

static gboolean is_blank(char c)
{
  return c == ' ' || c == '\t';
}

/* --- lines --------------------------------------------------------------------------------------
 */

/* Where the line ends: at a line feed that is not inside a quoted value. A quote begins a value
 * only behind the equals sign of a field. */
static gsize find_line_end(const char *text, gsize size)
{
  gboolean in_fields = FALSE, quoted = FALSE, after_equals = FALSE;
  for (gsize i = 0; i < size; i++) {
    char c = text[i];
    if (c == '\n' && !quoted)
      return i;
    if (c == '\\' && i + 1 < size && text[i + 1] != '\n') {
      i++;
      after_equals = FALSE;
      continue;
    }
    if (quoted) {
      quoted = c != '"';
      continue;
    }
    quoted = c == '"' && after_equals;
    in_fields = in_fields || is_blank(c);
    after_equals = in_fields && c == '=';
  }
  return size;
}

/* FALSE behind the last line. Leading blanks are not part of the line. */
static gboolean next_line(LineReader *reader)
{
  while (reader->offset < reader->size) {
    const char *line = reader->text + reader->offset;
    gsize left = reader->size - reader->offset;
    while (left > 0 && is_blank(*line)) {
      line++;
      left--;
    }
    gboolean comment = left > 0 && *line == '#';
    const char *end = comment ? memchr(line, '\n', left) : line + find_line_end(line, left);
    gsize size = end != NULL ? (gsize)(end - line) : left;
    reader->offset = (gsize)(line - reader->text) + size + (size < left);
    while (size > 0 && (line[size - 1] == '\r' || is_blank(line[size - 1])))
      size--;
    if (comment || size == 0)
      continue;
    reader->line = line;
    reader->line_size = size;
    return TRUE;
  }
  return FALSE;
}

/* --- parts of a line ----------------------------------------------------------------------------
 */

/*
 * Unescapes the part at *at in place up to an unescaped byte of `stops` or the end, and puts a NUL
 * behind it. Gives the byte that ended it (0: the end); *at moves behind that. A backslash that is
 * not before one of `escapable` stands for itself.
 */
static char take_part(char **at, const char *stops, const char *escapable, const char **out_part)
{
  char *from = *at, *to = *at;
  *out_part = to;
  while (*from != '\0' && strchr(stops, *from) == NULL) {
    if (*from == '\\' && from[1] != '\0' && strchr(escapable, from[1]) != NULL)
      from++;
    *to++ = *from++;
  }
  char stop = *from;
  *at = from + (stop != '\0');
  *to = '\0';
  return stop;
}

static gboolean check_name(const char *what, const char *name, gsize size, GError **error)
{
  if (size > LIMIT_NAME_SIZE)
    return fail(error, SYNCLOG_INVALID, "max %s length exceeded: %" G_GSIZE_FORMAT " > %d", what,
                size, LIMIT_NAME_SIZE);
  if (!g_utf8_validate_len(name, size, NULL))
    return fail(error, SYNCLOG_INVALID, "invalid UTF-8 in the %s", what);
  for (const guchar *c = (const guchar *)name; *c != '\0'; c++)
    if (*c < 0x20 || *c == 0x7F || (*c == 0xC2 && c[1] < 0xA0))
      return fail(error, SYNCLOG_INVALID, "a control character in the %s", what);
  return TRUE;
}

static gboolean read_series(LineReader *reader, char **at, GError **error)
{
  const char *measurement;
  char *begin = *at;
  char stop = take_part(at, ", \t", ", =", &measurement);
  if (*measurement == '\0')
    return fail(error, SYNCLOG_INVALID, "missing measurement");
  g_array_set_size(reader->tags, 0);
  while (stop == ',') {
    SeriesTag tag;
    stop = take_part(at, ",= \t", ", =", &tag.key);
    if (*tag.key == '\0')
      return fail(error, SYNCLOG_INVALID, "missing tag key");
    if (stop != '=')
      return fail(error, SYNCLOG_INVALID, "missing tag value");
    stop = take_part(at, ",= \t", ", =", &tag.value);
    if (stop == '=')
      return fail(error, SYNCLOG_INVALID, "invalid tag format");
    if (*tag.value == '\0')
      return fail(error, SYNCLOG_INVALID, "missing tag value");
    g_array_append_val(reader->tags, tag);
  }
  if (stop == '\0')
    return fail(error, SYNCLOG_INVALID, "missing fields");
  gsize size = (gsize)(*at - begin);
  if (size > LONGEST_SERIES)
    return fail(error, SYNCLOG_INVALID, "max key length exceeded: %" G_GSIZE_FORMAT " > %d", size,
                LIMIT_NAME_SIZE);
  g_string_truncate(reader->device, 0);
  if (!series_name_put(reader->device, measurement, (SeriesTag *)(void *)reader->tags->data,
                       reader->tags->len))
    return fail(error, SYNCLOG_INVALID, "duplicate tags");
  return check_name("key", reader->device->str, reader->device->len, error);
}

/* --- values -------------------------------------------------------------------------------------
 */

/* A quoted text; *at is behind the first quote and moves behind the last. */
static gboolean read_text(char **at, Value *out_value, GError **error)
{
  char *begin = *at, *from = *at, *to = *at;
  while (*from != '\0' && *from != '"') {
    if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
      from++;
    *to++ = *from++;
  }
  if (*from == '\0')
    return fail(error, SYNCLOG_INVALID, "unbalanced quotes");
  *at = from + 1;
  *to = '\0';
  gsize size = (gsize)(to - begin);
  if (size > LIMIT_TEXT_SIZE)
    return fail(error, SYNCLOG_INVALID,
                "a string of %" G_GSIZE_FORMAT " bytes, at most %d are taken", size,
                LIMIT_TEXT_SIZE);
  if (!g_utf8_validate_len(begin, size, NULL))
    return fail(error, SYNCLOG_INVALID, "invalid UTF-8 in a string");
  *out_value = (Value){.type = DATA_TEXT};
  out_value->text.bytes = begin;
  out_value->text.size = size;
  return TRUE;
}

static gboolean read_boolean(const char *text, Value *out_value)
{
  static const char *const yes[] = {"t", "T", "true", "True", "TRUE", NULL};
  static const char *const no[] = {"f", "F", "false", "False", "FALSE", NULL};
  gboolean is_true = g_strv_contains(yes, text);
  *out_value = (Value){.type = DATA_BOOLEAN, .boolean = is_true};
  return is_true || g_strv_contains(no, text);
}

/* strtod takes more than a decimal number, so look first. */
static gboolean is_decimal(const char *at)
{
  at += *at == '-';
  gsize before = strspn(at, "0123456789"), after = 0;
  at += before;
  if (*at == '.') {
    at++;
    after = strspn(at, "0123456789");
    at += after;
  }
  if (before + after == 0)
    return FALSE;
  if (*at == 'e' || *at == 'E') {
    at++;
    at += *at == '-' || *at == '+';
    gsize digits = strspn(at, "0123456789");
    at += digits;
    if (digits == 0)
      return FALSE;
  }
  return *at == '\0';
}

static gboolean read_integer(char *text, gsize size, Value *out_value, GError **error)
{
  gboolean is_unsigned = text[size - 1] == 'u';
  text[size - 1] = '\0';
  *out_value = (Value){.type = DATA_INT64};
  guint64 number = 0;
  if (strspn(text, "0123456789-") != size - 1 || (is_unsigned && *text == '-'))
    return fail(error, SYNCLOG_INVALID, "invalid number");
  g_autoptr(GError) local = NULL;
  gboolean good =
      is_unsigned
          ? g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &number, &local)
          : g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &out_value->int64, &local);
  if (good && number <= G_MAXINT64) {
    out_value->int64 = is_unsigned ? (gint64)number : out_value->int64;
    return TRUE;
  }
  if (good)
    return fail(error, SYNCLOG_INVALID, "unsigned integer %s does not fit into 63 bits", text);
  gboolean range =
      g_error_matches(local, G_NUMBER_PARSER_ERROR, G_NUMBER_PARSER_ERROR_OUT_OF_BOUNDS);
  return fail(error, SYNCLOG_INVALID, range ? "value out of range" : "invalid number");
}

static gboolean read_value(char *text, gsize size, Value *out_value, GError **error)
{
  if (size == 0)
    return fail(error, SYNCLOG_INVALID, "missing field value");
  char last = text[size - 1];
  if (strchr("0123456789-.nN", *text) == NULL)
    return read_boolean(text, out_value) || fail(error, SYNCLOG_INVALID, "invalid boolean");
  if (last == 'i' || last == 'u')
    return read_integer(text, size, out_value, error);
  if (!is_decimal(text))
    return fail(error, SYNCLOG_INVALID, "invalid number");
  *out_value = (Value){.type = DATA_DOUBLE, .float64 = g_ascii_strtod(text, NULL)};
  return isfinite(out_value->float64) || fail(error, SYNCLOG_INVALID, "value out of range");
}

/* --- fields and time ----------------------------------------------------------------------------
 */

static int compare_fields(gconstpointer a, gconstpointer b)
{
  const LineField *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  /* The names stand in the line in the order in which they came. */
  return order != 0 ? order : (x->name > y->name) - (x->name < y->name);
}

static void sort_fields(GArray *fields)
{
  LineField *f = (LineField *)(void *)fields->data;
  guint count = fields->len, kept = 0;
  gboolean sorted = TRUE;
  for (guint i = 1; i < count && sorted; i++)
    sorted = strcmp(f[i - 1].name, f[i].name) < 0;
  if (sorted)
    return;
  qsort(f, count, sizeof *f, compare_fields);
  for (guint i = 0; i < count; i++)
    if (i + 1 == count || strcmp(f[i].name, f[i + 1].name) != 0)
      f[kept++] = f[i];
  g_array_set_size(fields, kept);
}

static gboolean read_field(char **at, LineField *out_field, char *out_stop, GError **error)
{
  char stop = take_part(at, "=, \t", ", =\"", &out_field->name);
  if (*out_field->name == '\0')
    return fail(error, SYNCLOG_INVALID, "missing field key");
  if (stop != '=')
    return fail(error, SYNCLOG_INVALID, "invalid field format");
  if (!check_name("field key", out_field->name, strlen(out_field->name), error))
    return FALSE;
  if (**at != '"') {
    const char *text;
    *out_stop = take_part(at, ", \t", "", &text);
    return read_value((char *)text, strlen(text), &out_field->value, error);
  }
  ++*at;
  if (!read_text(at, &out_field->value, error))
    return FALSE;
  *out_stop = **at;
  if (*out_stop != '\0' && *out_stop != ',' && !is_blank(*out_stop))
    return fail(error, SYNCLOG_INVALID, "invalid field format");
  *at += *out_stop != '\0';
  return TRUE;
}

static gboolean read_fields(LineReader *reader, char **at, GError **error)
{
  g_array_set_size(reader->fields, 0);
  while (is_blank(**at))
    ++*at;
  if (**at == '\0')
    return fail(error, SYNCLOG_INVALID, "missing fields");
  char stop = ',';
  while (stop == ',') {
    LineField field;
    if (reader->fields->len >= LIMIT_TABLET_COLUMNS)
      return fail(error, SYNCLOG_INVALID, "more than %d fields", LIMIT_TABLET_COLUMNS);
    if (!read_field(at, &field, &stop, error))
      return FALSE;
    g_array_append_val(reader->fields, field);
  }
  sort_fields(reader->fields);
  return TRUE;
}

static gboolean read_time(const char *at, LinePoint *out_point, GError **error)
{
  at += strspn(at, " \t");
  out_point->has_time = *at != '\0';
  out_point->time = 0;
  if (!out_point->has_time)
    return TRUE;
  return g_ascii_string_to_signed(at, 10, G_MININT64, G_MAXINT64, &out_point->time, NULL) ||
         fail(error, SYNCLOG_INVALID, "bad timestamp");
}

LineResult line_reader_next(LineReader *reader, LinePoint *out_point, GError **error)
{
  if (!next_line(reader))
    return LINE_END;
  if (memchr(reader->line, '\0', reader->line_size) != NULL) {
    fail(error, SYNCLOG_INVALID, "a NUL byte");
    return LINE_BAD;
  }
  g_byte_array_set_size(reader->scratch, (guint)reader->line_size + 1);
  memcpy(reader->scratch->data, reader->line, reader->line_size);
  reader->scratch->data[reader->line_size] = '\0';
  char *at = (char *)reader->scratch->data;
  if (!read_series(reader, &at, error) || !read_fields(reader, &at, error) ||
      !read_time(at, out_point, error))
    return LINE_BAD;
  out_point->device = reader->device->str;
  out_point->fields = (const LineField *)(void *)reader->fields->data;
  out_point->field_count = reader->fields->len;
  return LINE_POINT;
}

/* --- units --------------------------------------------------------------------------------------
 */

gint64 line_unit_ns(const char *name)
{
  static const struct {
    const char *name;
    gint64 ns;
  } units[] = {{"ns", 1},
               {"n", 1},
               {"us", 1000},
               {"u", 1000},
               {"µ", 1000},
               {"ms", 1000000},
               {"s", 1000000000},
               {"m", G_GINT64_CONSTANT(60000000000)},
               {"h", G_GINT64_CONSTANT(3600000000000)}};
  for (guint i = 0; i < G_N_ELEMENTS(units); i++)
    if (strcmp(units[i].name, name) == 0)
      return units[i].ns;
  return 0;
}

gboolean line_time_convert(gint64 time, gint64 unit_ns, gint64 per_second, gint64 *out_time)
{
  __int128 ns = (__int128)time * unit_ns;
  gint64 divisor = 1000000000 / per_second;
  __int128 units = ns / divisor - (ns % divisor < 0);
  if (units < G_MININT64 || units > G_MAXINT64)
    return FALSE;
  *out_time = (gint64)units;
  return TRUE;
}
