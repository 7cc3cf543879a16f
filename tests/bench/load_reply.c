#include "load_private.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

/*
 * Where a reply has its fields, counted from the status code. Fixed, as an OK has no message and
 * nothing in front can be absent.
 */
enum {
  FRAME_TYPE_AT = 4,
  SEQID_BEFORE = 13, /* so many bytes before the code */
  ROW_COUNT_AT = 12, /* of a query */
  ORIGIN_AT = 18,    /* of a write, and the following */
  INCARNATION_AT = 25,
  INDEX_AT = 37,
  WRITE_OK_SIZE = 48, /* from the code on to the end of the frame */
};

static int broken(GError **error, const char *what)
{
  fail(error, SYNCLOG_CORRUPT, "the server's answer is not understood: %s", what);
  return -1;
}

static int synclog_reply(const Load *load, const Conn *conn, const guint8 *bytes, gsize size,
                         Reply *out, GError **error)
{
  const Payload *payload = load->spec->payload;
  gsize at = payload->status_at;
  if (size < at + ROW_COUNT_AT + 4 || load_be32(bytes + FRAME_TYPE_AT) != 0x80010002)
    return broken(error, "an exception");
  if (load_be32(bytes + at - SEQID_BEFORE) != conn->expected_seqid)
    return broken(error, "out of order");
  out->status = load_be32(bytes + at);
  out->points = payload->points;
  if (out->status != SYNCLOG_OK)
    return 1;
  if (payload->spec.op == OP_RANGE)
    out->points = load_be32(bytes + at + ROW_COUNT_AT);
  if (payload->spec.op != OP_WRITE)
    return 1;
  if (size != at + WRITE_OK_SIZE)
    return broken(error, "no token");
  out->has_token = TRUE;
  out->token.log.origin = load_be32(bytes + at + ORIGIN_AT);
  out->token.log.incarnation = load_be64(bytes + at + INCARNATION_AT);
  out->token.index = load_be64(bytes + at + INDEX_AT);
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
  out->points = load->spec->payload->points;
  int found = 1;
  if (load->spec->payload->spec.target == TARGET_SYNCLOG)
    found = synclog_reply(load, conn, bytes, *out_size, out, error);
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
  out->points = load->spec->payload->points;
  return 1;
}

int reply_next(const Load *load, Conn *conn, const guint8 *bytes, gsize have, gsize *out_size,
               Reply *out, GError **error)
{
  return load->spec->payload->spec.target == TARGET_REDIS
             ? redis(load, bytes, have, out_size, out, error)
             : framed(load, conn, bytes, have, out_size, out, error);
}
