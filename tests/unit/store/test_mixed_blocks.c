/* Blocks whose rows have versions of their own: the bytes, and the store over them. */
#include "store/block_filter.h"
#include "store/block_merge.h"
#include "store/decoded.h"
#include "store/fresh.h"

#include "history.h"
#include "raw_blocks.h"

/* --- versions -----------------------------------------------------------------------------------
 */

static Version random_version(GRand *random, const Version *before)
{
  switch (g_rand_int_range(random, 0, 6)) {
  case 0:
    return *before;
  case 1:
    return (Version){G_MAXUINT64, G_MAXUINT32, G_MAXUINT32};
  case 2:
    return (Version){0, 0, 1};
  case 3:
    return (Version){before->hlc - (guint64)g_rand_int(random), before->origin, before->ordinal};
  default:
    return (Version){before->hlc + (guint64)g_rand_int(random), g_rand_int(random) & 3,
                     g_rand_int(random) & 1};
  }
}

static gboolean read_back(const guint8 *bytes, gsize size, GArray *versions)
{
  VersionRuns runs = version_runs(bytes, size);
  for (guint rows; (rows = version_runs_next(&runs)) > 0 && versions->len < 10000;)
    for (guint i = 0; i < MIN(rows, 10000); i++)
      g_array_append_val(versions, runs.last);
  return !runs.damaged;
}

START_TEST(versions_come_back)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  for (guint round = 0; round < 2000; round++) {
    Version versions[50] = {{g_rand_int(random), 1, 0}};
    guint count = (guint)g_rand_int_range(random, 1, G_N_ELEMENTS(versions) + 1);
    for (guint i = 1; i < count; i++)
      versions[i] = random_version(random, &versions[i - 1]);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    versions_put(bytes, versions, count);
    g_autoptr(GArray) back = g_array_new(FALSE, FALSE, sizeof(Version));
    fast_assert(read_back(bytes->data, bytes->len, back) && back->len == count);
    fast_assert(memcmp(back->data, versions, count * sizeof(Version)) == 0);
    /* Cut off anywhere: what is read are whole runs. */
    gsize cut = (gsize)g_rand_int_range(random, 0, (gint32)bytes->len);
    g_autofree guint8 *part = g_memdup2(bytes->data, cut);
    g_array_set_size(back, 0);
    read_back(part, cut, back);
    fast_assert(back->len < count &&
                memcmp(back->data, versions, back->len * sizeof(Version)) == 0);
  }
}
END_TEST

START_TEST(versions_are_small)
{
  enum { ROWS = 1000 };
  Version versions[ROWS];
  for (guint i = 0; i < ROWS; i++) /* one row in each millisecond */
    versions[i] = (Version){((G_GUINT64_CONSTANT(1790000000000) + i) << 16) + i % 3, 1, 0};
  g_autoptr(GByteArray) single = g_byte_array_new(), all = g_byte_array_new();
  versions_put(all, versions, ROWS);
  ck_assert_uint_le(all->len, 4 * ROWS + 16);
  for (guint i = 1; i < ROWS; i++)
    versions[i] = versions[0];
  versions_put(single, versions, ROWS);
  ck_assert_uint_le(single->len, 16);
}
END_TEST

/* --- bytes of blocks ----------------------------------------------------------------------------
 */

/* A write of random rows and tablets of one device, all with the same columns. */
static Decoded *random_part(GRand *random, guint count, const DataType types[MEASUREMENTS])
{
  TestWrite write = {0};
  gint64 row_times[12];
  guint rows = g_rand_boolean(random) ? 1 : (guint)g_rand_int_range(random, 1, 13);
  Column *columns[MEASUREMENTS];
  for (guint row = 0; row < rows; row++)
    row_times[row] = g_rand_int_range(random, 0, 20);
  for (guint i = 0; i < count; i++) {
    columns[i] = column_new(measurements[i], types[i]);
    for (guint row = 0; row < rows; row++) {
      Value value = random_value(random, types[i]);
      tw_append(columns[i], g_rand_int_range(random, 0, 4) == 0 ? NULL : &value);
    }
    column_finish(columns[i]);
  }
  tw_tablet(&write, "d", row_times, rows, columns, count);
  for (guint i = 0; i < count; i++)
    column_free(columns[i]);
  g_autoptr(GByteArray) bytes = tw_end(&write);
  return decode(bytes);
}

typedef struct Parts {
  GPtrArray *decoded; /* Decoded */
  GArray *parts;      /* MergePart */
  guint rows;
} Parts;

static Parts random_parts(GRand *random, guint most)
{
  static const DataType types[MEASUREMENTS] = {DATA_DOUBLE, DATA_TEXT, DATA_BOOLEAN, DATA_INT32};
  Parts parts = {g_ptr_array_new_with_free_func((GDestroyNotify)store_decoded_free),
                 g_array_new(FALSE, FALSE, sizeof(MergePart)), 0};
  guint columns = (guint)g_rand_int_range(random, 1, MEASUREMENTS + 1);
  guint count = (guint)g_rand_int_range(random, 1, (gint32)most + 1);
  for (guint i = 0; i < count; i++) {
    Decoded *decoded = random_part(random, columns, types);
    g_ptr_array_add(parts.decoded, decoded);
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, 0);
    MergePart part = {{g_rand_int(random) & 15, 1 + (g_rand_int(random) & 1), i},
                      decoded->values->data + block->value_at,
                      block->value_size};
    g_array_append_val(parts.parts, part);
    parts.rows += (guint)store_decoded_rows(decoded);
  }
  return parts;
}

static void parts_clear(Parts *parts)
{
  g_ptr_array_unref(parts->decoded);
  g_array_unref(parts->parts);
}

/* "version time: values", a line for each row, sorted. */
static void put_rows(const Block *block, const Version *key_version, GPtrArray *lines)
{
  g_autofree Version *versions = block_versions(block);
  for (guint row = 0; row < block->rows; row++) {
    const Version *version = versions != NULL ? &versions[row] : key_version;
    GString *line = g_string_new(NULL);
    g_string_append_printf(line, "%" G_GUINT64_FORMAT ".%u.%u %" G_GINT64_FORMAT ":", version->hlc,
                           version->origin, version->ordinal, block_time(block, row));
    guint cursor = 0;
    gsize data_at = 0, size;
    BlockColumn column;
    while (block_next_column(block, &cursor, &data_at, &column)) {
      if (block_is_null(&column, row)) {
        g_string_append(line, " -");
        continue;
      }
      const guint8 *bytes = block_value(block, &column, row, &size);
      g_string_append_c(line, ' ');
      for (gsize i = 0; i < size; i++)
        g_string_append_printf(line, "%02x", bytes[i]);
    }
    g_ptr_array_add(lines, g_string_free(line, FALSE));
  }
}

static int compare_lines(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *lines_of(const MergePart *parts, guint count)
{
  GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < count; i++) {
    Block block;
    fast_assert(block_open(parts[i].bytes, parts[i].size, &block, NULL));
    put_rows(&block, &parts[i].version, lines);
  }
  g_ptr_array_sort(lines, compare_lines);
  return lines;
}

START_TEST(a_merged_block_has_every_row)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(2);
  for (guint round = 0; round < 500; round++) {
    Parts parts = random_parts(random, 12);
    const MergePart *array = (const MergePart *)(const void *)parts.parts->data;
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    MergedBlock merged;
    block_merge(array, parts.parts->len, scratch, &merged);
    MergePart whole = {merged.version, merged.bytes, merged.size};
    g_autoptr(GPtrArray) expected = lines_of(array, parts.parts->len);
    g_autoptr(GPtrArray) got = lines_of(&whole, 1);
    fast_assert(got->len == expected->len && got->len == parts.rows);
    for (guint i = 0; i < got->len; i++)
      fast_assert_msg(strcmp(got->pdata[i], expected->pdata[i]) == 0, "%s\n%s",
                      (char *)got->pdata[i], (char *)expected->pdata[i]);
    Block block;
    RawBlocks counts = {0};
    fast_assert(block_open(merged.bytes, merged.size, &block, NULL));
    fast_assert(merged.min_time == block_time(&block, 0) &&
                merged.max_time == block_time(&block, block.rows - 1));
    if (block.versions != NULL)
      count_mixed(&block, &merged.version, &counts); /* checks the order, too */
    fast_assert((block.versions != NULL) == (parts.parts->len > 1));
    parts_clear(&parts);
  }
}
END_TEST

/* Plain rows, in any order, beside the same rows as blocks of their own. */
START_TEST(plain_rows_merge_as_their_blocks_do)
{
  enum { ROWS = 40, STRIDE = sizeof(PlainRow) + 8 + 8 + 1 + 4 + 3, SIZE = 8 + 3 * 10 + 8 + 13 };
  static const guint8 head[] = {
      1, 0, 3, 0, 1,           0, 0, 0, /* a double, a boolean, an int32 */
      7, 0, 0, 0, DATA_DOUBLE, 0, 8, 0, 0, 0,          9, 1, 0, 0, DATA_BOOLEAN,
      0, 1, 0, 0, 0,           8, 0, 0, 0, DATA_INT32, 0, 4, 0, 0, 0};
  g_autoptr(GRand) random = g_rand_new_with_seed(4);
  for (guint round = 0; round < 300; round++) {
    guint64 rows[ROWS * STRIDE / 8];
    guint8 blocks[ROWS][SIZE];
    MergePart parts[ROWS];
    guint count = (guint)g_rand_int_range(random, 1, ROWS + 1);
    Version version = {1, 1, 0};
    for (guint i = 0; i < count; i++) {
      memcpy(blocks[i], head, sizeof head);
      for (guint k = sizeof head; k < SIZE; k++)
        blocks[i][k] = k > sizeof head && k < sizeof head + 8 ? 0 : g_rand_int(random) & 1;
      version = random_version(random, &version);
      PlainRow *row = (PlainRow *)(void *)((guint8 *)rows + (gsize)i * STRIDE);
      row->version = version;
      memcpy(row->bytes, blocks[i] + sizeof head, SIZE - sizeof head);
      parts[i] = (MergePart){version, blocks[i], SIZE};
      fast_assert(block_plain_head(blocks[i], SIZE) == sizeof head);
    }
    g_autoptr(GByteArray) expected = g_byte_array_new(), got = g_byte_array_new();
    MergedBlock a, b;
    block_merge(parts, count, expected, &a);
    block_merge_plain(head, (const guint8 *)rows, STRIDE, count, got, &b);
    fast_assert(a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0);
    fast_assert(version_compare(&a.version, &b.version) == 0);
    fast_assert(a.min_time == b.min_time && a.max_time == b.max_time);
  }
}
END_TEST

START_TEST(blocks_that_are_no_plain_rows)
{
  enum { SIZE = BLOCK_HEAD_SIZE + BLOCK_COLUMN_SIZE + 8 + 8 };
  guint8 block[SIZE] = {1, 0, 1, 0, 1, 0, 0, 0, 7, 0, 0, 0, DATA_DOUBLE, 0, 8};
  ck_assert_uint_eq(block_plain_head(block, SIZE), BLOCK_HEAD_SIZE + BLOCK_COLUMN_SIZE);
  block[13] = 1; /* a null bitmap */
  ck_assert_uint_eq(block_plain_head(block, SIZE), 0);
  block[13] = 0;
  block[12] = DATA_TEXT;
  ck_assert_uint_eq(block_plain_head(block, SIZE), 0);
  block[12] = DATA_DOUBLE;
  block[4] = 2; /* rows */
  ck_assert_uint_eq(block_plain_head(block, SIZE), 0);
}
END_TEST

/* What passes the check is read without leaving the bytes. */
START_TEST(p8_damaged_bytes_are_refused_or_harmless)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(3);
  guint refused = 0, passed = 0;
  for (guint round = 0; round < HISTORIES(40000); round++) {
    Parts parts = random_parts(random, 4);
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    MergedBlock merged;
    block_merge((const MergePart *)(const void *)parts.parts->data, parts.parts->len, scratch,
                &merged);
    gsize size = merged.size;
    if (g_rand_int_range(random, 0, 4) == 0)
      size = (gsize)g_rand_int_range(random, 0, (gint32)size);
    g_autofree guint8 *bytes = g_memdup2(merged.bytes, size);
    for (guint i = 0; i < 2 && size > 0; i++)
      bytes[g_rand_int_range(random, 0, (gint32)MIN(size, 80))] ^=
          (guint8)(1u << g_rand_int_range(random, 0, 8));
    Block block;
    g_autoptr(GError) error = NULL;
    if (block_open(bytes, size, &block, &error)) {
      g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
      put_rows(&block, &merged.version, lines);
      passed++;
    } else {
      fast_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
      refused++;
    }
    parts_clear(&parts);
  }
  ck_assert_uint_gt(refused, HISTORIES(40000) / 20);
  ck_assert_uint_gt(passed, HISTORIES(40000) / 20);
}
END_TEST

/* Versions that do not cover the rows exactly. */
START_TEST(p8_versions_must_cover_the_rows)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(4);
  for (guint rows = 1; rows < 5; rows++) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    const guint8 head[] = {BLOCK_VERSION_MIXED, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
    const guint8 row_times[3 * 8] = {0};
    g_byte_array_append(bytes, head, sizeof head);
    g_byte_array_append(bytes, row_times, sizeof row_times);
    guint before = bytes->len;
    version_run_put(bytes, &(Version){0}, &(Version){5, 1, 0}, rows);
    bytes->data[8] = (guint8)(bytes->len - before);
    Block block;
    ck_assert_int_eq(block_open(bytes->data, bytes->len, &block, NULL), rows == 3);
  }
}
END_TEST

static gboolean is_hidden(gconstpointer ctx, guint32 measurement, gint64 time,
                          const Version *version)
{
  (void)measurement;
  return time >= 5 && time <= 12 && version->hlc < *(const guint64 *)ctx;
}

/* Taking out by version and time is the same before merging and behind it. */
START_TEST(a_filtered_block_has_what_is_left)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  guint shortened = 0;
  for (guint round = 0; round < 500; round++) {
    Parts parts = random_parts(random, 8);
    guint64 below = g_rand_int(random) & 15;
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    MergedBlock merged;
    block_merge((const MergePart *)(const void *)parts.parts->data, parts.parts->len, scratch,
                &merged);
    Block block, left;
    FilteredBlock filtered;
    fast_assert(block_open(merged.bytes, merged.size, &block, NULL));
    block_filter(&block, &merged.version, is_hidden, &below, &filtered);
    if (filtered.bytes != NULL) {
      RawBlocks counts = {0};
      fast_assert(block_open(filtered.bytes->data, filtered.bytes->len, &left, NULL));
      fast_assert(left.rows <= block.rows && left.rows > 0);
      if (left.versions != NULL)
        count_mixed(&left, &filtered.version, &counts);
      shortened += counts.mixed;
      g_autofree Version *versions = block_versions(&left);
      for (guint row = 0; row < left.rows; row++)
        fast_assert(!is_hidden(&below, 0, block_time(&left, row),
                               versions != NULL ? &versions[row] : &filtered.version));
    }
    filtered_block_clear(&filtered);
    parts_clear(&parts);
  }
  ck_assert_uint_gt(shortened, 50);
}
END_TEST

/* --- the store over them ------------------------------------------------------------------------
 */

static const LogId first = {1, 1}, second = {2, 1}, third = {3, 1};

static void cell(Store *store, LogId log, guint64 index, guint64 hlc, gint64 time, gint32 value)
{
  TestWrite write = {0};
  tw_cell(&write, "d", time, "m", TW_INT32(value));
  apply_write(store, log, index, hlc, &write);
}

static void erase(Store *store, LogId log, guint64 index, guint64 hlc, gint64 from, gint64 to)
{
  TestWrite write = {0};
  tw_delete(&write, "d", NULL, from, to);
  apply_write(store, log, index, hlc, &write);
}

/* All in one block: of three leaders, in disorder, several versions of one time; a delete hides
 * some of them. */
static void put_story(Store *store, guint64 cut)
{
  static const struct {
    guint log;
    guint64 hlc;
    gint64 time;
    gint32 value;
  } rows[] = {{1, 10, 50, 1}, {2, 11, 50, 2}, {3, 12, 49, 3}, {1, 13, 48, 4}, {1, 15, 50, 5},
              {2, 14, 51, 6}, {3, 30, 48, 7}, {2, 20, 50, 8}, {1, 25, 49, 9}, {3, 31, 52, 10}};
  static const LogId ids[] = {{0}, {1, 1}, {2, 1}, {3, 1}};
  guint64 next[4] = {0};
  for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
    if (rows[i].hlc <= cut)
      cell(store, ids[rows[i].log], ++next[rows[i].log], rows[i].hlc, rows[i].time, rows[i].value);
  if (cut >= 22)
    erase(store, (LogId){4, 1}, 1, 22, 49, 51); /* older than one of the values at 49 */
}

static StateDigest digest_at(Store *store, guint64 cut)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) progress = NULL;
  StateDigest digest;
  fast_assert_msg(store_digest(store, &(DigestScope){cut}, &digest, &progress, &error), "%s",
                  error != NULL ? error->message : "");
  return digest;
}

START_TEST(rows_of_one_block_count_each_for_itself)
{
  static const char story[] = "48: m=7\n49: m=9\n52: m=10\n";
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  put_story(store, G_MAXUINT64);
  check_device(store, "d", story);
  for (guint64 cut = 9; cut < 33; cut++) {
    Store *below = open_mem();
    put_story(below, cut);
    ck_assert_msg(same_digest(digest_at(store, cut), digest_of(below)), "cut %u", (guint)cut);
    store_close(below);
  }
  persist(store);
  store_close(store);
  RawBlocks counts = raw_blocks(directory);
  ck_assert_uint_eq(counts.blocks, 1);
  ck_assert_uint_eq(counts.rows, 10);
  ck_assert_uint_eq(counts.many_leaders, 1);
  ck_assert_uint_eq(counts.same_times, 1);

  store = open_rocks(directory);
  check_device(store, "d", story);
  gboolean more = TRUE;
  while (more)
    ck_assert(store_maintain(store, 40, 1, &more, NULL));
  check_device(store, "d", story);
  persist(store);
  store_close(store);
  counts = raw_blocks(directory);
  ck_assert_uint_eq(counts.blocks, 1);
  ck_assert_uint_eq(counts.rows, 4); /* 48 twice, the newest one of 49, 52 */
  store = open_rocks(directory);
  check_device(store, "d", story);
  store_close(store);
  remove_tree(directory);
}
END_TEST

static char *conflicts_text(Store *store)
{
  GString *out = g_string_new(NULL);
  gboolean more = TRUE;
  while (more)
    ck_assert(store_find_conflicts(store, 1, 1, &more, NULL));
  ConflictQuery query = {.limit = 100};
  g_autoptr(ConflictPage) page = store_conflicts(store, &query, NULL);
  for (guint i = 0; i < page->conflicts->len; i++) {
    const Conflict *one = page->conflicts->pdata[i];
    g_string_append_printf(out,
                           "%s at %" G_GINT64_FORMAT " %u@%" G_GUINT64_FORMAT
                           " %u@%" G_GUINT64_FORMAT " x%" G_GUINT64_FORMAT "\n",
                           conflict_kind_name((int)one->kind), one->time, one->winner.origin,
                           one->winner.hlc, one->loser.origin, one->loser.hlc, one->cells);
  }
  return g_string_free(out, FALSE);
}

/* Those that wait stand in one block with what was there before and with what came behind. */
START_TEST(conflicts_are_found_inside_of_a_block)
{
  g_autofree char *directory = make_directory();
  Store *rocks = open_rocks(directory), *mem = open_mem();
  put_story(rocks, G_MAXUINT64);
  put_story(mem, G_MAXUINT64);
  check_text(conflicts_text(rocks), "overwrite at 50 2@11 1@10 x1\n"
                                    "overwrite at 50 1@15 2@11 x1\n"
                                    "overwrite at 48 3@30 1@13 x1\n"
                                    "overwrite at 50 2@20 1@15 x1\n"
                                    "overwrite at 49 1@25 3@12 x1\n"
                                    "delete at 50 4@22 2@20 x2\n");
  g_free(conflicts_text(mem));
  StoreStats a, b;
  store_stats(rocks, &a);
  store_stats(mem, &b);
  ck_assert(memcmp(a.conflicts.by_kind, b.conflicts.by_kind, sizeof a.conflicts.by_kind) == 0);
  store_close(rocks);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

/* However many rows a device gets, blocks are bounded. */
START_TEST(blocks_are_bounded)
{
  enum { ROWS = SANITIZED ? 8000 : 20000 };
  g_autofree char *directory = make_directory();
  Store *store = open_rocks(directory);
  Store *mem = open_mem();
  for (guint i = 0; i < ROWS; i++)
    cell(store, i % 2 == 0 ? first : second, i / 2 + 1, 100 + i, (gint64)(i * 7919 % INTERVAL),
         (gint32)i);
  for (guint i = 0; i < ROWS; i++)
    cell(mem, i % 2 == 0 ? first : second, i / 2 + 1, 100 + i, (gint64)(i * 7919 % INTERVAL),
         (gint32)i);
  g_autofree char *expected = last_text(mem, "d", NULL);
  check_text(last_text(store, "d", NULL), expected);
  store_close(mem);
  persist(store);
  ck_assert_uint_eq(digest_of(store).cells, INTERVAL);
  store_close(store);
  RawBlocks counts = raw_blocks(directory);
  ck_assert_uint_eq(counts.rows, ROWS);
  ck_assert_uint_lt(counts.blocks, ROWS / 100);
  ck_assert_uint_ge(counts.blocks, ROWS * 32 / PILE_SIZE); /* version, time and value of each */
  ck_assert_uint_eq(counts.many_leaders, counts.blocks);
  remove_tree(directory);
}
END_TEST

/* Rows with other columns, of other partitions and large ones stay apart; nothing is lost. */
START_TEST(only_like_rows_share_a_block)
{
  g_autofree char *directory = make_directory();
  Store *rocks = open_rocks(directory), *mem = open_mem();
  static const char *const names[] = {"m", "n"};
  for (guint i = 0; i < 40; i++) {
    TestWrite write = {0};
    g_autofree char *text = g_strnfill(i % 4 == 3 ? 2000 : i, 'x');
    const Value values[] = {TW_TEXT(text), TW_INT32((gint32)i)};
    tw_row(&write, i % 2 == 0 ? "d" : "e", (gint64)i * 10, i % 4 == 0 ? 1 : 2, names, values);
    g_autoptr(GByteArray) bytes = tw_end(&write);
    apply_bytes(rocks, third, i + 1, 100 + i, bytes);
    apply_bytes(mem, third, i + 1, 100 + i, bytes);
  }
  check_same(rocks, mem);
  persist(rocks);
  store_close(rocks);
  RawBlocks counts = raw_blocks(directory);
  ck_assert_uint_eq(counts.rows, 40);
  /* 4 partitions: of "d" both kinds of rows, of "e" the short ones, and ten large ones alone. */
  ck_assert_uint_eq(counts.blocks, 4 + 4 + 4 + 10);
  store_close(mem);
  remove_tree(directory);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {versions_come_back,
                                versions_are_small,
                                a_merged_block_has_every_row,
                                plain_rows_merge_as_their_blocks_do,
                                blocks_that_are_no_plain_rows,
                                p8_damaged_bytes_are_refused_or_harmless,
                                p8_versions_must_cover_the_rows,
                                a_filtered_block_has_what_is_left,
                                rows_of_one_block_count_each_for_itself,
                                conflicts_are_found_inside_of_a_block,
                                blocks_are_bounded,
                                only_like_rows_share_a_block};
  return RUN_SUITE("mixed blocks", tests);
}
