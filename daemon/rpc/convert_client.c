/* The client and admin services, the client's side. */
#include "rpc/convert.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

static gboolean bad(GError **error, const char *field)
{
  return fail(error, SYNCLOG_INVALID, "the answer's %s makes no sense", field);
}

static void names_to_thrift(const char *const *names, GPtrArray *out, gboolean *isset)
{
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    g_ptr_array_add(out, g_strdup(names[i]));
  *isset = names != NULL;
}

void convert_query_to_thrift(const Query *query, guint32 group, const GArray *tokens,
                             SlTQueryReq *out)
{
  out->consensusGroupId = (gint32)group;
  out->device = g_strdup(query->device);
  names_to_thrift(query->measurements, out->measurements, &out->__isset_measurements);
  out->startTime = query->start_time;
  out->endTime = query->end_time;
  out->__isset_startTime = out->__isset_endTime = TRUE;
  out->limit = (gint32)query->limit;
  out->__isset_limit = query->limit > 0;
  out->descending = out->__isset_descending = query->descending;
  if (query->page != NULL) {
    gsize size;
    const guint8 *page = g_bytes_get_data(query->page, &size);
    out->page = g_byte_array_new();
    g_byte_array_append(out->page, page, (guint)size);
    out->__isset_page = TRUE;
  }
  convert_tokens_to_thrift(tokens, out->tokens);
  out->__isset_tokens = tokens != NULL;
}

void convert_aggregate_query_to_thrift(const AggregateQuery *query, guint32 group,
                                       const GArray *tokens, SlTAggregateReq *out)
{
  out->consensusGroupId = (gint32)group;
  out->device = g_strdup(query->device);
  out->measurement = g_strdup(query->measurement);
  out->startTime = query->start_time;
  out->endTime = query->end_time;
  out->window = (gint64)query->window;
  out->__isset_window = query->window > 0;
  out->limit = (gint32)query->limit;
  out->__isset_limit = query->limit > 0;
  convert_tokens_to_thrift(tokens, out->tokens);
  out->__isset_tokens = tokens != NULL;
}

Column *convert_column_from_thrift(const SlTColumn *in, guint rows, GError **error)
{
  if (data_type_name((int)in->type) == NULL || in->values == NULL) {
    bad(error, "column");
    return NULL;
  }
  g_autoptr(Column) column = column_new(in->measurement, (DataType)in->type);
  g_clear_pointer(&column->text, g_byte_array_unref);
  g_byte_array_unref(column->values);
  column->values = g_byte_array_ref(in->values);
  if (in->__isset_nulls && in->nulls != NULL)
    column->nulls = g_byte_array_ref(in->nulls);
  column->rows = rows;
  return column_check(column, rows, error) ? g_steal_pointer(&column) : NULL;
}

Table *convert_table_from_thrift(const SlTQueryReply *reply, GError **error)
{
  g_autoptr(Table) table = table_new();
  if (reply->rowCount < 0 || reply->rowCount > LIMIT_QUERY_ROWS ||
      (reply->rowCount > 0 &&
       (reply->timestamps == NULL || reply->timestamps->len != (guint)reply->rowCount * 8))) {
    bad(error, "rowCount");
    return NULL;
  }
  guint rows = (guint)reply->rowCount;
  for (guint i = 0; i < rows; i++) {
    gint64 time = (gint64)load_le64(reply->timestamps->data + i * 8);
    g_array_append_val(table->timestamps, time);
  }
  for (guint i = 0; i < reply->columns->len; i++) {
    Column *column = convert_column_from_thrift(reply->columns->pdata[i], rows, error);
    if (column == NULL)
      return NULL;
    g_ptr_array_add(table->columns, column);
  }
  if (reply->__isset_nextPage && reply->nextPage != NULL)
    table->next_page = g_bytes_new(reply->nextPage->data, reply->nextPage->len);
  return g_steal_pointer(&table);
}

GPtrArray *convert_last_from_thrift(const SlTLastReply *reply, GError **error)
{
  g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  for (guint i = 0; i < reply->values->len; i++) {
    const SlTLastValue *in = reply->values->pdata[i];
    LastValue *last = g_new0(LastValue, 1);
    g_ptr_array_add(values, last);
    last->value.type = DATA_BOOLEAN;
    last->measurement = g_strdup(in->measurement);
    last->timestamp = in->timestamp;
    if (!convert_value_from_thrift(in->value, (DataType)in->type, &last->value, error))
      return NULL;
  }
  return g_steal_pointer(&values);
}

static gboolean window_from_thrift(const SlTWindow *in, DataType type, Window *out, GError **error)
{
  *out = (Window){.start_time = in->startTime,
                  .count = (guint64)in->count,
                  .sum = in->sum,
                  .avg = in->avg,
                  .first_time = in->firstTime,
                  .last_time = in->lastTime};
  out->min.type = out->max.type = out->first.type = out->last.type = DATA_BOOLEAN;
  if (type != DATA_TEXT && (!convert_value_from_thrift(in->min, type, &out->min, error) ||
                            !convert_value_from_thrift(in->max, type, &out->max, error)))
    return FALSE;
  return convert_value_from_thrift(in->first, type, &out->first, error) &&
         convert_value_from_thrift(in->last, type, &out->last, error);
}

Aggregate *convert_aggregate_from_reply(const SlTAggregateReply *reply, GError **error)
{
  g_autoptr(Aggregate) aggregate = aggregate_new();
  if (data_type_name((int)reply->type) == NULL) {
    bad(error, "type");
    return NULL;
  }
  aggregate->type = (DataType)reply->type;
  for (guint i = 0; i < reply->windows->len; i++) {
    Window window;
    gboolean ok = window_from_thrift(reply->windows->pdata[i], aggregate->type, &window, error);
    g_array_append_val(aggregate->windows, window); /* frees what there is of it */
    if (!ok)
      return NULL;
  }
  aggregate->more = reply->__isset_nextStartTime;
  aggregate->next_start_time = reply->nextStartTime;
  return g_steal_pointer(&aggregate);
}

static void tail_entry_clear(gpointer data)
{
  g_bytes_unref(((TailEntry *)data)->data);
}

GArray *convert_tail_from_thrift(const SlTTailReply *reply, guint64 from, GError **error)
{
  g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(TailEntry));
  g_array_set_clear_func(entries, tail_entry_clear);
  for (guint i = 0; reply->__isset_entries && i < reply->entries->len; i++) {
    const SlTTailEntry *in = reply->entries->pdata[i];
    if (in->index < 0 || (guint64)in->index != from + i) {
      fail(error, SYNCLOG_CORRUPT,
           "entry %" G_GINT64_FORMAT " was told where %" G_GUINT64_FORMAT " was asked for",
           in->index, from + i);
      return NULL;
    }
    TailEntry entry = {(guint64)in->index, (guint64)in->hlc,
                       g_bytes_new(in->data->data, in->data->len)};
    g_array_append_val(entries, entry);
  }
  return g_steal_pointer(&entries);
}

GPtrArray *convert_series_from_thrift(const SlTSeriesReply *reply, GError **error)
{
  g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  for (guint i = 0; i < reply->devices->len; i++) {
    const SlTDevice *in = reply->devices->pdata[i];
    Device *device = g_new0(Device, 1);
    device->name = g_strdup(in->device);
    device->measurements = g_array_new(FALSE, FALSE, sizeof(Measurement));
    g_ptr_array_add(devices, device);
    for (guint k = 0; k < in->measurements->len; k++) {
      const SlTMeasurement *m = in->measurements->pdata[k];
      if (data_type_name((int)m->type) == NULL) {
        bad(error, "type");
        return NULL;
      }
      Measurement measurement = {g_strdup(m->measurement), (DataType)m->type, m->conflicting};
      g_array_append_val(device->measurements, measurement);
    }
  }
  return g_steal_pointer(&devices);
}

static GArray *group_ids(const GArray *in)
{
  GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; in != NULL && i < in->len; i++) {
    guint32 group = (guint32)g_array_index(in, gint32, i);
    g_array_append_val(ids, group);
  }
  return ids;
}

gboolean convert_info_from_thrift(const SlTInfoReply *reply, NodeInfo *out, GError **error)
{
  *out = (NodeInfo){0};
  if (reply->nodeId < 1 || reply->clusterId == NULL || reply->timePrecision == NULL)
    return bad(error, "node");
  out->node_id = (guint32)reply->nodeId;
  out->cluster_id = g_strdup(reply->clusterId);
  out->version = g_strdup(reply->version);
  out->time_precision = g_strdup(reply->timePrecision);
  out->groups = group_ids(reply->groups);
  out->configured = group_ids(reply->configuredGroups);
  return TRUE;
}

/* The states are few: interning them gives the static strings that LogStatus wants. */
static gboolean log_status_from_thrift(const SlTLogStatus *in, LogStatus *out, GError **error)
{
  *out = (LogStatus){0};
  if (!convert_log_progress_from_thrift(in->progress, &out->progress, error))
    return FALSE;
  out->own = in->own;
  out->state = g_intern_string(in->state);
  out->message = g_strdup(in->message);
  out->wal_bytes = (guint64)in->walBytes;
  out->wal_segments = (guint)in->walSegments;
  out->handed_on_by = in->__isset_handedOnBy ? (guint32)in->handedOnBy : 0;
  out->stopped_at = in->__isset_stoppedAt ? (guint64)in->stoppedAt : 0;
  out->stalled_ms = in->__isset_stalledMs ? (guint64)in->stalledMs : 0;
  if (in->__isset_skipped && in->skipped->len > 0)
    out->skipped = g_array_new(FALSE, FALSE, sizeof(guint64));
  for (guint i = 0; out->skipped != NULL && i < in->skipped->len; i++) {
    guint64 index = (guint64)g_array_index(in->skipped, gint64, i);
    g_array_append_val(out->skipped, index);
  }
  return TRUE;
}

static gboolean peer_status_from_thrift(const SlTPeerStatus *in, PeerStatus *out, GError **error)
{
  *out = (PeerStatus){0};
  if (in->__isset_progress) {
    out->progress = convert_progress_from_thrift(in->progress, error);
    if (out->progress == NULL)
      return FALSE;
  }
  out->node_id = (guint32)in->nodeId;
  out->address = g_strdup(in->address);
  out->state = g_intern_string(in->state);
  out->message = g_strdup(in->message);
  out->silent_ms = in->__isset_silentMs ? in->silentMs : -1;
  out->batches_in_flight = (guint64)in->batchesInFlight;
  out->batches_sent = (guint64)in->batchesSent;
  out->batches_retried = (guint64)in->batchesRetried;
  out->entries_from_tail = (guint64)in->entriesFromTail;
  out->entries_from_wal = (guint64)in->entriesFromWal;
  out->has_clock_offset = in->__isset_clockOffsetMs;
  out->clock_offset_ms = in->clockOffsetMs;
  out->window = (guint)in->window;
  out->lag_entries = (guint64)in->lagEntries;
  out->lag_bytes = (guint64)in->lagBytes;
  out->lag_ms = in->lagMs;
  out->stuck_ms = in->stuckMs;
  out->compared_hlc = in->__isset_comparedHlc ? (guint64)in->comparedHlc : 0;
  out->rule_told = in->__isset_ruleDiffers;
  out->rule_differs = in->__isset_ruleDiffers && in->ruleDiffers;
  out->data_differs = in->__isset_dataDiffers && in->dataDiffers;
  out->needs_reseed = in->__isset_needsReseed && in->needsReseed;
  return TRUE;
}

static ConflictCounts counts_from_thrift(const SlTConflictCounts *in)
{
  ConflictCounts counts = {.overflowed = (guint64)in->overflowed,
                           .pending = (guint64)in->pending,
                           .first_sequence = (guint64)in->firstSequence,
                           .last_sequence = (guint64)in->lastSequence,
                           .bytes = (guint64)in->bytes};
  counts.by_kind[CONFLICT_OVERWRITE] = (guint64)in->overwrites;
  counts.by_kind[CONFLICT_SAME_VALUE] = (guint64)in->sameValues;
  counts.by_kind[CONFLICT_DELETE] = (guint64)in->deletes;
  counts.by_kind[CONFLICT_TYPE] = (guint64)in->types;
  return counts;
}

/* What a node names: any text, but not any number of texts is kept for good. */
enum { MAX_NAMES = 256, MAX_NAME_SIZE = 32 };

static const char *intern_name(const char *name)
{
  return strlen(name) <= MAX_NAME_SIZE ? g_intern_string(name) : "?";
}

static void named_counts_from_thrift(const GPtrArray *in, GArray *out)
{
  for (guint i = 0; i < MIN(in->len, MAX_NAMES); i++) {
    const SlTNamedCount *one = in->pdata[i];
    named_count_add(out, intern_name(one->name), (guint64)one->count);
  }
}

static void steps_from_thrift(const GPtrArray *in, GArray *out)
{
  for (guint i = 0; i < MIN(in->len, MAX_NAMES); i++) {
    const SlTStepStatus *one = in->pdata[i];
    StepStatus step = {.name = intern_name(one->name), .times.sum_us = (guint64)one->sumUs};
    for (guint k = 0; k < MIN(one->octaves->len, LATENCY_OCTAVES); k++) {
      step.times.octaves[k] = (guint64)g_array_index(one->octaves, gint64, k);
      step.times.count += step.times.octaves[k];
    }
    g_array_append_val(out, step);
  }
}

NodeStatus *convert_node_status_from_thrift(const SlTNodeStatus *in, GError **error)
{
  g_autoptr(NodeStatus) status = node_status_new();
  for (guint i = 0; i < in->logs->len; i++) {
    LogStatus log;
    gboolean ok = log_status_from_thrift(in->logs->pdata[i], &log, error);
    g_array_append_val(status->logs, log);
    if (!ok)
      return NULL;
  }
  for (guint i = 0; i < in->peers->len; i++) {
    PeerStatus peer;
    gboolean ok = peer_status_from_thrift(in->peers->pdata[i], &peer, error);
    g_array_append_val(status->peers, peer);
    if (!ok)
      return NULL;
  }
  status->node_id = (guint32)in->nodeId;
  status->cluster_id = g_strdup(in->clusterId);
  status->version = g_strdup(in->version);
  status->incarnation = (guint64)in->incarnation;
  status->uptime_ms = in->uptimeMs;
  status->state = g_intern_string(in->state);
  status->message = g_strdup(in->message);
  status->writes = (guint64)in->writes;
  status->writes_refused = (guint64)in->writesRefused;
  status->connections = (guint64)in->connections;
  status->hlc = (guint64)in->hlc;
  status->entries_applied = (guint64)in->entriesApplied;
  status->entries_duplicate = (guint64)in->entriesDuplicate;
  status->store_bytes = (guint64)in->storeBytes;
  status->horizon = in->__isset_horizon ? (guint64)in->horizon : 0;
  status->buckets_mended = in->__isset_bucketsMended ? (guint64)in->bucketsMended : 0;
  status->tombstones = (guint64)in->tombstones;
  status->throttled = in->throttled;
  status->throttled_ms = in->throttledMs;
  status->http_refused = (guint64)in->httpRefused;
  if (in->__isset_steps)
    steps_from_thrift(in->steps, status->steps);
  if (in->__isset_errors)
    named_counts_from_thrift(in->errors, status->errors);
  if (in->__isset_memory)
    named_counts_from_thrift(in->memory, status->memory);
  status->raw_blocks = in->__isset_rawBlocks ? (guint64)in->rawBlocks : 0;
  status->damaged_buckets = in->__isset_damagedBuckets ? (guint64)in->damagedBuckets : 0;
  status->chunks = in->__isset_chunks ? (guint64)in->chunks : 0;
  status->chunk_cells = in->__isset_chunkCells ? (guint64)in->chunkCells : 0;
  status->chunk_bytes = in->__isset_chunkBytes ? (guint64)in->chunkBytes : 0;
  if (in->__isset_conflicts)
    status->conflicts = counts_from_thrift(in->conflicts);
  status->members_version = in->__isset_membersVersion ? (guint64)in->membersVersion : 0;
  if (in->__isset_members) {
    status->members = convert_members_from_thrift(in->members, error);
    if (status->members == NULL)
      return NULL;
  }
  return g_steal_pointer(&status);
}

gboolean convert_digest_from_thrift(const SlTDigestReply *reply, StateDigest *out_digest,
                                    Progress **out_progress, GError **error)
{
  if (reply->digest == NULL || reply->digest->len != 16)
    return bad(error, "digest");
  *out_progress = convert_progress_from_thrift(reply->progress, error);
  if (*out_progress == NULL)
    return FALSE;
  *out_digest = (StateDigest){.high = load_be64(reply->digest->data),
                              .low = load_be64(reply->digest->data + 8),
                              .cells = (guint64)reply->cells,
                              .devices = (guint64)reply->devices};
  return TRUE;
}

GPtrArray *convert_digest_parts_from_thrift(const SlTDigestPartsReply *reply, GError **error)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  for (guint i = 0; reply->__isset_parts && i < reply->parts->len; i++) {
    const SlTDigestPart *in = reply->parts->pdata[i];
    if (in->digest == NULL || in->digest->len != 16 || in->device == NULL) {
      bad(error, "digest of a part");
      return NULL;
    }
    DigestPart *part = g_new(DigestPart, 1);
    *part = (DigestPart){g_strdup(in->device),
                         in->startTime,
                         {.high = load_be64(in->digest->data),
                          .low = load_be64(in->digest->data + 8),
                          .cells = (guint64)in->cells}};
    g_ptr_array_add(parts, part);
  }
  return g_steal_pointer(&parts);
}

static gboolean side_from_thrift(const SlTConflictSide *in, ConflictSide *out, GError **error)
{
  out->origin = (guint32)in->origin;
  out->hlc = (guint64)in->hlc;
  out->is_delete = in->isDelete;
  if (in->isDelete)
    return TRUE;
  if (!in->__isset_type || data_type_name((int)in->type) == NULL)
    return bad(error, "type of a conflict");
  out->type = (DataType)in->type;
  if (!in->__isset_value)
    return TRUE;
  if (!convert_value_from_thrift(in->value, out->type, &out->value, error))
    return FALSE;
  out->has_value = TRUE;
  gsize size = out->type == DATA_TEXT ? out->value.text.size : data_type_size(out->type);
  out->value_size = in->__isset_textSize ? (guint64)in->textSize : size;
  return TRUE;
}

static int kind_from_name(const char *name)
{
  for (int kind = 1; kind <= CONFLICT_KINDS; kind++)
    if (g_strcmp0(name, conflict_kind_name(kind)) == 0)
      return kind;
  return 0;
}

static Conflict *conflict_from_thrift(const SlTConflict *in, GError **error)
{
  g_autoptr(Conflict) conflict = g_new0(Conflict, 1);
  int kind = kind_from_name(in->kind);
  if (kind == 0 || in->device == NULL || in->measurement == NULL) {
    bad(error, "conflict");
    return NULL;
  }
  conflict->sequence = (guint64)in->sequence;
  conflict->found_ms = (guint64)in->foundMs;
  conflict->kind = (ConflictKind)kind;
  conflict->device = g_strdup(in->device);
  conflict->measurement = g_strdup(in->measurement);
  conflict->time = in->__isset_time ? in->time : 0;
  conflict->cells = in->__isset_cells ? (guint64)in->cells : 1;
  if (!side_from_thrift(in->winner, &conflict->winner, error) ||
      !side_from_thrift(in->loser, &conflict->loser, error))
    return NULL;
  return g_steal_pointer(&conflict);
}

ConflictPage *convert_conflicts_from_thrift(const SlTConflictsReply *reply, GError **error)
{
  g_autoptr(ConflictPage) page = conflict_page_new();
  if (!reply->__isset_counts || !reply->__isset_nextAfter) {
    bad(error, "page of conflicts");
    return NULL;
  }
  for (guint i = 0; reply->__isset_conflicts && i < reply->conflicts->len; i++) {
    Conflict *conflict = conflict_from_thrift(reply->conflicts->pdata[i], error);
    if (conflict == NULL)
      return NULL;
    g_ptr_array_add(page->conflicts, conflict);
  }
  page->counts = counts_from_thrift(reply->counts);
  page->more = reply->__isset_more && reply->more;
  page->next_after = (guint64)reply->nextAfter;
  page->unreadable = reply->__isset_unreadable ? (guint64)reply->unreadable : 0;
  return g_steal_pointer(&page);
}

GPtrArray *convert_config_from_thrift(const SlTConfigReply *reply, GError **error)
{
  (void)error;
  GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)config_entry_free);
  for (guint i = 0; i < reply->entries->len; i++) {
    const SlTConfigEntry *in = reply->entries->pdata[i];
    ConfigEntry *entry = g_new0(ConfigEntry, 1);
    *entry = (ConfigEntry){g_strdup(in->section), g_strdup(in->key), g_strdup(in->value),
                           in->isDefault, in->reloadable};
    g_ptr_array_add(entries, entry);
  }
  return entries;
}
