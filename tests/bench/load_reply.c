#include "load_private.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

/*
 * Where a write's reply has its fields. Fixed: strict header with the name "write", then the
 * success field, the status (code, message when it has one, retryable), the token.
 */
enum {
  FRAME_TYPE_AT = 4,
  SEQID_AT = 17,
  CODE_AT = 30,
  /* Of an OK, which has no message. */
  ORIGIN_AT = 48,
  INCARNATION_AT = 55,
  INDEX_AT = 67,
  OK_SIZE = 78,
};

static int broken(GError **error, const char *what)
{
  fail(error, SYNCLOG_CORRUPT, "the server's answer is not understood: %s", what);
  return -1;
}

static int synclog_reply(const Conn *conn, const guint8 *bytes, gsize size, Reply *out,
                         GError **error)
{
  if (load_be32(bytes + FRAME_TYPE_AT) != 0x80010002 || size < CODE_AT + 4)
    return broken(error, "an exception");
  if (load_be32(bytes + SEQID_AT) != conn->expected_seqid)
    return broken(error, "out of order");
  out->status = load_be32(bytes + CODE_AT);
  out->has_token = size == OK_SIZE;
  if (out->has_token) {
    out->token.log.origin = load_be32(bytes + ORIGIN_AT);
    out->token.log.incarnation = load_be64(bytes + INCARNATION_AT);
    out->token.index = load_be64(bytes + INDEX_AT);
  }
  return 1;
}

static int framed(const Load *load, Conn *conn, const guint8 *bytes, gsize have, gsize *out_size,
                  Reply *out, GError **error)
{
  if (have < 4)
    return 0;
  guint32 size = load_be32(bytes);
  if (size > LIMIT_FRAME_SIZE)
    return broken(error, "a frame is too long");
  if (have < (gsize)size + 4)
    return 0;
  *out_size = (gsize)size + 4;
  int found = 1;
  if (load->spec->payload->spec.target == TARGET_SYNCLOG)
    found = synclog_reply(conn, bytes, *out_size, out, error);
  conn->expected_seqid++;
  return found;
}

/* "+OK" for the SET, and ":n" when a WAIT is behind it. */
static int redis(const Load *load, const guint8 *bytes, gsize have, gsize *out_size, Reply *out,
                 GError **error)
{
  guint wait = (guint)load->spec->payload->spec.redis_wait, wanted = wait > 0 ? 2 : 1;
  gsize at = 0;
  for (guint i = 0; i < wanted; i++) {
    const guint8 *end = memchr(bytes + at, '\n', have - at);
    if (end == NULL)
      return 0;
    if (bytes[at] == '-' || (i == 0 && bytes[at] != '+'))
      return broken(error, "redis refuses");
    if (i == 1 && (guint)(bytes[at + 1] - '0') < wait)
      out->status = SYNCLOG_PENDING;
    at = (gsize)(end - bytes) + 1;
  }
  *out_size = at;
  return 1;
}

int reply_next(const Load *load, Conn *conn, const guint8 *bytes, gsize have, gsize *out_size,
               Reply *out, GError **error)
{
  return load->spec->payload->spec.target == TARGET_REDIS
             ? redis(load, bytes, have, out_size, out, error)
             : framed(load, conn, bytes, have, out_size, out, error);
}
