#include "http/gunzip.h"

#include <zlib.h>

enum { STEP_SIZE = 64 * 1024, GZIP_OR_ZLIB = 15 + 32 };

static gboolean fail_stream(int result, const z_stream *stream, GError **error)
{
  if (result == Z_BUF_ERROR || result == Z_OK)
    return fail(error, SYNCLOG_INVALID, "the compressed body ends too early");
  return fail(error, SYNCLOG_INVALID, "the compressed body is damaged: %s",
              stream->msg != NULL ? stream->msg : zError(result));
}

/* One step; Z_STREAM_END and Z_OK are success. */
static int inflate_step(z_stream *stream, GString *out)
{
  gsize before = out->len;
  g_string_set_size(out, before + STEP_SIZE);
  stream->next_out = (Bytef *)out->str + before;
  stream->avail_out = STEP_SIZE;
  int result = inflate(stream, Z_NO_FLUSH);
  g_string_set_size(out, before + STEP_SIZE - stream->avail_out);
  return result;
}

static gboolean inflate_all(z_stream *stream, gsize most, GString *out, GError **error)
{
  for (;;) {
    int result = inflate_step(stream, out);
    if (out->len > most)
      return fail(error, SYNCLOG_TOO_LARGE,
                  "the body has more than %" G_GSIZE_FORMAT " bytes when it is unpacked", most);
    if (result == Z_STREAM_END) {
      if (stream->avail_in == 0)
        return TRUE;
      inflateReset(stream);
      continue;
    }
    gboolean starved = stream->avail_in == 0 && stream->avail_out > 0;
    if (result != Z_OK || starved)
      return fail_stream(result, stream, error);
  }
}

GString *gunzip(const guint8 *bytes, gsize size, gsize most, GError **error)
{
  z_stream stream = {.next_in = (Bytef *)bytes, .avail_in = (uInt)size};
  if (size > G_MAXUINT32 || inflateInit2(&stream, GZIP_OR_ZLIB) != Z_OK) {
    fail(error, SYNCLOG_INTERNAL, "zlib does not start");
    return NULL;
  }
  GString *out = g_string_sized_new(MIN(4 * size, most) + STEP_SIZE);
  gboolean good = inflate_all(&stream, most, out, error);
  inflateEnd(&stream);
  if (good)
    return out;
  g_string_free(out, TRUE);
  return NULL;
}
