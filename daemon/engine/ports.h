/*
 * What the engine asks of the world, as functions. The daemon binds them to threads, files and
 * sockets, the simulator to simulated ones.
 *
 * Every port returns at once and calls back into the group only later, never from inside. The ports
 * are called while the caller of the group holds the group's lock.
 */
#pragma once

#include "core/messages.h"

typedef struct GroupPorts {
  /* group_take_work has something to give, or group_deadline_us came nearer. */
  void (*work)(gpointer ctx);

  /* Read records of a log from the WAL, from `from` on, to send them to a peer, or to apply them
   * (the own id as `peer`); answered by group_on_read. */
  void (*read_log)(gpointer ctx, guint32 peer, LogId log, guint64 from, guint max_count,
                   gsize max_bytes);

  /*
   * The running digest of a log: digest_at_end says up to which index it is known at once (FALSE:
   * not at all), without waiting for anything. read_digest gets it at an index, to compare it with
   * that of a peer or to tell it to that; answered by group_on_digest.
   */
  gboolean (*digest_at_end)(gpointer ctx, LogId log, guint64 *out_index, guint64 *out_digest);
  void (*read_digest)(gpointer ctx, guint32 peer, LogId log, guint64 index);

  /* Apply a run to the store; runs of one log come in order. Answered by group_on_applied.
   * Transfer full. */
  void (*apply)(gpointer ctx, EntryRun *run);

  /* Keep beside the logs, durably, what the next start gives back in GroupOptions; answered by
   * group_on_clock_bound and group_on_members_kept. members: Member, shared; `changes` is larger
   * for later ones. */
  void (*keep_clock_bound)(gpointer ctx, guint64 hlc);
  void (*keep_members)(gpointer ctx, GPtrArray *members, guint64 changes);

  /* The group has this peer: connect and the like may come for it from now on. address: as it was
   * told, NULL: it was not. FALSE: it is not known where the peer is. */
  gboolean (*meet)(gpointer ctx, guint32 peer, const char *address);

  /* The channel to a peer. connect is answered by group_on_connected or group_on_closed; each
   * closing, also one asked for by disconnect, by one group_on_closed. */
  void (*connect)(gpointer ctx, guint32 peer);
  void (*disconnect)(gpointer ctx, guint32 peer);
  void (*send_handshake)(gpointer ctx, guint32 peer, const Handshake *handshake);
  void (*send_heartbeat)(gpointer ctx, guint32 peer, const Heartbeat *heartbeat);
  /* Answered by group_on_sync_reply with the cookie. Transfer full. */
  void (*send_sync)(gpointer ctx, guint32 peer, guint64 cookie, SyncBatch *batch);

  /* Answers to what was given to the group; `message` may be NULL. */
  void (*write_done)(gpointer ctx, gpointer write, SynclogStatus status, const char *message,
                     const Token *token);
  void (*sync_done)(gpointer ctx, gpointer call, const SyncReply *reply);
  void (*read_done)(gpointer ctx, gpointer read, SynclogStatus status, const char *message);

  /* Something an operator should read. */
  void (*note)(gpointer ctx, GLogLevelFlags level, const char *text);

  gpointer ctx;
} GroupPorts;
