/*
 * Cutting a stream of bytes into frames, and the first look into a frame.
 *
 * A frame is a length (u32, big-endian) and so many bytes. The bytes that a connection reads land
 * in a chunk that all connections of a loop share (FramePool), so small frames lie side by side and
 * an idle connection holds no memory. A frame that does not end in the chunk moves to a buffer of
 * its own, which grows with the bytes that arrive, at most to FRAME_GROWTH times as many; the
 * announced length alone allocates nothing beyond FRAME_OWN_SIZE.
 *
 * Memory is counted in a FrameBudget while it is in use: from the first byte of a frame until the
 * frame is released. Whoever wants the bytes longer takes a reference on the chunk, which is not
 * counted.
 *
 * A reader, and the pool it reads into, belong to one thread. Chunks and the budget may be released
 * on any thread. No I/O here.
 */
#pragma once

#include <glib.h>
#include <sys/uio.h>

enum {
  FRAME_CHUNK_SIZE = 64 * 1024, /* bytes of a shared chunk */
  FRAME_OWN_SIZE = 4 * 1024,    /* smallest first size of a frame's own buffer */
  FRAME_GROWTH = 4,             /* an own buffer is at most so many times what it holds */
  FRAME_LENGTH_SIZE = 4,
};

/* Bytes in use, over all threads. */
typedef struct FrameBudget FrameBudget;
FrameBudget *frame_budget_new(void);
FrameBudget *frame_budget_ref(FrameBudget *budget);
void frame_budget_unref(FrameBudget *budget);
guint64 frame_budget_used(FrameBudget *budget);
/* Of them, those of large frames that have not come wholly. */
guint64 frame_budget_unfinished(FrameBudget *budget);
/* Counts bytes that are no chunk's: output on its way. */
void frame_budget_add(FrameBudget *budget, gsize size);
void frame_budget_sub(FrameBudget *budget, gsize size);

typedef struct FrameChunk FrameChunk;
FrameChunk *frame_chunk_ref(FrameChunk *chunk);
void frame_chunk_unref(FrameChunk *chunk);

/* The content of one frame, without its length. Holds a counted use of its chunk. */
typedef struct Frame {
  const guint8 *bytes;
  gsize size;
  FrameChunk *chunk;
} Frame;

void frame_release(Frame *frame);

/* Where the connections of one loop read to. */
typedef struct FramePool {
  FrameBudget *budget;
  FrameChunk *chunk; /* NULL until the first read */
  gsize filled;      /* bytes of the chunk that are taken */
} FramePool;

void frame_pool_init(FramePool *pool, FrameBudget *budget);
void frame_pool_clear(FramePool *pool);

/* The stream of one connection. */
typedef struct FrameReader {
  gsize max_frame_size;
  guint8 length[FRAME_LENGTH_SIZE]; /* begin of a frame of which not even the length is complete */
  gsize length_size;
  FrameChunk *own; /* of a frame under way, its length included, or NULL */
  gsize own_need, own_have;
  FrameChunk *rest; /* chunk with bytes not yet cut, [rest_at, rest_end), or NULL */
  gsize rest_at, rest_end;
} FrameReader;

void frame_reader_init(FrameReader *reader, gsize max_frame_size);
void frame_reader_clear(FrameReader *reader);

/*
 * The memory to read into next, as 1 or 2 pieces in `room`; returns their number. Only when
 * frame_reader_next has given FRAME_NONE since the last read. frame_reader_filled tells how many
 * bytes came, before anything else is done with the pool.
 */
guint frame_reader_room(FrameReader *reader, FramePool *pool, struct iovec room[2]);
void frame_reader_filled(FrameReader *reader, FramePool *pool, gsize size);

typedef enum {
  FRAME_NONE,  /* no complete frame */
  FRAME_READY, /* *out_frame is set; the caller releases it */
  FRAME_BAD,   /* a length of 0 or over the limit: the stream can't be read any more */
} FrameVerdict;

FrameVerdict frame_reader_next(FrameReader *reader, FramePool *pool, Frame *out_frame);

/* Whether part of a frame has arrived (frames not yet cut aside). */
gboolean frame_reader_is_midway(const FrameReader *reader);

/* Bytes of the buffer of a frame under way. */
gsize frame_reader_own_size(const FrameReader *reader);

/* Message types of Thrift. */
enum { THRIFT_CALL = 1, THRIFT_REPLY = 2, THRIFT_EXCEPTION = 3, THRIFT_ONEWAY = 4 };

typedef struct FrameHeader {
  guint8 type;
  const char *name; /* in the frame, not terminated */
  gsize name_size;
  gint32 seqid;
  gsize size; /* of the header: offset of the arguments */
} FrameHeader;

typedef enum {
  HEADER_VALID,
  HEADER_REFUSED, /* no valid header, but seqid is known: type not CALL or ONEWAY, or name too long
                   */
  HEADER_BROKEN,
} HeaderVerdict;

/* Reads the header of a strict binary message. With HEADER_REFUSED only seqid is set. */
HeaderVerdict frame_header_parse(const guint8 *bytes, gsize size, FrameHeader *out_header);

/* Whether the header's name is `name`. */
gboolean frame_header_is(const FrameHeader *header, const char *name);
