#include "load_private.h"

#include "base/error.h"
#include "rpc/frame.h"
#include "rpc/wire.h"

#include <unistd.h>

/*
 * A probe is a connection to every node. An acknowledged write's token is sent in a `last` to all
 * nodes but the one that took it; each answers when it has applied it. So the lag measured is that
 * of the slowest node, with a round trip and a small read in it.
 */
enum {
  PROBES = 16,
  PROBE_INTERVAL_NS = 2 * 1000 * 1000, /* between two samples */
  PROBE_TIMEOUT_MS = 10000,
  LAST_CODE_AT = 29, /* of the status in the reply */
};

struct Probe {
  Conn *conns; /* one for each address */
  guint count;
  guint awaited; /* answers; 0: the probe is free */
  gint64 acked_ns;
};

typedef struct ProbeSet {
  Probe probes[PROBES];
  gint64 last_ns;
} ProbeSet;

gboolean probes_open(Load *load, GError **error)
{
  GPtrArray *addresses = load->spec->addresses;
  ProbeSet *set = g_new0(ProbeSet, 1);
  load->probes = set->probes;
  for (guint i = 0; i < PROBES; i++) {
    Probe *probe = &set->probes[i];
    probe->count = addresses->len;
    probe->conns = g_new0(Conn, probe->count);
    for (guint j = 0; j < probe->count; j++)
      probe->conns[j].fd = -1;
    for (guint j = 0; j < probe->count; j++) {
      Conn *conn = &probe->conns[j];
      conn->probe = probe;
      conn->in_room = READ_ROOM;
      conn->in = g_malloc(conn->in_room);
      conn->fd = load_connect(g_ptr_array_index(addresses, j), error);
      if (conn->fd < 0 || !conn_watch(load, conn, FALSE, TRUE, error))
        return FALSE;
    }
  }
  return TRUE;
}

void probes_close(Load *load)
{
  if (load->probes == NULL)
    return;
  for (guint i = 0; i < PROBES; i++) {
    Probe *probe = &load->probes[i];
    for (guint j = 0; probe->conns != NULL && j < probe->count; j++)
      conn_clear(&probe->conns[j]);
    g_free(probe->conns);
  }
  g_free(load->probes);
}

static void put_last(Load *load, Conn *conn, const Token *token)
{
  g_autofree char *device = payload_device(load->spec->payload, 0);
  guint8 bytes[512];
  ByteWriter w = byte_writer(bytes, sizeof bytes);
  byte_writer_be32(&w, 0);
  wire_put_message(&w, THRIFT_CALL, "last", strlen("last"), (gint32)conn->next_seqid++);
  wire_put_field(&w, WIRE_STRUCT, 1);
  wire_put_i32(&w, 1, 0);
  wire_put_string(&w, 2, device, strlen(device));
  wire_put_field(&w, WIRE_LIST, 4);
  byte_writer_u8(&w, WIRE_STRUCT);
  byte_writer_be32(&w, 1);
  wire_put_field(&w, WIRE_STRUCT, 1);
  wire_put_i32(&w, 1, token->log.origin);
  wire_put_i64(&w, 2, token->log.incarnation);
  byte_writer_u8(&w, WIRE_STOP);
  wire_put_i64(&w, 2, token->index);
  byte_writer_u8(&w, WIRE_STOP);
  wire_put_i32(&w, 5, PROBE_TIMEOUT_MS);
  byte_writer_u8(&w, WIRE_STOP);
  byte_writer_u8(&w, WIRE_STOP);
  g_assert(!w.failed);
  store_be32(bytes, (guint32)(w.at - 4));
  memcpy(conn_room(conn, w.at), bytes, w.at);
}

gboolean probes_on_ack(Load *load, guint target, const Token *token, gint64 now, GError **error)
{
  ProbeSet *set = (ProbeSet *)load->probes;
  if (now - set->last_ns < PROBE_INTERVAL_NS)
    return TRUE;
  set->last_ns = now;
  Probe *probe = NULL;
  for (guint i = 0; i < PROBES && probe == NULL; i++)
    probe = set->probes[i].awaited == 0 ? &set->probes[i] : NULL;
  if (probe == NULL) {
    load->result->lag_missed++;
    return TRUE;
  }
  probe->acked_ns = now;
  for (guint i = 0; i < probe->count; i++) {
    if (i == target)
      continue;
    probe->awaited++;
    put_last(load, &probe->conns[i], token);
    if (!conn_flush(load, &probe->conns[i], error))
      return FALSE;
  }
  return TRUE;
}

gboolean probe_on_input(Load *load, Conn *conn, gint64 now, GError **error)
{
  if (conn->in_have < 4 || conn->in_have < (gsize)load_be32(conn->in) + 4)
    return TRUE;
  gsize size = (gsize)load_be32(conn->in) + 4;
  if (size != conn->in_have || size < LAST_CODE_AT + 4 || conn->probe->awaited == 0)
    return fail(error, SYNCLOG_CORRUPT, "the answer to a probe is not understood");
  guint32 code = load_be32(conn->in + LAST_CODE_AT);
  if (code != SYNCLOG_OK)
    return fail(error, SYNCLOG_TIMEOUT, "a probe of the lag was answered by %s",
                synclog_status_name((int)code));
  conn->in_have = 0;
  if (--conn->probe->awaited == 0)
    histogram_add(load->result->lag, (guint64)(now - conn->probe->acked_ns));
  return TRUE;
}
