#include "store/block_versions.h"

/* In the low bits of a run's first number, below its rows. */
enum { HAS_ORIGIN = 1, HAS_ORDINAL = 2, FLAG_BITS = 2, MOST_BYTES = 10 };

G_STATIC_ASSERT(VERSION_RUN_SIZE == 4 * MOST_BYTES);

static guint8 *put_number(guint8 *out, guint64 number)
{
  for (; number >= 0x80; number >>= 7)
    *out++ = (guint8)(number | 0x80);
  *out++ = (guint8)number;
  return out;
}

static guint64 read_number(VersionRuns *runs)
{
  guint64 number = 0;
  for (guint shift = 0; runs->at < runs->end && shift < 64; shift += 7) {
    guint8 byte = *runs->at++;
    if (shift == 63 && byte > 1)
      break;
    number |= (guint64)(byte & 0x7F) << shift;
    if (byte < 0x80)
      return number;
  }
  runs->damaged = TRUE;
  return 0;
}

/* Small differences in both directions become small numbers. */
static guint64 zigzag(guint64 difference)
{
  return difference << 1 ^ (0 - (difference >> 63));
}

static guint64 unzigzag(guint64 number)
{
  return number >> 1 ^ (0 - (number & 1));
}

guint8 *version_run_write(guint8 *out, const Version *before, const Version *version, guint rows)
{
  guint flags = (version->origin != before->origin ? HAS_ORIGIN : 0) |
                (version->ordinal != before->ordinal ? HAS_ORDINAL : 0);
  out = put_number(out, (guint64)rows << FLAG_BITS | flags);
  out = put_number(out, zigzag(version->hlc - before->hlc));
  if (flags & HAS_ORIGIN)
    out = put_number(out, version->origin);
  if (flags & HAS_ORDINAL)
    out = put_number(out, version->ordinal);
  return out;
}

void version_run_put(GByteArray *out, const Version *before, const Version *version, guint rows)
{
  guint8 bytes[VERSION_RUN_SIZE];
  g_byte_array_append(out, bytes, (guint)(version_run_write(bytes, before, version, rows) - bytes));
}

guint version_runs_next(VersionRuns *runs)
{
  if (runs->at == runs->end || runs->damaged)
    return 0;
  guint64 head = read_number(runs), rows = head >> FLAG_BITS;
  runs->last.hlc += unzigzag(read_number(runs));
  guint64 origin = head & HAS_ORIGIN ? read_number(runs) : runs->last.origin;
  guint64 ordinal = head & HAS_ORDINAL ? read_number(runs) : runs->last.ordinal;
  if (rows == 0 || rows > G_MAXUINT32 || origin > G_MAXUINT32 || ordinal > G_MAXUINT32)
    runs->damaged = TRUE;
  runs->last.origin = (guint32)origin;
  runs->last.ordinal = (guint32)ordinal;
  return runs->damaged ? 0 : (guint)rows;
}

void versions_put(GByteArray *out, const Version *versions, guint rows)
{
  Version before = {0};
  for (guint begin = 0; begin < rows;) {
    guint end = begin + 1;
    while (end < rows && version_compare(&versions[end], &versions[begin]) == 0)
      end++;
    version_run_put(out, &before, &versions[begin], end - begin);
    before = versions[begin];
    begin = end;
  }
}
