/*
 * Random entries of several logs over a few cells, so that nearly everything collides, and all that
 * a reader can see of a store as text.
 */
#pragma once

#include "tools.h"

enum { LOGS = 4, ENTRIES = 60, DEVICES = 3, MEASUREMENTS = 4 };

static const LogId logs[LOGS] = {{1, 100}, {1, 200}, {2, 100}, {3, 100}};
static const char *const devices[DEVICES] = {"d", "d.1", "e"};
static const char *const measurements[MEASUREMENTS + 1] = {"a", "b", "c", "d", NULL};
static const gint64 times[] = {G_MININT64, -101, -100, -1, 0, 1, 99, 100, 101, 250, G_MAXINT64};

/* The entries of all logs. */
typedef struct History {
  GByteArray *writes[LOGS][ENTRIES];
  guint64 hlcs[LOGS][ENTRIES];
} History;

static inline gint64 random_time(GRand *random)
{
  return times[g_rand_int_range(random, 0, G_N_ELEMENTS(times))];
}

static inline Value random_value(GRand *random, DataType type)
{
  gint32 number = g_rand_int_range(random, -3, 4);
  switch (type) {
  case DATA_BOOLEAN:
    return TW_BOOLEAN(number > 0);
  case DATA_INT32:
    return TW_INT32(number);
  case DATA_INT64:
    return TW_INT64(number * G_GINT64_CONSTANT(2305843009213693952));
  case DATA_FLOAT:
    return TW_FLOAT32((float)number / 3);
  case DATA_DOUBLE:
    return TW_FLOAT64(number / 7.0);
  case DATA_TEXT:
    break;
  }
  static const char *const texts[] = {"", "x", "yy", "\xc3\xbc"};
  return TW_TEXT(texts[number & 3]);
}

/* Mostly the measurement's own, so that conflicts are there but rare. */
static inline DataType random_type(GRand *random, guint measurement)
{
  static const DataType own[MEASUREMENTS] = {DATA_DOUBLE, DATA_INT64, DATA_TEXT, DATA_BOOLEAN};
  if (g_rand_int_range(random, 0, 8) == 0)
    return (DataType)g_rand_int_range(random, DATA_BOOLEAN, DATA_TEXT + 1);
  return own[measurement];
}

static inline void put_row(GRand *random, TestWrite *write, const char *device)
{
  const char *names[MEASUREMENTS];
  Value values[MEASUREMENTS];
  guint count = 0;
  for (guint i = 0; i < MEASUREMENTS; i++) {
    if (g_rand_boolean(random) && (count > 0 || i + 1 < MEASUREMENTS))
      continue;
    names[count] = measurements[i];
    values[count++] = random_value(random, random_type(random, i));
  }
  tw_row(write, device, random_time(random), count, names, values);
}

typedef struct RandomTablet {
  gint64 times[12];
  guint rows, count;
  Column *columns[MEASUREMENTS];
} RandomTablet;

static inline void random_tablet_fill(GRand *random, RandomTablet *tablet)
{
  tablet->rows = (guint)g_rand_int_range(random, 1, G_N_ELEMENTS(tablet->times) + 1);
  tablet->count = (guint)g_rand_int_range(random, 1, MEASUREMENTS + 1);
  for (guint row = 0; row < tablet->rows; row++)
    tablet->times[row] = random_time(random);
  for (guint i = 0; i < tablet->count; i++) {
    Column *column = tablet->columns[i] = column_new(measurements[i], random_type(random, i));
    for (guint row = 0; row < tablet->rows; row++) {
      Value value = random_value(random, column->type);
      tw_append(column, g_rand_int_range(random, 0, 4) == 0 ? NULL : &value);
    }
    column_finish(column);
  }
}

static inline void random_tablet_clear(RandomTablet *tablet)
{
  for (guint i = 0; i < tablet->count; i++)
    column_free(tablet->columns[i]);
}

static inline void put_tablet(GRand *random, TestWrite *write, const char *device)
{
  RandomTablet tablet;
  random_tablet_fill(random, &tablet);
  tw_tablet(write, device, tablet.times, tablet.rows, tablet.columns, tablet.count);
  random_tablet_clear(&tablet);
}

static inline void put_range(GRand *random, TestWrite *write, const char *device)
{
  const char *names[3] = {NULL};
  gint64 a = random_time(random), b = random_time(random);
  guint count = (guint)g_rand_int_range(random, 0, 3);
  for (guint i = 0; i < count; i++)
    names[i] = measurements[g_rand_int_range(random, 0, MEASUREMENTS)];
  tw_delete(write, device, count > 0 ? names : NULL, MIN(a, b), MAX(a, b));
}

static inline GByteArray *random_write(GRand *random)
{
  TestWrite write = {0};
  guint parts = (guint)g_rand_int_range(random, 1, 5);
  for (guint i = 0; i < parts; i++) {
    const char *device = devices[g_rand_int_range(random, 0, DEVICES)];
    switch (g_rand_int_range(random, 0, 5)) {
    case 0:
      put_range(random, &write, device);
      break;
    case 1:
      put_tablet(random, &write, device);
      break;
    default:
      put_row(random, &write, device);
      break;
    }
  }
  return tw_end(&write);
}

static inline History *history_new(GRand *random)
{
  History *history = g_new0(History, 1);
  for (guint log = 0; log < LOGS; log++) {
    guint64 hlc = 1000;
    for (guint i = 0; i < ENTRIES; i++) {
      hlc += 2 * (guint64)g_rand_int_range(random, 1, 4);
      /* Clocks of different nodes may be equal, those of a node's incarnations are not. */
      history->hlcs[log][i] = hlc + (log == 1);
      history->writes[log][i] = random_write(random);
    }
  }
  return history;
}

static inline void history_free(History *history)
{
  for (guint log = 0; log < LOGS; log++)
    for (guint i = 0; i < ENTRIES; i++)
      g_byte_array_unref(history->writes[log][i]);
  g_free(history);
}

/* The clock below which nothing can come any more, when so many entries were applied. */
static inline guint64 history_horizon(const History *history, const guint64 applied[LOGS])
{
  guint64 horizon = G_MAXUINT64 - 1;
  for (guint log = 0; log < LOGS; log++)
    if (applied[log] < ENTRIES)
      horizon = MIN(horizon, applied[log] > 0 ? history->hlcs[log][applied[log] - 1] : 0);
  return horizon;
}

static inline void put_answers(Store *store, const char *device, GString *out)
{
  g_autofree char *rows = device_text(store, device);
  g_autofree char *last = last_text(store, device, NULL);
  g_string_append_printf(out, "%s%s", rows, last);
  for (guint i = 0; i < MEASUREMENTS; i++) {
    AggregateQuery query = {.device = device,
                            .measurement = measurements[i],
                            .start_time = -150,
                            .end_time = G_MAXINT64,
                            .window = i % 2 == 0 ? 0 : 60,
                            .limit = 3};
    g_autofree char *windows = aggregate_text(store, &query);
    g_string_append(out, windows);
  }
}

/* All that a reader can see, as text. */
static inline char *state_text(Store *store)
{
  GString *out = g_string_new(NULL);
  g_autofree char *series = series_text(store, NULL, NULL, 100);
  g_string_append(out, series);
  for (guint i = 0; i < DEVICES; i++)
    put_answers(store, devices[i], out);
  StateDigest digest = digest_of(store);
  g_string_append_printf(out,
                         "%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x %" G_GUINT64_FORMAT
                         " %" G_GUINT64_FORMAT "\n",
                         digest.high, digest.low, digest.cells, digest.devices);
  return g_string_free(out, FALSE);
}

/* Fails with the first line that differs. */
static inline void check_same_text(const char *x, const char *y)
{
  g_auto(GStrv) left = g_strsplit(x, "\n", -1), right = g_strsplit(y, "\n", -1);
  for (guint i = 0; left[i] != NULL || right[i] != NULL; i++)
    if (g_strcmp0(left[i], right[i]) != 0)
      ck_abort_msg("line %u: %.500s\nand %.500s", i, left[i], right[i]);
}

static inline void check_same(Store *a, Store *b)
{
  g_autofree char *x = state_text(a), *y = state_text(b);
  check_same_text(x, y);
}
