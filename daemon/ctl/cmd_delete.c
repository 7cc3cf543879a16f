#include "base/times.h"
#include "ctl/ctl.h"
#include "ctl/values.h"

#include <string.h>
#include <unistd.h>

typedef struct Deletion {
  const char *device;
  const char *const *measurements; /* NULL: all */
  gint64 start_time, end_time;
} Deletion;

/* Transfer full. */
static char *describe(const Ctl *ctl, const Deletion *deletion)
{
  char start[TIME_TEXT_SIZE], end[TIME_TEXT_SIZE];
  g_autofree char *names = deletion->measurements != NULL
                               ? g_strjoinv(", ", (char **)deletion->measurements)
                               : g_strdup("all measurements");
  gboolean all = deletion->start_time == G_MININT64 && deletion->end_time == G_MAXINT64;
  g_autofree char *range =
      all ? g_strdup("all times")
          : g_strdup_printf("%s … %s",
                            deletion->start_time == G_MININT64
                                ? "the first"
                                : time_format(deletion->start_time, ctl->per_second, start),
                            deletion->end_time == G_MAXINT64
                                ? "the last"
                                : time_format(deletion->end_time, ctl->per_second, end));
  g_autofree char *text = g_strdup_printf("%s of device %s, %s", names, deletion->device, range);
  return text_printable(text, -1);
}

static gboolean confirm(const char *what, GError **error)
{
  if (!isatty(STDIN_FILENO))
    return ctl_usage(error, "not asked on a terminal: say --yes to delete %s", what);
  g_printerr("Delete %s? [y/N] ", what);
  char answer[16] = "";
  if (fgets(answer, sizeof answer, stdin) != NULL && g_ascii_tolower(answer[0]) == 'y')
    return TRUE;
  return fail(error, SYNCLOG_INVALID, "not confirmed, nothing was deleted");
}

static gboolean send(Ctl *ctl, const Deletion *deletion, AckLevel ack, GError **error)
{
  g_autoptr(WriteBuilder) builder = write_builder_new();
  write_builder_delete(builder, deletion->device, deletion->measurements, deletion->start_time,
                       deletion->end_time);
  return ctl_write(ctl, builder, NULL, ack, error);
}

static gboolean run(Ctl *ctl, int argc, char **argv, GError **error)
{
  g_autofree char *start = NULL, *end = NULL, *ack_text = NULL;
  gboolean yes = FALSE;
  const GOptionEntry entries[] = {
      {"start", 0, 0, G_OPTION_ARG_STRING, &start, "First time, included", "TIME"},
      {"end", 0, 0, G_OPTION_ARG_STRING, &end, "Last time, included", "TIME"},
      {"ack", 0, 0, G_OPTION_ARG_STRING, &ack_text,
       "Where it must be durable: local (default), majority, all", "LEVEL"},
      {"yes", 'y', 0, G_OPTION_ARG_NONE, &yes, "Do not ask", NULL},
      G_OPTION_ENTRY_NULL,
  };
  AckLevel ack;
  if (!ctl_options(ctl, entries, 1, -1, &argc, &argv, error) || !ctl_ack(ack_text, &ack, error) ||
      !ctl_connect(ctl, error))
    return FALSE;
  Deletion deletion = {.device = argv[1],
                       .measurements = argc > 2 ? (const char *const *)argv + 2 : NULL,
                       .start_time = G_MININT64,
                       .end_time = G_MAXINT64};
  if (!ctl_time(ctl, "--start", start, &deletion.start_time, error) ||
      !ctl_time(ctl, "--end", end, &deletion.end_time, error))
    return FALSE;
  if (deletion.start_time > deletion.end_time)
    return ctl_usage(error, "--start is behind --end");
  g_autofree char *what = describe(ctl, &deletion);
  return (yes || confirm(what, error)) && send(ctl, &deletion, ack, error);
}

const CtlCommand ctl_delete = {
    .name = "delete",
    .arguments = "DEVICE [MEASUREMENT…]",
    .summary = "Delete a range of a device's values",
    .details =
        "Without measurements: of all of them. Without --start and --end: of all times. What is "
        "written to the\nrange afterwards stays. It asks before it deletes; where there is no "
        "terminal, --yes must say so.",
    .run = run,
};
