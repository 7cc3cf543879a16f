#include "http/gunzip.h"
#include "support/suite.h"

#include <string.h>
#include <zlib.h>

/* window_bits: 15 + 16 gives gzip, 15 zlib. */
static GByteArray *pack(const char *text, gsize size, int window_bits)
{
  z_stream stream = {.next_in = (Bytef *)text, .avail_in = (uInt)size};
  ck_assert_int_eq(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  GByteArray *out = g_byte_array_new();
  g_byte_array_set_size(out, (guint)deflateBound(&stream, size) + 64);
  stream.next_out = out->data;
  stream.avail_out = out->len;
  ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
  g_byte_array_set_size(out, (guint)stream.total_out);
  deflateEnd(&stream);
  return out;
}

/* In memory of its own, so that a sanitizer sees a byte read too much. */
static GString *unpack(const guint8 *bytes, gsize size, gsize most, GError **error)
{
  g_autofree guint8 *exact = g_memdup2(bytes, MAX(size, (gsize)1));
  return gunzip(exact, size, most, error);
}

static void check_fails(const guint8 *bytes, gsize size, gsize most, SynclogStatus code,
                        const char *part)
{
  g_autoptr(GError) error = NULL;
  GString *out = unpack(bytes, size, most, &error);
  ck_assert_msg(out == NULL, "%s", part);
  ck_assert_int_eq(error->code, (int)code);
  ck_assert_msg(strstr(error->message, part) != NULL, "%s", error->message);
}

START_TEST(what_was_packed)
{
  g_autofree char *text = g_strnfill(300000, 'x');
  for (guint i = 0; i < 300000; i++)
    text[i] = (char)('a' + i * i % 23);
  for (int gzip = 0; gzip <= 1; gzip++) {
    g_autoptr(GByteArray) packed = pack(text, 300000, 15 + 16 * gzip);
    GString *out = unpack(packed->data, packed->len, 300000, NULL);
    ck_assert(out != NULL && out->len == 300000 && memcmp(out->str, text, 300000) == 0);
    g_string_free(out, TRUE);
    check_fails(packed->data, packed->len, 299999, SYNCLOG_TOO_LARGE, "more than 299999 bytes");
  }
}
END_TEST

START_TEST(several_members_are_one_body)
{
  g_autoptr(GByteArray) packed = pack("m f=1\n", 6, 31);
  g_autoptr(GByteArray) second = pack("m f=2\n", 6, 31);
  g_byte_array_append(packed, second->data, second->len);
  GString *out = unpack(packed->data, packed->len, 100, NULL);
  ck_assert_str_eq(out->str, "m f=1\nm f=2\n");
  g_string_free(out, TRUE);
}
END_TEST

START_TEST(a_body_cut_anywhere)
{
  g_autoptr(GByteArray) packed = pack("cpu,host=a value=1.5 1700000000\n", 32, 31);
  for (guint size = 0; size < packed->len; size++)
    check_fails(packed->data, size, 100, SYNCLOG_INVALID, "compressed body");
}
END_TEST

START_TEST(damage)
{
  g_autoptr(GByteArray) packed = pack("cpu,host=a value=1.5 1700000000\n", 32, 31);
  packed->data[packed->len - 6] ^= 1; /* in the checksum */
  check_fails(packed->data, packed->len, 100, SYNCLOG_INVALID, "is damaged");
  check_fails((const guint8 *)"m f=1\n", 6, 100, SYNCLOG_INVALID, "is damaged");
  g_autoptr(GByteArray) followed = pack("m f=1\n", 6, 31);
  g_byte_array_append(followed, (const guint8 *)"m f=2\n", 6);
  check_fails(followed->data, followed->len, 100, SYNCLOG_INVALID, "compressed body");
}
END_TEST

START_TEST(a_bomb_is_not_unpacked)
{
  g_autofree char *zeros = g_malloc0(50 * 1024 * 1024);
  g_autoptr(GByteArray) packed = pack(zeros, 50 * 1024 * 1024, 31);
  check_fails(packed->data, packed->len, 1024 * 1024, SYNCLOG_TOO_LARGE, "more than 1048576");
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {what_was_packed, several_members_are_one_body, a_body_cut_anywhere,
                                damage, a_bomb_is_not_unpacked};
  return RUN_SUITE("gunzip", tests);
}
