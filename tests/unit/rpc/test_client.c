#include "unit/rpc/client_rig.h"

static gboolean answer_write(const Request *request)
{
  ck_assert(is_method(request, "write"));
  g_autoptr(GObject) object = argument(request, SL_TYPE_T_WRITE_REQ);
  SlTWriteReq *req = SL_T_WRITE_REQ(object);
  ck_assert_int_eq(req->consensusGroupId, 4);
  ck_assert_int_eq(req->ack, SL_T_ACK_MAJORITY);
  ck_assert_int_eq(req->timeoutMs, 1234);
  ck_assert_uint_eq(req->content->rows->len, 1);
  const SlTRow *row = req->content->rows->pdata[0];
  ck_assert_str_eq(row->device, "d");
  ck_assert_int_eq(row->timestamp, -5);
  ck_assert_uint_eq(row->measurements->len, 6);
  ck_assert_uint_eq(row->values->len, 6);
  for (guint i = 0; i < 6; i++) {
    Value value;
    g_autoptr(GError) error = NULL;
    ck_assert(convert_value_from_thrift(row->values->pdata[i], (DataType)(i + 1), &value, &error));
    if (value.type == DATA_TEXT)
      ck_assert_str_eq(value.text.bytes, "äx");
    if (value.type == DATA_FLOAT)
      ck_assert(value.float32 == 0.25f);
    value_clear(&value);
  }
  const SlTTablet *tablet = req->content->tablets->pdata[0];
  ck_assert_int_eq(tablet->rowCount, 2);
  ck_assert_uint_eq(tablet->timestamps->len, 16);
  ck_assert(memcmp(tablet->timestamps->data, "\x07\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
                   16) == 0);
  const SlTColumn *column = tablet->columns->pdata[0];
  ck_assert_int_eq(column->type, SL_T_DATA_TYPE_INT32);
  ck_assert_uint_eq(column->values->len, 8);
  ck_assert(column->__isset_nulls && column->nulls->data[0] == 2);
  const SlTDelete *all = req->content->deletes->pdata[0];
  ck_assert(!all->__isset_measurements);
  const SlTDelete *some = req->content->deletes->pdata[1];
  ck_assert_uint_eq(some->measurements->len, 2);
  ck_assert_int_eq(some->endTime, G_MAXINT64);

  SlTWriteReply *reply = g_object_new(SL_TYPE_T_WRITE_REPLY, NULL);
  convert_status_to_thrift(request->fake->at == 1 ? SYNCLOG_TYPE_MISMATCH : SYNCLOG_PENDING, "why",
                           reply->status);
  reply->__isset_token = request->fake->at > 1;
  reply->token->log->origin = 3;
  reply->token->log->incarnation = 77;
  reply->token->index = 9;
  return answer(request, reply);
}

START_TEST(writes)
{
  const Step steps[] = {answer_write, answer_write};
  Fake fake;
  fake_begin(&fake, steps, 2);
  RpcClient *client = client_of(&fake, 20000);
  static const char *const names[] = {"a", "b", "c", "d", "e", "f", NULL};
  static const char *const two[] = {"a", "b", NULL};
  Value values[] = {
      {.type = DATA_BOOLEAN, .boolean = TRUE},   {.type = DATA_INT32, .int32 = -1},
      {.type = DATA_INT64, .int64 = G_MININT64}, {.type = DATA_FLOAT, .float32 = 0.25f},
      {.type = DATA_DOUBLE, .float64 = 0.1},     {.type = DATA_TEXT}};
  values[5].text.bytes = (char *)"äx";
  values[5].text.size = 3;
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
  g_array_append_val(times, (gint64){7});
  g_array_append_val(times, (gint64){-1});
  g_autoptr(Column) column = column_new("n", DATA_INT32);
  column_append(column, "\x01\0\0\0", 4);
  column_append_null(column);
  g_autoptr(GPtrArray) columns = g_ptr_array_new();
  g_ptr_array_add(columns, column);

  g_autoptr(WriteBuilder) builder = write_builder_new();
  gsize empty = write_builder_size(builder);
  write_builder_row(builder, "d", -5, names, values, 6);
  write_builder_tablet(builder, "t", times, columns);
  write_builder_delete(builder, "x", NULL, 0, 5);
  write_builder_delete(builder, "y", two, G_MININT64, G_MAXINT64);
  gsize full = write_builder_size(builder);
  SynclogStatus status = SYNCLOG_OK;
  Token token = {0};
  g_autoptr(GError) error = NULL;
  ck_assert(!rpc_client_write(client, 4, builder, ACK_MAJORITY, 1234, &status, &token, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TYPE_MISMATCH));
  ck_assert_str_eq(error->message, "why");
  ck_assert_uint_eq(write_builder_size(builder), full);
  g_clear_error(&error);
  ck_assert_msg(rpc_client_write(client, 4, builder, ACK_MAJORITY, 1234, &status, &token, &error),
                "%s", error != NULL ? error->message : "");
  ck_assert_int_eq(status, SYNCLOG_PENDING);
  ck_assert_uint_eq(token.log.origin, 3);
  ck_assert_uint_eq(token.log.incarnation, 77);
  ck_assert_uint_eq(token.index, 9);
  ck_assert_uint_eq(write_builder_size(builder), empty);
  rpc_client_free(client);
  fake_end(&fake);
}
END_TEST

START_TEST(a_write_over_the_frame_size)
{
  Fake fake;
  fake_begin(&fake, NULL, 0);
  RpcClient *client = client_of(&fake, 20000);
  g_autoptr(WriteBuilder) builder = write_builder_new();
  g_autofree char *text = g_strnfill(LIMIT_FRAME_SIZE, 'x');
  static const char *const names[] = {"a"};
  Value value = {.type = DATA_TEXT};
  value.text.bytes = text;
  value.text.size = LIMIT_FRAME_SIZE;
  write_builder_row(builder, "d", 1, names, &value, 1);
  SynclogStatus status;
  Token token;
  g_autoptr(GError) error = NULL;
  ck_assert(!rpc_client_write(client, 0, builder, ACK_LOCAL, -1, &status, &token, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TOO_LARGE));
  rpc_client_free(client);
  fake_end(&fake);
  ck_assert_int_eq(fake.connections, 0);
}
END_TEST

static gboolean answer_written_without_token(const Request *request)
{
  SlTWriteReply *reply = g_object_new(SL_TYPE_T_WRITE_REPLY, NULL);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

START_TEST(a_written_without_token)
{
  const Step steps[] = {answer_written_without_token};
  Fake fake;
  fake_begin(&fake, steps, 1);
  RpcClient *client = client_of(&fake, 20000);
  g_autoptr(WriteBuilder) builder = write_builder_new();
  SynclogStatus status;
  Token token;
  g_autoptr(GError) error = NULL;
  ck_assert(!rpc_client_write(client, 0, builder, ACK_LOCAL, -1, &status, &token, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
  rpc_client_free(client);
  fake_end(&fake);
}
END_TEST

static gboolean answer_query(const Request *request)
{
  ck_assert(is_method(request, "query"));
  g_autoptr(GObject) object = argument(request, SL_TYPE_T_QUERY_REQ);
  SlTQueryReq *req = SL_T_QUERY_REQ(object);
  ck_assert_int_eq(req->consensusGroupId, 2);
  ck_assert_str_eq(req->device, "d");
  ck_assert_uint_eq(req->tokens->len, 1);
  ck_assert(req->__isset_timeoutMs && req->timeoutMs < 20000);
  g_autoptr(Table) table = table_new();
  g_array_append_val(table->timestamps, (gint64){42});
  Column *column = column_new("m", DATA_TEXT);
  column_append(column, "hi", 2);
  column_finish(column);
  g_ptr_array_add(table->columns, column);
  table->next_page = g_bytes_new("page", 4);
  SlTQueryReply *reply = g_object_new(SL_TYPE_T_QUERY_REPLY, NULL);
  convert_table_to_thrift(table, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

static gboolean answer_last(const Request *request)
{
  ck_assert(is_method(request, "last"));
  g_autoptr(GObject) object = argument(request, SL_TYPE_T_LAST_REQ);
  SlTLastReq *req = SL_T_LAST_REQ(object);
  ck_assert(!req->__isset_tokens);
  ck_assert_uint_eq(req->measurements->len, 2);
  g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  LastValue *last = g_new0(LastValue, 1);
  last->measurement = g_strdup("m");
  last->timestamp = -9;
  last->value = (Value){.type = DATA_INT32, .int32 = 5};
  g_ptr_array_add(values, last);
  SlTLastReply *reply = g_object_new(SL_TYPE_T_LAST_REPLY, NULL);
  convert_last_to_thrift(values, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

static gboolean answer_aggregate(const Request *request)
{
  ck_assert(is_method(request, "aggregate"));
  g_autoptr(GObject) object = argument(request, SL_TYPE_T_AGGREGATE_REQ);
  ck_assert_int_eq(SL_T_AGGREGATE_REQ(object)->window, 60);
  g_autoptr(Aggregate) aggregate = aggregate_new();
  aggregate->type = DATA_DOUBLE;
  aggregate->more = TRUE;
  aggregate->next_start_time = 120;
  Window window = {.start_time = 60, .count = 2, .sum = 3, .avg = 1.5};
  window.min = window.first = (Value){.type = DATA_DOUBLE, .float64 = 1};
  window.max = window.last = (Value){.type = DATA_DOUBLE, .float64 = 2};
  g_array_append_val(aggregate->windows, window);
  SlTAggregateReply *reply = g_object_new(SL_TYPE_T_AGGREGATE_REPLY, NULL);
  convert_aggregate_to_thrift(aggregate, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

START_TEST(reads)
{
  const Step steps[] = {answer_query, answer_last, answer_aggregate};
  Fake fake;
  fake_begin(&fake, steps, 3);
  RpcClient *client = client_of(&fake, 20000);
  static const char *const names[] = {"m", "n", NULL};
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(Token));
  g_array_append_val(tokens, ((Token){.log = {1, 2}, .index = 3}));
  Query query = {.device = "d", .start_time = 0, .end_time = 100};
  g_autoptr(Table) table = rpc_client_query(client, 2, &query, tokens, &error);
  ck_assert_msg(table != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_uint_eq(table->timestamps->len, 1);
  ck_assert_uint_eq(g_bytes_get_size(table->next_page), 4);
  Value value;
  ck_assert(column_get(g_ptr_array_index(table->columns, 0), 0, &value));
  ck_assert_str_eq(value.text.bytes, "hi");
  value_clear(&value);

  g_autoptr(GPtrArray) values = rpc_client_last(client, 0, "d", names, NULL, &error);
  ck_assert_msg(values != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_int_eq(((LastValue *)values->pdata[0])->timestamp, -9);
  ck_assert_int_eq(((LastValue *)values->pdata[0])->value.int32, 5);

  AggregateQuery aggregate_query = {.device = "d", .measurement = "m", .end_time = 9, .window = 60};
  g_autoptr(Aggregate) aggregate = rpc_client_aggregate(client, 0, &aggregate_query, NULL, &error);
  ck_assert_msg(aggregate != NULL, "%s", error != NULL ? error->message : "");
  ck_assert(aggregate->more);
  ck_assert_int_eq(aggregate->next_start_time, 120);
  const Window *window = &g_array_index(aggregate->windows, Window, 0);
  ck_assert(window->avg == 1.5 && window->max.float64 == 2);
  rpc_client_free(client);
  fake_end(&fake);
  ck_assert_int_eq(fake.connections, 1);
}
END_TEST

static gboolean answer_series(const Request *request)
{
  ck_assert(is_method(request, "series"));
  g_autoptr(GObject) object = argument(request, SL_TYPE_T_SERIES_REQ);
  SlTSeriesReq *req = SL_T_SERIES_REQ(object);
  ck_assert_str_eq(req->prefix, "p");
  ck_assert_int_eq(req->__isset_after, request->fake->at > 1);
  g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  Device *device = g_new0(Device, 1);
  device->name = g_strdup("p1");
  device->measurements = g_array_new(FALSE, TRUE, sizeof(Measurement));
  Measurement m = {.name = g_strdup("m"), .type = DATA_TEXT, .conflicting = TRUE};
  g_array_append_val(device->measurements, m);
  g_ptr_array_add(devices, device);
  SlTSeriesReply *reply = g_object_new(SL_TYPE_T_SERIES_REPLY, NULL);
  convert_series_to_thrift(devices, request->fake->at == 1, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

START_TEST(series)
{
  const Step steps[] = {answer_series, answer_series};
  Fake fake;
  fake_begin(&fake, steps, 2);
  RpcClient *client = client_of(&fake, 20000);
  g_autoptr(GError) error = NULL;
  g_autofree char *next = NULL, *end = NULL;
  g_autoptr(GPtrArray) first = rpc_client_series(client, 0, "p", NULL, 1, &next, &error);
  ck_assert_msg(first != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_str_eq(next, "p1");
  const Device *device = first->pdata[0];
  ck_assert_str_eq(device->name, "p1");
  ck_assert(g_array_index(device->measurements, Measurement, 0).conflicting);
  g_autoptr(GPtrArray) second = rpc_client_series(client, 0, "p", next, 0, &end, &error);
  ck_assert_ptr_nonnull(second);
  ck_assert_ptr_null(end);
  rpc_client_free(client);
  fake_end(&fake);
}
END_TEST

static gboolean answer_status(const Request *request)
{
  ck_assert(is_method(request, "status"));
  g_autoptr(NodeStatus) status = node_status_new();
  status->node_id = 5;
  status->cluster_id = g_strdup("c");
  status->version = g_strdup("1");
  status->state = "serving";
  LogStatus log = {.own = TRUE, .state = "ok", .wal_bytes = 100};
  log.progress =
      (LogProgress){.log = {5, 6}, .received = 9, .durable = 8, .applied = 7, .first_available = 1};
  g_array_append_val(status->logs, log);
  PeerStatus peer = {.node_id = 6, .address = g_strdup("a:1"), .state = "backoff", .silent_ms = -1};
  peer.message = g_strdup("refused");
  g_array_append_val(status->peers, peer);
  SlTStatusReply *reply = g_object_new(SL_TYPE_T_STATUS_REPLY, NULL);
  convert_node_status_to_thrift(status, reply->node);
  reply->__isset_node = TRUE;
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

static gboolean answer_digest(const Request *request)
{
  ck_assert(is_method(request, "digest"));
  StateDigest digest = {.low = 1, .high = G_MAXUINT64, .cells = 3, .devices = 2};
  g_autoptr(Progress) progress = progress_new();
  *progress_put(progress, (LogId){1, 2}) =
      (LogProgress){.log = {1, 2}, .applied = 4, .durable = 4, .received = 4, .first_available = 1};
  SlTDigestReply *reply = g_object_new(SL_TYPE_T_DIGEST_REPLY, NULL);
  convert_digest_to_thrift(&digest, progress, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

static gboolean answer_config(const Request *request)
{
  ck_assert(is_method(request, "config"));
  g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)config_entry_free);
  ConfigEntry *entry = g_new0(ConfigEntry, 1);
  entry->section = g_strdup("s");
  entry->key = g_strdup("k");
  entry->value = g_strdup("v");
  entry->reloadable = TRUE;
  g_ptr_array_add(entries, entry);
  SlTConfigReply *reply = g_object_new(SL_TYPE_T_CONFIG_REPLY, NULL);
  convert_config_to_thrift(entries, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

/* A text that was cut, a delete, a type. */
static ConflictPage *some_conflicts(void)
{
  ConflictPage *page = conflict_page_new();
  const ConflictKind kinds[] = {CONFLICT_OVERWRITE, CONFLICT_DELETE, CONFLICT_TYPE};
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
    Conflict *one = g_new0(Conflict, 1);
    *one = (Conflict){.sequence = i + 5,
                      .found_ms = 1000,
                      .kind = kinds[i],
                      .device = g_strdup("d"),
                      .measurement = g_strdup("m"),
                      .time = kinds[i] == CONFLICT_TYPE ? 0 : -7,
                      .cells = kinds[i] == CONFLICT_DELETE ? 3 : 1,
                      .winner = {.origin = 2, .hlc = G_MAXUINT64 >> 1, .type = DATA_INT32},
                      .loser = {.origin = 1, .hlc = 9, .type = DATA_TEXT}};
    one->winner.is_delete = kinds[i] == CONFLICT_DELETE;
    one->loser.has_value = kinds[i] != CONFLICT_TYPE;
    if (one->loser.has_value) {
      value_unpack(DATA_TEXT, (const guint8 *)"cut", 3, &one->loser.value);
      one->loser.value_size = i == 0 ? 999 : 3;
    }
    g_ptr_array_add(page->conflicts, one);
  }
  page->counts = (ConflictCounts){.by_kind = {0, 1, 2, 3, 4},
                                  .overflowed = 5,
                                  .pending = 6,
                                  .first_sequence = 7,
                                  .last_sequence = 8,
                                  .bytes = 9};
  page->more = TRUE;
  page->next_after = 7;
  page->unreadable = 11;
  return page;
}

static gboolean answer_conflicts(const Request *request)
{
  ck_assert(is_method(request, "conflicts"));
  g_autoptr(ConflictPage) page = some_conflicts();
  SlTConflictsReply *reply = g_object_new(SL_TYPE_T_CONFLICTS_REPLY, NULL);
  convert_conflicts_to_thrift(page, reply);
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

/* A kind that there is not. */
static gboolean answer_odd_conflicts(const Request *request)
{
  g_autoptr(ConflictPage) page = some_conflicts();
  SlTConflictsReply *reply = g_object_new(SL_TYPE_T_CONFLICTS_REPLY, NULL);
  convert_conflicts_to_thrift(page, reply);
  SlTConflict *first = reply->conflicts->pdata[0];
  g_free(first->kind);
  first->kind = g_strdup("quarrel");
  convert_error_to_thrift(NULL, reply->status);
  return answer(request, reply);
}

static void check_side(const ConflictSide *got, const ConflictSide *wanted)
{
  ck_assert_uint_eq(got->origin, wanted->origin);
  ck_assert_uint_eq(got->hlc, wanted->hlc);
  ck_assert_int_eq(got->is_delete, wanted->is_delete);
  ck_assert_int_eq(got->has_value, wanted->has_value);
  if (!wanted->is_delete)
    ck_assert_int_eq(got->type, wanted->type);
  if (wanted->has_value) {
    ck_assert_str_eq(got->value.text.bytes, wanted->value.text.bytes);
    ck_assert_uint_eq(got->value_size, wanted->value_size);
  }
}

START_TEST(pages_of_conflicts)
{
  const Step steps[] = {answer_conflicts, answer_odd_conflicts};
  Fake fake;
  fake_begin(&fake, steps, 2);
  RpcClient *client = client_of(&fake, 20000);
  g_autoptr(GError) error = NULL;
  g_autoptr(ConflictPage) wanted = some_conflicts();
  ConflictQuery query = {.after = 4, .limit = 3, .device = "d"};
  g_autoptr(ConflictPage) page = rpc_client_conflicts(client, 0, &query, &error);
  ck_assert_msg(page != NULL, "%s", error != NULL ? error->message : "");
  ck_assert(memcmp(&page->counts, &wanted->counts, sizeof page->counts) == 0);
  ck_assert(page->more);
  ck_assert_uint_eq(page->next_after, 7);
  ck_assert_uint_eq(page->unreadable, 11);
  ck_assert_uint_eq(page->conflicts->len, wanted->conflicts->len);
  for (guint i = 0; i < wanted->conflicts->len; i++) {
    const Conflict *got = page->conflicts->pdata[i], *one = wanted->conflicts->pdata[i];
    ck_assert_uint_eq(got->sequence, one->sequence);
    ck_assert_uint_eq(got->found_ms, one->found_ms);
    ck_assert_int_eq(got->kind, one->kind);
    ck_assert_str_eq(got->measurement, one->measurement);
    ck_assert_int_eq(got->time, one->time);
    ck_assert_uint_eq(got->cells, one->cells);
    check_side(&got->winner, &one->winner);
    check_side(&got->loser, &one->loser);
  }
  ck_assert_ptr_null(rpc_client_conflicts(client, 0, &query, &error));
  ck_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_INVALID));
  rpc_client_free(client);
  fake_end(&fake);
}
END_TEST

START_TEST(administration)
{
  const Step steps[] = {answer_status, answer_digest, answer_config};
  Fake fake;
  fake_begin(&fake, steps, 3);
  RpcClient *client = client_of(&fake, 20000);
  g_autoptr(GError) error = NULL;
  g_autoptr(NodeStatus) status = rpc_client_status(client, 0, &error);
  ck_assert_msg(status != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_str_eq(status->state, "serving");
  ck_assert_uint_eq(g_array_index(status->logs, LogStatus, 0).progress.durable, 8);
  ck_assert_str_eq(g_array_index(status->peers, PeerStatus, 0).message, "refused");
  ck_assert_int_eq(g_array_index(status->peers, PeerStatus, 0).silent_ms, -1);

  StateDigest digest;
  g_autoptr(Progress) progress = NULL;
  ck_assert_msg(rpc_client_digest(client, 0, NULL, &digest, &progress, &error), "%s",
                error != NULL ? error->message : "");
  ck_assert_uint_eq(digest.low, 1);
  ck_assert_uint_eq(digest.high, G_MAXUINT64);
  ck_assert_uint_eq(digest.cells, 3);
  ck_assert_uint_eq(progress_find(progress, (LogId){1, 2})->applied, 4);

  g_autoptr(GPtrArray) config = rpc_client_config(client, &error);
  ck_assert_msg(config != NULL, "%s", error != NULL ? error->message : "");
  const ConfigEntry *entry = config->pdata[0];
  ck_assert_str_eq(entry->value, "v");
  ck_assert(entry->reloadable && !entry->is_default);
  rpc_client_free(client);
  fake_end(&fake);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {writes, a_write_over_the_frame_size, a_written_without_token, reads,
                                series, pages_of_conflicts,          administration};
  return RUN_SUITE("client", tests);
}
