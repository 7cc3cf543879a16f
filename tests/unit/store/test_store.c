/* What a store must do, checked on both implementations. */
#include "tools.h"

#include <math.h>

static const LogId log_1 = {1, 1000}, log_2 = {2, 1000}, log_1b = {1, 2000};

/* --- values -------------------------------------------------------------------------------------
 */

static const char *const all_names[] = {"bool", "int32", "int64", "float", "double", "text", NULL};

static void check_all_types(Store *store)
{
  const Value values[] = {TW_BOOLEAN(TRUE), TW_INT32(G_MININT32), TW_INT64(G_MAXINT64),
                          TW_FLOAT32(0.1f), TW_FLOAT64(0.1),      TW_TEXT("\xc3\xbc")};
  static const gint64 times[] = {7, 6, 150};
  Column *columns[6];
  for (guint i = 0; i < 6; i++) {
    columns[i] = column_new(all_names[i], values[i].type);
    for (guint row = 0; row < 3; row++)
      tw_append(columns[i], (i + row) % 3 == 0 ? NULL : &values[i]);
    column_finish(columns[i]);
  }
  TestWrite write = {0};
  tw_row(&write, "d", 5, 6, all_names, values);
  tw_tablet(&write, "d", times, 3, columns, 6);
  apply_write(store, log_1, 1, 10, &write);
  for (guint i = 0; i < 6; i++)
    column_free(columns[i]);
  check_device(store, "d",
               "5: bool=true double=0.10000000000000001/3fb999999999999a "
               "float=0.100000001/3dcccccd int32=-2147483648 int64=9223372036854775807 "
               "text='\xc3\xbc'\n"
               "6: bool=true double=0.10000000000000001/3fb999999999999a "
               "float=0.100000001/3dcccccd int32=-2147483648\n"
               "7: double=0.10000000000000001/3fb999999999999a int32=-2147483648 "
               "int64=9223372036854775807 text='\xc3\xbc'\n"
               "150: bool=true float=0.100000001/3dcccccd int64=9223372036854775807 "
               "text='\xc3\xbc'\n");
}

START_TEST(all_types)
{
  with_both(check_all_types);
}
END_TEST

static double double_of(guint64 bits)
{
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void check_bits(Store *store)
{
  static const guint64 bits[] = {0x7FF8000000000000,
                                 0xFFF8000000000001,
                                 0x7FF8DEADBEEF0001,
                                 0x7FF0000000000000,
                                 0xFFF0000000000000,
                                 0x8000000000000000,
                                 1};
  g_autoptr(Column) column = column_new("t", DATA_DOUBLE);
  gint64 times[G_N_ELEMENTS(bits)];
  TestWrite write = {0};
  for (guint i = 0; i < G_N_ELEMENTS(bits); i++) {
    times[i] = i;
    tw_append(column, &TW_FLOAT64(double_of(bits[i])));
    tw_cell(&write, "d", i, "r", TW_FLOAT64(double_of(bits[i])));
  }
  tw_tablet(&write, "d", times, G_N_ELEMENTS(bits), &column, 1);
  /* FLOAT: a row has it as a double. Too large is infinite, too small is 0, both with their sign.
   */
  tw_cell(&write, "d", 7, "f", TW_FLOAT32(0.1f));
  tw_cell(&write, "d", 8, "f", TW_FLOAT32(-INFINITY));
  tw_cell(&write, "d", 9, "f", TW_FLOAT32(NAN));
  apply_write(store, log_1, 1, 10, &write);
  Query query = {.device = "d", .start_time = 0, .end_time = 9, .limit = 100};
  g_autoptr(Table) table = store_query(store, &query, NULL);
  ck_assert_uint_eq(table->columns->len, 3);
  for (guint i = 0; i < G_N_ELEMENTS(bits); i++) {
    for (guint k = 1; k <= 2; k++) {
      Value value;
      guint64 got;
      ck_assert(column_get(table->columns->pdata[k], i, &value));
      memcpy(&got, &value.float64, sizeof got);
      ck_assert_uint_eq(got, bits[i]);
    }
  }
  Value value;
  ck_assert(column_get(table->columns->pdata[0], 7, &value) && value.float32 == 0.1f);
  ck_assert(column_get(table->columns->pdata[0], 8, &value) && isinf(value.float32));
  ck_assert(column_get(table->columns->pdata[0], 9, &value) && isnan(value.float32));
}

START_TEST(bits_of_floating_point_are_kept)
{
  with_both(check_bits);
}
END_TEST

static void check_narrowing(Store *store)
{
  static const double wide[] = {1e300, -1e300, 1e-300, -1e-300, 0.1};
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  tw_list_field(bytes, 2, TW_STRUCT, G_N_ELEMENTS(wide));
  for (guint i = 0; i < G_N_ELEMENTS(wide); i++) {
    guint64 bits;
    memcpy(&bits, &wide[i], sizeof bits);
    tw_text_field(bytes, 1, "d");
    tw_i64_field(bytes, 2, i);
    tw_list_field(bytes, 3, TW_STRING, 1);
    tw_text(bytes, "f");
    tw_list_field(bytes, 4, TW_STRUCT, 1);
    tw_field(bytes, TW_DOUBLE, DATA_FLOAT);
    tw_be64(bytes, bits);
    tw_raw(bytes, "\0\0", 2);
  }
  tw_u8(bytes, TW_STOP);
  apply_bytes(store, log_1, 1, 10, bytes);
  check_device(store, "d",
               "0: f=inf/7f800000\n1: f=-inf/ff800000\n2: f=0/00000000\n3: f=-0/80000000\n"
               "4: f=0.100000001/3dcccccd\n");
}

START_TEST(floats_are_narrowed)
{
  with_both(check_narrowing);
}
END_TEST

static void check_extreme_times(Store *store)
{
  static const gint64 times[] = {G_MAXINT64, G_MININT64, 0, G_MININT64 + 1, -1};
  TestWrite write = {0};
  for (guint i = 0; i < G_N_ELEMENTS(times); i++)
    tw_cell(&write, "d", times[i], "m", TW_INT32((gint32)i));
  apply_write(store, log_1, 1, 10, &write);
  const char *all = "-9223372036854775808: m=1\n-9223372036854775807: m=3\n-1: m=4\n0: m=2\n"
                    "9223372036854775807: m=0\n";
  check_device(store, "d", all);
  Query query = {.device = "d", .start_time = G_MININT64, .end_time = G_MAXINT64, .limit = 1};
  check_text(query_text(store, &query), all);
  query.descending = TRUE;
  check_text(query_text(store, &query),
             "9223372036854775807: m=0\n0: m=2\n-1: m=4\n-9223372036854775807: m=3\n"
             "-9223372036854775808: m=1\n");
  tw_delete(&write, "d", NULL, G_MAXINT64, G_MAXINT64);
  tw_delete(&write, "d", NULL, G_MININT64, G_MININT64);
  apply_write(store, log_1, 2, 11, &write);
  check_text(last_text(store, "d", NULL), "m INT32 0=2\n");
  check_device(store, "d", "-9223372036854775807: m=3\n-1: m=4\n0: m=2\n");
}

START_TEST(times_over_the_whole_range)
{
  with_both(check_extreme_times);
}
END_TEST

/* --- which value holds --------------------------------------------------------------------------
 */

static void check_inside_an_entry(Store *store)
{
  static const gint64 times[] = {1, 2, 1};
  g_autoptr(Column) column = column_new("m", DATA_INT32);
  for (gint32 i = 0; i < 3; i++)
    tw_append(column, &TW_INT32(30 + i));
  TestWrite write = {0};
  tw_tablet(&write, "d", times, 3, &column, 1);
  for (gint32 i = 0; i < 3; i++)
    tw_cell(&write, "d", i + 1, "m", TW_INT32(10 + i));
  tw_cell(&write, "d", 3, "m", TW_INT32(20));
  tw_cell(&write, "d", 3, "other", TW_INT32(20));
  tw_cell(&write, "d", 4, "m", TW_INT32(21));
  tw_cell(&write, "d", 4, "m", TW_INT32(22));
  tw_delete(&write, "d", NULL, G_MININT64, G_MAXINT64); /* first, whatever the order */
  apply_write(store, log_1, 1, 10, &write);
  check_device(store, "d", "1: m=32\n2: m=31\n3: m=20 other=20\n4: m=22\n");
}

START_TEST(later_parts_of_an_entry_win)
{
  with_both(check_inside_an_entry);
}
END_TEST

/* A missing value takes nothing away. */
static void check_nulls(Store *store)
{
  static const gint64 times[] = {1, 1, 2};
  g_autoptr(Column) column = column_new("m", DATA_INT32);
  tw_append(column, &TW_INT32(1));
  tw_append(column, NULL);
  tw_append(column, NULL);
  TestWrite write = {0};
  tw_cell(&write, "d", 2, "m", TW_INT32(5));
  tw_tablet(&write, "d", times, 3, &column, 1);
  apply_write(store, log_1, 1, 10, &write);
  check_device(store, "d", "1: m=1\n2: m=5\n");
}

START_TEST(missing_values_overwrite_nothing)
{
  with_both(check_nulls);
}
END_TEST

static void put_one(Store *store, LogId log, guint64 index, guint64 hlc, gint32 value)
{
  TestWrite write = {0};
  tw_cell(&write, "d", 1, "m", TW_INT32(value));
  apply_write(store, log, index, hlc, &write);
}

static void check_versions(Store *store)
{
  put_one(store, log_1, 1, 10, 1);
  check_device(store, "d", "1: m=1\n");
  put_one(store, log_2, 1, 20, 2);
  check_device(store, "d", "1: m=2\n");
  put_one(store, log_1, 2, 15, 3); /* comes late, is older */
  check_device(store, "d", "1: m=2\n");
  put_one(store, log_1, 3, 20, 4); /* same clock, smaller origin */
  check_device(store, "d", "1: m=2\n");
  put_one(store, log_1b, 1, 21, 5); /* another incarnation */
  check_device(store, "d", "1: m=5\n");
}

START_TEST(greatest_version_wins)
{
  with_both(check_versions);
}
END_TEST

static void check_deletes(Store *store)
{
  static const char *const only_a[] = {"a", NULL};
  static const char *const both[] = {"a", "b"};
  const Value values[] = {TW_INT32(1), TW_INT32(2)};
  TestWrite write = {0};
  for (gint64 time = 0; time < 5; time++)
    tw_row(&write, "d", time * 60, 2, both, values);
  tw_row(&write, "e", 60, 2, both, values);
  apply_write(store, log_1, 1, 10, &write);
  tw_delete(&write, "d", only_a, 60, 180);
  apply_write(store, log_1, 2, 20, &write);
  check_device(store, "d", "0: a=1 b=2\n60: b=2\n120: b=2\n180: b=2\n240: a=1 b=2\n");
  check_device(store, "e", "60: a=1 b=2\n");
  /* Older than the delete and arriving after it; newer; of the same clock and a greater origin. */
  tw_cell(&write, "d", 60, "a", TW_INT32(3));
  apply_write(store, log_2, 1, 15, &write);
  tw_cell(&write, "d", 120, "a", TW_INT32(4));
  apply_write(store, log_2, 2, 20, &write);
  tw_cell(&write, "d", 180, "a", TW_INT32(5));
  apply_write(store, log_2, 3, 25, &write);
  check_device(store, "d", "0: a=1 b=2\n60: b=2\n120: a=4 b=2\n180: a=5 b=2\n240: a=1 b=2\n");
  /* A delete that comes late hides only what is older. */
  tw_delete(&write, "d", NULL, G_MININT64, G_MAXINT64);
  apply_write(store, log_1b, 1, 21, &write);
  check_device(store, "d", "180: a=5\n");
  check_text(last_text(store, "d", NULL), "a INT32 180=5\n");
  check_text(series_text(store, NULL, NULL, 10), "d: a/INT32 b/INT32\ne: a/INT32 b/INT32\n");
}

START_TEST(deletes_hide_what_is_older)
{
  with_both(check_deletes);
}
END_TEST

/* Of a device and measurements that nobody has written yet. */
static void check_early_delete(Store *store)
{
  static const char *const names[] = {"m", "n", NULL};
  TestWrite write = {0};
  tw_delete(&write, "d", names, 0, 10);
  apply_write(store, log_2, 1, 50, &write);
  check_text(series_text(store, NULL, NULL, 10), "");
  check_device(store, "d", "");
  tw_cell(&write, "d", 5, "m", TW_INT32(1));
  tw_cell(&write, "d", 11, "m", TW_INT32(2));
  tw_cell(&write, "d", 5, "o", TW_INT32(3));
  apply_write(store, log_1, 1, 40, &write);
  check_device(store, "d", "5: o=3\n11: m=2\n");
}

START_TEST(deletes_come_before_what_they_hide)
{
  with_both(check_early_delete);
}
END_TEST

/* --- types --------------------------------------------------------------------------------------
 */

static void check_conflict(Store *store, gboolean older_first)
{
  TestWrite write = {0};
  for (guint i = 0; i < 2; i++) {
    if ((i == 0) == older_first) {
      tw_cell(&write, "d", 1, "m", TW_INT32(1));
      tw_cell(&write, "d", 2, "m", TW_INT32(2));
      apply_write(store, log_1, 1, 10, &write);
    } else {
      tw_cell(&write, "d", 2, "m", TW_TEXT("x"));
      apply_write(store, log_2, 1, 20, &write);
    }
  }
  check_device(store, "d", "1: m=1\n2: m=2 m='x'\n");
  check_text(series_text(store, NULL, NULL, 10), "d: m/INT32 m/TEXT!\n");
  check_text(last_text(store, "d", NULL), "m INT32 2=2\nm TEXT 2='x'\n");
  AggregateQuery aggregate = {
      .device = "d", .measurement = "m", .start_time = 0, .end_time = 9, .limit = 9};
  check_text(aggregate_text(store, &aggregate),
             "INT32\n0: n=2 sum=3 avg=1.5 min=1 max=2 first=1/1 last=2/2\n");
  /* Once the other type turns out to be the older one, they change places. */
  tw_cell(&write, "d", 3, "m", TW_TEXT("y"));
  apply_write(store, (LogId){3, 1}, 1, 5, &write);
  check_device(store, "d", "1: m=1\n2: m='x' m=2\n3: m='y'\n");
  check_text(series_text(store, NULL, NULL, 10), "d: m/TEXT m/INT32!\n");
}

static void check_conflict_in_order(Store *store)
{
  check_conflict(store, TRUE);
}

static void check_conflict_reversed(Store *store)
{
  check_conflict(store, FALSE);
}

START_TEST(oldest_write_gives_the_type)
{
  with_both(check_conflict_in_order);
  with_both(check_conflict_reversed);
}
END_TEST

/* Two types of one measurement inside one write: the first part holds. */
static void check_conflict_inside(Store *store)
{
  TestWrite write = {0};
  tw_cell(&write, "d", 1, "m", TW_TEXT("x"));
  tw_cell(&write, "d", 1, "m", TW_BOOLEAN(FALSE));
  apply_write(store, log_1, 1, 10, &write);
  check_text(series_text(store, NULL, NULL, 10), "d: m/TEXT m/BOOLEAN!\n");
  check_device(store, "d", "1: m='x' m=false\n");
}

START_TEST(conflict_inside_a_write)
{
  with_both(check_conflict_inside);
}
END_TEST

static gboolean reserves(Store *store, TestWrite *write, char **out_message)
{
  g_autoptr(GByteArray) bytes = tw_end(write);
  g_autoptr(Decoded) decoded = decode(bytes);
  g_autoptr(GError) error = NULL;
  gboolean reserved = store_reserve(store, decoded, &error);
  ck_assert(reserved == (error == NULL));
  if (!reserved)
    ck_assert_int_eq(error->code, SYNCLOG_TYPE_MISMATCH);
  if (out_message != NULL)
    *out_message = reserved ? NULL : g_strdup(error->message);
  return reserved;
}

static void check_reserve(Store *store)
{
  TestWrite write = {0};
  tw_cell(&write, "d", 1, "m", TW_INT32(1));
  ck_assert(reserves(store, &write, NULL));
  tw_cell(&write, "d", 1, "m", TW_FLOAT64(1));
  g_autofree char *message = NULL;
  ck_assert(!reserves(store, &write, &message));
  ck_assert_str_eq(message, "device \"d\", measurement \"m\" is INT32, not DOUBLE");
  /* Nothing to read yet, and another device is another matter. */
  check_text(series_text(store, NULL, NULL, 10), "");
  check_device(store, "d", "");
  tw_cell(&write, "e", 1, "m", TW_FLOAT64(1));
  ck_assert(reserves(store, &write, NULL));
  /* A write that does not agree with itself leaves nothing behind. */
  tw_cell(&write, "f", 1, "new", TW_INT32(1));
  tw_cell(&write, "f", 1, "m", TW_INT32(1));
  tw_cell(&write, "f", 1, "m", TW_FLOAT64(1));
  ck_assert(!reserves(store, &write, NULL));
  tw_cell(&write, "f", 1, "m", TW_FLOAT64(1));
  tw_cell(&write, "f", 1, "new", TW_TEXT("x"));
  ck_assert(reserves(store, &write, NULL));
  /* So does one of which a part is refused. */
  tw_cell(&write, "g", 1, "m", TW_INT32(1));
  tw_cell(&write, "e", 1, "m", TW_INT32(1));
  ck_assert(!reserves(store, &write, NULL));
  tw_cell(&write, "g", 1, "m", TW_TEXT("x"));
  ck_assert(reserves(store, &write, NULL));
  /* What was applied counts for more than what was reserved. */
  tw_cell(&write, "d", 1, "m", TW_TEXT("x"));
  apply_write(store, log_2, 1, 10, &write);
  tw_cell(&write, "d", 1, "m", TW_TEXT("y"));
  ck_assert(reserves(store, &write, NULL));
  tw_cell(&write, "d", 1, "m", TW_INT32(1));
  ck_assert(!reserves(store, &write, NULL));
  /* A replicated write is never refused. */
  tw_cell(&write, "d", 1, "m", TW_INT32(1));
  apply_write(store, log_1, 1, 11, &write);
  check_text(series_text(store, NULL, NULL, 10), "d: m/TEXT m/INT32!\n");
}

START_TEST(reserve_fixes_types)
{
  with_both(check_reserve);
}
END_TEST

/* --- progress -----------------------------------------------------------------------------------
 */

static void check_duplicates(Store *store)
{
  put_one(store, log_1, 1, 10, 1);
  put_one(store, log_1, 2, 20, 2);
  StateDigest before = digest_of(store);
  put_one(store, log_1, 1, 10, 1);
  put_one(store, log_1, 2, 20, 2);
  ck_assert(same_digest(before, digest_of(store)));
  ck_assert_uint_eq(applied_of(store, log_1, FALSE), 2);
  /* A resend that overlaps, with two logs in one call. */
  TestWrite write = {0};
  g_autoptr(GPtrArray) decoded = g_ptr_array_new_with_free_func((GDestroyNotify)store_decoded_free);
  for (gint32 i = 0; i < 5; i++) {
    tw_cell(&write, "d", 1, "m", TW_INT32(100 + i));
    g_autoptr(GByteArray) bytes = tw_end(&write);
    g_ptr_array_add(decoded, decode(bytes));
  }
  const StoreEntry entries[] = {{log_1, 2, 20, decoded->pdata[0]},
                                {log_2, 1, 15, decoded->pdata[1]},
                                {log_1, 3, 30, decoded->pdata[2]},
                                {log_2, 2, 25, decoded->pdata[3]},
                                {log_1, 3, 30, decoded->pdata[4]}};
  ck_assert(store_apply(store, entries, G_N_ELEMENTS(entries), NULL));
  check_device(store, "d", "1: m=102\n");
  g_autoptr(GArray) progress = store_progress(store, FALSE, NULL);
  ck_assert_uint_eq(progress->len, 2);
  const StoreProgress *first = &g_array_index(progress, StoreProgress, 0);
  const StoreProgress *second = &g_array_index(progress, StoreProgress, 1);
  ck_assert(log_id_equal(first->log, log_1) && log_id_equal(second->log, log_2));
  ck_assert_uint_eq(first->applied, 3);
  ck_assert_uint_eq(first->hlc, 30);
  ck_assert_uint_eq(second->applied, 2);
  ck_assert_uint_eq(second->hlc, 25);
}

START_TEST(p2_duplicates_are_skipped)
{
  with_both(check_duplicates);
}
END_TEST

static void check_durable(Store *store)
{
  StoreStats stats;
  put_one(store, log_1, 1, 10, 1);
  ck_assert_uint_eq(applied_of(store, log_1, FALSE), 1);
  ck_assert_uint_eq(applied_of(store, log_1, TRUE), 0);
  store_stats(store, &stats);
  ck_assert_uint_gt(stats.unpersisted_bytes, 0);
  persist(store);
  ck_assert_uint_eq(applied_of(store, log_1, TRUE), 1);
  store_stats(store, &stats);
  ck_assert_uint_eq(stats.unpersisted_bytes, 0);
  put_one(store, log_1, 2, 20, 2);
  put_one(store, log_2, 1, 20, 2);
  ck_assert_uint_eq(applied_of(store, log_1, TRUE), 1);
  ck_assert_uint_eq(applied_of(store, log_1, FALSE), 2);
  ck_assert_uint_eq(applied_of(store, log_2, TRUE), 0);
  persist(store);
  ck_assert_uint_eq(applied_of(store, log_1, TRUE), 2);
  ck_assert_uint_eq(applied_of(store, log_2, TRUE), 1);
}

START_TEST(durable_is_what_was_persisted)
{
  with_both(check_durable);
}
END_TEST

/* --- digest -------------------------------------------------------------------------------------
 */

static void check_digest(Store *store)
{
  StateDigest empty = digest_of(store);
  ck_assert(empty.low == 0 && empty.high == 0 && empty.cells == 0 && empty.devices == 0);
  put_one(store, log_1, 1, 10, 1);
  StateDigest one = digest_of(store);
  ck_assert_uint_eq(one.cells, 1);
  ck_assert_uint_eq(one.devices, 1);
  ck_assert(one.low != 0 && one.high != 0);
  TestWrite write = {0};
  /* Another time, measurement, type, value or device: each gives another sum. */
  const struct {
    const char *device;
    gint64 time;
    const char *measurement;
    Value value;
  } others[] = {{"d", 2, "m", TW_INT32(1)},
                {"d", 1, "n", TW_INT32(1)},
                {"d", 1, "m", TW_FLOAT32(1.4e-45f)}, /* the same four bytes */
                {"e", 1, "m", TW_INT32(1)}};
  guint64 added[G_N_ELEMENTS(others)];
  StateDigest before = one;
  for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
    tw_cell(&write, others[i].device, others[i].time, others[i].measurement, others[i].value);
    apply_write(store, log_1, 2 + i, 20 + i, &write);
    StateDigest after = digest_of(store);
    ck_assert_uint_eq(after.cells, before.cells + 1);
    added[i] = after.low - before.low;
    before = after;
  }
  ck_assert_uint_eq(before.devices, 2);
  for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
    ck_assert_uint_ne(added[i], one.low);
    for (guint k = 0; k < i; k++)
      ck_assert_uint_ne(added[i], added[k]);
  }
  /* A deleted cell is as one that never was. */
  tw_delete(&write, "e", NULL, 0, 9);
  tw_delete(&write, "d", NULL, 2, 2);
  static const char *const name[] = {"n", NULL};
  tw_delete(&write, "d", name, 1, 1);
  apply_write(store, log_2, 1, 100, &write);
  StateDigest left = digest_of(store);
  ck_assert_uint_eq(left.cells, 2);
  ck_assert_uint_eq(left.devices, 1);
  ck_assert_uint_eq(left.low, one.low + added[2]);
}

START_TEST(digest_covers_what_is_visible)
{
  with_both(check_digest);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {all_types,
                                bits_of_floating_point_are_kept,
                                floats_are_narrowed,
                                times_over_the_whole_range,
                                later_parts_of_an_entry_win,
                                missing_values_overwrite_nothing,
                                greatest_version_wins,
                                deletes_hide_what_is_older,
                                deletes_come_before_what_they_hide,
                                oldest_write_gives_the_type,
                                conflict_inside_a_write,
                                reserve_fixes_types,
                                p2_duplicates_are_skipped,
                                durable_is_what_was_persisted,
                                digest_covers_what_is_visible};
  return RUN_SUITE("store", tests);
}
