/*
 * What a peer answers, into the channel: cutting frames, matching by sequence id, and the replies
 * to handshake, heartbeat and syncLog. The socket is memory. Each request is answered once at most,
 * all of them when nothing was wrong, and when something was the connection is closed, once.
 */
#include "base/limits.h"
#include "fuzz/rpc_messages.h"

/* The channel's source: its connection is made here. */
#include "rpc/channel.c"

#include <fcntl.h>

enum { MAX_FRAME = 64 * 1024, REQUESTS_MOST = 8 };

void rpc_loop_post(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  (void)loop;
  func(data);
}

void rpc_loop_call(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  (void)loop;
  func(data);
}

void rpc_loop_add_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  (void)loop;
  (void)func;
  (void)data;
}

void rpc_loop_remove_hook(RpcLoop *loop, void (*func)(gpointer data), gpointer data)
{
  (void)loop;
  (void)func;
  (void)data;
}

struct event_base *rpc_loop_base(RpcLoop *loop)
{
  (void)loop;
  g_assert_not_reached();
}

typedef struct Peer {
  guint asked[SYNC + 1], answered[SYNC + 1];
  guint64 cookies; /* of syncs, a bit each, not answered yet */
  gint32 seqid;    /* of the frame that arrives; 0: not known */
  guint closed;
} Peer;

static void check_progress(const Progress *progress)
{
  for (guint i = 0; i < progress->logs->len; i++) {
    const LogProgress *log = &g_array_index(progress->logs, LogProgress, i);
    g_assert(log->log.origin >= 1 && log->log.origin <= LIMIT_NODE_ID);
    g_assert(log->received <= G_MAXINT64);
  }
}

static void note(Peer *peer, Kind kind)
{
  g_assert(peer->closed == 0);
  g_assert(++peer->answered[kind] <= peer->asked[kind]);
}

static void on_closed(gpointer ctx, const GError *error)
{
  Peer *peer = ctx;
  g_assert(error != NULL && error->message != NULL);
  peer->closed++;
}

static void on_handshake(gpointer ctx, const HandshakeReply *reply)
{
  note(ctx, HANDSHAKE);
  g_assert((reply->progress != NULL) == (reply->status == SYNCLOG_OK));
  if (reply->progress == NULL)
    return;
  g_assert(reply->node_id >= 1 && reply->node_id <= LIMIT_NODE_ID && reply->max_frame_size >= 1);
  check_progress(reply->progress);
}

static void on_heartbeat(gpointer ctx, const HeartbeatReply *reply)
{
  note(ctx, HEARTBEAT);
  g_assert((reply->progress != NULL) == (reply->status == SYNCLOG_OK));
  if (reply->progress != NULL)
    check_progress(reply->progress);
}

static void on_sync(gpointer ctx, guint64 cookie, const SyncReply *reply)
{
  Peer *peer = ctx;
  note(peer, SYNC);
  g_assert(peer->cookies & G_GUINT64_CONSTANT(1) << cookie);
  /* Requests are numbered from 1 on, cookies from 0 on. */
  g_assert(peer->seqid == 0 || (guint64)peer->seqid == cookie + 1);
  peer->cookies &= ~(G_GUINT64_CONSTANT(1) << cookie);
  g_assert(reply->received <= G_MAXINT64 && reply->durable <= G_MAXINT64);
  g_assert(reply->status >= SYNCLOG_OK && reply->status <= SYNCLOG_FORGOTTEN);
}

static RpcChannel *open_channel(Peer *peer)
{
  static const RpcChannelCallbacks callbacks = {NULL, on_closed, on_handshake, on_sync,
                                                on_heartbeat};
  static const RpcChannelOptions options = {"peer:1", MAX_FRAME, 1000, 1000, NULL};
  RpcChannel *channel = rpc_channel_new(NULL, &options, &callbacks, peer);
  channel->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  g_assert(channel->fd >= 0);
  frame_pool_init(&channel->pool, channel->budget);
  frame_reader_init(&channel->reader, channel->max_frame_size);
  channel->out = evbuffer_new();
  channel->state = CONNECTED;
  return channel;
}

static SyncBatch *some_batch(void)
{
  LogId log = {1, 17};
  gsize size = 4 + RECORD_OVERHEAD_SIZE;
  guint8 *bytes = g_malloc(size);
  record_write(record_seed(log), 1, 5, "data", 4, bytes);
  g_autoptr(EntryRun) run = entry_run_new(log, 1, 1, bytes, size, bytes, g_free);
  SyncBatch *batch = sync_batch_new(0, log);
  sync_batch_add(batch, run, 0, 1);
  return batch;
}

static void ask(RpcChannel *channel, Peer *peer, Kind kind, guint number)
{
  g_autoptr(Progress) progress = some_progress();
  Handshake handshake = {PROTOCOL_VERSION, (char *)"c", 1, 2, 17, (char *)"ms", 5, 0,
                         progress,         7,           9};
  Heartbeat heartbeat = {0, 1, progress, 8, 9};
  peer->asked[kind]++;
  switch (kind) {
  case HANDSHAKE:
    rpc_channel_handshake(channel, &handshake);
    break;
  case HEARTBEAT:
    rpc_channel_heartbeat(channel, &heartbeat);
    break;
  case SYNC:
    peer->cookies |= G_GUINT64_CONSTANT(1) << number;
    rpc_channel_sync(channel, number, some_batch());
    break;
  }
}

static gint32 seqid_of(const guint8 *bytes, gsize size)
{
  ByteReader r = byte_reader(bytes, size);
  byte_reader_be32(&r);
  byte_reader_take(&r, byte_reader_be32(&r));
  return (gint32)byte_reader_be32(&r);
}

/* Bytes that arrive. FALSE once the connection is closed. */
static gboolean arrive(RpcChannel *channel, const guint8 *bytes, gsize size, gsize piece)
{
  while (size > 0) {
    struct iovec room[2];
    guint pieces = frame_reader_room(&channel->reader, &channel->pool, room);
    gsize most = MIN(piece, size), done = 0;
    for (guint i = 0; i < pieces && done < most; i++) {
      gsize n = MIN(room[i].iov_len, most - done);
      memcpy(room[i].iov_base, bytes + done, n);
      done += n;
    }
    frame_reader_filled(&channel->reader, &channel->pool, done);
    if (!take_frames(channel))
      return FALSE;
    bytes += done;
    size -= done;
  }
  return TRUE;
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  flat_register_types();
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in);
  gsize piece = options & 1 ? 1 + fuzz_u8(&in) : size + 4;
  Peer peer = {0};
  RpcChannel *channel = open_channel(&peer);
  for (guint i = 0; i < options >> 2 && i < REQUESTS_MOST; i++)
    ask(channel, &peer, (Kind)(fuzz_u8(&in) % 3), i);
  gboolean open = TRUE;
  while (open && in.left > 0) {
    gsize part_size;
    g_autofree guint8 *part = fuzz_part(&in, &part_size);
    guint8 length[FRAME_LENGTH_SIZE];
    store_be32(length, (guint32)part_size);
    peer.seqid = options & 2 ? 0 : seqid_of(part, part_size);
    /* Either the stream itself, or frames whose lengths are put right. */
    open = (options & 2 || arrive(channel, length, sizeof length, piece)) &&
           arrive(channel, part, part_size, piece);
  }
  g_assert(peer.closed == (open ? 0 : 1));
  g_assert(open == (channel->state == CONNECTED));
  rpc_channel_free(channel);
}

/* --- seeds --------------------------------------------------------------------------------------
 */

static GByteArray *begin_seed(guint8 kind)
{
  GByteArray *out = g_byte_array_new();
  seed_number(out, 1 << 2, 1);
  seed_number(out, kind, 1);
  return out;
}

static void end_seed(const char *name, GByteArray *out, GByteArray *message)
{
  seed_part(out, message->data, message->len);
  g_byte_array_unref(message);
  seed_end(name, out);
}

void fuzz_seeds(void)
{
  flat_register_types();
  g_autoptr(Progress) progress = some_progress();
  HandshakeReply hello = {SYNCLOG_OK, NULL, 2, 17, progress, 1 << 20, 9};
  SlTHandshakeReply *one = g_object_new(SL_TYPE_T_HANDSHAKE_REPLY, NULL);
  convert_handshake_reply_to_thrift(&hello, 0, one);
  end_seed("handshake", begin_seed(HANDSHAKE), reply_message("handshake", 1, one));
  HandshakeReply refused = {.status = SYNCLOG_WRONG_CLUSTER, .message = (char *)"other"};
  SlTHandshakeReply *two = g_object_new(SL_TYPE_T_HANDSHAKE_REPLY, NULL);
  convert_handshake_reply_to_thrift(&refused, 0, two);
  end_seed("refused", begin_seed(HANDSHAKE), reply_message("handshake", 1, two));
  HeartbeatReply beat = {SYNCLOG_OK, NULL, progress, 9};
  SlTHeartbeatReply *three = g_object_new(SL_TYPE_T_HEARTBEAT_REPLY, NULL);
  convert_heartbeat_reply_to_thrift(&beat, 0, three);
  end_seed("heartbeat", begin_seed(HEARTBEAT), reply_message("heartbeat", 1, three));
  SyncReply synced = {.received = 3, .durable = 2, .applied = 1};
  g_autofree RpcReply *four = hot_sync_reply(1, &synced);
  GByteArray *out = begin_seed(SYNC);
  seed_part(out, four->bytes + FRAME_LENGTH_SIZE, four->size - FRAME_LENGTH_SIZE);
  seed_end("sync", out);
  g_autofree RpcReply *five = hot_exception_reply("handshake", 9, 1, 7, "because");
  out = begin_seed(HANDSHAKE);
  seed_part(out, five->bytes + FRAME_LENGTH_SIZE, five->size - FRAME_LENGTH_SIZE);
  seed_end("exception", out);
}
