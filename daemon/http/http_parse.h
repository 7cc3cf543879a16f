/*
 * The bytes of HTTP/1.1 requests: pure, no I/O. Strict: lines end with CRLF, a size is stated once
 * and one way, names and values have no control characters, and nothing is folded. What is not
 * understood is refused, never guessed.
 */
#pragma once

#include <event2/buffer.h>
#include <glib.h>

enum { HTTP_MAX_HEADERS = 64 };

typedef struct HttpHeader {
  const char *name, *value;
} HttpHeader;

typedef struct HttpHead {
  char *text; /* owned; all that follows points into it */
  const char *method, *path;
  const char *query; /* NULL: none */
  HttpHeader headers[HTTP_MAX_HEADERS];
  guint header_count;
  gboolean is_1_0; /* of HTTP: the other side knows no chunks */
  gboolean keep_alive;
  gboolean chunked;          /* the body comes in chunks; else: */
  guint64 length;            /* bytes of the body */
  gboolean expects_continue; /* the body comes once it is asked for */
} HttpHead;

/* The size of the head at the start of so many bytes, with the empty line; 0: not complete. */
gsize http_head_size(const char *bytes, gsize size);

/* Reads a complete head. 0, or the status with which it is refused; clear it in both cases. */
guint http_head_parse(const char *bytes, gsize size, HttpHead *out);
void http_head_clear(HttpHead *head);

/* NULL: not there. */
const char *http_head_find(const HttpHead *head, const char *name);

/* "a=b&c=d" → name → value, decoded; pairs that are no UTF-8 or hold a NUL are left out. The first
 * of a name counts. */
GHashTable *http_params(const char *text, gsize size);

/* A body in chunks, on its way from one buffer into another. */
typedef struct HttpChunks {
  enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } state;
  guint64 left;   /* of the chunk */
  guint trailers; /* lines of it so far */
} HttpChunks;

typedef enum { CHUNKS_MORE, CHUNKS_DONE, CHUNKS_BAD, CHUNKS_TOO_LARGE } ChunksVerdict;

/* Moves what has come; `out` never grows beyond `max` bytes. */
ChunksVerdict http_chunks_move(HttpChunks *chunks, struct evbuffer *in, struct evbuffer *out,
                               gsize max);
