/*
 * What load.c (the loop), load_reply.c (reading answers) and load_lag.c (probing the lag) share.
 */
#pragma once

#include "load.h"

enum { READ_ROOM = 64 * 1024 };

typedef struct Load Load;
typedef struct Probe Probe;

typedef struct Conn {
  struct Probe *probe; /* NULL on a connection that carries load */
  int fd;
  guint target; /* index of the address */
  guint8 *in;
  gsize in_have, in_room;
  guint8 *out;
  gsize out_at, out_end, out_room;
  guint64 *starts; /* ring, `depth` long: when each request in flight was begun */
  guint head, in_flight;
  guint32 next_seqid, expected_seqid;
  gboolean wants_write;
} Conn;

struct Load {
  const LoadSpec *spec;
  int epoll;
  Conn *conns;
  GArray *idle; /* open loop: Conn*, one for each free place, used as a queue from idle_at */
  guint idle_at;
  guint64 number; /* of the next request */
  guint64 answered;
  gint64 start_ns, measure_from, measure_to, next_ns;
  double interval_ns;
  gboolean began, ended;
  Probe *probes;
  LoadResult *result;
};

gboolean conn_watch(Load *load, Conn *conn, gboolean write, gboolean add, GError **error);
void conn_clear(Conn *conn);
/* Memory for `size` more bytes of output. */
guint8 *conn_room(Conn *conn, gsize size);
gboolean conn_flush(Load *load, Conn *conn, GError **error);

typedef struct Reply {
  guint status; /* a SynclogStatus */
  guint64 points;
  gboolean has_token;
  Token token;
} Reply;

/*
 * The answer at the begin of what `conn` has read. 1 with its size, 0 when it is not complete yet,
 * -1 with the error set.
 */
int reply_next(const Load *load, Conn *conn, const guint8 *bytes, gsize have, gsize *out_size,
               Reply *out, GError **error);

/* The lag: what was acknowledged at one node is asked for at the others. */
gboolean probes_open(Load *load, GError **error);
void probes_close(Load *load);
gboolean probes_on_ack(Load *load, guint target, const Token *token, gint64 now, GError **error);
gboolean probe_on_input(Load *load, Conn *conn, gint64 now, GError **error);
