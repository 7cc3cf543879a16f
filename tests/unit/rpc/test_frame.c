#include "base/bytes.h"
#include "base/limits.h"
#include "rpc/frame.h"
#include "support/suite.h"

/* A reader with its pool, and a place for what it cuts. */
typedef struct Rig {
  FrameBudget *budget;
  FramePool pool;
  FrameReader reader;
  GPtrArray *frames; /* Frame*, released by rig_end */
} Rig;

static void frame_free(gpointer data)
{
  frame_release(data);
  g_free(data);
}

static Rig rig_begin(gsize max_frame_size)
{
  Rig rig = {.budget = frame_budget_new(), .frames = g_ptr_array_new_with_free_func(frame_free)};
  frame_pool_init(&rig.pool, rig.budget);
  frame_reader_init(&rig.reader, max_frame_size);
  return rig;
}

/* Whatever happened before, no byte stays in use. */
static void rig_end(Rig *rig)
{
  g_ptr_array_unref(rig->frames);
  frame_reader_clear(&rig->reader);
  ck_assert_uint_eq(frame_budget_used(rig->budget), 0);
  frame_pool_clear(&rig->pool);
  frame_budget_unref(rig->budget);
}

/* Cuts all complete frames; the verdict that ended it. */
static FrameVerdict cut(Rig *rig)
{
  for (;;) {
    Frame frame;
    FrameVerdict verdict = frame_reader_next(&rig->reader, &rig->pool, &frame);
    if (verdict != FRAME_READY)
      return verdict;
    g_ptr_array_add(rig->frames, g_memdup2(&frame, sizeof frame));
  }
}

/* Delivers as readv would, at most `step` bytes at a time. */
static FrameVerdict feed(Rig *rig, const guint8 *bytes, gsize size, gsize step)
{
  gsize at = 0;
  while (at < size) {
    struct iovec room[2];
    guint pieces = frame_reader_room(&rig->reader, &rig->pool, room);
    gsize given = 0;
    for (guint i = 0; i < pieces; i++) {
      gsize n = MIN(MIN(room[i].iov_len, size - at - given), step - given);
      memcpy(room[i].iov_base, bytes + at + given, n);
      given += n;
    }
    fast_assert(given > 0);
    frame_reader_filled(&rig->reader, &rig->pool, given);
    at += given;
    if (cut(rig) == FRAME_BAD)
      return FRAME_BAD;
  }
  return FRAME_NONE;
}

/* A frame of `size` bytes that depend on `number`. */
static void put_frame(GByteArray *stream, gsize size, guint number)
{
  guint8 length[4];
  store_be32(length, (guint32)size);
  g_byte_array_append(stream, length, 4);
  for (gsize i = 0; i < size; i++) {
    guint8 byte = (guint8)(number * 31 + i * 7);
    g_byte_array_append(stream, &byte, 1);
  }
}

static void check_frame(const Frame *frame, gsize size, guint number)
{
  fast_assert_msg(frame->size == size, "frame %u has %zu bytes instead of %zu", number, frame->size,
                  size);
  for (gsize i = 0; i < size; i++)
    fast_assert(frame->bytes[i] == (guint8)(number * 31 + i * 7));
}

static const gsize sizes[] = {1,     2,     100,   4090, 4096,   65531, 65532,
                              65533, 16384, 70000, 1,    300000, 5,     150000};

START_TEST(frames_survive_any_chunking)
{
  static const gsize steps[] = {1, 3, 4, 5, 1000, 4096, 65535, 65536, 1 << 20};
  for (guint s = 0; s < G_N_ELEMENTS(steps); s++) {
    Rig rig = rig_begin(1 << 20);
    g_autoptr(GByteArray) stream = g_byte_array_new();
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
      put_frame(stream, sizes[i], i);
    ck_assert_int_eq(feed(&rig, stream->data, stream->len, steps[s]), FRAME_NONE);
    ck_assert_uint_eq(rig.frames->len, G_N_ELEMENTS(sizes));
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
      check_frame(rig.frames->pdata[i], sizes[i], i);
    ck_assert(!frame_reader_is_midway(&rig.reader));
    rig_end(&rig);
  }
}
END_TEST

START_TEST(small_frames_share_a_chunk)
{
  Rig rig = rig_begin(1000);
  g_autoptr(GByteArray) stream = g_byte_array_new();
  for (guint i = 0; i < 100; i++)
    put_frame(stream, 20, i);
  feed(&rig, stream->data, stream->len, G_MAXSIZE);
  ck_assert_uint_eq(rig.frames->len, 100);
  for (guint i = 0; i < 100; i++)
    ck_assert_ptr_eq(((Frame *)rig.frames->pdata[i])->chunk, rig.pool.chunk);
  ck_assert_uint_eq(frame_budget_used(rig.budget), FRAME_CHUNK_SIZE);
  rig_end(&rig);
}
END_TEST

START_TEST(two_connections_share_a_chunk)
{
  Rig rig = rig_begin(1000);
  FrameReader other;
  frame_reader_init(&other, 1000);
  g_autoptr(GByteArray) stream = g_byte_array_new();
  put_frame(stream, 500, 1);
  put_frame(stream, 500, 2);
  /* One and a half frames of the first, then the second's, then the rest. */
  feed(&rig, stream->data, 700, G_MAXSIZE);
  ck_assert(frame_reader_is_midway(&rig.reader));
  FrameReader first = rig.reader;
  rig.reader = other;
  feed(&rig, stream->data, stream->len, G_MAXSIZE);
  rig.reader = first;
  feed(&rig, stream->data + 700, stream->len - 700, G_MAXSIZE);
  ck_assert_uint_eq(rig.frames->len, 4);
  for (guint i = 0; i < 4; i++)
    check_frame(rig.frames->pdata[i], 500, i == 0 || i == 1 ? 1 : 2);
  rig_end(&rig);
}
END_TEST

START_TEST(an_idle_connection_holds_nothing)
{
  Rig rig = rig_begin(1000);
  g_autoptr(GByteArray) stream = g_byte_array_new();
  for (guint i = 0; i < 10; i++) {
    put_frame(stream, 900, i);
    feed(&rig, stream->data, stream->len, G_MAXSIZE);
    g_byte_array_set_size(stream, 0);
    g_ptr_array_set_size(rig.frames, 0);
    ck_assert_uint_eq(frame_budget_used(rig.budget), 0);
  }
  rig_end(&rig);
}
END_TEST

START_TEST(the_announced_length_allocates_nothing)
{
  Rig rig = rig_begin(LIMIT_FRAME_SIZE);
  guint8 bytes[64 * 1024] = {0};
  store_be32(bytes, LIMIT_FRAME_SIZE);
  feed(&rig, bytes, 5, G_MAXSIZE);
  ck_assert_uint_eq(frame_reader_own_size(&rig.reader), FRAME_OWN_SIZE);
  gsize have = 5;
  for (guint i = 0; i < 30; i++) {
    feed(&rig, bytes + 5, sizeof bytes - 5, G_MAXSIZE);
    have += sizeof bytes - 5;
    ck_assert_uint_le(frame_reader_own_size(&rig.reader), have * FRAME_GROWTH);
    ck_assert_uint_eq(frame_budget_used(rig.budget), frame_reader_own_size(&rig.reader));
  }
  rig_end(&rig);
}
END_TEST

START_TEST(bad_lengths_are_refused)
{
  static const guint32 lengths[] = {0, 1001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
  for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
    Rig rig = rig_begin(1000);
    guint8 bytes[8] = {0};
    store_be32(bytes, lengths[i]);
    ck_assert_int_eq(feed(&rig, bytes, 3, 1), FRAME_NONE);
    ck_assert_int_eq(feed(&rig, bytes + 3, 5, 1), FRAME_BAD);
    ck_assert_int_eq(cut(&rig), FRAME_BAD);
    ck_assert_uint_eq(rig.frames->len, 0);
    rig_end(&rig);
  }
  Rig rig = rig_begin(1000);
  g_autoptr(GByteArray) stream = g_byte_array_new();
  put_frame(stream, 1000, 3);
  ck_assert_int_eq(feed(&rig, stream->data, stream->len, 7), FRAME_NONE);
  ck_assert_uint_eq(rig.frames->len, 1);
  rig_end(&rig);
}
END_TEST

START_TEST(a_reference_outlives_the_use)
{
  Rig rig = rig_begin(1000);
  g_autoptr(GByteArray) stream = g_byte_array_new();
  put_frame(stream, 100, 9);
  feed(&rig, stream->data, stream->len, G_MAXSIZE);
  Frame *frame = rig.frames->pdata[0];
  Frame kept = *frame;
  FrameChunk *chunk = frame_chunk_ref(frame->chunk);
  g_ptr_array_set_size(rig.frames, 0);
  ck_assert_uint_eq(frame_budget_used(rig.budget), 0);
  /* What is read next must not land on it. */
  for (guint i = 0; i < 2000; i++)
    feed(&rig, stream->data, stream->len, G_MAXSIZE);
  rig_end(&rig);
  check_frame(&kept, 100, 9);
  frame_chunk_unref(chunk);
}
END_TEST

START_TEST(random_streams_come_out_as_they_went_in)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(7);
  for (guint round = 0; round < 60; round++) {
    Rig rig = rig_begin(200000);
    g_autoptr(GByteArray) stream = g_byte_array_new();
    GArray *lengths = g_array_new(FALSE, FALSE, sizeof(gsize));
    guint count = (guint)g_rand_int_range(rand, 1, 60);
    for (guint i = 0; i < count; i++) {
      gsize size = (gsize)g_rand_int_range(rand, 1, 1 << g_rand_int_range(rand, 1, 17));
      g_array_append_val(lengths, size);
      put_frame(stream, size, i);
    }
    gsize at = 0;
    while (at < stream->len) {
      gsize n = (gsize)g_rand_int_range(rand, 1, 1 << g_rand_int_range(rand, 1, 18));
      n = MIN(n, stream->len - at);
      fast_assert(feed(&rig, stream->data + at, n, G_MAXSIZE) == FRAME_NONE);
      at += n;
    }
    ck_assert_uint_eq(rig.frames->len, count);
    for (guint i = 0; i < count; i++)
      check_frame(rig.frames->pdata[i], g_array_index(lengths, gsize, i), i);
    g_array_unref(lengths);
    rig_end(&rig);
  }
}
END_TEST

/* --- the header of a message ---------------------------------------------------------------------
 */

static gsize put_header(guint8 *out, guint32 version, const char *name, gsize name_size,
                        guint32 seqid)
{
  store_be32(out, version);
  store_be32(out + 4, (guint32)name_size);
  memcpy(out + 8, name, name_size);
  store_be32(out + 8 + name_size, seqid);
  return 12 + name_size;
}

START_TEST(headers)
{
  guint8 bytes[70000];
  FrameHeader header;
  gsize size = put_header(bytes, 0x80010001, "write", 5, 0xFFFFFFFE);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_VALID);
  ck_assert_int_eq(header.type, THRIFT_CALL);
  ck_assert_int_eq(header.seqid, -2);
  ck_assert_uint_eq(header.size, size);
  ck_assert(frame_header_is(&header, "write"));
  ck_assert(!frame_header_is(&header, "writ"));
  ck_assert(!frame_header_is(&header, "writes"));
  for (gsize cut_at = 0; cut_at < size; cut_at++)
    ck_assert_int_eq(frame_header_parse(bytes, cut_at, &header), HEADER_BROKEN);

  put_header(bytes, 0x80010004, "write", 5, 1);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_VALID);
  ck_assert_int_eq(header.type, THRIFT_ONEWAY);

  static const guint32 refused[] = {0x80010002, 0x80010003, 0x80010000, 0x80010099, 0x80010101};
  for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
    put_header(bytes, refused[i], "write", 5, 77);
    ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_REFUSED);
    ck_assert_int_eq(header.seqid, 77);
  }
  static const guint32 broken[] = {0x80020001, 0x00000005, 0x00010001, 0x80000001};
  for (guint i = 0; i < G_N_ELEMENTS(broken); i++) {
    put_header(bytes, broken[i], "write", 5, 77);
    ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_BROKEN);
  }
}
END_TEST

START_TEST(names_of_methods_are_bounded)
{
  g_autofree guint8 *bytes = g_malloc(70000);
  g_autofree char *name = g_strnfill(60000, 'x');
  FrameHeader header;
  gsize size = put_header(bytes, 0x80010001, name, LIMIT_METHOD_NAME_SIZE, 5);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_VALID);
  size = put_header(bytes, 0x80010001, name, LIMIT_METHOD_NAME_SIZE + 1, 5);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_REFUSED);
  size = put_header(bytes, 0x80010001, name, 60000, 5);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_REFUSED);
  ck_assert_int_eq(header.seqid, 5);
  store_be32(bytes + 4, 0x7FFFFFFF);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_BROKEN);
  store_be32(bytes + 4, 0xFFFFFFFF);
  ck_assert_int_eq(frame_header_parse(bytes, size, &header), HEADER_BROKEN);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {
      frames_survive_any_chunking,
      small_frames_share_a_chunk,
      two_connections_share_a_chunk,
      an_idle_connection_holds_nothing,
      the_announced_length_allocates_nothing,
      bad_lengths_are_refused,
      a_reference_outlives_the_use,
      random_streams_come_out_as_they_went_in,
      headers,
      names_of_methods_are_bounded,
  };
  return RUN_SUITE("frame", tests);
}
