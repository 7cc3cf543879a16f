/*
 * Bounded reading and writing of bytes.
 *
 * A ByteReader walks over memory that it does not own. Its error is sticky: the first read past
 * the end sets `failed`, and every later read gives 0 or NULL, so a decoder checks once at the end
 * of a group of reads. A ByteWriter appends to memory that it does not own either and fails the
 * same way when the room is used up. be = big-endian (Thrift, WAL, store keys), le = little-endian
 * (packed columns). Not thread-safe; use one per thread.
 */
#pragma once

#include <glib.h>
#include <string.h>

typedef struct ByteReader {
  const guint8 *bytes;
  gsize size;
  gsize at; /* offset of the next read */
  gboolean failed;
} ByteReader;

static inline ByteReader byte_reader(const void *bytes, gsize size)
{
  return (ByteReader){bytes, size, 0, FALSE};
}

static inline gsize byte_reader_left(const ByteReader *r)
{
  return r->failed ? 0 : r->size - r->at;
}

/* The next `n` bytes in place, or NULL (and failed) if there are fewer. n = 0 gives non-NULL. */
static inline const guint8 *byte_reader_take(ByteReader *r, gsize n)
{
  if (r->failed || n > r->size - r->at) {
    r->failed = TRUE;
    return NULL;
  }
  const guint8 *p = r->bytes + r->at;
  r->at += n;
  return p;
}

static inline guint8 byte_reader_u8(ByteReader *r)
{
  const guint8 *p = byte_reader_take(r, 1);
  return p ? *p : 0;
}

static inline guint16 byte_reader_be16(ByteReader *r)
{
  const guint8 *p = byte_reader_take(r, 2);
  guint16 v = 0;
  if (p)
    memcpy(&v, p, 2);
  return GUINT16_FROM_BE(v);
}

static inline guint32 byte_reader_be32(ByteReader *r)
{
  const guint8 *p = byte_reader_take(r, 4);
  guint32 v = 0;
  if (p)
    memcpy(&v, p, 4);
  return GUINT32_FROM_BE(v);
}

static inline guint64 byte_reader_be64(ByteReader *r)
{
  const guint8 *p = byte_reader_take(r, 8);
  guint64 v = 0;
  if (p)
    memcpy(&v, p, 8);
  return GUINT64_FROM_BE(v);
}

/* Unaligned loads from and stores to memory that the caller has checked. */
static inline guint32 load_be32(const void *p)
{
  guint32 v;
  memcpy(&v, p, 4);
  return GUINT32_FROM_BE(v);
}

static inline guint64 load_be64(const void *p)
{
  guint64 v;
  memcpy(&v, p, 8);
  return GUINT64_FROM_BE(v);
}

static inline guint32 load_le32(const void *p)
{
  guint32 v;
  memcpy(&v, p, 4);
  return GUINT32_FROM_LE(v);
}

static inline guint64 load_le64(const void *p)
{
  guint64 v;
  memcpy(&v, p, 8);
  return GUINT64_FROM_LE(v);
}

static inline void store_be32(void *p, guint32 v)
{
  v = GUINT32_TO_BE(v);
  memcpy(p, &v, 4);
}

static inline void store_be64(void *p, guint64 v)
{
  v = GUINT64_TO_BE(v);
  memcpy(p, &v, 8);
}

static inline void store_le32(void *p, guint32 v)
{
  v = GUINT32_TO_LE(v);
  memcpy(p, &v, 4);
}

static inline void store_le64(void *p, guint64 v)
{
  v = GUINT64_TO_LE(v);
  memcpy(p, &v, 8);
}

typedef struct ByteWriter {
  guint8 *bytes;
  gsize size; /* room */
  gsize at;   /* bytes written */
  gboolean failed;
} ByteWriter;

static inline ByteWriter byte_writer(void *bytes, gsize size)
{
  return (ByteWriter){bytes, size, 0, FALSE};
}

static inline void byte_writer_put(ByteWriter *w, const void *p, gsize n)
{
  if (w->failed || n > w->size - w->at) {
    w->failed = TRUE;
    return;
  }
  if (n > 0)
    memcpy(w->bytes + w->at, p, n);
  w->at += n;
}

static inline void byte_writer_u8(ByteWriter *w, guint8 v)
{
  byte_writer_put(w, &v, 1);
}

static inline void byte_writer_be16(ByteWriter *w, guint16 v)
{
  v = GUINT16_TO_BE(v);
  byte_writer_put(w, &v, 2);
}

static inline void byte_writer_be32(ByteWriter *w, guint32 v)
{
  v = GUINT32_TO_BE(v);
  byte_writer_put(w, &v, 4);
}

static inline void byte_writer_be64(ByteWriter *w, guint64 v)
{
  v = GUINT64_TO_BE(v);
  byte_writer_put(w, &v, 8);
}
