#include "base/error.h"
#include "base/run.h"

#include <check.h>
#include <string.h>

static const LogId test_log = {7, 1700000000000000};

enum { COUNT = 10, FIRST = 41 };

/* Records FIRST .. FIRST + COUNT - 1; record i has i + 1 bytes of data. */
static guint8 *make_bytes(gsize *out_size)
{
  guint8 *bytes = g_malloc(COUNT * (RECORD_OVERHEAD_SIZE + COUNT));
  gsize at = 0;
  for (guint i = 0; i < COUNT; i++) {
    guint8 data[COUNT];
    memset(data, 'a' + (int)i, sizeof data);
    at += record_write(record_seed(test_log), FIRST + i, 1000 + i, data, i + 1, bytes + at);
  }
  *out_size = at;
  return bytes;
}

static int released;

static void release(gpointer owner)
{
  released++;
  g_free(owner);
}

static EntryRun *make_run(void)
{
  gsize size;
  guint8 *bytes = make_bytes(&size);
  return entry_run_new(test_log, FIRST, COUNT, bytes, size, bytes, release);
}

START_TEST(test_new)
{
  released = 0;
  EntryRun *run = make_run();
  ck_assert(log_id_equal(entry_run_log(run), test_log));
  ck_assert_uint_eq(entry_run_first_index(run), FIRST);
  ck_assert_uint_eq(entry_run_last_index(run), FIRST + COUNT - 1);
  ck_assert_uint_eq(entry_run_count(run), COUNT);
  gsize size, want = 0;
  const guint8 *bytes = entry_run_bytes(run, &size);
  for (guint i = 0; i < COUNT; i++) {
    ck_assert_uint_eq(entry_run_offset(run, i), want);
    Record record = entry_run_record(run, i);
    ck_assert_uint_eq(record.index, FIRST + i);
    ck_assert_uint_eq(record.hlc, 1000 + i);
    ck_assert_uint_eq(record.data_size, i + 1);
    ck_assert_ptr_eq(record.data, bytes + want + RECORD_HEAD_SIZE);
    want += record.size;
  }
  ck_assert_uint_eq(entry_run_offset(run, COUNT), want);
  ck_assert_uint_eq(size, want);
  ck_assert_ptr_eq(entry_run_ref(run), run);
  entry_run_unref(run);
  ck_assert_int_eq(released, 0);
  entry_run_unref(run);
  ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(test_parse)
{
  released = 0;
  gsize size;
  guint8 *bytes = make_bytes(&size);
  g_autoptr(GError) error = NULL;
  EntryRun *run = entry_run_parse(test_log, bytes, size, bytes, release, &error);
  ck_assert_ptr_nonnull(run);
  ck_assert_uint_eq(entry_run_first_index(run), FIRST);
  ck_assert_uint_eq(entry_run_count(run), COUNT);
  entry_run_unref(run);
  ck_assert_int_eq(released, 1);
}
END_TEST

static void check_refused(LogId log, const guint8 *bytes, gsize size)
{
  g_autoptr(GError) error = NULL;
  released = 0;
  ck_assert_ptr_null(entry_run_parse(log, bytes, size, (gpointer)bytes, release, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  ck_assert_int_eq(released, 0); /* the owner stays the caller's */
}

/* The digest before a slice is that of the run behind what is left out. */
START_TEST(test_chain_before)
{
  gsize size;
  guint8 *bytes = make_bytes(&size);
  g_autoptr(EntryRun) run = entry_run_parse(test_log, bytes, size, bytes, g_free, NULL);
  g_autoptr(EntryRun) untold = entry_run_slice(run, 1, 1);
  ck_assert_uint_eq(entry_run_chain_before(run), 0);
  ck_assert_uint_eq(entry_run_chain_before(untold), 0);
  entry_run_set_chain_before(run, 4711);
  guint64 chain = 4711;
  for (guint i = 0; i < entry_run_count(run); i++) {
    g_autoptr(EntryRun) slice = entry_run_slice(run, i, entry_run_count(run) - i);
    ck_assert_uint_eq(entry_run_chain_before(slice), chain);
    gsize at = entry_run_offset(run, i);
    chain = record_chain(chain, bytes + at, entry_run_offset(run, i + 1) - at);
  }
}
END_TEST

START_TEST(test_parse_refuses)
{
  gsize size;
  g_autofree guint8 *bytes = make_bytes(&size);
  check_refused(test_log, bytes, 0);
  check_refused((LogId){8, test_log.incarnation}, bytes, size);
  for (gsize n = 1; n < size; n++) {
    g_autoptr(EntryRun) run = entry_run_parse(test_log, bytes, n, NULL, NULL, NULL);
    if (run == NULL)
      check_refused(test_log, bytes, n);
    else /* the cut is between two records */
      ck_assert_uint_eq(entry_run_offset(run, entry_run_count(run)), n);
  }
  for (gsize i = 0; i < size; i++) {
    bytes[i] ^= 0x08;
    check_refused(test_log, bytes, size);
    bytes[i] ^= 0x08;
  }
  /* One record twice, and one left out. */
  gsize first = RECORD_OVERHEAD_SIZE + 1;
  g_autofree guint8 *twice = g_malloc(first + size);
  memcpy(twice, bytes, first);
  memcpy(twice + first, bytes, size);
  check_refused(test_log, twice, first + size);
  gsize second = first + 1;
  memcpy(twice + first, bytes + first + second, size - first - second);
  check_refused(test_log, twice, size - second);
}
END_TEST

/* So that there is always a next clock. */
START_TEST(p8_a_clock_that_no_node_can_have_is_refused)
{
  static const guint64 clocks[] = {RECORD_HLC_MAX, RECORD_HLC_MAX + 1, G_MAXUINT64};
  for (guint i = 0; i < G_N_ELEMENTS(clocks); i++) {
    guint8 bytes[RECORD_OVERHEAD_SIZE + 1];
    gsize size = record_write(record_seed(test_log), FIRST, clocks[i], "x", 1, bytes);
    if (clocks[i] > RECORD_HLC_MAX) {
      check_refused(test_log, bytes, size);
      continue;
    }
    g_autoptr(EntryRun) run = entry_run_parse(test_log, bytes, size, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(run);
  }
}
END_TEST

START_TEST(test_slice)
{
  released = 0;
  EntryRun *run = make_run();
  for (guint first = 0; first < COUNT; first++)
    for (guint count = 1; first + count <= COUNT; count++) {
      g_autoptr(EntryRun) slice = entry_run_slice(run, first, count);
      ck_assert_uint_eq(entry_run_first_index(slice), FIRST + first);
      ck_assert_uint_eq(entry_run_count(slice), count);
      ck_assert(log_id_equal(entry_run_log(slice), test_log));
      gsize size, whole;
      const guint8 *bytes = entry_run_bytes(slice, &size);
      ck_assert_ptr_eq(bytes, entry_run_bytes(run, &whole) + entry_run_offset(run, first));
      ck_assert_uint_eq(size, entry_run_offset(run, first + count) - entry_run_offset(run, first));
      for (guint i = 0; i < count; i++)
        ck_assert_uint_eq(entry_run_record(slice, i).index, FIRST + first + i);
    }
  EntryRun *slice = entry_run_slice(run, 3, 4);
  EntryRun *inner = entry_run_slice(slice, 1, 2);
  entry_run_unref(run);
  entry_run_unref(slice);
  ck_assert_int_eq(released, 0); /* a slice keeps the bytes alive */
  ck_assert_uint_eq(entry_run_record(inner, 0).index, FIRST + 4);
  entry_run_unref(inner);
  ck_assert_int_eq(released, 1);
}
END_TEST

static guint freed; /* bits: which decoded entries were freed */

static void free_decoded(gpointer data)
{
  freed |= 1u << (GPOINTER_TO_UINT(data) - 1);
}

static EntryRun *make_decoded(void)
{
  EntryRun *run = make_run();
  gpointer *decoded = g_new(gpointer, COUNT);
  for (guint i = 0; i < COUNT; i++)
    decoded[i] = GUINT_TO_POINTER(i + 1);
  entry_run_set_decoded(run, decoded, free_decoded);
  return run;
}

/* A decoded entry goes to whoever takes it, once; the others are freed with the run. */
START_TEST(test_decoded)
{
  freed = 0;
  EntryRun *run = make_decoded();
  ck_assert_ptr_eq(entry_run_take_decoded(run, 3), GUINT_TO_POINTER(4));
  ck_assert_ptr_null(entry_run_take_decoded(run, 3));
  entry_run_unref(run);
  ck_assert_uint_eq(freed, ((1u << COUNT) - 1) & ~(1u << 3));

  run = make_run();
  ck_assert_ptr_null(entry_run_take_decoded(run, 0));
  entry_run_unref(run);
}
END_TEST

START_TEST(test_decoded_moves_to_slice)
{
  freed = 0;
  EntryRun *run = make_decoded();
  EntryRun *slice = entry_run_slice(run, 2, 3);
  ck_assert_ptr_null(entry_run_take_decoded(run, 2));
  ck_assert_ptr_eq(entry_run_take_decoded(slice, 0), GUINT_TO_POINTER(3));
  entry_run_unref(slice);
  ck_assert_uint_eq(freed, 1u << 3 | 1u << 4);
  entry_run_unref(run);
  ck_assert_uint_eq(freed, ((1u << COUNT) - 1) & ~(1u << 2));
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("run");
  TCase *cases = tcase_create("run");
  tcase_add_test(cases, test_new);
  tcase_add_test(cases, test_parse);
  tcase_add_test(cases, test_chain_before);
  tcase_add_test(cases, test_parse_refuses);
  tcase_add_test(cases, p8_a_clock_that_no_node_can_have_is_refused);
  tcase_add_test(cases, test_slice);
  tcase_add_test(cases, test_decoded);
  tcase_add_test(cases, test_decoded_moves_to_slice);
  suite_add_tcase(suite, cases);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
