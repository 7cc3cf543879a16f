/* The tool is no library, so the test takes its sources in. */
#include "ctl/json.c"
#include "ctl/values.c"
#include "ctl/wal_walk.c"
#include "ctl/write_dump.c"

#include "rpc/write_builder.h"
#include "support/suite.h"
#include "wal/wal.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

enum { SEGMENT_SIZE = 16 * 1024, DATA_SIZE = 1000 };

static const LogId log_id = {3, 1700000000000000};

typedef struct Fixture {
  char *root, *log_directory;
} Fixture;

static EntryRun *make_run(guint64 index)
{
  guint8 data[DATA_SIZE];
  memset(data, (int)index, sizeof data);
  guint8 *bytes = g_malloc(DATA_SIZE + RECORD_OVERHEAD_SIZE);
  gsize size = record_write(record_seed(log_id), index, index << 16, data, sizeof data, bytes);
  return entry_run_new(log_id, index, 1, bytes, size, bytes, g_free);
}

/* A log of records 1 .. count under root/group-0/wal. */
static void fixture_begin(Fixture *f, guint64 count)
{
  f->root = g_dir_make_tmp("synclog-walk-XXXXXX", NULL);
  f->log_directory = g_build_filename(f->root, "group-0", "wal", "3-1700000000000000", NULL);
  WalOptions options = {.directory = f->log_directory, .log = log_id, .segment_size = SEGMENT_SIZE};
  WalRecovery recovery = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(Wal) wal = wal_open(&options, &recovery, &error);
  ck_assert_msg(wal != NULL, "%s", error != NULL ? error->message : "");
  for (guint64 i = 1; i <= count; i++) {
    g_autoptr(EntryRun) run = make_run(i);
    ck_assert(wal_append(wal, run, 0, NULL));
  }
  ck_assert(wal_sync(wal, NULL));
  wal_recovery_clear(&recovery);
}

static GPtrArray *list(const Fixture *f)
{
  const WalIo *io = wal_io_system();
  GPtrArray *names = io->list(io->ctx, f->log_directory);
  ck_assert_ptr_nonnull(names);
  g_ptr_array_sort(names, compare_names);
  return names;
}

static void fixture_end(Fixture *f)
{
  g_autoptr(GPtrArray) names = list(f);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename(f->log_directory, names->pdata[i], NULL);
    g_unlink(path);
  }
  g_autofree char *wal = g_path_get_dirname(f->log_directory);
  g_autofree char *group = g_path_get_dirname(wal);
  g_rmdir(f->log_directory);
  g_rmdir(wal);
  g_rmdir(group);
  ck_assert_int_eq(g_rmdir(f->root), 0);
  g_free(f->root);
  g_free(f->log_directory);
}

static char *segment_path(const Fixture *f, guint i)
{
  g_autoptr(GPtrArray) names = list(f);
  ck_assert_uint_lt(i, names->len);
  return g_build_filename(f->log_directory, names->pdata[i], NULL);
}

static guint count_segments(const Fixture *f)
{
  g_autoptr(GPtrArray) names = list(f);
  return names->len;
}

static void overwrite(const char *path, goffset offset, const void *bytes, gsize size)
{
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(pwrite(fd, bytes, size, offset), (gssize)size);
  close(fd);
}

typedef struct Visited {
  guint64 count, first, last;
  guint64 stop_after; /* 0: never */
} Visited;

static gboolean visit(gpointer ctx, const char *path, goffset offset, const Record *record)
{
  Visited *visited = ctx;
  ck_assert_ptr_nonnull(path);
  ck_assert_int_ge(offset, SEGMENT_HEADER_SIZE);
  ck_assert_uint_eq(record->data_size, DATA_SIZE);
  ck_assert_uint_eq(record->data[0], record->index & 0xff);
  if (visited->count++ == 0)
    visited->first = record->index;
  visited->last = record->index;
  return visited->count != visited->stop_after;
}

static void walk(const Fixture *f, guint64 from, Visited *visited, WalFindings *out)
{
  g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func((GDestroyNotify)wal_place_free);
  g_autoptr(GError) error = NULL;
  ck_assert(wal_places_find(f->log_directory, places, &error));
  ck_assert_uint_eq(places->len, 1);
  ck_assert_msg(wal_walk(places->pdata[0], from, visit, visited, out, &error), "%s",
                error != NULL ? error->message : "");
}

/* The one damage of the log. Transfer full. */
static char *damage_of(const Fixture *f, guint64 *out_last)
{
  Visited visited = {0};
  g_auto(WalFindings) findings = {0};
  walk(f, 0, &visited, &findings);
  ck_assert_uint_eq(findings.damage->len, 1);
  *out_last = findings.last_index;
  return g_strdup(findings.damage->pdata[0]);
}

START_TEST(a_sound_log)
{
  Fixture f;
  fixture_begin(&f, 60);
  ck_assert_uint_ge(count_segments(&f), 3);
  Visited visited = {0};
  g_auto(WalFindings) findings = {0};
  walk(&f, 0, &visited, &findings);
  ck_assert_uint_eq(findings.damage->len, 0);
  ck_assert_ptr_null(findings.note);
  ck_assert_uint_eq(findings.records, 60);
  ck_assert_uint_eq(findings.first_index, 1);
  ck_assert_uint_eq(findings.last_index, 60);
  ck_assert_uint_eq(visited.count, 60);
  fixture_end(&f);
}
END_TEST

START_TEST(from_the_middle_and_not_to_the_end)
{
  Fixture f;
  fixture_begin(&f, 60);
  Visited visited = {.stop_after = 5};
  g_auto(WalFindings) findings = {0};
  walk(&f, 40, &visited, &findings);
  ck_assert_uint_eq(visited.first, 40);
  ck_assert_uint_eq(visited.last, 44);
  ck_assert_uint_lt(findings.segments, count_segments(&f));
  ck_assert_uint_eq(findings.damage->len, 0);
  fixture_end(&f);
}
END_TEST

START_TEST(paths_above_and_below)
{
  Fixture f;
  fixture_begin(&f, 20);
  g_autofree char *group = g_build_filename(f.root, "group-0", NULL);
  g_autofree char *wal = g_build_filename(group, "wal", NULL);
  g_autofree char *file = segment_path(&f, 0);
  g_autofree char *slash = g_strconcat(f.log_directory, "/", NULL);
  const char *const paths[] = {f.root, group, wal, f.log_directory, slash, file};
  for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
    g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func((GDestroyNotify)wal_place_free);
    ck_assert_msg(wal_places_find(paths[i], places, NULL), "%s", paths[i]);
    ck_assert_uint_eq(places->len, 1);
    const WalPlace *place = places->pdata[0];
    ck_assert_str_eq(place->directory, f.log_directory);
    ck_assert_int_eq(place->only_file != NULL, paths[i] == file);
    g_auto(WalFindings) findings = {0};
    ck_assert(wal_walk(place, 0, NULL, NULL, &findings, NULL));
    ck_assert_uint_eq(findings.damage->len, 0);
    ck_assert_uint_eq(findings.segments, paths[i] == file ? 1 : count_segments(&f));
  }
  g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func((GDestroyNotify)wal_place_free);
  g_autofree char *empty = g_build_filename(f.root, "nothing", NULL);
  ck_assert(!wal_places_find(empty, places, NULL));
  ck_assert_int_eq(g_mkdir(empty, 0700), 0);
  g_autoptr(GError) error = NULL;
  ck_assert(!wal_places_find(empty, places, &error));
  ck_assert_ptr_nonnull(strstr(error->message, "neither a log"));
  g_rmdir(empty);
  fixture_end(&f);
}
END_TEST

START_TEST(a_flipped_bit)
{
  Fixture f;
  fixture_begin(&f, 60);
  g_autofree char *path = segment_path(&f, 1);
  goffset offset = SEGMENT_HEADER_SIZE + 3 * (DATA_SIZE + RECORD_OVERHEAD_SIZE);
  overwrite(path, offset + 500, "\x01\x80", 2);
  guint64 last;
  g_autofree char *damage = damage_of(&f, &last);
  g_autofree char *place =
      g_strdup_printf("%s: offset %" G_GINT64_FORMAT ":", path, (gint64)offset);
  ck_assert_msg(g_str_has_prefix(damage, place), "%s", damage);
  ck_assert_ptr_nonnull(strstr(damage, "no valid record"));
  guint64 first;
  g_autofree char *name = g_path_get_basename(path);
  ck_assert(segment_name_parse(name, &first));
  ck_assert_uint_eq(last, first + 2);
  fixture_end(&f);
}
END_TEST

START_TEST(damage_before_good_records_of_the_last_segment)
{
  Fixture f;
  fixture_begin(&f, 5);
  g_autofree char *path = segment_path(&f, 0);
  goffset offset = SEGMENT_HEADER_SIZE + 2 * (DATA_SIZE + RECORD_OVERHEAD_SIZE);
  overwrite(path, offset + 50, "\x01\x80", 2);
  guint64 last;
  g_autofree char *damage = damage_of(&f, &last);
  ck_assert_ptr_nonnull(strstr(damage, "no valid record 3, but record 4 stands behind it"));
  ck_assert_uint_eq(last, 2);
  fixture_end(&f);
}
END_TEST

START_TEST(a_torn_tail_is_no_damage)
{
  Fixture f;
  fixture_begin(&f, 5);
  g_autofree char *path = segment_path(&f, 0);
  goffset offset = SEGMENT_HEADER_SIZE + 5 * (DATA_SIZE + RECORD_OVERHEAD_SIZE);
  overwrite(path, offset, "\x0a\x00\x01half a record", 16);
  Visited visited = {0};
  g_auto(WalFindings) findings = {0};
  walk(&f, 0, &visited, &findings);
  ck_assert_uint_eq(findings.damage->len, 0);
  ck_assert_uint_eq(findings.last_index, 5);
  ck_assert_ptr_nonnull(strstr(findings.note, "16 bytes of a write that never ended"));
  fixture_end(&f);
}
END_TEST

START_TEST(a_damaged_header)
{
  Fixture f;
  fixture_begin(&f, 60);
  g_autofree char *path = segment_path(&f, 1);
  overwrite(path, 20, "xxxx", 4);
  guint64 last;
  g_autofree char *damage = damage_of(&f, &last);
  ck_assert(g_str_has_prefix(damage, path));
  ck_assert_ptr_nonnull(strstr(damage, "offset 0: damaged header"));
  fixture_end(&f);
}
END_TEST

START_TEST(a_missing_segment)
{
  Fixture f;
  fixture_begin(&f, 60);
  g_autofree char *path = segment_path(&f, 1);
  g_autofree char *next = segment_path(&f, 2);
  g_unlink(path);
  guint64 last;
  g_autofree char *damage = damage_of(&f, &last);
  /* The segment before it can't tell where it should have ended, so it is named first. */
  ck_assert_ptr_nonnull(strstr(damage, "the next segment begins with"));
  fixture_end(&f);
}
END_TEST

START_TEST(a_foreign_segment)
{
  Fixture f;
  fixture_begin(&f, 5);
  g_autofree char *path = segment_path(&f, 0);
  guint8 bytes[SEGMENT_HEADER_SIZE];
  SegmentHeader header = {.log = {4, 5}, .first_index = 1, .chain_known = TRUE};
  segment_header_encode(&header, bytes);
  overwrite(path, 0, bytes, sizeof bytes);
  guint64 last;
  g_autofree char *damage = damage_of(&f, &last);
  ck_assert_ptr_nonnull(strstr(damage, "offset 0: the segment belongs to log 4-5"));
  fixture_end(&f);
}
END_TEST

START_TEST(a_broken_chain_of_digests)
{
  Fixture f;
  fixture_begin(&f, 60);
  g_autofree char *path = segment_path(&f, 1);
  g_autofree char *content = NULL;
  gsize size;
  ck_assert(g_file_get_contents(path, &content, &size, NULL));
  SegmentHeader header;
  ck_assert_int_eq(segment_header_decode((guint8 *)content, size, &header), HEADER_VALID);
  header.chain ^= 1;
  guint8 bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(&header, bytes);
  overwrite(path, 0, bytes, sizeof bytes);
  guint64 last;
  g_autofree char *damage = damage_of(&f, &last);
  ck_assert_ptr_nonnull(strstr(damage, "running digest"));
  fixture_end(&f);
}
END_TEST

static void add_file_state(const Fixture *f, GString *out)
{
  g_autoptr(GPtrArray) names = list(f);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename(f->log_directory, names->pdata[i], NULL);
    g_autofree char *content = NULL;
    gsize size;
    ck_assert(g_file_get_contents(path, &content, &size, NULL));
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)content, size);
    GStatBuf info;
    ck_assert_int_eq(g_stat(path, &info), 0);
    g_string_append_printf(out, "%s %s %ld.%09ld\n", (char *)names->pdata[i], sum,
                           (long)info.st_mtim.tv_sec, (long)info.st_mtim.tv_nsec);
  }
}

START_TEST(nothing_is_changed)
{
  Fixture f;
  fixture_begin(&f, 60);
  /* What opening the log would clear away: a torn tail and a half-made file. */
  g_autofree char *last_path = segment_path(&f, count_segments(&f) - 1);
  GStatBuf info;
  ck_assert_int_eq(g_stat(last_path, &info), 0);
  overwrite(last_path, info.st_size - 10, "torn", 4);
  g_autofree char *temp = g_build_filename(f.log_directory, "half.tmp", NULL);
  ck_assert(g_file_set_contents(temp, "x", 1, NULL));
  g_autoptr(GString) before = g_string_new(NULL);
  g_autoptr(GString) after = g_string_new(NULL);
  add_file_state(&f, before);
  Visited visited = {0};
  g_auto(WalFindings) findings = {0};
  walk(&f, 0, &visited, &findings);
  add_file_state(&f, after);
  ck_assert_str_eq(before->str, after->str);
  ck_assert_ptr_nonnull(findings.note);
  fixture_end(&f);
}
END_TEST

/* --- content ------------------------------------------------------------------------------------
 */

static GByteArray *make_write(void)
{
  static const char *const names[] = {"a", "b", "c", "d", "e", "f", NULL};
  Value values[] = {
      {.type = DATA_BOOLEAN, .boolean = TRUE},   {.type = DATA_INT32, .int32 = -1},
      {.type = DATA_INT64, .int64 = G_MININT64}, {.type = DATA_FLOAT, .float32 = 0.5f},
      {.type = DATA_DOUBLE, .float64 = 0.1},     {.type = DATA_TEXT}};
  values[5].text.bytes = (char *)"é\"";
  values[5].text.size = 3;
  g_autoptr(WriteBuilder) builder = write_builder_new();
  write_builder_row(builder, "r", -7, names, values, 6);
  write_builder_delete(builder, "x", NULL, G_MININT64, 5);
  write_builder_delete(builder, "y", names, 1, 2);
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
  for (gint64 i = 0; i < 3; i++)
    g_array_append_val(times, i);
  g_autoptr(Column) text = column_new("t", DATA_TEXT);
  column_append(text, "one", 3);
  column_append_null(text);
  column_append(text, "", 0);
  column_finish(text);
  g_autoptr(GPtrArray) columns = g_ptr_array_new();
  g_ptr_array_add(columns, text);
  write_builder_tablet(builder, "z", times, columns);
  GByteArray *bytes = g_byte_array_new();
  write_builder_encode(builder, bytes);
  ck_assert_uint_eq(bytes->len, write_builder_size(builder));
  return bytes;
}

/* The dump of a write with this key, which is given to it byte by byte. */
static void check_key(const char *key, gsize size, const char *wanted)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  const guint8 head[] = {11, 0, 4, 0, 0, 0, (guint8)size}, stop = 0;
  g_byte_array_append(bytes, head, sizeof head);
  g_byte_array_append(bytes, (const guint8 *)key, (guint)size);
  g_byte_array_append(bytes, &stop, 1);
  char *text = NULL;
  size_t text_size;
  FILE *out = open_memstream(&text, &text_size);
  JsonWriter *json = json_writer_new(out);
  WriteSummary summary;
  ck_assert(write_dump(bytes->data, bytes->len, json, NULL, &summary));
  json_writer_free(json);
  fclose(out);
  ck_assert_str_eq(text, wanted);
  free(text);
}

START_TEST(keys_are_told_without_loss)
{
  check_key("order 7, \"é\"", 13, "{\"key\": \"order 7, \\\"é\\\"\"}\n");
  check_key("00ff", 4, "{\"key\": \"00ff\"}\n");
  check_key("\x00\xff", 2, "{\"keyHex\": \"00ff\"}\n");
  check_key("ab\0c", 4, "{\"keyHex\": \"61620063\"}\n");
  check_key("a\x1b", 2, "{\"keyHex\": \"611b\"}\n");
  check_key("\xc3", 1, "{\"keyHex\": \"c3\"}\n");
}
END_TEST

START_TEST(content_is_shown)
{
  g_autoptr(GByteArray) bytes = make_write();
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  JsonWriter *json = json_writer_new(out);
  WriteSummary summary;
  ck_assert(write_dump(bytes->data, bytes->len, json, NULL, &summary));
  json_writer_free(json);
  fclose(out);
  ck_assert_str_eq(
      text,
      "{\"deletes\": [{\"device\": \"x\", \"startTime\": -9223372036854775808, \"endTime\": 5}, "
      "{\"device\": \"y\", \"measurements\": [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"], "
      "\"startTime\": 1, \"endTime\": 2}], "
      "\"rows\": [{\"device\": \"r\", \"time\": -7, "
      "\"measurements\": [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"], "
      "\"values\": [true, -1, -9223372036854775808, 0.5, 0.1, \"é\\\"\"]}], "
      "\"tablets\": [{\"device\": \"z\", \"times\": [0, 1, 2], "
      "\"columns\": [{\"measurement\": \"t\", \"type\": \"TEXT\", "
      "\"values\": [\"one\", null, \"\"]}]}]}\n");
  free(text);
  ck_assert_uint_eq(summary.deletes, 2);
  ck_assert_uint_eq(summary.rows, 1);
  ck_assert_uint_eq(summary.tablets, 1);
  ck_assert_uint_eq(summary.tablet_rows, 3);
  ck_assert_uint_eq(summary.values, 9);
}
END_TEST

START_TEST(no_prefix_is_a_write)
{
  g_autoptr(GByteArray) bytes = make_write();
  for (guint size = 0; size < bytes->len; size++) {
    g_autofree guint8 *copy = g_memdup2(bytes->data, size); /* so that reading on is seen */
    WriteSummary summary;
    fast_assert(!write_dump(copy, size, NULL, NULL, &summary));
  }
}
END_TEST

START_TEST(mutated_bytes_are_survived)
{
  g_autoptr(GByteArray) bytes = make_write();
  g_autoptr(GRand) rand = g_rand_new_with_seed(5);
  FILE *out = g_fopen("/dev/null", "w");
  for (guint round = 0; round < 20000; round++) {
    g_autofree guint8 *copy = g_memdup2(bytes->data, bytes->len);
    for (guint i = 0; i < 3; i++)
      copy[g_rand_int_range(rand, 0, (gint)bytes->len)] = (guint8)g_rand_int(rand);
    g_autoptr(JsonWriter) json = json_writer_new(out);
    WriteSummary summary;
    write_dump(copy, bytes->len, json, NULL, &summary);
    fast_assert(summary.rows <= bytes->len && summary.tablets <= bytes->len);
  }
  fclose(out);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {a_sound_log,
                                from_the_middle_and_not_to_the_end,
                                paths_above_and_below,
                                a_flipped_bit,
                                damage_before_good_records_of_the_last_segment,
                                a_torn_tail_is_no_damage,
                                a_damaged_header,
                                a_missing_segment,
                                a_foreign_segment,
                                a_broken_chain_of_digests,
                                nothing_is_changed,
                                keys_are_told_without_loss,
                                content_is_shown,
                                no_prefix_is_a_write,
                                mutated_bytes_are_survived};
  return RUN_SUITE("wal_walk", tests);
}
