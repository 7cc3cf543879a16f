#include "base/logging.h"
#include "support/suite.h"

#include <string.h>

#define SOME_TIME G_GINT64_CONSTANT(1700000000123456)

static char *line_of(LogFormat format, GLogLevelFlags flags, const char *message, const char *key,
                     const char *value)
{
  const GLogField fields[] = {
      {"PRIORITY", "4", -1}, {"CODE_LINE", "12", -1}, {"MESSAGE", message, -1}, {key, value, -1}};
  return log_format_line(format, flags, fields, key == NULL ? 3 : 4, SOME_TIME);
}

static void expect(LogFormat format, const char *message, const char *key, const char *value,
                   const char *expected)
{
  g_autofree char *line = line_of(format, G_LOG_LEVEL_WARNING, message, key, value);
  ck_assert_str_eq(line, expected);
}

START_TEST(text_has_time_level_message_and_fields)
{
  expect(LOG_FORMAT_TEXT, "peer is gone", "PEER", "2",
         "2023-11-14T22:13:20.123Z warning peer is gone peer=2\n");
  expect(LOG_FORMAT_TEXT, "a", NULL, NULL, "2023-11-14T22:13:20.123Z warning a\n");
  expect(LOG_FORMAT_TEXT, "a", "B", "two words",
         "2023-11-14T22:13:20.123Z warning a b=\"two words\"\n");
  expect(LOG_FORMAT_TEXT, "a", "B", "", "2023-11-14T22:13:20.123Z warning a b=\"\"\n");
}
END_TEST

START_TEST(nothing_quoted_begins_a_line)
{
  expect(LOG_FORMAT_TEXT, "bad name 'x\n2023 error forged\r\x1b[2J'", NULL, NULL,
         "2023-11-14T22:13:20.123Z warning bad name 'x\\n2023 error forged\\u000d\\u001b[2J'\n");
  expect(LOG_FORMAT_JSON, "x\n\"\\\x01", "B", "\t\"",
         "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warning\","
         "\"message\":\"x\\n\\\"\\\\\\u0001\",\"b\":\"\\t\\\"\"}\n");
}
END_TEST

START_TEST(bytes_that_are_no_text_are_replaced)
{
  g_autofree char *line = line_of(LOG_FORMAT_JSON, G_LOG_LEVEL_INFO, "a\xff", "B", "\xc3");
  ck_assert(g_utf8_validate(line, -1, NULL));
}
END_TEST

START_TEST(a_field_may_have_a_length)
{
  const GLogField fields[] = {{"MESSAGE", "abcdef", 3}, {"B", "xyz", 1}};
  g_autofree char *line = log_format_line(LOG_FORMAT_TEXT, G_LOG_LEVEL_INFO, fields, 2, SOME_TIME);
  ck_assert_str_eq(line, "2023-11-14T22:13:20.123Z info abc b=x\n");
}
END_TEST

START_TEST(levels_have_names)
{
  const struct {
    GLogLevelFlags flags;
    const char *begin;
  } cases[] = {{G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL, "2023-11-14T22:13:20.123Z error "},
               {G_LOG_LEVEL_CRITICAL, "2023-11-14T22:13:20.123Z error "},
               {G_LOG_LEVEL_WARNING, "2023-11-14T22:13:20.123Z warning "},
               {G_LOG_LEVEL_MESSAGE, "2023-11-14T22:13:20.123Z info "},
               {G_LOG_LEVEL_INFO, "2023-11-14T22:13:20.123Z info "},
               {G_LOG_LEVEL_DEBUG, "2023-11-14T22:13:20.123Z debug "}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *line = line_of(LOG_FORMAT_TEXT, cases[i].flags, "m", NULL, NULL);
    ck_assert_msg(g_str_has_prefix(line, cases[i].begin), "%s", line);
  }
}
END_TEST

/* The whole way, in a process of its own, since the writer can be set only once. */
static void say_some(void)
{
  log_start(LOG_FORMAT_AUTO, LOG_LEVEL_WARNING);
  g_info("hidden");
  g_warning("shown");
  log_set_level(LOG_LEVEL_DEBUG);
  g_debug("fine");
  g_log_structured(NULL, G_LOG_LEVEL_INFO, "PEER", "7", "MESSAGE", "number %d", 5);
}

static void *log_much(void *unused)
{
  (void)unused;
  for (guint i = 0; i < 500; i++)
    g_info("line of %s ends", "abcdefghijklmnopqrstuvwxyz");
  return NULL;
}

static void say_much(void)
{
  log_start(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
  GThread *threads[4];
  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new("logger", log_much, NULL);
  for (guint i = 0; i < 4; i++)
    g_thread_join(threads[i]);
}

/* Runs this program again as `mode` and gives what it wrote to stderr. */
static char *errors_of(const char *mode)
{
  g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
  char *argv[] = {self, (char *)mode, NULL};
  char *errors = NULL;
  int status = -1;
  ck_assert(
      g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &errors, &status, NULL));
  ck_assert_msg(g_spawn_check_wait_status(status, NULL), "%s", errors);
  return errors;
}

START_TEST(level_can_change_at_run_time)
{
  g_autofree char *errors = errors_of("some");
  g_auto(GStrv) lines = g_strsplit(errors, "\n", -1);
  ck_assert_uint_eq(g_strv_length(lines), 4);
  ck_assert_msg(g_str_has_suffix(lines[0], "Z warning shown"), "%s", errors);
  ck_assert_msg(g_str_has_suffix(lines[1], "Z debug fine"), "%s", errors);
  ck_assert_msg(g_str_has_suffix(lines[2], "Z info number 5 peer=7"), "%s", errors);
}
END_TEST

START_TEST(lines_of_threads_stay_whole)
{
  g_autofree char *errors = errors_of("much");
  g_auto(GStrv) lines = g_strsplit(errors, "\n", -1);
  ck_assert_uint_eq(g_strv_length(lines), 2001);
  for (guint i = 0; i < 2000; i++)
    ck_assert(g_str_has_suffix(lines[i], "Z info line of abcdefghijklmnopqrstuvwxyz ends"));
}
END_TEST

START_TEST(repeated_messages_are_held_back)
{
  static LogLimit limit = {.interval_us = 1000};
  guint64 suppressed = 99;
  ck_assert(log_limit_pass(&limit, 0, &suppressed));
  ck_assert_uint_eq(suppressed, 0);
  ck_assert(!log_limit_pass(&limit, 1, &suppressed));
  ck_assert(!log_limit_pass(&limit, 999, &suppressed));
  ck_assert(log_limit_pass(&limit, 1000, &suppressed));
  ck_assert_uint_eq(suppressed, 2);
  ck_assert(log_limit_pass(&limit, 2000, &suppressed));
  ck_assert_uint_eq(suppressed, 0);
}
END_TEST

int main(int argc, char **argv)
{
  if (argc > 1) {
    if (strcmp(argv[1], "some") == 0)
      say_some();
    else
      say_much();
    return 0;
  }
  const TTest *const tests[] = {text_has_time_level_message_and_fields,
                                nothing_quoted_begins_a_line,
                                bytes_that_are_no_text_are_replaced,
                                a_field_may_have_a_length,
                                levels_have_names,
                                level_can_change_at_run_time,
                                lines_of_threads_stay_whole,
                                repeated_messages_are_held_back};
  return RUN_SUITE("logging", tests);
}
