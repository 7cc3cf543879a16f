/* The parser of writes: what it takes, what it refuses and with which words, and that no bytes make
 * it read where it must not (that part shows under the sanitizers). */
#include "store/block.h"
#include "store/decoded.h"

#include "base/limits.h"
#include "tools.h"

static const LogId test_log = {1, 1};

/*
 * Bytes of a write, in a notation of our own; words with spaces between:
 *   L3:12:1  list field 3 of 1 element of wire type 12    S1=x  string field 1      s=x  string
 *   i2=5     i32 field                                    l2=5  i64 field           F8:7 field head
 *   B3=00ff  binary field, hex                            x00ff bytes, hex          .    stop
 */
static void put_hex(GByteArray *out, const char *hex)
{
  for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
    tw_u8(out, (guint8)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1])));
}

static void put_word(GByteArray *out, const char *word)
{
  const char *equals = strchr(word, '=');
  guint64 number = g_ascii_strtoull(word + 1, NULL, 10);
  if (word[0] == '.') {
    tw_u8(out, TW_STOP);
  } else if (word[0] == 'x') {
    put_hex(out, word + 1);
  } else if (word[0] == 's') {
    tw_text(out, equals + 1);
  } else if (word[0] == 'S') {
    tw_text_field(out, (guint16)number, equals + 1);
  } else if (word[0] == 'B') {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    put_hex(bytes, equals + 1);
    tw_field(out, TW_STRING, (guint16)number);
    tw_bytes(out, bytes->data, bytes->len);
  } else if (word[0] == 'i') {
    tw_field(out, TW_I32, (guint16)number);
    tw_be32(out, (guint32)g_ascii_strtoll(equals + 1, NULL, 10));
  } else if (word[0] == 'l') {
    tw_i64_field(out, (guint16)number, g_ascii_strtoll(equals + 1, NULL, 10));
  } else {
    guint a, b, c;
    gboolean is_list = sscanf(word, "L%u:%u:%u", &a, &b, &c) == 3;
    if (is_list)
      tw_list_field(out, (guint16)a, (guint8)b, c);
    else if (sscanf(word, "F%u:%u", &a, &b) == 2)
      tw_field(out, (guint8)a, (guint16)b);
    else
      ck_abort_msg("no word: %s", word);
  }
}

static GByteArray *encode(const char *notation)
{
  GByteArray *out = g_byte_array_new();
  g_auto(GStrv) words = g_strsplit(notation, " ", -1);
  for (guint i = 0; words[i] != NULL; i++)
    if (words[i][0] != '\0')
      put_word(out, words[i]);
  return out;
}

#define VALUE "F8:2 x00000001 . "
#define ROW "S1=d l2=5 L3:11:1 s=m L4:12:1 " VALUE ". "
#define TIME "0000000000000000"

typedef struct Refusal {
  const char *write;
  SynclogStatus code;
  const char *message; /* a part of it */
} Refusal;

static void check_refusal(const Refusal *refusal)
{
  g_autoptr(GByteArray) bytes = encode(refusal->write);
  g_autoptr(GError) error = NULL;
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, &error);
  ck_assert_msg(decoded == NULL, "taken: %s", refusal->write);
  ck_assert_msg(g_error_matches(error, SYNCLOG_ERROR, (int)refusal->code) &&
                    strstr(error->message, refusal->message) != NULL,
                "%s\ngave %d: %s\nexpected %d: %s", refusal->write, error->code, error->message,
                (int)refusal->code, refusal->message);
}

static void check_refusals(const Refusal *refusals, guint count)
{
  for (guint i = 0; i < count; i++)
    check_refusal(&refusals[i]);
}

START_TEST(refuses_malformed_structure)
{
  static const Refusal refusals[] = {
      {".", SYNCLOG_INVALID, "the write is empty"},
      {"L1:12:0 L2:12:0 L3:12:0 .", SYNCLOG_INVALID, "the write is empty"},
      {"", SYNCLOG_INVALID, "malformed write at byte 0 of 0"},
      {"L2:12:1 " ROW ". x00", SYNCLOG_INVALID, "1 bytes behind the end"},
      {"L2:12:1 " ROW, SYNCLOG_INVALID, "malformed write"},
      {"L2:12:1 " ROW "L2:12:1 " ROW ".", SYNCLOG_INVALID, "field 2 comes twice"},
      {"L2:12:1 " ROW "L1:12:1 S1=d l3=0 l4=1 . .", SYNCLOG_INVALID, "must come in this order"},
      {"L2:12:1 " ROW "i4=1 .", SYNCLOG_INVALID, "field 4 of type 8 is not known"},
      {"L2:12:1 " ROW "i31=1 .", SYNCLOG_INVALID, "field 31 of type 8 is not known"},
      {"L2:12:1 " ROW "i32=1 .", SYNCLOG_INVALID, "malformed"},
      {"L2:12:1 " ROW "F8:0 x00000000 .", SYNCLOG_INVALID, "malformed"},
      {"i2=1 .", SYNCLOG_INVALID, "field 2 of type 8 is not known"},
      {"L2:11:1 s=x .", SYNCLOG_INVALID, "rows: malformed"},
      {"L2:12:4294967295 " ROW ".", SYNCLOG_INVALID, "rows: malformed"},
      {"L2:12:2147483648 " ROW ".", SYNCLOG_INVALID, "rows: malformed"},
  };
  check_refusals(refusals, G_N_ELEMENTS(refusals));
}
END_TEST

START_TEST(refuses_malformed_rows)
{
  static const Refusal refusals[] = {
      {"L2:12:1 l2=5 L3:11:1 s=m L4:12:1 " VALUE ". .", SYNCLOG_INVALID,
       "rows[0].device, timestamp"},
      {"L2:12:1 S1=d L3:11:1 s=m L4:12:1 " VALUE ". .", SYNCLOG_INVALID, "are required"},
      {"L2:12:1 S1=d l2=5 . .", SYNCLOG_INVALID, "are required"},
      {"L2:12:1 S1=d l2=5 L4:12:1 " VALUE "L3:11:1 s=m . .", SYNCLOG_INVALID,
       "measurements must come before values"},
      {"L2:12:2 " ROW "S1= l2=5 L3:11:1 s=m L4:12:1 " VALUE ". .", SYNCLOG_INVALID,
       "rows[1].device: the name is empty"},
      {"L2:12:1 S1=d l2=5 L3:11:0 L4:12:0 . .", SYNCLOG_INVALID, "at least one value"},
      {"L2:12:1 S1=d l2=5 L3:11:2 s=m s=n L4:12:1 " VALUE ". .", SYNCLOG_INVALID,
       "rows[0].1 values for 2 measurements"},
      {"L2:12:1 S1=d l2=5 L3:11:2 s=m s=m L4:12:2 " VALUE VALUE ". .", SYNCLOG_INVALID,
       "rows[0].measurement \"m\" comes twice"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 . . .", SYNCLOG_INVALID,
       "values: \"m\": a value must have exactly one field"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 F8:2 x00000001 F2:1 x01 . . .", SYNCLOG_INVALID,
       "exactly one field"},
      /* What follows the second field's head would read as the end of the struct. */
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 F8:2 x00000001 F2:1 x00 . .", SYNCLOG_INVALID,
       "exactly one field"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 F10:2 x0000000000000001 . . .", SYNCLOG_INVALID,
       "field 2 of type 10 is not known"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 F8:7 x00000001 . . .", SYNCLOG_INVALID,
       "field 7 of type 8 is not known"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 F2:1 x02 . . .", SYNCLOG_INVALID, "neither 0 nor 1"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 B6=ff . . .", SYNCLOG_INVALID, "no UTF-8"},
      {"L2:12:1 S1=d l2=5 L3:11:1 s=m L4:12:1 B6=6100 . . .", SYNCLOG_INVALID, "NUL"},
      {"L2:12:1 S1=d S1=d .", SYNCLOG_INVALID, "rows[0].field 1 comes twice"},
      {"L2:12:1 i1=4 .", SYNCLOG_INVALID, "rows[0].field 1 of type 8"},
      {"L2:12:1 S1=d l2=5 L3:11:5000 s=m .", SYNCLOG_INVALID, "measurements: malformed"},
  };
  check_refusals(refusals, G_N_ELEMENTS(refusals));
}
END_TEST

START_TEST(refuses_malformed_tablets)
{
  static const Refusal refusals[] = {
      {"L3:12:1 S1=d i2=0 .", SYNCLOG_INVALID, "tablets[0].rowCount must be 1 or more"},
      {"L3:12:1 S1=d i2=-1 .", SYNCLOG_INVALID, "rowCount must be 1 or more"},
      {"L3:12:1 S1=d i2=1000001 .", SYNCLOG_TOO_LARGE, "1000001 rows, at most 1000000"},
      {"L3:12:1 S1=d L4:12:1 . .", SYNCLOG_INVALID, "rowCount must come before columns"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " . .", SYNCLOG_INVALID, "are required"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:0 . .", SYNCLOG_INVALID, "at least one column"},
      {"L3:12:1 S1=d i2=2 B3=" TIME " L4:12:1 S1=m i2=1 B3=0001 . . .", SYNCLOG_INVALID,
       "tablets[0].timestamps: 8 bytes, 16 expected"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=temp i2=5 B3=0102 . . .", SYNCLOG_INVALID,
       "tablets[0].columns[0] \"temp\": values: 2 bytes, 8 expected"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:2 S1=m i2=1 B3=01 . S1=m i2=1 B3=01 . . .",
       SYNCLOG_INVALID, "measurement \"m\" comes twice"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=7 B3=01 . . .", SYNCLOG_INVALID,
       "type: 7 is none"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=0 B3= . . .", SYNCLOG_INVALID,
       "type: 0 is none"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=1 . . .", SYNCLOG_INVALID,
       "measurement, type and values are required"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=1 B3=02 . . .", SYNCLOG_INVALID,
       "row 0 is neither 0 nor 1"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=1 B3=01 B4= . . .", SYNCLOG_INVALID,
       "nulls: 0 bytes, 1 expected"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=1 B3=01 B4=02 . . .", SYNCLOG_INVALID,
       "nulls: bits behind the last row"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=6 B3=0000000002000000ff61 . . .",
       SYNCLOG_INVALID, "row 0 is no UTF-8"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=6 B3=00000000ffffffff . . .", SYNCLOG_INVALID,
       "offset 4294967295 of row 0"},
      {"L3:12:1 S1=d i2=1 B3=" TIME " L4:12:1 S1=m i2=1 B3=01 i5=1 . . .", SYNCLOG_INVALID,
       "tablets[0].columns[0] field 5"},
  };
  check_refusals(refusals, G_N_ELEMENTS(refusals));
}
END_TEST

START_TEST(refuses_malformed_deletes)
{
  static const Refusal refusals[] = {
      {"L1:12:1 S1=d l3=2 l4=1 . .", SYNCLOG_INVALID, "deletes[0].startTime is behind endTime"},
      {"L1:12:1 S1=d l3=2 . .", SYNCLOG_INVALID, "startTime and endTime are required"},
      {"L1:12:1 l3=2 l4=3 . .", SYNCLOG_INVALID, "are required"},
      {"L1:12:1 S1=d L2:11:0 l3=2 l4=3 . .", SYNCLOG_INVALID, "leave the list out"},
      {"L1:12:1 S1=d L2:11:1 s= l3=2 l4=3 . .", SYNCLOG_INVALID, "the name is empty"},
      {"L1:12:1 S1=d l3=2 l4=3 i5=1 . .", SYNCLOG_INVALID, "field 5"},
  };
  check_refusals(refusals, G_N_ELEMENTS(refusals));
}
END_TEST

static gboolean takes_name(const char *name, gsize size, SynclogStatus *out_code)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  tw_list_field(bytes, 1, TW_STRUCT, 1);
  tw_field(bytes, TW_STRING, 1);
  tw_bytes(bytes, name, size);
  tw_i64_field(bytes, 3, 0);
  tw_i64_field(bytes, 4, 0);
  tw_u8(bytes, TW_STOP);
  tw_u8(bytes, TW_STOP);
  g_autoptr(GError) error = NULL;
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, &error);
  *out_code = decoded != NULL ? SYNCLOG_OK : (SynclogStatus)error->code;
  return decoded != NULL;
}

START_TEST(names_are_bounded_text)
{
  SynclogStatus code;
  g_autofree char *longest = g_strnfill(LIMIT_NAME_SIZE, 'x');
  g_autofree char *too_long = g_strnfill(LIMIT_NAME_SIZE + 1, 'x');
  ck_assert(takes_name(longest, LIMIT_NAME_SIZE, &code));
  ck_assert(!takes_name(too_long, LIMIT_NAME_SIZE + 1, &code));
  ck_assert_int_eq((int)code, SYNCLOG_TOO_LARGE);
  static const char *const good[] = {"a", " ", "~", "\xc2\xa0", "\xc3\xbc", "root.sg.\xe6\xb8\xa9"};
  for (guint i = 0; i < G_N_ELEMENTS(good); i++)
    ck_assert_msg(takes_name(good[i], strlen(good[i]), &code), "name %u", i);
  static const char *const bad[] = {"a\n",  "\x1f",         "\x7f", "\xc2\x85",
                                    "\xc3", "\xed\xa0\x80", "\xff"};
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    ck_assert_msg(!takes_name(bad[i], strlen(bad[i]), &code), "name %u", i);
    ck_assert_int_eq((int)code, SYNCLOG_INVALID);
  }
  ck_assert(!takes_name("a\0b", 3, &code));
}
END_TEST

static SynclogStatus outcome(TestWrite *write)
{
  g_autoptr(GByteArray) bytes = tw_end(write);
  g_autoptr(GError) error = NULL;
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, &error);
  return decoded != NULL ? SYNCLOG_OK : (SynclogStatus)error->code;
}

static SynclogStatus outcome_of_parts(guint deletes, guint rows)
{
  TestWrite write = {0};
  for (guint i = 0; i < deletes; i++)
    tw_delete(&write, "d", NULL, 0, 1);
  for (guint i = 0; i < rows; i++)
    tw_cell(&write, "d", i, "m", TW_BOOLEAN(TRUE));
  return outcome(&write);
}

START_TEST(parts_are_counted_together)
{
  ck_assert_int_eq((int)outcome_of_parts(0, LIMIT_WRITE_PARTS), SYNCLOG_OK);
  ck_assert_int_eq((int)outcome_of_parts(0, LIMIT_WRITE_PARTS + 1), SYNCLOG_TOO_LARGE);
  ck_assert_int_eq((int)outcome_of_parts(2, LIMIT_WRITE_PARTS - 2), SYNCLOG_OK);
  ck_assert_int_eq((int)outcome_of_parts(2, LIMIT_WRITE_PARTS - 1), SYNCLOG_TOO_LARGE);
}
END_TEST

static SynclogStatus outcome_of_text(gsize size)
{
  g_autofree char *text = g_strnfill(size, 'x');
  TestWrite write = {0};
  tw_cell(&write, "d", 0, "m", TW_TEXT(text));
  return outcome(&write);
}

START_TEST(sizes_are_bounded)
{
  ck_assert_int_eq((int)outcome_of_text(LIMIT_TEXT_SIZE), SYNCLOG_OK);
  ck_assert_int_eq((int)outcome_of_text(LIMIT_TEXT_SIZE + 1), SYNCLOG_TOO_LARGE);
  g_autofree guint8 *bytes = g_malloc0(LIMIT_ENTRY_SIZE + 1);
  g_autoptr(GError) error = NULL;
  ck_assert_ptr_null(store_decode(bytes, LIMIT_ENTRY_SIZE + 1, INTERVAL, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  /* As many columns as there may be, then one more. */
  for (guint count = LIMIT_TABLET_COLUMNS; count <= LIMIT_TABLET_COLUMNS + 1; count++) {
    TestWrite write = {0};
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree Value *values = g_new0(Value, count);
    for (guint i = 0; i < count; i++) {
      g_ptr_array_add(names, g_strdup_printf("m%u", i));
      values[i] = TW_INT32((gint32)i);
    }
    tw_row(&write, "d", 0, count, (const char *const *)names->pdata, values);
    ck_assert_int_eq((int)outcome(&write),
                     count == LIMIT_TABLET_COLUMNS ? SYNCLOG_OK : SYNCLOG_TOO_LARGE);
  }
}
END_TEST

/* --- what is taken ------------------------------------------------------------------------------
 */

START_TEST(splits_and_sorts)
{
  static const gint64 times[] = {250, -1, 0, 99, 100, -100, -101, 250, G_MAXINT64, G_MININT64};
  g_autoptr(Column) column = column_new("m", DATA_INT64);
  for (guint i = 0; i < G_N_ELEMENTS(times); i++)
    tw_append(column, &TW_INT64(i));
  TestWrite write = {0};
  tw_tablet(&write, "d", times, G_N_ELEMENTS(times), &column, 1);
  g_autoptr(GByteArray) bytes = tw_end(&write);
  g_autoptr(Decoded) decoded = decode(bytes);
  ck_assert_uint_eq(store_decoded_points(decoded), 10);
  ck_assert_uint_eq(store_decoded_rows(decoded), 10);
  static const struct {
    gint64 partition, min_time, max_time;
    guint rows;
  } blocks[] = {{-92233720368547759, G_MININT64, G_MININT64, 1},
                {-2, -101, -101, 1},
                {-1, -100, -1, 2},
                {0, 0, 99, 2},
                {1, 100, 100, 1},
                {2, 250, 250, 2},
                {92233720368547758, G_MAXINT64, G_MAXINT64, 1}};
  ck_assert_uint_eq(decoded->blocks->len, G_N_ELEMENTS(blocks));
  ck_assert_uint_eq(decoded->columns->len, 1);
  for (guint i = 0; i < G_N_ELEMENTS(blocks); i++) {
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    Block opened;
    ck_assert(
        block_open(decoded->values->data + block->value_at, block->value_size, &opened, NULL));
    ck_assert_int_eq(block->partition, blocks[i].partition);
    ck_assert_int_eq(block->min_time, blocks[i].min_time);
    ck_assert_int_eq(block->max_time, blocks[i].max_time);
    ck_assert_uint_eq(opened.rows, blocks[i].rows);
    ck_assert_int_eq(block_time(&opened, 0), blocks[i].min_time);
  }
}
END_TEST

START_TEST(partition_arithmetic)
{
  ck_assert_int_eq(partition_of(G_MININT64, 1), G_MININT64);
  ck_assert_int_eq(partition_of(G_MAXINT64, 1), G_MAXINT64);
  ck_assert_int_eq(partition_of(-1, G_MAXINT64), -1);
  ck_assert_int_eq(partition_of(G_MININT64, G_MAXINT64), -2);
  ck_assert_int_eq(partition_of(G_MININT64, G_MAXUINT64), -1);
  ck_assert_int_eq(partition_of(G_MAXINT64, G_MAXUINT64), 0);
  ck_assert_int_eq(partition_of(-1, (guint64)G_MAXINT64 + 1), -1);
}
END_TEST

/* Rows of one device with the same measurements share a block; whatever comes between ends it. */
START_TEST(joins_rows)
{
  static const char *const names[] = {"a", "b"};
  static const char *const swapped[] = {"b", "a"};
  const Value values[] = {TW_FLOAT64(1), TW_FLOAT64(2)};
  const Value texts[] = {TW_FLOAT64(1), TW_TEXT("x")};
  const Value others[] = {TW_FLOAT64(1), TW_INT64(2)};
  TestWrite write = {0};
  for (guint i = 0; i < 5; i++)
    tw_row(&write, "d", 10 - i, 2, names, values); /* 1 block, one column list */
  tw_row(&write, "d", 200, 2, names, values);      /* + 1 block */
  tw_row(&write, "e", 20, 2, names, values);       /* + 1 */
  tw_row(&write, "e", 20, 2, swapped, values);     /* + 1 */
  tw_row(&write, "e", 20, 2, swapped, others);     /* + 1 */
  tw_row(&write, "e", 21, 2, names, texts);        /* + 1 */
  tw_row(&write, "e", 22, 2, names, texts);        /* + 1 */
  g_autoptr(GByteArray) bytes = tw_end(&write);
  g_autoptr(Decoded) decoded = decode(bytes);
  ck_assert_uint_eq(decoded->blocks->len, 7);
  ck_assert_uint_eq(decoded->columns->len, 12);
  ck_assert_uint_eq(store_decoded_points(decoded), 22);
  ck_assert_uint_eq(store_decoded_rows(decoded), 11);
  static const guint32 ordinals[] = {0, 0, 6, 7, 8, 9, 10};
  for (guint i = 0; i < 7; i++)
    ck_assert_uint_eq(g_array_index(decoded->blocks, DecodedBlock, i).ordinal, ordinals[i]);
}
END_TEST

/* --- hostile bytes ------------------------------------------------------------------------------
 */

/* A write with all that there is in it. */
static GByteArray *rich_write(void)
{
  static const char *const names[] = {"bool", "int32", "int64", "float", "double", "text", NULL};
  const Value values[] = {TW_BOOLEAN(TRUE), TW_INT32(-5),     TW_INT64(G_MININT64),
                          TW_FLOAT32(1.5f), TW_FLOAT64(-2.5), TW_TEXT("gr\xc3\xbcn")};
  static const gint64 times[] = {5, 4, 300, 4, -7};
  Column *columns[6];
  for (guint i = 0; i < 6; i++) {
    columns[i] = column_new(names[i], values[i].type);
    for (guint row = 0; row < 5; row++)
      tw_append(columns[i], i % 2 == 1 && row == 2 ? NULL : &values[i]);
    column_finish(columns[i]);
  }
  TestWrite write = {0};
  tw_delete(&write, "device", names, -5, 5);
  tw_delete(&write, "other", NULL, G_MININT64, G_MAXINT64);
  tw_row(&write, "device", 7, 6, names, values);
  tw_row(&write, "device", 8, 5, names, values);
  tw_row(&write, "device", 9, 5, names, values);
  tw_tablet(&write, "device", times, 5, columns, 6);
  for (guint i = 0; i < 6; i++)
    column_free(columns[i]);
  return tw_end(&write);
}

START_TEST(every_prefix_is_refused)
{
  g_autoptr(GByteArray) bytes = rich_write();
  for (guint size = 0; size < bytes->len; size++) {
    g_autoptr(GError) error = NULL;
    fast_assert(store_decode(bytes->data, size, INTERVAL, &error) == NULL);
    fast_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  }
  g_autoptr(Decoded) decoded = decode(bytes);
  ck_assert_uint_eq(store_decoded_points(decoded), 6 + 5 + 5 + 27);
}
END_TEST

static void mutate(GRand *random, GByteArray *bytes)
{
  static const guint8 edges[] = {0, 1, 2, 8, 10, 11, 12, 15, 0x7F, 0x80, 0xFF};
  guint changes = 1 + (guint)g_rand_int_range(random, 0, 3);
  for (guint i = 0; i < changes; i++) {
    guint at = (guint)g_rand_int_range(random, 0, (gint32)bytes->len);
    switch (g_rand_int_range(random, 0, 5)) {
    case 0:
      bytes->data[at] ^= (guint8)(1u << g_rand_int_range(random, 0, 8));
      break;
    case 1:
      bytes->data[at] = edges[g_rand_int_range(random, 0, G_N_ELEMENTS(edges))];
      break;
    case 2:
      bytes->data[at] = (guint8)g_rand_int(random);
      break;
    case 3: /* cut a piece out */
      g_byte_array_remove_range(bytes, at, MIN(bytes->len - at, 1 + at % 9));
      break;
    case 4: { /* repeat a piece */
      guint size = MIN(bytes->len - at, 1 + at % 9);
      g_autofree guint8 *piece = g_memdup2(bytes->data + at, size);
      g_byte_array_append(bytes, piece, size);
      break;
    }
    }
    if (bytes->len == 0)
      tw_u8(bytes, 0);
  }
}

/* Whatever is taken can be applied: the reference opens and walks every block of it. */
START_TEST(mutations_are_refused_or_sound)
{
  const guint rounds = HISTORIES(120000);
  g_autoptr(GRand) random = g_rand_new_with_seed(20260101);
  g_autoptr(GByteArray) whole = rich_write();
  guint taken = 0;
  for (guint round = 0; round < rounds; round++) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, whole->data, whole->len);
    mutate(random, bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, &error);
    fast_assert((decoded == NULL) == (error != NULL));
    if (decoded == NULL) {
      fast_assert(error->code == SYNCLOG_INVALID || error->code == SYNCLOG_TOO_LARGE);
      continue;
    }
    taken++;
    Store *store = open_mem();
    StoreEntry entry = {test_log, 1, 1, decoded};
    fast_assert(store_apply(store, &entry, 1, NULL));
    digest_of(store);
    store_close(store);
  }
  /* Both ways are taken often. */
  ck_assert_uint_gt(taken, rounds / 20);
  ck_assert_uint_lt(taken, rounds / 2);
}
END_TEST

/* --- what a thread decoded before ---------------------------------------------------------------
 */

typedef struct Attempt {
  const GByteArray *bytes;
  Decoded *decoded;
  GError *error;
} Attempt;

static gpointer attempt(gpointer data)
{
  Attempt *one = data;
  one->decoded = store_decode(one->bytes->data, one->bytes->len, INTERVAL, &one->error);
  return NULL;
}

static void check_same_outcome(const Attempt *a, const Attempt *b)
{
  fast_assert((a->decoded == NULL) == (b->decoded == NULL));
  if (a->decoded == NULL) {
    fast_assert(strcmp(a->error->message, b->error->message) == 0);
    return;
  }
  fast_assert(a->decoded->blocks->len == b->decoded->blocks->len);
  for (guint i = 0; i < a->decoded->blocks->len; i++) {
    const DecodedBlock *x = &g_array_index(a->decoded->blocks, DecodedBlock, i);
    const DecodedBlock *y = &g_array_index(b->decoded->blocks, DecodedBlock, i);
    fast_assert(x->ordinal == y->ordinal && x->partition == y->partition);
    fast_assert(x->min_time == y->min_time && x->max_time == y->max_time);
    fast_assert(x->device.size == y->device.size);
    fast_assert(memcmp(x->device.bytes, y->device.bytes, x->device.size) == 0);
  }
  const List *columns = a->decoded->columns, *others = b->decoded->columns;
  fast_assert(a->decoded->values->len == b->decoded->values->len && columns->len == others->len);
  fast_assert(memcmp(a->decoded->values->data, b->decoded->values->data, a->decoded->values->len) ==
              0);
  for (guint i = 0; i < columns->len; i++) {
    const DecodedColumn *x = &g_array_index(columns, DecodedColumn, i);
    const DecodedColumn *y = &g_array_index(others, DecodedColumn, i);
    fast_assert(x->type == y->type && x->measurement.size == y->measurement.size);
    fast_assert(memcmp(x->measurement.bytes, y->measurement.bytes, x->measurement.size) == 0);
  }
}

static GByteArray *random_rows(GRand *random)
{
  static const char *const names[] = {"a", "b", "aa", "temperature", "temperaturf"};
  TestWrite write = {0};
  for (guint rows = (guint)g_rand_int_range(random, 1, 4); rows > 0; rows--) {
    const char *chosen[4];
    Value values[4];
    guint count = (guint)g_rand_int_range(random, 1, 5);
    for (guint i = 0; i < count; i++) { /* now and then one comes twice */
      chosen[i] = names[g_rand_int_range(random, 0, G_N_ELEMENTS(names))];
      values[i] = g_rand_boolean(random) ? TW_FLOAT64(i) : TW_INT32((gint32)i);
    }
    tw_row(&write, "d", g_rand_int_range(random, 0, 9), count, chosen, values);
  }
  return tw_end(&write);
}

/* Here, and in a thread that remembers nothing. TRUE: it is good. */
static gboolean decodes_the_same_anew(const GByteArray *bytes)
{
  Attempt here = {.bytes = bytes}, anew = {.bytes = bytes};
  attempt(&here);
  g_thread_join(g_thread_new("anew", attempt, &anew));
  check_same_outcome(&here, &anew);
  gboolean good = here.decoded != NULL;
  g_clear_pointer(&here.decoded, store_decoded_free);
  g_clear_pointer(&anew.decoded, store_decoded_free);
  g_clear_error(&here.error);
  g_clear_error(&anew.error);
  return good;
}

/* A thread remembers the last names: a new one decodes all the same. */
START_TEST(p3_what_was_decoded_before_changes_nothing)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  guint taken = 0, refused = 0;
  for (guint round = 0; round < 3000; round++) {
    g_autoptr(GByteArray) bytes = random_rows(random);
    if (round % 4 == 3)
      bytes->data[g_rand_int_range(random, 0, (gint32)bytes->len)] ^=
          (guint8)(1u << g_rand_int_range(random, 0, 8));
    if (round % 8 == 5)
      g_byte_array_set_size(bytes, (guint)g_rand_int_range(random, 0, (gint32)bytes->len));
    gboolean good = decodes_the_same_anew(bytes);
    taken += good;
    refused += !good;
  }
  ck_assert_uint_gt(taken, 500);
  ck_assert_uint_gt(refused, 500);
}
END_TEST

static GByteArray *usual_rows(const char *device, guint rows)
{
  static const char *const names[] = {"m0", "m1", "m2"};
  const Value values[] = {TW_FLOAT64(1.5), TW_INT64(-7), TW_FLOAT64(2)};
  TestWrite write = {0};
  for (guint i = 0; i < rows; i++)
    tw_row(&write, device, 5 + i, G_N_ELEMENTS(names), names, values);
  return tw_end(&write);
}

/* With names that are known, the usual form of a row has a short way of its own. */
START_TEST(p3_the_short_way_is_as_strict)
{
  static const struct {
    const char *device;
    gboolean good;
  } devices[] = {{"d", TRUE},
                 {"root.line.0001", TRUE},
                 {"0123456 ~", TRUE},
                 {"ger\xC3\xA4t567", TRUE},
                 {"", FALSE},
                 {"012\x1F"
                  "4567",
                  FALSE},
                 {"0123456\x7F", FALSE},
                 {"01234567\x1F", FALSE},
                 {"012345678\x7F", FALSE},
                 {"\xC3"
                  "1234567",
                  FALSE}};
  g_autoptr(GRand) random = g_rand_new_with_seed(11);
  g_autoptr(GByteArray) before = usual_rows("d", 1);
  guint taken = 0, refused = 0;
  for (guint round = 0; round < HISTORIES(6000); round++) {
    guint which = round % G_N_ELEMENTS(devices);
    g_autoptr(GByteArray) bytes = usual_rows(devices[which].device, 1 + round % 3);
    store_decoded_free(decode(before)); /* so the names are known */
    ck_assert_int_eq(decodes_the_same_anew(bytes), devices[which].good);
    store_decoded_free(decode(before));
    mutate(random, bytes);
    gboolean good = decodes_the_same_anew(bytes);
    taken += good;
    refused += !good;
  }
  ck_assert_uint_gt(taken, HISTORIES(6000) / 40);
  ck_assert_uint_gt(refused, HISTORIES(6000) / 2);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {refuses_malformed_structure,
                                refuses_malformed_rows,
                                refuses_malformed_tablets,
                                refuses_malformed_deletes,
                                names_are_bounded_text,
                                parts_are_counted_together,
                                sizes_are_bounded,
                                splits_and_sorts,
                                partition_arithmetic,
                                joins_rows,
                                every_prefix_is_refused,
                                mutations_are_refused_or_sound,
                                p3_what_was_decoded_before_changes_nothing,
                                p3_the_short_way_is_as_strict};
  return RUN_SUITE("store write", tests);
}
