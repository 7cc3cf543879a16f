/* Bytes as an HTTP request: a head that is accepted is sound, and means the same however it comes.
 */
#include "fuzz/fuzz.h"
#include "http/http_parse.h"

#include <string.h>

enum { MAX_BODY = 1000 };

static void check_head(const HttpHead *head)
{
  g_assert(head->path[0] == '/' && strchr(head->path, '?') == NULL);
  g_assert(head->header_count <= HTTP_MAX_HEADERS);
  g_assert(!head->chunked || head->length == 0);
  for (guint i = 0; i < head->header_count; i++) {
    g_assert(head->headers[i].name[0] != '\0');
    g_assert(strpbrk(head->headers[i].name, " \t\r\n:") == NULL);
    g_assert(strpbrk(head->headers[i].value, "\r\n") == NULL);
    g_assert(http_head_find(head, head->headers[i].name) != NULL);
  }
}

static void check_params(const char *text, gsize size)
{
  g_autoptr(GHashTable) params = http_params(text, size);
  GHashTableIter iter;
  gpointer name, value;
  g_hash_table_iter_init(&iter, params);
  while (g_hash_table_iter_next(&iter, &name, &value))
    g_assert(g_utf8_validate(name, -1, NULL) && g_utf8_validate(value, -1, NULL));
}

/* The verdict, the body and what is left, with the bytes coming in steps. */
static ChunksVerdict move(const guint8 *bytes, gsize size, gsize step, GString *body,
                          gsize *out_left)
{
  struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
  HttpChunks chunks = {0};
  ChunksVerdict verdict = CHUNKS_MORE;
  gsize at = 0;
  for (; at < size && verdict == CHUNKS_MORE; at += MIN(step, size - at)) {
    evbuffer_add(in, bytes + at, MIN(step, size - at));
    verdict = http_chunks_move(&chunks, in, out, MAX_BODY);
    g_assert(evbuffer_get_length(out) <= MAX_BODY);
  }
  *out_left = size - at + evbuffer_get_length(in);
  g_string_set_size(body, evbuffer_get_length(out));
  evbuffer_remove(out, body->str, body->len);
  evbuffer_free(in);
  evbuffer_free(out);
  return verdict;
}

static void check_chunks(const guint8 *bytes, gsize size, gsize step)
{
  g_autoptr(GString) whole = g_string_new(NULL), pieces = g_string_new(NULL);
  gsize left, left_of_pieces;
  ChunksVerdict verdict = move(bytes, size, MAX(size, 1), whole, &left);
  ChunksVerdict of_pieces = move(bytes, size, step, pieces, &left_of_pieces);
  g_assert(verdict == of_pieces);
  if (verdict == CHUNKS_DONE)
    g_assert(g_string_equal(whole, pieces) && left == left_of_pieces);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  guint step = fuzz_u8(&in) + 1;
  check_chunks(in.bytes, in.left, step);
  check_params((const char *)in.bytes, in.left);
  gsize head_size = http_head_size((const char *)in.bytes, in.left);
  if (head_size == 0)
    return;
  HttpHead head;
  guint refused = http_head_parse((const char *)in.bytes, head_size, &head);
  g_assert(refused == 0 || (refused >= 400 && refused < 600));
  if (refused == 0) {
    check_head(&head);
    if (head.query != NULL)
      check_params(head.query, strlen(head.query));
    if (head.chunked)
      check_chunks(in.bytes + head_size, in.left - head_size, step);
  }
  http_head_clear(&head);
}

void fuzz_seeds(void)
{
  static const char get[] = "\x07"
                            "GET /metrics?a=%20b HTTP/1.1\r\nHost: h\r\n\r\n";
  static const char chunks[] = "\x01"
                               "POST /write HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                               "Expect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
  static const char body[] = "\x02"
                             "a;x=y\r\n0123456789\r\n0\r\n\r\n";
  fuzz_seed("get", get, sizeof get - 1);
  fuzz_seed("chunks", chunks, sizeof chunks - 1);
  fuzz_seed("body", body, sizeof body - 1);
}
