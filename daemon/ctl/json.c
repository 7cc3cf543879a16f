#include "ctl/json.h"

#include "ctl/values.h"

#include <math.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

struct JsonWriter {
  FILE *out;
  GString *text; /* one value */
  guint depth;
  gboolean flat[DEPTH_MAX]; /* of the container at each depth, from 1 */
  gboolean some[DEPTH_MAX]; /* whether it has a member already */
};

JsonWriter *json_writer_new(FILE *out)
{
  JsonWriter *json = g_new0(JsonWriter, 1);
  json->out = out;
  json->text = g_string_new(NULL);
  return json;
}

void json_writer_free(JsonWriter *json)
{
  if (json == NULL)
    return;
  fputc('\n', json->out);
  g_string_free(json->text, TRUE);
  g_free(json);
}

static void break_line(JsonWriter *json)
{
  fputc('\n', json->out);
  for (guint i = 0; i < json->depth; i++)
    fputs("  ", json->out);
}

/* What stands before a member: comma, line, key. */
static void begin_member(JsonWriter *json, const char *key)
{
  if (json->depth > 0) {
    gboolean flat = json->flat[json->depth];
    if (json->some[json->depth])
      fputs(flat ? ", " : ",", json->out);
    json->some[json->depth] = TRUE;
    if (!flat)
      break_line(json);
  }
  g_string_truncate(json->text, 0);
  if (key != NULL) {
    json_append_string(json->text, key, strlen(key));
    g_string_append(json->text, ": ");
  }
}

static void end_member(JsonWriter *json)
{
  fwrite(json->text->str, 1, json->text->len, json->out);
}

static void begin_container(JsonWriter *json, const char *key, gboolean flat, char c)
{
  begin_member(json, key);
  g_string_append_c(json->text, c);
  end_member(json);
  g_assert(json->depth + 1 < DEPTH_MAX);
  gboolean outer_flat = json->depth > 0 && json->flat[json->depth];
  json->depth++;
  json->flat[json->depth] = flat || outer_flat;
  json->some[json->depth] = FALSE;
}

static void end_container(JsonWriter *json, char c)
{
  g_assert(json->depth > 0);
  gboolean lines = json->some[json->depth] && !json->flat[json->depth];
  json->depth--;
  if (lines)
    break_line(json);
  fputc(c, json->out);
}

void json_begin_object(JsonWriter *json, const char *key, gboolean flat)
{
  begin_container(json, key, flat, '{');
}

void json_end_object(JsonWriter *json)
{
  end_container(json, '}');
}

void json_begin_array(JsonWriter *json, const char *key, gboolean flat)
{
  begin_container(json, key, flat, '[');
}

void json_end_array(JsonWriter *json)
{
  end_container(json, ']');
}

void json_put_string(JsonWriter *json, const char *key, const char *text)
{
  if (text == NULL) {
    json_put_null(json, key);
    return;
  }
  begin_member(json, key);
  json_append_string(json->text, text, strlen(text));
  end_member(json);
}

void json_put_int(JsonWriter *json, const char *key, gint64 number)
{
  begin_member(json, key);
  g_string_append_printf(json->text, "%" G_GINT64_FORMAT, number);
  end_member(json);
}

void json_put_uint(JsonWriter *json, const char *key, guint64 number)
{
  begin_member(json, key);
  g_string_append_printf(json->text, "%" G_GUINT64_FORMAT, number);
  end_member(json);
}

void json_put_bool(JsonWriter *json, const char *key, gboolean truth)
{
  begin_member(json, key);
  g_string_append(json->text, truth ? "true" : "false");
  end_member(json);
}

void json_put_double(JsonWriter *json, const char *key, double number)
{
  json_put_value(json, key, &(Value){.type = DATA_DOUBLE, .float64 = number});
}

void json_put_null(JsonWriter *json, const char *key)
{
  begin_member(json, key);
  g_string_append(json->text, "null");
  end_member(json);
}

void json_put_value(JsonWriter *json, const char *key, const Value *value)
{
  begin_member(json, key);
  gboolean number = value->type == DATA_FLOAT || value->type == DATA_DOUBLE;
  double x = value->type == DATA_FLOAT ? (double)value->float32 : value->float64;
  if (value->type == DATA_TEXT) {
    json_append_string(json->text, value->text.bytes, value->text.size);
  } else if (number && !isfinite(x)) {
    g_string_append_c(json->text, '"');
    value_append_text(json->text, value);
    g_string_append_c(json->text, '"');
  } else {
    value_append_text(json->text, value);
  }
  end_member(json);
}
