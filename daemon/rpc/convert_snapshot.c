#include "rpc/convert_snapshot.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "rpc/convert.h"

#include <string.h>

static GByteArray *bytes_of(const void *data, gsize size)
{
  GByteArray *array = g_byte_array_sized_new((guint)size);
  g_byte_array_append(array, data, (guint)size);
  return array;
}

void convert_snapshot_to_thrift(const Snapshot *snapshot, SlTSnapshot *out)
{
  out->id = (gint64)snapshot->id;
  out->clusterId = g_strdup(snapshot->cluster_id);
  out->nodeId = (gint32)snapshot->node_id;
  out->timePrecision = g_strdup(snapshot->time_precision);
  out->version = g_strdup(snapshot->version);
  out->partitionInterval = (gint64)snapshot->partition_interval;
  out->createdMs = (gint64)snapshot->created_ms;
  out->storeFormat = (gint32)snapshot->store_format;
  out->__isset_storeFormat = snapshot->store_format > 0;
  guint8 digest[16];
  store_be64(digest, snapshot->digest.high);
  store_be64(digest + 8, snapshot->digest.low);
  out->digest = bytes_of(digest, sizeof digest);
  out->cells = (gint64)snapshot->digest.cells;
  out->devices = (gint64)snapshot->digest.devices;
  for (guint i = 0; i < snapshot->logs->len; i++) {
    const SnapshotLog *one = &g_array_index(snapshot->logs, SnapshotLog, i);
    SlTLogProgress *log = g_object_new(SL_TYPE_T_LOG_PROGRESS, NULL);
    LogProgress progress = {.log = one->log,
                            .received = one->applied,
                            .durable = one->applied,
                            .applied = one->applied,
                            .first_available = one->applied + 1,
                            .applied_hlc = one->hlc,
                            .digest = one->digest,
                            .digest_index = one->digest != 0 ? one->applied : 0};
    convert_log_progress_to_thrift(&progress, log);
    g_ptr_array_add(out->logs, log);
  }
  for (guint i = 0; i < snapshot->files->len; i++) {
    const SnapshotFile *from = &g_array_index(snapshot->files, SnapshotFile, i);
    SlTSnapshotFile *file = g_object_new(SL_TYPE_T_SNAPSHOT_FILE, NULL);
    file->name = g_strdup(from->name);
    file->size = (gint64)from->size;
    file->checksum = (gint32)from->checksum;
    g_ptr_array_add(out->files, file);
  }
}

static gboolean add_log(const SlTLogProgress *in, GArray *logs, GError **error)
{
  LogProgress progress = {0};
  if (!convert_log_progress_from_thrift(in, &progress, error))
    return FALSE;
  gboolean told = progress.digest_index == progress.applied;
  SnapshotLog one = {progress.log, progress.applied, progress.applied_hlc,
                     told ? progress.digest : 0};
  g_array_append_val(logs, one);
  return TRUE;
}

static gboolean add_file(const SlTSnapshotFile *in, GArray *files, GError **error)
{
  SnapshotFile file = {.size = (guint64)in->size, .checksum = (guint32)in->checksum};
  if (in->name == NULL || in->size < 0 ||
      g_strlcpy(file.name, in->name, sizeof file.name) >= sizeof file.name)
    return fail(error, SYNCLOG_INVALID, "a file of the snapshot makes no sense");
  g_array_append_val(files, file);
  return TRUE;
}

Snapshot *convert_snapshot_from_thrift(const SlTSnapshot *in, GError **error)
{
  g_autoptr(Snapshot) snapshot = snapshot_new();
  if (in->digest == NULL || in->digest->len != 16 || in->cells < 0 || in->devices < 0) {
    fail(error, SYNCLOG_INVALID, "the snapshot's digest makes no sense");
    return NULL;
  }
  snapshot->id = (guint64)in->id;
  snapshot->cluster_id = g_strdup(in->clusterId);
  snapshot->node_id = (guint32)in->nodeId;
  snapshot->time_precision = g_strdup(in->timePrecision);
  snapshot->version = g_strdup(in->version);
  snapshot->partition_interval = (guint64)in->partitionInterval;
  snapshot->created_ms = (guint64)in->createdMs;
  snapshot->store_format = in->__isset_storeFormat ? (guint64)in->storeFormat : 0;
  snapshot->digest = (StateDigest){.high = load_be64(in->digest->data),
                                   .low = load_be64(in->digest->data + 8),
                                   .cells = (guint64)in->cells,
                                   .devices = (guint64)in->devices};
  for (guint i = 0; i < in->logs->len; i++)
    if (!add_log(in->logs->pdata[i], snapshot->logs, error))
      return NULL;
  for (guint i = 0; i < in->files->len; i++)
    if (!add_file(in->files->pdata[i], snapshot->files, error))
      return NULL;
  return snapshot_check(snapshot, error) ? g_steal_pointer(&snapshot) : NULL;
}

void convert_fragment_to_thrift(const SnapshotFragment *fragment, SlTFragmentReply *out)
{
  out->snapshotId = (gint64)fragment->id;
  out->file = (gint32)fragment->file;
  out->offset = (gint64)fragment->offset;
  out->data = bytes_of(fragment->data, fragment->size);
  out->checksum = (gint32)fragment->checksum;
  out->__isset_snapshotId = out->__isset_file = out->__isset_offset = TRUE;
  out->__isset_data = out->__isset_checksum = TRUE;
}

gboolean convert_fragment_from_thrift(const SlTFragmentReply *in, SnapshotFragment *out,
                                      GBytes **out_bytes, GError **error)
{
  if (!in->__isset_snapshotId || !in->__isset_file || !in->__isset_offset || !in->__isset_data ||
      !in->__isset_checksum || in->data == NULL || in->file < 0)
    return fail(error, SYNCLOG_INVALID, "the fragment is not complete");
  *out_bytes = g_byte_array_free_to_bytes(g_byte_array_ref(in->data));
  *out = (SnapshotFragment){.id = (guint64)in->snapshotId,
                            .file = (guint32)in->file,
                            .offset = (guint64)in->offset,
                            .checksum = (guint32)in->checksum};
  out->data = g_bytes_get_data(*out_bytes, &out->size);
  return TRUE;
}

static gboolean node_from_thrift(gint32 id, gboolean is_set, guint32 *out, GError **error)
{
  *out = is_set ? (guint32)id : 0;
  return !is_set || (id >= 1 && id <= LIMIT_NODE_ID) ||
         fail(error, SYNCLOG_INVALID, "a node id is out of range");
}

static gboolean group_from_thrift(gint32 group, guint32 *out, GError **error)
{
  *out = (guint32)group;
  return group >= 0 || fail(error, SYNCLOG_INVALID, "consensusGroupId is out of range");
}

gboolean convert_snapshot_req_from_thrift(const SlTSnapshotReq *in, SnapshotRequest *out,
                                          GError **error)
{
  *out = (SnapshotRequest){.requester = (guint64)in->requester,
                           .id = in->__isset_snapshotId ? (guint64)in->snapshotId : 0,
                           .cluster_id = in->__isset_clusterId ? in->clusterId : NULL};
  if (in->requester == 0 || (in->__isset_snapshotId && in->snapshotId < 1))
    return fail(error, SYNCLOG_INVALID, "requester or snapshotId is out of range");
  return group_from_thrift(in->consensusGroupId, &out->group, error) &&
         node_from_thrift(in->nodeId, in->__isset_nodeId, &out->node_id, error);
}

gboolean convert_fragment_req_from_thrift(const SlTFragmentReq *in, FragmentRequest *out,
                                          GError **error)
{
  *out = (FragmentRequest){.id = (guint64)in->snapshotId,
                           .file = (guint32)in->file,
                           .offset = (guint64)in->offset,
                           .size = (gsize)in->size};
  if (in->snapshotId < 1 || in->file < 0 || in->offset < 0 || in->size < 1 ||
      in->size > SNAPSHOT_FRAGMENT_SIZE)
    return fail(error, SYNCLOG_INVALID, "snapshotId, file, offset or size is out of range");
  return group_from_thrift(in->consensusGroupId, &out->group, error);
}

gboolean convert_reseed_req_from_thrift(const SlTReseedReq *in, ReseedRequest *out, GError **error)
{
  *out = (ReseedRequest){.cluster_id = in->__isset_clusterId ? in->clusterId : NULL};
  return group_from_thrift(in->consensusGroupId, &out->group, error) &&
         node_from_thrift(in->nodeId, TRUE, &out->node_id, error) &&
         node_from_thrift(in->fromNodeId, in->__isset_fromNodeId, &out->from_node_id, error);
}
