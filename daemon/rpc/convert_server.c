/* The client and admin services, the server's side. */
#include "rpc/convert.h"

#include "base/bytes.h"

static GByteArray *bytes_of(const void *data, gsize size)
{
  GByteArray *array = g_byte_array_sized_new((guint)size);
  g_byte_array_append(array, data, (guint)size);
  return array;
}

const char **convert_names_from_thrift(const GPtrArray *names, gboolean present)
{
  if (!present || names == NULL)
    return NULL;
  const char **array = g_new0(const char *, names->len + 1);
  for (guint i = 0; i < names->len; i++)
    array[i] = names->pdata[i];
  return array;
}

gboolean convert_query_from_thrift(const SlTQueryReq *req, Query *out, GError **error)
{
  *out = (Query){0};
  if (req->__isset_limit && req->limit < 1)
    return fail(error, SYNCLOG_INVALID, "limit must be 1 or more");
  out->device = req->device;
  out->measurements = convert_names_from_thrift(req->measurements, req->__isset_measurements);
  out->start_time = req->__isset_startTime ? req->startTime : G_MININT64;
  out->end_time = req->__isset_endTime ? req->endTime : G_MAXINT64;
  out->limit = req->__isset_limit ? (guint)req->limit : 0;
  out->descending = req->__isset_descending && req->descending;
  if (req->__isset_page && req->page != NULL)
    out->page = g_bytes_new(req->page->data, req->page->len);
  return TRUE;
}

gboolean convert_aggregate_from_thrift(const SlTAggregateReq *req, AggregateQuery *out,
                                       GError **error)
{
  *out = (AggregateQuery){0};
  if (req->__isset_limit && req->limit < 1)
    return fail(error, SYNCLOG_INVALID, "limit must be 1 or more");
  if (req->__isset_window && req->window < 1)
    return fail(error, SYNCLOG_INVALID, "window must be 1 or more");
  *out = (AggregateQuery){.device = req->device,
                          .measurement = req->measurement,
                          .start_time = req->startTime,
                          .end_time = req->endTime,
                          .window = req->__isset_window ? (guint64)req->window : 0,
                          .limit = req->__isset_limit ? (guint)req->limit : 0};
  return TRUE;
}

SlTColumn *convert_column_to_thrift(const Column *column)
{
  SlTColumn *out = g_object_new(SL_TYPE_T_COLUMN, NULL);
  out->measurement = g_strdup(column->measurement);
  out->type = (SlTDataType)column->type;
  out->values = g_byte_array_ref(column->values);
  if (column->nulls != NULL) {
    out->nulls = g_byte_array_ref(column->nulls);
    out->__isset_nulls = TRUE;
  }
  return out;
}

void convert_table_to_thrift(const Table *table, SlTQueryReply *out)
{
  guint rows = table->timestamps->len;
  out->rowCount = (gint32)rows;
  out->__isset_rowCount = TRUE;
  out->timestamps = g_byte_array_sized_new(rows * 8);
  g_byte_array_set_size(out->timestamps, rows * 8);
  for (guint i = 0; i < rows; i++)
    store_le64(out->timestamps->data + i * 8, (guint64)g_array_index(table->timestamps, gint64, i));
  out->__isset_timestamps = TRUE;
  for (guint i = 0; i < table->columns->len; i++)
    g_ptr_array_add(out->columns, convert_column_to_thrift(table->columns->pdata[i]));
  out->__isset_columns = TRUE;
  if (table->next_page == NULL)
    return;
  gsize size;
  const void *page = g_bytes_get_data(table->next_page, &size);
  out->nextPage = bytes_of(page, size);
  out->__isset_nextPage = TRUE;
}

void convert_last_to_thrift(const GPtrArray *values, SlTLastReply *out)
{
  for (guint i = 0; i < values->len; i++) {
    const LastValue *last = values->pdata[i];
    SlTLastValue *one = g_object_new(SL_TYPE_T_LAST_VALUE, NULL);
    one->measurement = g_strdup(last->measurement);
    one->type = (SlTDataType)last->value.type;
    one->timestamp = last->timestamp;
    convert_value_to_thrift(&last->value, one->value);
    g_ptr_array_add(out->values, one);
  }
  out->__isset_values = TRUE;
}

void convert_aggregate_to_thrift(const Aggregate *aggregate, SlTAggregateReply *out)
{
  out->type = (SlTDataType)aggregate->type;
  out->__isset_type = TRUE;
  for (guint i = 0; i < aggregate->windows->len; i++) {
    const Window *window = &g_array_index(aggregate->windows, Window, i);
    SlTWindow *one = g_object_new(SL_TYPE_T_WINDOW, NULL);
    one->startTime = window->start_time;
    one->count = (gint64)window->count;
    if (aggregate->type != DATA_TEXT) {
      one->sum = window->sum;
      one->avg = window->avg;
      one->__isset_sum = one->__isset_avg = TRUE;
      convert_value_to_thrift(&window->min, one->min);
      convert_value_to_thrift(&window->max, one->max);
      one->__isset_min = one->__isset_max = TRUE;
    }
    convert_value_to_thrift(&window->first, one->first);
    one->firstTime = window->first_time;
    convert_value_to_thrift(&window->last, one->last);
    one->lastTime = window->last_time;
    g_ptr_array_add(out->windows, one);
  }
  out->__isset_windows = TRUE;
  out->nextStartTime = aggregate->next_start_time;
  out->__isset_nextStartTime = aggregate->more;
}

void convert_series_to_thrift(const GPtrArray *devices, gboolean more, SlTSeriesReply *out)
{
  for (guint i = 0; i < devices->len; i++) {
    const Device *device = devices->pdata[i];
    SlTDevice *one = g_object_new(SL_TYPE_T_DEVICE, NULL);
    one->device = g_strdup(device->name);
    for (guint k = 0; k < device->measurements->len; k++) {
      const Measurement *measurement = &g_array_index(device->measurements, Measurement, k);
      SlTMeasurement *m = g_object_new(SL_TYPE_T_MEASUREMENT, NULL);
      m->measurement = g_strdup(measurement->name);
      m->type = (SlTDataType)measurement->type;
      m->conflicting = measurement->conflicting;
      g_ptr_array_add(one->measurements, m);
    }
    g_ptr_array_add(out->devices, one);
  }
  out->__isset_devices = TRUE;
  if (!more || devices->len == 0)
    return;
  out->nextAfter = g_strdup(((Device *)devices->pdata[devices->len - 1])->name);
  out->__isset_nextAfter = TRUE;
}

gboolean convert_tail_query_from_thrift(const SlTTailReq *req, TailQuery *out, GError **error)
{
  *out = (TailQuery){.from = (guint64)req->fromIndex};
  if (!convert_log_id_from_thrift(req->log, &out->log, error))
    return FALSE;
  if (req->fromIndex < 1)
    return fail(error, SYNCLOG_INVALID, "fromIndex must be 1 or more");
  if (req->__isset_limit && req->limit < 1)
    return fail(error, SYNCLOG_INVALID, "limit must be 1 or more");
  if (req->__isset_waitMs && req->waitMs < 0)
    return fail(error, SYNCLOG_INVALID, "waitMs is out of range");
  out->limit = req->__isset_limit ? (guint)req->limit : 0;
  out->wait_ms = req->__isset_waitMs ? req->waitMs : 0;
  return TRUE;
}

void convert_tail_to_thrift(const EntryRun *run, guint64 from, SlTTailReply *out)
{
  guint count = run != NULL ? entry_run_count(run) : 0;
  for (guint i = 0; i < count; i++) {
    Record record = entry_run_record(run, i);
    SlTTailEntry *entry = g_object_new(SL_TYPE_T_TAIL_ENTRY, NULL);
    entry->index = (gint64)record.index;
    entry->hlc = (gint64)record.hlc;
    entry->data = g_byte_array_sized_new((guint)record.data_size);
    g_byte_array_append(entry->data, record.data, (guint)record.data_size);
    g_ptr_array_add(out->entries, entry);
  }
  out->__isset_entries = TRUE;
  out->nextIndex = (gint64)(from + count);
  out->__isset_nextIndex = TRUE;
}

void convert_info_to_thrift(const NodeInfo *info, SlTInfoReply *out)
{
  out->nodeId = (gint32)info->node_id;
  out->clusterId = g_strdup(info->cluster_id);
  out->version = g_strdup(info->version);
  out->timePrecision = g_strdup(info->time_precision);
  out->__isset_nodeId = out->__isset_clusterId = out->__isset_version = TRUE;
  out->__isset_timePrecision = out->__isset_groups = TRUE;
  for (guint i = 0; i < info->groups->len; i++) {
    gint32 group = (gint32)g_array_index(info->groups, guint32, i);
    g_array_append_val(out->groups, group);
  }
  out->__isset_configuredGroups = info->configured != NULL;
  for (guint i = 0; info->configured != NULL && i < info->configured->len; i++) {
    gint32 group = (gint32)g_array_index(info->configured, guint32, i);
    g_array_append_val(out->configuredGroups, group);
  }
}

static void log_status_to_thrift(const LogStatus *log, SlTLogStatus *out)
{
  convert_log_progress_to_thrift(&log->progress, out->progress);
  out->own = log->own;
  out->state = g_strdup(log->state);
  out->message = g_strdup(log->message);
  out->__isset_message = log->message != NULL;
  out->walBytes = (gint64)log->wal_bytes;
  out->walSegments = (gint32)log->wal_segments;
  out->__isset_walBytes = out->__isset_walSegments = TRUE;
  out->handedOnBy = (gint32)log->handed_on_by;
  out->__isset_handedOnBy = log->handed_on_by != 0;
  out->stoppedAt = (gint64)log->stopped_at;
  out->__isset_stoppedAt = log->stopped_at != 0;
  out->stalledMs = (gint64)log->stalled_ms;
  out->__isset_stalledMs = log->stalled_ms != 0;
  out->__isset_skipped = log->skipped != NULL;
  for (guint i = 0; log->skipped != NULL && i < log->skipped->len; i++) {
    gint64 index = (gint64)g_array_index(log->skipped, guint64, i);
    g_array_append_val(out->skipped, index);
  }
}

static void peer_status_to_thrift(const PeerStatus *peer, SlTPeerStatus *out)
{
  out->nodeId = (gint32)peer->node_id;
  out->address = g_strdup(peer->address);
  out->state = g_strdup(peer->state);
  out->message = g_strdup(peer->message);
  out->__isset_message = peer->message != NULL;
  out->silentMs = peer->silent_ms;
  out->__isset_silentMs = peer->silent_ms >= 0;
  if (peer->progress != NULL)
    convert_progress_to_thrift(peer->progress, 0, out->progress);
  out->__isset_progress = peer->progress != NULL;
  out->batchesInFlight = (gint64)peer->batches_in_flight;
  out->batchesSent = (gint64)peer->batches_sent;
  out->batchesRetried = (gint64)peer->batches_retried;
  out->entriesFromTail = (gint64)peer->entries_from_tail;
  out->entriesFromWal = (gint64)peer->entries_from_wal;
  out->clockOffsetMs = peer->clock_offset_ms;
  out->__isset_clockOffsetMs = peer->has_clock_offset;
  out->window = (gint32)peer->window;
  out->lagEntries = (gint64)peer->lag_entries;
  out->lagBytes = (gint64)peer->lag_bytes;
  out->lagMs = peer->lag_ms;
  out->stuckMs = peer->stuck_ms;
  out->__isset_window = out->__isset_lagEntries = out->__isset_lagBytes = TRUE;
  out->__isset_lagMs = out->__isset_stuckMs = TRUE;
  out->comparedHlc = (gint64)peer->compared_hlc;
  out->dataDiffers = peer->data_differs;
  out->ruleDiffers = peer->rule_differs;
  out->__isset_ruleDiffers = peer->rule_told;
  out->__isset_comparedHlc = out->__isset_dataDiffers = peer->compared_hlc != 0;
  out->needsReseed = out->__isset_needsReseed = peer->needs_reseed;
}

static void counts_to_thrift(const ConflictCounts *counts, SlTConflictCounts *out)
{
  out->overwrites = (gint64)counts->by_kind[CONFLICT_OVERWRITE];
  out->sameValues = (gint64)counts->by_kind[CONFLICT_SAME_VALUE];
  out->deletes = (gint64)counts->by_kind[CONFLICT_DELETE];
  out->types = (gint64)counts->by_kind[CONFLICT_TYPE];
  out->overflowed = (gint64)counts->overflowed;
  out->pending = (gint64)counts->pending;
  out->firstSequence = (gint64)counts->first_sequence;
  out->lastSequence = (gint64)counts->last_sequence;
  out->bytes = (gint64)counts->bytes;
}

static void named_counts_to_thrift(const GArray *counts, GPtrArray *out)
{
  for (guint i = 0; i < counts->len; i++) {
    SlTNamedCount *one = g_object_new(SL_TYPE_T_NAMED_COUNT, NULL);
    one->name = g_strdup(g_array_index(counts, NamedCount, i).name);
    one->count = (gint64)g_array_index(counts, NamedCount, i).count;
    g_ptr_array_add(out, one);
  }
}

static void measures_to_thrift(const NodeStatus *status, SlTNodeStatus *out)
{
  out->tombstones = (gint64)status->tombstones;
  out->throttled = status->throttled;
  out->throttledMs = status->throttled_ms;
  out->httpRefused = (gint64)status->http_refused;
  out->__isset_tombstones = out->__isset_throttled = out->__isset_throttledMs = TRUE;
  for (guint i = 0; i < status->steps->len; i++) {
    const StepStatus *step = &g_array_index(status->steps, StepStatus, i);
    SlTStepStatus *one = g_object_new(SL_TYPE_T_STEP_STATUS, NULL);
    one->name = g_strdup(step->name);
    one->sumUs = (gint64)step->times.sum_us;
    g_array_append_vals(one->octaves, step->times.octaves, LATENCY_OCTAVES);
    g_ptr_array_add(out->steps, one);
  }
  named_counts_to_thrift(status->errors, out->errors);
  named_counts_to_thrift(status->memory, out->memory);
  out->__isset_httpRefused = out->__isset_steps = TRUE;
  out->__isset_errors = out->__isset_memory = TRUE;
}

void convert_node_status_to_thrift(const NodeStatus *status, SlTNodeStatus *out)
{
  out->nodeId = (gint32)status->node_id;
  out->clusterId = g_strdup(status->cluster_id);
  out->version = g_strdup(status->version);
  out->incarnation = (gint64)status->incarnation;
  out->uptimeMs = status->uptime_ms;
  out->state = g_strdup(status->state);
  out->message = g_strdup(status->message);
  out->__isset_message = status->message != NULL;
  for (guint i = 0; i < status->logs->len; i++) {
    SlTLogStatus *log = g_object_new(SL_TYPE_T_LOG_STATUS, NULL);
    log_status_to_thrift(&g_array_index(status->logs, LogStatus, i), log);
    g_ptr_array_add(out->logs, log);
  }
  for (guint i = 0; i < status->peers->len; i++) {
    SlTPeerStatus *peer = g_object_new(SL_TYPE_T_PEER_STATUS, NULL);
    peer_status_to_thrift(&g_array_index(status->peers, PeerStatus, i), peer);
    g_ptr_array_add(out->peers, peer);
  }
  out->writes = (gint64)status->writes;
  out->writesRefused = (gint64)status->writes_refused;
  out->connections = (gint64)status->connections;
  out->hlc = (gint64)status->hlc;
  out->entriesApplied = (gint64)status->entries_applied;
  out->entriesDuplicate = (gint64)status->entries_duplicate;
  out->storeBytes = (gint64)status->store_bytes;
  out->horizon = (gint64)status->horizon;
  out->__isset_horizon = status->horizon != 0;
  out->bucketsMended = (gint64)status->buckets_mended;
  out->__isset_bucketsMended = TRUE;
  measures_to_thrift(status, out);
  out->rawBlocks = (gint64)status->raw_blocks;
  out->chunks = (gint64)status->chunks;
  out->chunkCells = (gint64)status->chunk_cells;
  out->chunkBytes = (gint64)status->chunk_bytes;
  out->damagedBuckets = (gint64)status->damaged_buckets;
  out->__isset_rawBlocks = out->__isset_chunks = out->__isset_damagedBuckets = TRUE;
  out->__isset_chunkCells = out->__isset_chunkBytes = TRUE;
  counts_to_thrift(&status->conflicts, out->conflicts);
  out->__isset_conflicts = TRUE;
  if (status->members == NULL)
    return;
  convert_members_to_thrift(status->members, out->members);
  out->membersVersion = (gint64)status->members_version;
  out->__isset_members = out->__isset_membersVersion = TRUE;
}

void convert_digest_to_thrift(const StateDigest *digest, const Progress *progress,
                              SlTDigestReply *out)
{
  guint8 bytes[16];
  store_be64(bytes, digest->high);
  store_be64(bytes + 8, digest->low);
  out->digest = bytes_of(bytes, sizeof bytes);
  out->cells = (gint64)digest->cells;
  out->devices = (gint64)digest->devices;
  convert_progress_to_thrift(progress, 0, out->progress);
  out->__isset_digest = out->__isset_cells = out->__isset_devices = out->__isset_progress = TRUE;
}

void convert_digest_parts_to_thrift(const GPtrArray *parts, gboolean more, SlTDigestPartsReply *out)
{
  for (guint i = 0; i < parts->len; i++) {
    const DigestPart *part = parts->pdata[i];
    SlTDigestPart *one = g_object_new(SL_TYPE_T_DIGEST_PART, NULL);
    guint8 bytes[16];
    store_be64(bytes, part->digest.high);
    store_be64(bytes + 8, part->digest.low);
    one->device = g_strdup(part->device);
    one->startTime = part->start_time;
    one->digest = bytes_of(bytes, sizeof bytes);
    one->cells = (gint64)part->digest.cells;
    g_ptr_array_add(out->parts, one);
  }
  out->more = more;
  out->__isset_parts = out->__isset_more = TRUE;
}

static void side_to_thrift(const ConflictSide *side, SlTConflictSide *out)
{
  out->origin = (gint32)side->origin;
  out->hlc = (gint64)side->hlc;
  out->isDelete = side->is_delete;
  if (side->is_delete)
    return;
  out->type = (SlTDataType)side->type;
  out->__isset_type = TRUE;
  if (!side->has_value)
    return;
  convert_value_to_thrift(&side->value, out->value);
  out->__isset_value = TRUE;
  out->textSize = (gint64)side->value_size;
  out->__isset_textSize = side->type == DATA_TEXT && side->value.text.size < side->value_size;
}

void convert_conflicts_to_thrift(const ConflictPage *page, SlTConflictsReply *out)
{
  for (guint i = 0; i < page->conflicts->len; i++) {
    const Conflict *conflict = page->conflicts->pdata[i];
    SlTConflict *one = g_object_new(SL_TYPE_T_CONFLICT, NULL);
    one->sequence = (gint64)conflict->sequence;
    one->foundMs = (gint64)conflict->found_ms;
    one->kind = g_strdup(conflict_kind_name((int)conflict->kind));
    one->device = g_strdup(conflict->device);
    one->measurement = g_strdup(conflict->measurement);
    one->time = conflict->time;
    one->__isset_time = conflict->kind != CONFLICT_TYPE;
    one->cells = (gint64)conflict->cells;
    one->__isset_cells = conflict->cells != 1;
    side_to_thrift(&conflict->winner, one->winner);
    side_to_thrift(&conflict->loser, one->loser);
    g_ptr_array_add(out->conflicts, one);
  }
  counts_to_thrift(&page->counts, out->counts);
  out->more = page->more;
  out->nextAfter = (gint64)page->next_after;
  out->unreadable = (gint64)page->unreadable;
  out->__isset_counts = out->__isset_conflicts = out->__isset_more = TRUE;
  out->__isset_nextAfter = out->__isset_unreadable = TRUE;
}

void convert_config_to_thrift(const GPtrArray *entries, SlTConfigReply *out)
{
  for (guint i = 0; i < entries->len; i++) {
    const ConfigEntry *entry = entries->pdata[i];
    SlTConfigEntry *one = g_object_new(SL_TYPE_T_CONFIG_ENTRY, NULL);
    one->section = g_strdup(entry->section);
    one->key = g_strdup(entry->key);
    one->value = g_strdup(entry->value);
    one->isDefault = entry->is_default;
    one->reloadable = entry->reloadable;
    g_ptr_array_add(out->entries, one);
  }
  out->__isset_entries = TRUE;
}
