/* What the files of the fake cluster share. Not for tests. */
#pragma once

#include "base/limits.h"
#include "core/hlc.h"
#include "support/fake_cluster.h"
#include "support/suite.h"

#include <string.h>

#undef fail /* Check has one too */

/* Something that will happen. It is dropped when its node lives another life by then. */
typedef struct Event Event;
struct Event {
  gint64 at_us;
  guint64 seq;
  void (*run)(FakeCluster *cluster, Event *event);
  guint node;
  guint64 life; /* 0: any */
  guint peer;
  guint64 channel;
  guint64 cookie;
  gpointer message;
  GDestroyNotify free_message;
};

/* fake_cluster.c */
void fake_add_event(FakeCluster *cluster, gint64 delay_us, Event event);
gint64 fake_delay_us(FakeCluster *cluster);
gboolean fake_percent(FakeCluster *cluster, guint chance);

/* fake_disk.c */
void fake_disk_init(FakeNode *node);
void fake_disk_clear(FakeNode *node);
/* The process dies: what was being written is there in part. */
void fake_disk_die(FakeNode *node, gboolean power_off);
/* As recovery does: the store gets what the logs have and it has not; the group is told. */
void fake_disk_add_logs(FakeNode *node);
void fake_turn_log_thread(FakeNode *node);
guint64 fake_wall_ms(const FakeNode *node);
void fake_log_free(gpointer data);
void fake_port_work(gpointer ctx);
void fake_port_apply(gpointer ctx, EntryRun *run);
gboolean fake_port_digest_at_end(gpointer ctx, LogId log, guint64 *out_index, guint64 *out_digest);
void fake_port_keep_clock_bound(gpointer ctx, guint64 hlc);
void fake_port_keep_members(gpointer ctx, GPtrArray *members, guint64 changes);
gboolean fake_port_meet(gpointer ctx, guint32 peer, const char *address);
void fake_port_read_digest(gpointer ctx, guint32 peer, LogId log, guint64 index);
void fake_port_read_log(gpointer ctx, guint32 peer, LogId log, guint64 from, guint max_count,
                        gsize max_bytes);

/* fake_network.c */
void fake_close_channel(FakeNode *node, guint peer);
/* Nothing of this node's life reaches anybody any more. */
void fake_network_die(FakeNode *node);
void fake_port_connect(gpointer ctx, guint32 peer);
void fake_port_disconnect(gpointer ctx, guint32 peer);
void fake_port_send_handshake(gpointer ctx, guint32 peer, const Handshake *handshake);
void fake_port_send_heartbeat(gpointer ctx, guint32 peer, const Heartbeat *heartbeat);
void fake_port_send_sync(gpointer ctx, guint32 peer, guint64 cookie, SyncBatch *batch);
void fake_port_sync_done(gpointer ctx, gpointer call, const SyncReply *reply);
