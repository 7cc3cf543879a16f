#include "rpc/frame.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <stdatomic.h>

struct FrameBudget {
  atomic_uint refs;
  atomic_uint_fast64_t used;
  atomic_uint_fast64_t unfinished; /* of `used`: chunks of readers' own */
};

struct FrameChunk {
  atomic_uint refs; /* a use is also a reference */
  atomic_uint uses; /* counted in the budget while not 0 */
  FrameBudget *budget;
  gsize size;
  guint8 *bytes;
};

FrameBudget *frame_budget_new(void)
{
  FrameBudget *budget = g_new0(FrameBudget, 1);
  atomic_init(&budget->refs, 1);
  return budget;
}

FrameBudget *frame_budget_ref(FrameBudget *budget)
{
  atomic_fetch_add(&budget->refs, 1);
  return budget;
}

void frame_budget_unref(FrameBudget *budget)
{
  if (atomic_fetch_sub(&budget->refs, 1) == 1)
    g_free(budget);
}

guint64 frame_budget_used(FrameBudget *budget)
{
  return atomic_load(&budget->used);
}

guint64 frame_budget_unfinished(FrameBudget *budget)
{
  return atomic_load(&budget->unfinished);
}

void frame_budget_add(FrameBudget *budget, gsize size)
{
  atomic_fetch_add(&budget->used, size);
}

void frame_budget_sub(FrameBudget *budget, gsize size)
{
  atomic_fetch_sub(&budget->used, size);
}

static FrameChunk *chunk_new(FrameBudget *budget, gsize size)
{
  FrameChunk *chunk = g_new0(FrameChunk, 1);
  atomic_init(&chunk->refs, 1);
  chunk->budget = frame_budget_ref(budget);
  chunk->size = size;
  chunk->bytes = g_malloc(size);
  return chunk;
}

FrameChunk *frame_chunk_ref(FrameChunk *chunk)
{
  atomic_fetch_add(&chunk->refs, 1);
  return chunk;
}

void frame_chunk_unref(FrameChunk *chunk)
{
  if (atomic_fetch_sub(&chunk->refs, 1) != 1)
    return;
  frame_budget_unref(chunk->budget);
  g_free(chunk->bytes);
  g_free(chunk);
}

static FrameChunk *chunk_use(FrameChunk *chunk)
{
  frame_chunk_ref(chunk);
  if (atomic_fetch_add(&chunk->uses, 1) == 0)
    atomic_fetch_add(&chunk->budget->used, chunk->size);
  return chunk;
}

static void chunk_end_use(FrameChunk *chunk)
{
  if (atomic_fetch_sub(&chunk->uses, 1) == 1)
    atomic_fetch_sub(&chunk->budget->used, chunk->size);
  frame_chunk_unref(chunk);
}

/* Of a reader's own chunk. Only while there is one use and no other reference. */
static void chunk_resize(FrameChunk *chunk, gsize size)
{
  atomic_fetch_add(&chunk->budget->used, size - chunk->size);
  atomic_fetch_add(&chunk->budget->unfinished, size - chunk->size);
  chunk->bytes = g_realloc(chunk->bytes, size);
  chunk->size = size;
}

void frame_release(Frame *frame)
{
  if (frame->chunk != NULL)
    chunk_end_use(frame->chunk);
  *frame = (Frame){NULL, 0, NULL};
}

void frame_pool_init(FramePool *pool, FrameBudget *budget)
{
  *pool = (FramePool){frame_budget_ref(budget), NULL, 0};
}

void frame_pool_clear(FramePool *pool)
{
  g_clear_pointer(&pool->chunk, frame_chunk_unref);
  g_clear_pointer(&pool->budget, frame_budget_unref);
}

/* Makes sure that at least a quarter of a chunk is free. */
static void pool_make_room(FramePool *pool)
{
  if (pool->chunk != NULL) {
    /* Nobody else holds it: begin again at its start. */
    if (atomic_load(&pool->chunk->refs) == 1)
      pool->filled = 0;
    if (pool->chunk->size - pool->filled >= FRAME_CHUNK_SIZE / 4)
      return;
    frame_chunk_unref(pool->chunk);
  }
  pool->chunk = chunk_new(pool->budget, FRAME_CHUNK_SIZE);
  pool->filled = 0;
}

void frame_reader_init(FrameReader *reader, gsize max_frame_size)
{
  *reader = (FrameReader){.max_frame_size = max_frame_size};
}

/* The frame has come wholly, or never will. */
static FrameChunk *steal_own(FrameReader *reader)
{
  FrameChunk *own = g_steal_pointer(&reader->own);
  if (own != NULL)
    atomic_fetch_sub(&own->budget->unfinished, own->size);
  return own;
}

void frame_reader_clear(FrameReader *reader)
{
  FrameChunk *own = steal_own(reader);
  g_clear_pointer(&own, chunk_end_use);
  g_clear_pointer(&reader->rest, chunk_end_use);
  reader->length_size = 0;
}

static gsize own_size_for(gsize need, gsize have)
{
  return MIN(need, MAX(have * FRAME_GROWTH, (gsize)FRAME_OWN_SIZE));
}

guint frame_reader_room(FrameReader *reader, FramePool *pool, struct iovec room[2])
{
  g_assert(reader->rest == NULL);
  guint n = 0;
  if (reader->own != NULL) {
    if (reader->own_have == reader->own->size)
      chunk_resize(reader->own, own_size_for(reader->own_need, reader->own_have));
    room[n++] =
        (struct iovec){reader->own->bytes + reader->own_have, reader->own->size - reader->own_have};
    if (reader->own->size < reader->own_need)
      return n;
  }
  pool_make_room(pool);
  guint8 *to = pool->chunk->bytes + pool->filled;
  memcpy(to, reader->length, reader->length_size);
  room[n++] = (struct iovec){to + reader->length_size,
                             pool->chunk->size - pool->filled - reader->length_size};
  return n;
}

void frame_reader_filled(FrameReader *reader, FramePool *pool, gsize size)
{
  g_assert(reader->rest == NULL);
  if (reader->own != NULL) {
    gsize n = MIN(size, reader->own->size - reader->own_have);
    reader->own_have += n;
    size -= n;
  }
  if (size == 0)
    return;
  reader->rest = chunk_use(pool->chunk);
  reader->rest_at = pool->filled;
  pool->filled += reader->length_size + size;
  reader->rest_end = pool->filled;
  reader->length_size = 0;
}

/* Ends the use of the shared chunk; what lies at its end unused can be filled again. */
static void leave_rest(FrameReader *reader, FramePool *pool)
{
  if (reader->rest == pool->chunk && reader->rest_end == pool->filled)
    pool->filled = reader->rest_at;
  g_clear_pointer(&reader->rest, chunk_end_use);
}

/* Moves the begin of a frame out of the shared chunk. */
static void take_begin(FrameReader *reader, FramePool *pool, gsize need)
{
  gsize have = reader->rest_end - reader->rest_at;
  const guint8 *bytes = reader->rest->bytes + reader->rest_at;
  FrameChunk *own = chunk_new(pool->budget, own_size_for(need, have));
  memcpy(own->bytes, bytes, have);
  reader->own = chunk_use(own);
  frame_chunk_unref(own);
  atomic_fetch_add(&pool->budget->unfinished, own->size);
  reader->own_need = need;
  reader->own_have = have;
  leave_rest(reader, pool);
}

FrameVerdict frame_reader_next(FrameReader *reader, FramePool *pool, Frame *out_frame)
{
  if (reader->own != NULL) {
    if (reader->own_have < reader->own_need)
      return FRAME_NONE;
    FrameChunk *own = steal_own(reader);
    *out_frame = (Frame){own->bytes + FRAME_LENGTH_SIZE, reader->own_need - FRAME_LENGTH_SIZE, own};
    return FRAME_READY;
  }
  if (reader->rest == NULL)
    return FRAME_NONE;
  gsize have = reader->rest_end - reader->rest_at;
  const guint8 *bytes = reader->rest->bytes + reader->rest_at;
  if (have < FRAME_LENGTH_SIZE) {
    memcpy(reader->length, bytes, have);
    reader->length_size = have;
    leave_rest(reader, pool);
    return FRAME_NONE;
  }
  gsize size = load_be32(bytes);
  if (size == 0 || size > reader->max_frame_size)
    return FRAME_BAD;
  if (have - FRAME_LENGTH_SIZE < size) {
    take_begin(reader, pool, FRAME_LENGTH_SIZE + size);
    return FRAME_NONE;
  }
  *out_frame = (Frame){bytes + FRAME_LENGTH_SIZE, size, chunk_use(reader->rest)};
  reader->rest_at += FRAME_LENGTH_SIZE + size;
  return FRAME_READY;
}

gboolean frame_reader_is_midway(const FrameReader *reader)
{
  return reader->own != NULL || reader->length_size > 0;
}

gsize frame_reader_own_size(const FrameReader *reader)
{
  return reader->own != NULL ? reader->own->size : 0;
}

HeaderVerdict frame_header_parse(const guint8 *bytes, gsize size, FrameHeader *out_header)
{
  ByteReader r = byte_reader(bytes, size);
  guint32 version = byte_reader_be32(&r);
  gsize name_size = byte_reader_be32(&r);
  const guint8 *name = byte_reader_take(&r, name_size);
  gint32 seqid = (gint32)byte_reader_be32(&r);
  if (r.failed || (version & 0xFFFF0000u) != 0x80010000u)
    return HEADER_BROKEN;
  guint8 type = version & 0xFF;
  *out_header = (FrameHeader){.seqid = seqid};
  if ((version & 0xFF00) != 0 || (type != THRIFT_CALL && type != THRIFT_ONEWAY) ||
      name_size > LIMIT_METHOD_NAME_SIZE)
    return HEADER_REFUSED;
  *out_header = (FrameHeader){type, (const char *)name, name_size, seqid, r.at};
  return HEADER_VALID;
}

gboolean frame_header_is(const FrameHeader *header, const char *name)
{
  return strlen(name) == header->name_size && memcmp(header->name, name, header->name_size) == 0;
}
