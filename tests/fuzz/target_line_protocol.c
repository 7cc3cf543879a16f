/*
 * Bytes as a body of line protocol. What the reader lets through the store takes, so that a bad
 * line costs itself only: in whatever mixture of devices and fields, the lines become a write that
 * decodes with as many rows. A text is read once and ends.
 */
#include "fuzz/fuzz.h"
#include "http/gunzip.h"
#include "http/series_name.h"
#include "node/line_batch.h"
#include "store/store.h"

enum { INTERVAL = 1000, MOST_UNPACKED = 1 << 20 };

static void check_write(LineBatch *batch, guint64 lines)
{
  line_batch_sort(batch);
  guint64 rows = 0;
  for (guint run = 0; run < line_batch_runs(batch); run++)
    rows += line_batch_run_lines(batch, run);
  g_assert(rows == lines);
  g_autoptr(WriteBuilder) builder = write_builder_new();
  g_assert(line_batch_put(batch, builder) == (lines > 0));
  if (lines == 0)
    return;
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  write_builder_encode(builder, bytes);
  g_autoptr(GError) error = NULL;
  g_autoptr(Decoded) decoded = store_decode(bytes->data, bytes->len, INTERVAL, &error);
  g_assert_no_error(error);
  g_assert(store_decoded_rows(decoded) == lines);
}

/* The name has one meaning, and gives itself again when it is made anew. */
static void check_name(const char *name)
{
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *head = series_name_split(name, found);
  g_autofree SeriesTag *tags = g_new(SeriesTag, found->len / 2 + 1);
  for (guint i = 0; i < found->len; i += 2)
    tags[i / 2] = (SeriesTag){found->pdata[i], found->pdata[i + 1]};
  g_autoptr(GString) again = g_string_new(NULL);
  g_assert(series_name_put(again, head, tags, found->len / 2));
  g_assert_cmpstr(again->str, ==, name);
}

static void read_lines(const char *text, gsize size)
{
  g_autoptr(LineReader) reader = line_reader_new(text, size);
  g_autoptr(LineBatch) batch = line_batch_new();
  guint64 lines = 0;
  for (gsize at = 0;;) {
    g_autoptr(GError) error = NULL;
    LinePoint point;
    LineResult result = line_reader_next(reader, &point, &error);
    g_assert((result == LINE_BAD) == (error != NULL));
    if (result == LINE_END)
      break;
    g_assert(line_reader_offset(reader) > at && line_reader_offset(reader) <= size);
    at = line_reader_offset(reader);
    if (result == LINE_BAD)
      continue;
    g_assert(point.field_count >= 1);
    check_name(point.device);
    gsize line_size;
    const char *line = line_reader_text(reader, &line_size);
    g_assert(line_size > 0 && line >= text && line + line_size <= text + at);
    line_batch_add(batch, &point, point.time, line, line_size);
    lines++;
  }
  check_write(batch, lines);
}

/* The first byte says whether the rest is packed. */
void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  gboolean packed = fuzz_u8(&in) == 'z';
  g_autofree guint8 *exact = g_malloc(MAX(in.left, (gsize)1));
  if (in.left > 0)
    memcpy(exact, in.bytes, in.left);
  if (!packed) {
    read_lines((const char *)exact, in.left);
    return;
  }
  GString *text = gunzip(exact, in.left, MOST_UNPACKED, NULL);
  if (text == NULL)
    return;
  g_assert(text->len <= MOST_UNPACKED);
  read_lines(text->str, text->len);
  g_string_free(text, TRUE);
}

void fuzz_seeds(void)
{
  static const char lines[] =
      "-cpu,host=a,core=0 usage=12.5,n=5i,up=t,name=\"x, \\\"y\\\"\" 1700000000000\n"
      "cpu,core=0,host=a usage=13 1700000001000\r\n# comment\n\n  mem,h\\ o=a\\,b free=7u\n";
  static const char mixed[] =
      "-a f=1 1\nb f=1i 1\na f=2 1\na g=\"t\",f=3 2\nb f=2i\na f=3i,f=4 -5\n";
  static const char bad[] =
      "-m\nm f\nm f=NaN\nm,t f=1\nm f=\"open\nm f=1 x\n,a=b c=1\nm,a=1,a=2 f=1\n";
  static const char packed[] = "z\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x55\x48\xb3\x35\xe4"
                               "\x02\x00\x93\xa2\x1f\xd0\x06\x00\x00\x00";
  fuzz_seed("lines", lines, sizeof lines - 1);
  fuzz_seed("mixed", mixed, sizeof mixed - 1);
  fuzz_seed("bad", bad, sizeof bad - 1);
  fuzz_seed("packed", packed, sizeof packed - 1);
}
