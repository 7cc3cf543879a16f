#include "ctl/ctl.h"
#include "ctl/values.h"

#include <string.h>

typedef struct Point {
  char *measurement;
  Value value;
} Point;

static void point_clear(gpointer data)
{
  Point *point = data;
  g_free(point->measurement);
  value_clear(&point->value);
}

/* Text in double quotes, whatever it looks like: "12" with its quotes is TEXT. */
static gboolean is_quoted(const char *text, gsize size)
{
  return size >= 2 && text[0] == '"' && text[size - 1] == '"';
}

/* Reads name=value or name:TYPE=value. */
static gboolean parse_point(const char *argument, const Device *device, Point *out_point,
                            GError **error)
{
  const char *equals = strchr(argument, '=');
  if (equals == NULL || equals == argument)
    return ctl_usage(error, "\"%s\" is not NAME=VALUE", argument);
  g_autofree char *head = g_strndup(argument, (gsize)(equals - argument));
  const char *text = equals + 1;
  gsize size = strlen(text);
  if (size == 0)
    return ctl_usage(error,
                     "\"%s\" has no value; an empty text is two double quotes, which the shell is "
                     "to leave: '%s\"\"'",
                     argument, argument);
  int type;
  g_autofree char *name = measurement_split(head, &type);
  if (type == 0)
    type = ctl_measurement_type(device, name);
  gboolean quoted = is_quoted(text, size) && (type == 0 || type == DATA_TEXT);
  g_autofree char *unquoted = g_strndup(text + quoted, size - 2 * (gsize)quoted);
  if (type == 0)
    type = quoted ? DATA_TEXT : value_infer(text, size);
  if (!value_parse(unquoted, strlen(unquoted), (DataType)type, &out_point->value, error))
    return fail_prefix(error, "%s: ", name);
  out_point->measurement = g_steal_pointer(&name);
  return TRUE;
}

/* What the options say. */
typedef struct Insert {
  char *ack_text, *key;
  AckLevel ack;
} Insert;

static void insert_clear(Insert *options)
{
  g_free(options->ack_text);
  g_free(options->key);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Insert, insert_clear)

static gboolean send(Ctl *ctl, const char *device, gint64 time, const GArray *points,
                     const Insert *options, GError **error)
{
  g_autofree const char **names = g_new(const char *, points->len);
  g_autofree Value *values = g_new(Value, points->len);
  for (guint i = 0; i < points->len; i++) {
    const Point *point = &g_array_index(points, Point, i);
    names[i] = point->measurement;
    values[i] = point->value;
  }
  g_autoptr(WriteBuilder) builder = write_builder_new();
  write_builder_row(builder, device, time, names, values, points->len);
  return ctl_write(ctl, builder, options->key, options->ack, error);
}

static gboolean insert(Ctl *ctl, int argc, char **argv, const Insert *options, GError **error)
{
  int first = 2;
  gint64 time = 0;
  const char *time_text = "now";
  if (strchr(argv[2], '=') == NULL) {
    time_text = argv[2];
    first = 3;
  }
  if (first == argc)
    return ctl_usage(error, "no values; expected NAME=VALUE");
  if (!ctl_time(ctl, "TIME", time_text, &time, error))
    return FALSE;
  g_autoptr(GError) local = NULL;
  g_autoptr(Device) device = ctl_device(ctl, argv[1], &local);
  if (local != NULL) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  g_autoptr(GArray) points = g_array_new(FALSE, TRUE, sizeof(Point));
  g_array_set_clear_func(points, point_clear);
  for (int i = first; i < argc; i++) {
    Point point = {0};
    if (!parse_point(argv[i], device, &point, error))
      return FALSE;
    g_array_append_val(points, point);
  }
  return send(ctl, argv[1], time, points, options, error);
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_auto(Insert) options = {0};
  const GOptionEntry entries[] = {
      {"ack", 0, 0, G_OPTION_ARG_STRING, &options.ack_text,
       "Where it must be durable: local (default), majority, all", "LEVEL"},
      {"key", 0, 0, G_OPTION_ARG_STRING, &options.key,
       "What the write is recognised by when it is sent again: it is then not written again",
       "KEY"},
      G_OPTION_ENTRY_NULL,
  };
  return ctl_options(ctl, entries, 2, -1, &argc, &argv, error) &&
         ctl_ack(options.ack_text, &options.ack, error) && ctl_connect(ctl, error) &&
         insert(ctl, argc, argv, &options, error);
}

const CtlCommand ctl_insert = {
    .name = "insert",
    .arguments = "DEVICE [TIME] NAME=VALUE…",
    .summary = "Write one row",
    .details =
        "TIME is \"now\" when left out. A measurement that exists keeps its type. The type of a "
        "new one "
        "is said as\nin NAME:TYPE=VALUE (BOOLEAN, INT32, INT64, FLOAT, DOUBLE, TEXT) or seen from "
        "the "
        "value: true and\nfalse are BOOLEAN, integers INT64, other numbers DOUBLE, everything else "
        "TEXT, "
        "also what stands in\ndouble quotes ('name=\"12\"', and 'name=\"\"' for an empty text). "
        "Negative times go behind \"--\".\n\n"
        "It prints the write's token; a read that is given it by --token waits until its node has "
        "the "
        "write.",
    .run = run,
};
