#include "base/text.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* --- values -------------------------------------------------------------------------------------
 */

static const char *name_of_special(double number)
{
  if (isnan(number))
    return "NaN";
  if (isinf(number))
    return number > 0 ? "Infinity" : "-Infinity";
  return NULL;
}

/* Prints with growing precision until the text reads back. Up to `sure` digits every decimal of a
 * normal number is the shortest one when it reads back, so the search begins there; subnormal
 * numbers have fewer digits. */
static char *format_shortest(double number, gboolean single, char text[NUMBER_TEXT_SIZE])
{
  const char *special = name_of_special(number);
  if (special != NULL) {
    g_strlcpy(text, special, NUMBER_TEXT_SIZE);
    return text;
  }
  gboolean normal = fabs(number) >= (single ? (double)FLT_MIN : DBL_MIN);
  int last = single ? 9 : 17;
  for (int digits = normal ? last - 2 - single : 1; digits <= last; digits++) {
    char format[8];
    g_snprintf(format, sizeof format, "%%.%dg", digits);
    g_ascii_formatd(text, NUMBER_TEXT_SIZE - 2, format, number);
    double back = g_ascii_strtod(text, NULL);
    if (single ? (float)back == (float)number : back == number)
      break;
  }
  if (strpbrk(text, ".e") == NULL)
    g_strlcat(text, ".0", NUMBER_TEXT_SIZE);
  return text;
}

char *double_format(double number, char text[NUMBER_TEXT_SIZE])
{
  return format_shortest(number, FALSE, text);
}

void value_append_text(GString *out, const Value *value)
{
  char number[NUMBER_TEXT_SIZE];
  switch (value->type) {
  case DATA_BOOLEAN:
    g_string_append(out, value->boolean ? "true" : "false");
    return;
  case DATA_INT32:
    g_string_append_printf(out, "%" G_GINT32_FORMAT, value->int32);
    return;
  case DATA_INT64:
    g_string_append_printf(out, "%" G_GINT64_FORMAT, value->int64);
    return;
  case DATA_FLOAT:
    g_string_append(out, format_shortest((double)value->float32, TRUE, number));
    return;
  case DATA_DOUBLE:
    g_string_append(out, format_shortest(value->float64, FALSE, number));
    return;
  case DATA_TEXT:
    g_string_append_len(out, value->text.bytes, (gssize)value->text.size);
    return;
  }
}

/* --- names of columns ---------------------------------------------------------------------------
 */

char *measurement_split(const char *text, int *out_type)
{
  const char *colon = strrchr(text, ':');
  DataType type;
  if (colon != NULL && colon != text && data_type_parse(colon + 1, &type)) {
    *out_type = (int)type;
    return g_strndup(text, (gsize)(colon - text));
  }
  *out_type = 0;
  return g_strdup(text);
}

char *measurement_join(const char *name, DataType type, gboolean typed)
{
  int split_type;
  g_autofree char *split = measurement_split(name, &split_type);
  if (!typed && split_type == 0)
    return g_strdup(name);
  return g_strdup_printf("%s:%s", name, data_type_name((int)type));
}

char *column_label(const char *measurement, DataType type, gboolean ambiguous, LabelStyle style)
{
  gboolean seen = type == DATA_BOOLEAN || type == DATA_INT64 || type == DATA_DOUBLE;
  gboolean reserved = strcmp(measurement, "time") == 0 || strcmp(measurement, "device") == 0;
  return measurement_join(measurement, type,
                          ambiguous || reserved || (style == LABELS_EXACT && !seen));
}

/* --- CSV ----------------------------------------------------------------------------------------
 */

static const guchar utf8_mark[] = {0xEF, 0xBB, 0xBF};

static gboolean needs_quotes(const char *text, gsize size, char delimiter)
{
  if (size == 0)
    return FALSE;
  if (text[0] == ' ' || text[size - 1] == ' ')
    return TRUE;
  /* At the start of a file it would be taken for the mark of the file. */
  if (size >= sizeof utf8_mark && memcmp(text, utf8_mark, sizeof utf8_mark) == 0)
    return TRUE;
  for (gsize i = 0; i < size; i++)
    if (text[i] == delimiter || text[i] == '"' || text[i] == '\n' || text[i] == '\r')
      return TRUE;
  return FALSE;
}

void csv_append(GString *out, char delimiter, const char *text, gsize size, gboolean quote)
{
  if (!quote && !needs_quotes(text, size, delimiter)) {
    g_string_append_len(out, text, (gssize)size);
    return;
  }
  g_string_append_c(out, '"');
  for (gsize i = 0; i < size; i++) {
    if (text[i] == '"')
      g_string_append_c(out, '"');
    g_string_append_c(out, text[i]);
  }
  g_string_append_c(out, '"');
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

void json_append_string(GString *out, const char *text, gsize size)
{
  g_string_append_c(out, '"');
  for (gsize i = 0; i < size; i++) {
    guchar c = (guchar)text[i];
    if (c == '"' || c == '\\')
      g_string_append_printf(out, "\\%c", c);
    else if (c == '\n')
      g_string_append(out, "\\n");
    else if (c < 0x20 || c == 0x7f)
      g_string_append_printf(out, "\\u%04x", c);
    else
      g_string_append_c(out, (char)c);
  }
  g_string_append_c(out, '"');
}
