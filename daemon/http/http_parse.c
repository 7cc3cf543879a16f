#include "http/http_parse.h"

#include <stdlib.h>
#include <string.h>

enum {
  MAX_CHUNK_LINE = 256,
  MAX_TRAILERS = 16,
};

/* --- the head -----------------------------------------------------------------------------------
 */

gsize http_head_size(const char *bytes, gsize size)
{
  const char *end = memmem(bytes, size, "\r\n\r\n", 4);
  return end != NULL ? (gsize)(end - bytes) + 4 : 0;
}

/* The characters of methods and header names. */
static gboolean is_token(const char *text)
{
  if (*text == '\0')
    return FALSE;
  for (const char *c = text; *c != '\0'; c++)
    if (!g_ascii_isalnum(*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
      return FALSE;
  return TRUE;
}

static gboolean is_value(const char *text)
{
  for (const char *c = text; *c != '\0'; c++)
    if ((guchar)*c < ' ' && *c != '\t')
      return FALSE;
  return strchr(text, '\x7f') == NULL;
}

/* Cuts the line off that begins at *rest. */
static char *cut_line(char **rest)
{
  char *line = *rest;
  char *end = strstr(line, "\r\n");
  *end = '\0';
  *rest = end + 2;
  return line;
}

static guint parse_request_line(char *line, HttpHead *out)
{
  char *path = strchr(line, ' ');
  char *version = path != NULL ? strchr(path + 1, ' ') : NULL;
  if (version == NULL)
    return 400;
  *path++ = '\0';
  *version++ = '\0';
  if (!is_token(line) || *path != '/' || !g_str_has_prefix(version, "HTTP/"))
    return 400;
  for (const char *c = path; *c != '\0'; c++)
    if (!g_ascii_isgraph(*c))
      return 400;
  if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
    return 505;
  char *query = strchr(path, '?');
  if (query != NULL)
    *query++ = '\0';
  out->method = line;
  out->path = path;
  out->query = query;
  out->is_1_0 = version[7] == '0';
  out->keep_alive = !out->is_1_0;
  return 0;
}

static guint parse_header(char *line, HttpHead *out)
{
  char *colon = strchr(line, ':');
  if (colon == NULL)
    return 400;
  *colon = '\0';
  char *value = g_strstrip(colon + 1);
  if (!is_token(line) || !is_value(value))
    return 400;
  if (out->header_count == HTTP_MAX_HEADERS)
    return 431;
  out->headers[out->header_count++] = (HttpHeader){line, value};
  return 0;
}

static guint count_of(const HttpHead *head, const char *name)
{
  guint count = 0;
  for (guint i = 0; i < head->header_count; i++)
    count += g_ascii_strcasecmp(head->headers[i].name, name) == 0;
  return count;
}

/* How the body is delimited. Two statements of it are how requests are smuggled: refused. */
static guint parse_framing(HttpHead *out)
{
  const char *length = http_head_find(out, "Content-Length");
  const char *encoding = http_head_find(out, "Transfer-Encoding");
  if (count_of(out, "Content-Length") + count_of(out, "Transfer-Encoding") > 1)
    return 400;
  if (encoding != NULL) {
    if (g_ascii_strcasecmp(encoding, "chunked") != 0)
      return 501;
    out->chunked = TRUE;
  }
  if (length != NULL) {
    for (const char *c = length; *c != '\0'; c++)
      if (!g_ascii_isdigit(*c))
        return 400;
    if (!g_ascii_string_to_unsigned(length, 10, 0, G_MAXINT64, &out->length, NULL))
      return 400;
  }
  return 0;
}

static guint parse_meaning(HttpHead *out)
{
  guint refused = parse_framing(out);
  if (refused != 0)
    return refused;
  guint hosts = count_of(out, "Host");
  if (hosts > 1 || (!out->is_1_0 && hosts == 0))
    return 400;
  const char *connection = http_head_find(out, "Connection");
  if (connection != NULL) {
    g_autofree char *lower = g_ascii_strdown(connection, -1);
    if (strstr(lower, "close") != NULL)
      out->keep_alive = FALSE;
    else if (strstr(lower, "keep-alive") != NULL)
      out->keep_alive = TRUE;
  }
  const char *expect = http_head_find(out, "Expect");
  if (expect != NULL && !out->is_1_0) {
    if (g_ascii_strcasecmp(expect, "100-continue") != 0)
      return 417;
    out->expects_continue = TRUE;
  }
  return 0;
}

guint http_head_parse(const char *bytes, gsize size, HttpHead *out)
{
  *out = (HttpHead){0};
  if (size < 4 || memchr(bytes, '\0', size) != NULL)
    return 400;
  out->text = g_strndup(bytes, size);
  char *rest = out->text;
  guint refused = parse_request_line(cut_line(&rest), out);
  while (refused == 0) {
    char *line = cut_line(&rest);
    if (*line == '\0')
      return parse_meaning(out);
    refused = parse_header(line, out);
  }
  return refused;
}

void http_head_clear(HttpHead *head)
{
  g_clear_pointer(&head->text, g_free);
  *head = (HttpHead){0};
}

const char *http_head_find(const HttpHead *head, const char *name)
{
  for (guint i = 0; i < head->header_count; i++)
    if (g_ascii_strcasecmp(head->headers[i].name, name) == 0)
      return head->headers[i].value;
  return NULL;
}

/* --- parameters ---------------------------------------------------------------------------------
 */

/* NULL: not UTF-8, a NUL, or a broken escape. */
static char *decode(const char *text, gsize size)
{
  g_autoptr(GString) out = g_string_sized_new(size);
  for (gsize i = 0; i < size; i++) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%') {
      if (i + 2 >= size || !g_ascii_isxdigit(text[i + 1]) || !g_ascii_isxdigit(text[i + 2]))
        return NULL;
      c = (char)(g_ascii_xdigit_value(text[i + 1]) * 16 + g_ascii_xdigit_value(text[i + 2]));
      i += 2;
    }
    g_string_append_c(out, c);
  }
  if (!g_utf8_validate(out->str, (gssize)out->len, NULL))
    return NULL;
  return g_string_free(g_steal_pointer(&out), FALSE);
}

GHashTable *http_params(const char *text, gsize size)
{
  GHashTable *params = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  const char *end = text + size;
  while (text < end) {
    const char *stop = memchr(text, '&', (gsize)(end - text));
    if (stop == NULL)
      stop = end;
    const char *equals = memchr(text, '=', (gsize)(stop - text));
    const char *value = equals != NULL ? equals + 1 : stop;
    g_autofree char *name = decode(text, (gsize)((equals != NULL ? equals : stop) - text));
    g_autofree char *decoded = decode(value, (gsize)(stop - value));
    if (name != NULL && decoded != NULL && !g_hash_table_contains(params, name))
      g_hash_table_insert(params, g_steal_pointer(&name), g_steal_pointer(&decoded));
    text = stop + 1;
  }
  return params;
}

/* --- chunks -------------------------------------------------------------------------------------
 */

/* "1a;extension" → 26. */
static gboolean parse_chunk_size(const char *line, guint64 *out)
{
  const char *c = line;
  *out = 0;
  for (; g_ascii_isxdigit(*c); c++) {
    if (c - line >= 8)
      return FALSE;
    *out = *out * 16 + (guint64)g_ascii_xdigit_value(*c);
  }
  return c > line && (*c == '\0' || *c == ';') && is_value(c);
}

/* A line without its end; NULL with *out_verdict: none yet, or none that can be. */
static char *next_line(struct evbuffer *in, ChunksVerdict *out_verdict)
{
  size_t size;
  struct evbuffer_ptr end = evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_CRLF_STRICT);
  gboolean too_long =
      end.pos < 0 ? evbuffer_get_length(in) > MAX_CHUNK_LINE : end.pos > MAX_CHUNK_LINE;
  *out_verdict = too_long ? CHUNKS_BAD : CHUNKS_MORE;
  if (too_long || end.pos < 0)
    return NULL;
  char *line = evbuffer_readln(in, &size, EVBUFFER_EOL_CRLF_STRICT);
  if (strlen(line) == size)
    return line;
  free(line);
  *out_verdict = CHUNKS_BAD;
  return NULL;
}

static ChunksVerdict on_line(HttpChunks *chunks, const char *line, gsize room)
{
  switch (chunks->state) {
  case CHUNK_SIZE:
    if (!parse_chunk_size(line, &chunks->left))
      return CHUNKS_BAD;
    if (chunks->left > room)
      return CHUNKS_TOO_LARGE;
    chunks->state = chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    return CHUNKS_MORE;
  case CHUNK_END:
    chunks->state = CHUNK_SIZE;
    return *line == '\0' ? CHUNKS_MORE : CHUNKS_BAD;
  case CHUNK_TRAILER:
    if (*line == '\0')
      return CHUNKS_DONE;
    return ++chunks->trailers > MAX_TRAILERS ? CHUNKS_BAD : CHUNKS_MORE;
  case CHUNK_DATA:
    break;
  }
  g_assert_not_reached();
}

ChunksVerdict http_chunks_move(HttpChunks *chunks, struct evbuffer *in, struct evbuffer *out,
                               gsize max)
{
  for (;;) {
    if (chunks->state == CHUNK_DATA) {
      gsize size = MIN(evbuffer_get_length(in), chunks->left);
      if (size == 0)
        return CHUNKS_MORE;
      evbuffer_remove_buffer(in, out, size);
      chunks->left -= size;
      if (chunks->left == 0)
        chunks->state = CHUNK_END;
      continue;
    }
    ChunksVerdict verdict;
    char *line = next_line(in, &verdict);
    if (line == NULL)
      return verdict;
    verdict = on_line(chunks, line, max - evbuffer_get_length(out));
    free(line);
    if (verdict != CHUNKS_MORE)
      return verdict;
  }
}
