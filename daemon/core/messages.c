#include "core/messages.h"

void handshake_clear(Handshake *handshake)
{
  g_clear_pointer(&handshake->cluster_id, g_free);
  g_clear_pointer(&handshake->time_precision, g_free);
  g_clear_pointer(&handshake->progress, progress_free);
}

void handshake_reply_clear(HandshakeReply *reply)
{
  g_clear_pointer(&reply->message, g_free);
  g_clear_pointer(&reply->progress, progress_free);
}

static void run_slice_free(gpointer data)
{
  RunSlice *slice = data;
  entry_run_unref(slice->run);
  g_free(slice);
}

SyncBatch *sync_batch_new(guint32 group, LogId log)
{
  SyncBatch *batch = g_new0(SyncBatch, 1);
  batch->group = group;
  batch->log = log;
  batch->slices = g_ptr_array_new_with_free_func(run_slice_free);
  return batch;
}

void sync_batch_free(SyncBatch *batch)
{
  g_ptr_array_unref(batch->slices);
  g_free(batch);
}

void sync_batch_add(SyncBatch *batch, EntryRun *run, guint first, guint count)
{
  g_assert(count > 0 && first + count <= entry_run_count(run));
  guint64 first_index = entry_run_first_index(run) + first;
  if (batch->slices->len == 0)
    batch->first_index = first_index;
  else
    g_assert(first_index == batch->last_index + 1);
  RunSlice *slice = g_new(RunSlice, 1);
  *slice = (RunSlice){entry_run_ref(run), first, count};
  g_ptr_array_add(batch->slices, slice);
  batch->last_index = first_index + count - 1;
  batch->bytes += entry_run_offset(run, first + count) - entry_run_offset(run, first);
}

void sync_reply_clear(SyncReply *reply)
{
  g_clear_pointer(&reply->message, g_free);
}

void heartbeat_clear(Heartbeat *heartbeat)
{
  g_clear_pointer(&heartbeat->progress, progress_free);
}

void heartbeat_reply_clear(HeartbeatReply *reply)
{
  g_clear_pointer(&reply->message, g_free);
  g_clear_pointer(&reply->progress, progress_free);
}

static void log_status_clear(gpointer data)
{
  LogStatus *log = data;
  g_free(log->message);
  g_clear_pointer(&log->skipped, g_array_unref);
}

static void peer_status_clear(gpointer data)
{
  PeerStatus *peer = data;
  g_free(peer->address);
  g_free(peer->message);
  g_clear_pointer(&peer->progress, progress_free);
}

NodeStatus *node_status_new(void)
{
  NodeStatus *status = g_new0(NodeStatus, 1);
  status->logs = g_array_new(FALSE, TRUE, sizeof(LogStatus));
  g_array_set_clear_func(status->logs, log_status_clear);
  status->peers = g_array_new(FALSE, TRUE, sizeof(PeerStatus));
  g_array_set_clear_func(status->peers, peer_status_clear);
  status->steps = g_array_new(FALSE, TRUE, sizeof(StepStatus));
  status->errors = g_array_new(FALSE, TRUE, sizeof(NamedCount));
  status->memory = g_array_new(FALSE, TRUE, sizeof(NamedCount));
  return status;
}

void named_count_add(GArray *counts, const char *name, guint64 count)
{
  NamedCount one = {name, count};
  g_array_append_val(counts, one);
}

void node_status_free(NodeStatus *status)
{
  g_free(status->cluster_id);
  g_free(status->version);
  g_free(status->message);
  g_array_unref(status->logs);
  g_array_unref(status->peers);
  g_clear_pointer(&status->members, g_ptr_array_unref);
  g_array_unref(status->steps);
  g_array_unref(status->errors);
  g_array_unref(status->memory);
  g_free(status);
}

void node_info_clear(NodeInfo *info)
{
  g_clear_pointer(&info->cluster_id, g_free);
  g_clear_pointer(&info->version, g_free);
  g_clear_pointer(&info->time_precision, g_free);
  g_clear_pointer(&info->groups, g_array_unref);
  g_clear_pointer(&info->configured, g_array_unref);
}

void group_info_free(GroupInfo *info)
{
  g_free(info->devices);
  g_free(info->members);
  g_free(info->state);
  g_free(info->message);
  g_free(info);
}

void config_entry_free(ConfigEntry *entry)
{
  g_free(entry->section);
  g_free(entry->key);
  g_free(entry->value);
  g_free(entry);
}
