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
__attribute__((target("sse4.2"))) static guint32 crc32c_sse42(guint32 crc, const void *bytes,
                                                             gsize size)
{
  const guint8 *p = bytes;
  guint64 wide = ~crc;
  for (; size >= 8; p += 8, size -= 8)
    wide = __builtin_ia32_crc32di(wide, load_le64(p));
  guint32 narrow = (guint32)wide;
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
