/*
 * Segment files of one log out of an input, in a file system in memory. Checksums, which no
 * mutation would ever hit, are put right where the input asks for it.
 *
 * An input is a list of files, each:
 *
 *   1 byte    flags, FILE_…
 *   1 or 8    first index in the name
 *   72 bytes  with FILE_HEADER: the header's fields, but for its checksum
 *   2 + n     the body: what stands behind the header, or the whole file
 *   2 bytes   with FILE_ZEROS: how many zeros follow
 *   1 + 3n    with FILE_PATCHES: n, and n times offset and value of a byte that is changed last
 */
#pragma once

#include "base/crc32c.h"
#include "base/record.h"
#include "fuzz/fuzz.h"
#include "wal/format.h"

#include "unit/wal/mem_io.c"

enum {
  FILE_RAW = 1,       /* the body is the whole file */
  FILE_CHECKSUMS = 2, /* of records in the body are made right */
  FILE_HEADER = 4,    /* the header's fields are given; else they fit the file before */
  FILE_WIDE = 8,      /* the index in the name has 8 bytes */
  FILE_RECORDS = 16,  /* each byte of the body is the size of a good record's data */
  FILE_ZEROS = 32,
  FILE_PATCHES = 64,

  FIELDS_SIZE = 72,
  FILES_MOST = 6,
  PATCHES_MOST = 8,
};

static const LogId fuzz_log = {7, 1700000000000000};
#define FUZZ_DIRECTORY "/log"

/* What the header of the next file says of the one before. */
typedef struct FilesSoFar {
  guint64 first, hlc, chain;
  goffset end;
} FilesSoFar;

static void put_record(GByteArray *out, guint64 index, guint64 hlc, const void *data, gsize size)
{
  guint at = out->len;
  g_byte_array_set_size(out, (guint)(at + size + RECORD_OVERHEAD_SIZE));
  record_write(record_seed(fuzz_log), index, hlc, data, size, out->data + at);
}

static GByteArray *make_records(guint64 first, const guint8 *sizes, gsize count)
{
  GByteArray *out = g_byte_array_sized_new(64);
  guint8 data[256];
  for (gsize i = 0; i < count; i++) {
    memset(data, (int)(first + i), sizeof data);
    put_record(out, first + i, 1000 + first + i, data, MAX(sizes[i], 1));
  }
  return out;
}

/* Walks over what has the layout of records and puts their checksums right. */
static void mend_checksums(guint8 *bytes, gsize size)
{
  gsize at = 0;
  Record record;
  while (at < size && record_parse_trusted(bytes + at, size - at, &record) == RECORD_VALID) {
    guint8 *checksum = bytes + at + record.size - RECORD_TAIL_SIZE + 3;
    store_be32(checksum, crc32c(record_seed(fuzz_log), bytes + at, record.size - RECORD_TAIL_SIZE));
    at += record.size;
  }
}

/* What a writer would know behind the records at the begin of the body. */
static void follow(FilesSoFar *so_far, guint64 first, const GByteArray *body)
{
  Record record;
  gsize at = 0;
  while (at < body->len && record_parse(record_seed(fuzz_log), body->data + at, body->len - at,
                                        &record) == RECORD_VALID) {
    so_far->chain = record_chain(so_far->chain, body->data + at, record.size);
    so_far->hlc = record.hlc;
    at += record.size;
  }
  so_far->first = first;
  so_far->end = SEGMENT_HEADER_SIZE + (goffset)at;
}

static GByteArray *make_header(FuzzInput *in, guint flags, guint64 first, const FilesSoFar *so_far)
{
  GByteArray *out = g_byte_array_sized_new(64);
  g_byte_array_set_size(out, SEGMENT_HEADER_SIZE);
  if (flags & FILE_HEADER) {
    gsize size;
    const guint8 *fields = fuzz_take(in, FIELDS_SIZE, &size);
    memset(out->data, 0, SEGMENT_HEADER_SIZE);
    memcpy(out->data, fields, size);
    store_be32(out->data + SEGMENT_HEADER_SIZE - 4, crc32c(0, out->data, SEGMENT_HEADER_SIZE - 4));
    return out;
  }
  SegmentHeader header = {.log = fuzz_log,
                          .first_index = first,
                          .chain_known = TRUE,
                          .chain = so_far->chain,
                          .hlc = so_far->hlc,
                          .previous_first = so_far->first < first ? so_far->first : 0,
                          .previous_end = so_far->first < first ? so_far->end : 0};
  segment_header_encode(&header, out->data);
  return out;
}

static void make_file(FuzzInput *in, MemDisk *disk, FilesSoFar *so_far)
{
  guint flags = fuzz_u8(in);
  guint64 first = fuzz_number(in, flags & FILE_WIDE ? 8 : 1);
  g_autoptr(GByteArray) file =
      flags & FILE_RAW ? g_byte_array_sized_new(64) : make_header(in, flags, first, so_far);
  gsize size;
  g_autofree guint8 *part = fuzz_part(in, &size);
  g_autoptr(GByteArray) body = NULL;
  if (flags & FILE_RECORDS)
    body = make_records(first, part, MIN(size, (gsize)64));
  else
    body = g_byte_array_append(g_byte_array_sized_new(64), part, (guint)size);
  if (flags & FILE_CHECKSUMS)
    mend_checksums(body->data, body->len);
  g_byte_array_append(file, body->data, body->len);
  if (flags & FILE_ZEROS) {
    guint old = file->len;
    g_byte_array_set_size(file, old + fuzz_u16(in) % 5000);
    memset(file->data + old, 0, file->len - old);
  }
  guint patches = flags & FILE_PATCHES ? fuzz_u8(in) % PATCHES_MOST : 0;
  for (guint i = 0; i < patches; i++) {
    guint at = fuzz_u16(in);
    guint value = fuzz_u8(in);
    if (at < file->len)
      file->data[at] = (guint8)value;
  }
  follow(so_far, first, body);
  char name[SEGMENT_NAME_SIZE];
  g_autofree char *path = g_build_filename(FUZZ_DIRECTORY, segment_name_format(first, name), NULL);
  mem_disk_set(disk, path, file->data, file->len);
}

/* The disk with all files of the input. */
static MemDisk *files_from_input(FuzzInput *in)
{
  MemDisk *disk = mem_disk_new(1);
  const WalIo *io = mem_disk_io(disk);
  io->mkdir(io->ctx, FUZZ_DIRECTORY, 0700);
  FilesSoFar so_far = {0};
  for (guint i = 0; i < FILES_MOST && in->left > 0; i++)
    make_file(in, disk, &so_far);
  return disk;
}

/* --- seeds --------------------------------------------------------------------------------------
 */

static void seed_file(GByteArray *out, guint flags, guint64 first, const void *body, gsize size)
{
  seed_number(out, flags, 1);
  seed_number(out, first, flags & FILE_WIDE ? 8 : 1);
  seed_part(out, body, size);
}

static void seed_patch(GByteArray *out, guint at, guint value)
{
  seed_number(out, 1, 1);
  seed_number(out, at, 2);
  seed_number(out, value, 1);
}

/* The seeds of all targets that read such files; `before` stands in front of each. */
static void seed_all_files(const void *before, gsize size)
{
  static const guint8 sizes[] = {5, 1, 30, 200, 7};
#define SEED_BEGIN() g_byte_array_append(g_byte_array_sized_new(64), before, (guint)size)
  GByteArray *out = SEED_BEGIN();
  seed_file(out, FILE_RECORDS, 1, sizes, 5);
  seed_file(out, FILE_RECORDS, 6, sizes, 2);
  seed_file(out, FILE_RECORDS | FILE_ZEROS, 8, sizes, 3);
  seed_number(out, 3000, 2);
  seed_end("three-segments", out);

  out = SEED_BEGIN();
  seed_file(out, FILE_RECORDS | FILE_PATCHES, 1, sizes, 4);
  seed_patch(out, SEGMENT_HEADER_SIZE + 60, 0x77);
  seed_end("bad-in-the-middle", out);

  out = SEED_BEGIN();
  seed_file(out, FILE_RECORDS | FILE_PATCHES, 1, sizes, 4);
  seed_patch(out, 20, 1);
  seed_file(out, FILE_RECORDS, 5, sizes, 3);
  seed_end("bad-header", out);

  out = SEED_BEGIN();
  seed_file(out, FILE_RECORDS, 1, sizes, 3);
  seed_file(out, FILE_RECORDS, 9, sizes, 2);
  seed_end("a-hole", out);

  out = SEED_BEGIN();
  g_autoptr(GByteArray) body = make_records(3, sizes, 2);
  g_byte_array_append(body, (const guint8 *)"torn", 4);
  seed_file(out, FILE_CHECKSUMS, 3, body->data, body->len);
  seed_end("torn", out);

  out = SEED_BEGIN();
  guint8 bytes[SEGMENT_HEADER_SIZE];
  SegmentHeader header = {.log = fuzz_log, .first_index = G_MAXINT64 - 1};
  segment_header_encode(&header, bytes);
  g_autoptr(GByteArray) last = make_records(G_MAXINT64 - 1, sizes, 2);
  seed_number(out, FILE_HEADER | FILE_WIDE | FILE_CHECKSUMS, 1);
  seed_number(out, G_MAXINT64 - 1, 8);
  g_byte_array_append(out, bytes, FIELDS_SIZE);
  seed_part(out, last->data, last->len);
  seed_end("last-indices", out);
#undef SEED_BEGIN
}
