#include "base/crc32c.h"

#include "base/bytes.h"

/* Reflected polynomial of CRC-32C. */
#define POLYNOMIAL 0x82F63B78u

static guint32 table[8][256];

__attribute__((constructor)) static void fill_tables(void)
{
  for (guint32 i = 0; i < 256; i++) {
    guint32 crc = i;
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
    table[0][i] = crc;
  }
  for (guint32 i = 0; i < 256; i++)
    for (int slice = 1; slice < 8; slice++)
      table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 0xFF];
}

guint32 crc32c_portable(guint32 crc, const void *bytes, gsize size)
{
  const guint8 *p = bytes;
  crc = ~crc;
  for (; size >= 8; p += 8, size -= 8) {
    guint32 low = load_le32(p) ^ crc;
    guint32 high = load_le32(p + 4);
    crc = table[7][low & 0xFF] ^ table[6][(low >> 8) & 0xFF] ^ table[5][(low >> 16) & 0xFF] ^
          table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][(high >> 8) & 0xFF] ^
          table[1][(high >> 16) & 0xFF] ^ table[0][high >> 24];
  }
  for (; size > 0; p++, size--)
    crc = (crc >> 8) ^ table[0][(crc ^ *p) & 0xFF];
  return ~crc;
}

#ifdef __x86_64__
/* The instruction takes three cycles but one can begin in each, so long buffers are summed in three
 * lanes side by side. */
enum { LANE_SIZE = 512 };

/* What LANE_SIZE zero bytes make of a checksum, by byte of it: the lanes are joined by it. */
static guint32 lane_shift[4][256];

__attribute__((constructor)) static void fill_lane_shift(void)
{
  guint32 by_bit[32];
  for (int bit = 0; bit < 32; bit++) {
    guint32 crc = 1u << bit;
    for (int i = 0; i < LANE_SIZE * 8; i++)
      crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
    by_bit[bit] = crc;
  }
  for (int byte = 0; byte < 4; byte++)
    for (guint32 value = 0; value < 256; value++)
      for (int bit = 0; bit < 8; bit++)
        if (value >> bit & 1)
          lane_shift[byte][value] ^= by_bit[byte * 8 + bit];
}

static guint32 shift_lane(guint32 crc)
{
  return lane_shift[0][crc & 0xFF] ^ lane_shift[1][(crc >> 8) & 0xFF] ^
         lane_shift[2][(crc >> 16) & 0xFF] ^ lane_shift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static guint32 crc32c_sse42(guint32 crc, const void *bytes,
                                                              gsize size)
{
  const guint8 *p = bytes;
  guint64 a = ~crc;
  for (; size >= 3 * LANE_SIZE; p += 3 * LANE_SIZE, size -= 3 * LANE_SIZE) {
    guint64 b = 0, c = 0;
    for (gsize i = 0; i < LANE_SIZE; i += 8) {
      a = __builtin_ia32_crc32di(a, load_le64(p + i));
      b = __builtin_ia32_crc32di(b, load_le64(p + LANE_SIZE + i));
      c = __builtin_ia32_crc32di(c, load_le64(p + 2 * LANE_SIZE + i));
    }
    a = shift_lane(shift_lane((guint32)a) ^ (guint32)b) ^ (guint32)c;
  }
  for (; size >= 8; p += 8, size -= 8)
    a = __builtin_ia32_crc32di(a, load_le64(p));
  guint32 narrow = (guint32)a;
  for (; size > 0; p++, size--)
    narrow = __builtin_ia32_crc32qi(narrow, *p);
  return ~narrow;
}

guint32 crc32c(guint32 crc, const void *bytes, gsize size)
{
  if (__builtin_cpu_supports("sse4.2"))
    return crc32c_sse42(crc, bytes, size);
  return crc32c_portable(crc, bytes, size);
}
#else
guint32 crc32c(guint32 crc, const void *bytes, gsize size)
{
  return crc32c_portable(crc, bytes, size);
}
#endif
