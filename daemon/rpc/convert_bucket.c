/* Buckets and their repair: the peer's and the admin service's, both sides. */
#include "rpc/convert.h"

#include "base/bytes.h"
#include "base/limits.h"

static void version_to_thrift(const CellVersion *version, SlTCellVersion *out)
{
  out->hlc = (gint64)version->hlc;
  out->origin = (gint32)version->origin;
  out->ordinal = (gint32)version->ordinal;
}

static gboolean version_from_thrift(const SlTCellVersion *in, CellVersion *out, GError **error)
{
  if (in->hlc == 0 || in->origin < 1 || in->origin > LIMIT_NODE_ID)
    return fail(error, SYNCLOG_INVALID, "version of a cell is out of range");
  *out = (CellVersion){(guint64)in->hlc, (guint32)in->origin, (guint32)in->ordinal};
  return TRUE;
}

static gboolean check_node(gint32 node, const char *what, GError **error)
{
  return (node >= 1 && node <= LIMIT_NODE_ID) ||
         fail(error, SYNCLOG_INVALID, "%s is out of range", what);
}

void convert_bucket_query_to_thrift(const BucketQuery *query, const BucketAsker *asker,
                                    SlTBucketReq *out)
{
  out->clusterId = g_strdup(asker->cluster_id);
  out->nodeId = (gint32)asker->node_id;
  out->consensusGroupId = (gint32)asker->group;
  out->device = g_strdup(query->device);
  out->time = query->start_time;
  out->atHlc = (gint64)query->cut;
  if (query->after.hlc == 0)
    return;
  version_to_thrift(&query->after, out->after);
  out->__isset_after = TRUE;
}

gboolean convert_bucket_query_from_thrift(const SlTBucketReq *req, BucketAsker *out_asker,
                                          BucketQuery *out, GError **error)
{
  *out_asker = (BucketAsker){req->clusterId, (guint32)req->consensusGroupId, (guint32)req->nodeId};
  *out = (BucketQuery){.device = req->device, .start_time = req->time, .cut = (guint64)req->atHlc};
  if (req->consensusGroupId < 0)
    return fail(error, SYNCLOG_INVALID, "consensusGroupId is out of range");
  return check_node(req->nodeId, "nodeId", error) &&
         (!req->__isset_after || version_from_thrift(req->after, &out->after, error));
}

static SlTBucketPart *part_to_thrift(const BucketPart *part)
{
  SlTBucketPart *out = g_object_new(SL_TYPE_T_BUCKET_PART, NULL);
  const GArray *times = part->table->timestamps;
  version_to_thrift(&part->version, out->version);
  out->rowCount = (gint32)times->len;
  out->timestamps = g_byte_array_new();
  g_byte_array_set_size(out->timestamps, times->len * 8);
  for (guint i = 0; i < times->len; i++)
    store_le64(out->timestamps->data + i * 8, (guint64)g_array_index(times, gint64, i));
  for (guint i = 0; i < part->table->columns->len; i++)
    g_ptr_array_add(out->columns, convert_column_to_thrift(part->table->columns->pdata[i]));
  return out;
}

void convert_bucket_to_thrift(const BucketPage *page, SlTBucketReply *out)
{
  for (guint i = 0; i < page->parts->len; i++)
    g_ptr_array_add(out->parts, part_to_thrift(page->parts->pdata[i]));
  out->__isset_parts = TRUE;
  out->more = out->__isset_more = page->more;
}

static gboolean part_from_thrift(const SlTBucketPart *in, BucketPage *page, GError **error)
{
  CellVersion version;
  if (!version_from_thrift(in->version, &version, error))
    return FALSE;
  if (in->rowCount < 1 || in->rowCount > LIMIT_TABLET_ROWS || in->timestamps == NULL ||
      in->timestamps->len != (guint)in->rowCount * 8)
    return fail(error, SYNCLOG_INVALID, "rowCount of a part is out of range");
  guint rows = (guint)in->rowCount;
  BucketPart *part = bucket_part_new(&version, table_new());
  g_ptr_array_add(page->parts, part);
  for (guint i = 0; i < rows; i++) {
    gint64 time = (gint64)load_le64(in->timestamps->data + i * 8);
    g_array_append_val(part->table->timestamps, time);
  }
  for (guint i = 0; i < in->columns->len; i++) {
    Column *column = convert_column_from_thrift(in->columns->pdata[i], rows, error);
    if (column == NULL)
      return FALSE;
    g_ptr_array_add(part->table->columns, column);
  }
  return TRUE;
}

BucketPage *convert_bucket_from_thrift(const SlTBucketReply *reply, GError **error)
{
  g_autoptr(BucketPage) page = bucket_page_new();
  for (guint i = 0; reply->__isset_parts && i < reply->parts->len; i++)
    if (!part_from_thrift(reply->parts->pdata[i], page, error))
      return NULL;
  page->more = reply->__isset_more && reply->more;
  if (page->more && page->parts->len == 0) {
    fail(error, SYNCLOG_INVALID, "a page without parts is not the last one");
    return NULL;
  }
  return g_steal_pointer(&page);
}

void convert_repair_to_thrift(const RepairQuery *query, guint32 group, SlTRepairReq *out)
{
  out->consensusGroupId = (gint32)group;
  out->fromNode = (gint32)query->from_node;
  out->device = g_strdup(query->device);
  out->time = query->start_time;
  out->atHlc = (gint64)query->cut;
  out->dryRun = out->__isset_dryRun = query->dry_run;
}

gboolean convert_repair_from_thrift(const SlTRepairReq *req, guint32 *out_group, RepairQuery *out,
                                    GError **error)
{
  *out_group = (guint32)req->consensusGroupId;
  *out = (RepairQuery){.from_node = (guint32)req->fromNode,
                       .device = req->device,
                       .start_time = req->time,
                       .cut = (guint64)req->atHlc,
                       .dry_run = req->__isset_dryRun && req->dryRun};
  if (req->consensusGroupId < 0)
    return fail(error, SYNCLOG_INVALID, "consensusGroupId is out of range");
  return check_node(req->fromNode, "fromNode", error);
}

void convert_repair_result_to_thrift(const RepairResult *result, SlTRepairReply *out)
{
  out->cellsBefore = (gint64)result->cells_before;
  out->cellsAfter = (gint64)result->cells_after;
  out->wasEqual = result->was_equal;
  out->__isset_cellsBefore = out->__isset_cellsAfter = out->__isset_wasEqual = TRUE;
}

void convert_repair_result_from_thrift(const SlTRepairReply *reply, RepairResult *out)
{
  *out = (RepairResult){(guint64)reply->cellsBefore, (guint64)reply->cellsAfter,
                        reply->__isset_wasEqual && reply->wasEqual};
}
