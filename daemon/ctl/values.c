#include "ctl/values.h"

#include "base/error.h"
#include "base/limits.h"

#include <math.h>
#include <string.h>

static gboolean parse_boolean(const char *text, gboolean *out_boolean)
{
  gboolean is_true = g_ascii_strcasecmp(text, "true") == 0;
  if (!is_true && g_ascii_strcasecmp(text, "false") != 0)
    return FALSE;
  *out_boolean = is_true;
  return TRUE;
}

static gboolean parse_integer(const char *text, gint64 min, gint64 max, gint64 *out_number)
{
  text += text[0] == '+' && g_ascii_isdigit(text[1]);
  return g_ascii_string_to_signed(text, 10, min, max, out_number, NULL);
}

static gboolean parse_special(const char *text, double *out_number)
{
  gboolean negative = *text == '-';
  const char *name = text + (negative || *text == '+');
  if (g_ascii_strcasecmp(name, "nan") == 0)
    *out_number = NAN;
  else if (g_ascii_strcasecmp(name, "inf") == 0 || g_ascii_strcasecmp(name, "infinity") == 0)
    *out_number = negative ? -INFINITY : INFINITY;
  else
    return FALSE;
  return TRUE;
}

/* strtod takes more than a decimal number (hexadecimal ones, leading spaces), so look first. */
static gboolean is_decimal(const char *at)
{
  at += *at == '-' || *at == '+';
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
    if (digits == 0)
      return FALSE;
    at += digits;
  }
  return *at == '\0';
}

static gboolean parse_number(const char *text, gboolean single, double *out_number)
{
  if (parse_special(text, out_number))
    return TRUE;
  if (!is_decimal(text))
    return FALSE;
  double number = g_ascii_strtod(text, NULL);
  if (isinf(number) || (single && isinf((float)number)))
    return FALSE;
  *out_number = number;
  return TRUE;
}

static gboolean parse_text(const char *text, gsize size, Value *out_value, GError **error)
{
  if (size > LIMIT_TEXT_SIZE)
    return fail(error, SYNCLOG_TOO_LARGE,
                "a text of %" G_GSIZE_FORMAT " bytes, at most %d can be stored", size,
                LIMIT_TEXT_SIZE);
  if (!g_utf8_validate_len(text, size, NULL))
    return fail(error, SYNCLOG_INVALID, "text that is not UTF-8");
  out_value->type = DATA_TEXT;
  out_value->text.bytes = g_strndup(text, size);
  out_value->text.size = size;
  return TRUE;
}

gboolean value_parse(const char *text, gsize size, DataType type, Value *out_value, GError **error)
{
  if (type == DATA_TEXT)
    return parse_text(text, size, out_value, error);
  Value value = {.type = type};
  gint64 integer = 0;
  double number = 0;
  gboolean valid = strlen(text) == size;
  switch (type) {
  case DATA_BOOLEAN:
    valid = valid && parse_boolean(text, &value.boolean);
    break;
  case DATA_INT32:
    valid = valid && parse_integer(text, G_MININT32, G_MAXINT32, &integer);
    value.int32 = (gint32)integer;
    break;
  case DATA_INT64:
    valid = valid && parse_integer(text, G_MININT64, G_MAXINT64, &value.int64);
    break;
  case DATA_FLOAT:
    valid = valid && parse_number(text, TRUE, &number);
    value.float32 = (float)number;
    break;
  default:
    valid = valid && parse_number(text, FALSE, &value.float64);
  }
  if (!valid)
    return fail(error, SYNCLOG_INVALID, "\"%.40s\" is no %s", text, data_type_name(type));
  *out_value = value;
  return TRUE;
}

DataType value_infer(const char *text, gsize size)
{
  gboolean boolean;
  gint64 integer;
  double number;
  if (size == 0 || strlen(text) != size)
    return DATA_TEXT;
  if (parse_integer(text, G_MININT64, G_MAXINT64, &integer))
    return DATA_INT64;
  if (parse_number(text, FALSE, &number))
    return DATA_DOUBLE;
  return parse_boolean(text, &boolean) ? DATA_BOOLEAN : DATA_TEXT;
}

DataType value_infer_both(int a, DataType b)
{
  if (a == 0 || a == (int)b)
    return b;
  gboolean a_number = a == DATA_INT64 || a == DATA_DOUBLE;
  gboolean b_number = b == DATA_INT64 || b == DATA_DOUBLE;
  return a_number && b_number ? DATA_DOUBLE : DATA_TEXT;
}
