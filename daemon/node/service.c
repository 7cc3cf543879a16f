#include "node/service.h"

#include "base/failpoint.h"
#include "base/limits.h"
#include "node/config_table.h"
#include "node/group_reads.h"

enum {
  SERIES_LIMIT = 1000,
  WINDOW_LIMIT = 100000,
  CONFLICTS_LIMIT = 5000,
  TAIL_LIMIT = 10000,
  TAIL_BYTES = 4 * 1024 * 1024, /* of the entries of one reply, unless the first alone is larger */
};

/* The replicas that a loop has handed writes or batches since its last batch_end, each held until
 * then; only that loop's thread touches it. */
typedef struct LoopReplicas {
  RpcLoop *loop;
  GPtrArray *replicas;
} LoopReplicas;

struct Service {
  Groups *groups;
  GArray *loops; /* LoopReplicas */
  GMutex mutex;  /* guards config and servers */
  Config *config;
  RpcServer *clients, *peers;
  HttpServer *http;
};

/* What the handlers need of the configuration. */
typedef struct Bounds {
  gint64 write_timeout_ms, read_timeout_ms;
  guint page_rows, max_page_rows;
  guint64 share; /* bytes of unanswered requests of one group */
} Bounds;

static void loop_replicas_clear(gpointer data)
{
  g_ptr_array_unref(((LoopReplicas *)data)->replicas);
}

Service *service_new(Groups *groups, RpcLoops *loops, const Config *config)
{
  Service *service = g_new0(Service, 1);
  service->groups = groups;
  service->loops = g_array_new(FALSE, FALSE, sizeof(LoopReplicas));
  g_array_set_clear_func(service->loops, loop_replicas_clear);
  for (guint i = 0; i < rpc_loops_count(loops); i++) {
    LoopReplicas one = {rpc_loops_get(loops, i),
                        g_ptr_array_new_with_free_func((GDestroyNotify)replica_release)};
    g_array_append_val(service->loops, one);
  }
  g_mutex_init(&service->mutex);
  service->config = config_dup(config);
  return service;
}

void service_free(Service *service)
{
  config_free(service->config);
  g_array_unref(service->loops);
  g_mutex_clear(&service->mutex);
  g_free(service);
}

void service_adopt(Service *service, const Config *fresh)
{
  g_mutex_lock(&service->mutex);
  config_adopt(service->config, fresh);
  g_mutex_unlock(&service->mutex);
}

void service_set_servers(Service *service, RpcServer *clients, RpcServer *peers)
{
  g_mutex_lock(&service->mutex);
  service->clients = clients;
  service->peers = peers;
  g_mutex_unlock(&service->mutex);
}

/* What is equal for all, so that the shares together are the whole; config_check_groups keeps one
 * from being too small for a request. */
static guint64 group_share(const Config *config)
{
  return config->max_memory_in_flight / (config->groups->len + 1);
}

static Bounds bounds_of(Service *service)
{
  g_mutex_lock(&service->mutex);
  Bounds bounds = {service->config->write_timeout_ms, service->config->read_timeout_ms,
                   service->config->page_rows, service->config->max_page_rows,
                   group_share(service->config)};
  g_mutex_unlock(&service->mutex);
  return bounds;
}

static gint64 units_per_second(const Config *config)
{
  static const gint64 units[] = {
      [CONFIG_TIME_MS] = 1000, [CONFIG_TIME_US] = 1000000, [CONFIG_TIME_NS] = 1000000000};
  return units[config->time_precision];
}

ServiceLimits service_limits(Service *service)
{
  g_mutex_lock(&service->mutex);
  const Config *config = service->config;
  ServiceLimits limits = {.write_timeout_ms = config->write_timeout_ms,
                          .read_timeout_ms = config->read_timeout_ms,
                          .page_rows = config->page_rows,
                          .per_second = units_per_second(config),
                          .group_share = config->groups->len > 0 ? group_share(config) : 0,
                          .http_data = config->http_data,
                          .http_ack = (AckLevel)(config->http_ack + ACK_LOCAL)};
  g_mutex_unlock(&service->mutex);
  return limits;
}

Groups *service_groups(Service *service)
{
  return service->groups;
}

static gint64 bounded_timeout(gint asked_ms, gint64 limit_ms)
{
  return asked_ms < 0 ? limit_ms : MIN(asked_ms, limit_ms);
}

/* --- writes and replication ---------------------------------------------------------------------
 */

static LoopReplicas *replicas_of(Service *service, RpcLoop *loop)
{
  for (guint i = 0; i < service->loops->len; i++) {
    LoopReplicas *replicas = &g_array_index(service->loops, LoopReplicas, i);
    if (replicas->loop == loop)
      return replicas;
  }
  g_assert_not_reached();
}

/* A group that leaves its requests unanswered for long must not use up the memory of all. */
static gboolean admit(Service *service, Replica *replica, RpcCall *call, gsize size, guint64 share,
                      GError **error)
{
  return groups_are_one(service->groups) || replica_admit(replica, call, size, share) ||
         fail(error, SYNCLOG_OVERLOADED, "group %u holds as many unanswered requests as it may",
              replica_group(replica));
}

/* A group's replica, held by the call's loop; NULL with an error. */
static Replica *replica_on_loop(Service *service, RpcCall *call, guint32 group, GError **error)
{
  GPtrArray *held = replicas_of(service, rpc_call_loop(call))->replicas;
  for (guint i = 0; i < held->len; i++)
    if (replica_group(held->pdata[i]) == group)
      return held->pdata[i];
  Replica *replica = groups_hold(service->groups, group, error);
  if (replica != NULL)
    g_ptr_array_add(held, replica);
  return replica;
}

static void handle_write(gpointer ctx, RpcCall *call, const WriteRequest *request)
{
  Service *service = ctx;
  Bounds bounds = bounds_of(service);
  WriteRequest routed = *request;
  g_autoptr(GError) error = NULL;
  Replica *replica = NULL;
  if (groups_of_write(service->groups, request->group, request->data, request->size, &routed.group,
                      &error))
    replica = replica_on_loop(service, call, routed.group, &error);
  if (replica == NULL || !admit(service, replica, call, request->size, bounds.share, &error))
    rpc_call_reply_write(call, (SynclogStatus)error->code, error->message, NULL);
  else
    replica_write(replica, call, &routed,
                  bounded_timeout(request->timeout_ms, bounds.write_timeout_ms));
}

static void handle_batch_end(gpointer ctx, RpcLoop *loop)
{
  GPtrArray *held = replicas_of(ctx, loop)->replicas;
  for (guint i = 0; i < held->len; i++)
    replica_flush_writes(held->pdata[i], loop);
  g_ptr_array_set_size(held, 0);
}

static void handle_sync_log(gpointer ctx, RpcCall *call, const SyncLogRequest *request)
{
  g_autoptr(GError) error = NULL;
  Service *service = ctx;
  Replica *replica = replica_on_loop(service, call, request->group, &error);
  if (replica != NULL &&
      (groups_are_one(service->groups) ||
       admit(service, replica, call, request->size, bounds_of(service).share, &error))) {
    replica_sync_log(replica, call, request);
    return;
  }
  SyncReply reply = {.status = (SynclogStatus)error->code, .message = error->message};
  rpc_call_reply_sync(call, &reply);
}

static void handle_handshake(gpointer ctx, RpcCall *call, const Handshake *handshake)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, handshake->group, &error);
  if (replica != NULL) {
    replica_handshake(replica, call, handshake);
    replica_release(replica);
    return;
  }
  rpc_call_set_peer(call, 0, 0);
  HandshakeReply reply = {.status = (SynclogStatus)error->code, .message = error->message};
  rpc_call_reply_handshake(call, &reply);
}

static void handle_heartbeat(gpointer ctx, RpcCall *call, const Heartbeat *heartbeat)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, heartbeat->group, &error);
  if (replica != NULL) {
    replica_heartbeat(replica, call, heartbeat);
    replica_release(replica);
    return;
  }
  HeartbeatReply reply = {.status = (SynclogStatus)error->code, .message = error->message};
  rpc_call_reply_heartbeat(call, &reply);
}

/* --- reads --------------------------------------------------------------------------------------
 */

/* A read on its way; what it borrows lives until the call is answered. */
typedef struct ReadJob {
  RpcCall *call;
  Query query;
  AggregateQuery aggregate;
  const char *device;
  const char *const *measurements;
  const char *prefix, *after;
  gboolean partial; /* groups that can't be read are left out */
  guint limit;
  DigestQuery digest;
  ConflictQuery conflicts;
  TailQuery tail;
  Replica *replica;
} ReadJob;

/* Runs `read` once what must be seen is applied; answers by it too when it can't be. `device`: by
 * which the rule finds the group; NULL: all groups. */
static void start_routed(Service *service, const ReadOptions *options, const char *device,
                         ReplicaRead read, const ReadJob *job)
{
  Bounds bounds = bounds_of(service);
  ReadJob *copy = g_memdup2(job, sizeof *job);
  GroupRead what = {.group = options->group,
                    .device = device,
                    .tokens = options->tokens,
                    .timeout_ms = bounded_timeout(options->timeout_ms, bounds.read_timeout_ms),
                    .partial = job->partial};
  group_reads_begin(service->groups, &what, read, copy);
}

/* The same of what only one group can tell. */
static void start_read(Service *service, const ReadOptions *options, ReplicaRead read,
                       const ReadJob *job)
{
  g_autoptr(GError) error = NULL;
  if (options->group != GROUP_BY_RULE) {
    start_routed(service, options, NULL, read, job);
    return;
  }
  fail(&error, SYNCLOG_INVALID, "consensusGroupId is out of range");
  read(g_memdup2(job, sizeof *job), NULL, error);
}

static void read_query(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  g_autoptr(GError) local = NULL;
  g_autoptr(Table) table = store != NULL ? store_query(store, &job->query, &local) : NULL;
  rpc_call_reply_query(job->call, error != NULL ? error : local, table);
}

static void handle_query(gpointer ctx, RpcCall *call, const ReadOptions *options,
                         const Query *query)
{
  Service *service = ctx;
  Bounds bounds = bounds_of(service);
  ReadJob job = {.call = call, .query = *query};
  guint limit = query->limit > 0 ? query->limit : bounds.page_rows;
  job.query.limit = MIN(limit, bounds.max_page_rows);
  start_routed(service, options, query->device, read_query, &job);
}

static void read_last(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  g_autoptr(GError) local = NULL;
  g_autoptr(GPtrArray) values =
      store != NULL ? store_last(store, job->device, job->measurements, &local) : NULL;
  rpc_call_reply_last(job->call, error != NULL ? error : local, values);
}

static void handle_last(gpointer ctx, RpcCall *call, const ReadOptions *options, const char *device,
                        const char *const *measurements)
{
  ReadJob job = {.call = call, .device = device, .measurements = measurements};
  start_routed(ctx, options, device, read_last, &job);
}

static void read_aggregate(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  g_autoptr(GError) local = NULL;
  g_autoptr(Aggregate) aggregate =
      store != NULL ? store_aggregate(store, &job->aggregate, &local) : NULL;
  rpc_call_reply_aggregate(job->call, error != NULL ? error : local, aggregate);
}

static void handle_aggregate(gpointer ctx, RpcCall *call, const ReadOptions *options,
                             const AggregateQuery *query)
{
  ReadJob job = {.call = call, .aggregate = *query};
  if (query->limit == 0 || query->limit > WINDOW_LIMIT)
    job.aggregate.limit = WINDOW_LIMIT;
  start_routed(ctx, options, query->device, read_aggregate, &job);
}

static void read_series(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  g_autoptr(GError) local = NULL;
  gboolean more = FALSE;
  g_autoptr(GPtrArray) devices =
      store != NULL ? store_series(store, job->prefix, job->after, job->limit, &more, &local)
                    : NULL;
  rpc_call_reply_series(job->call, error != NULL ? error : local, devices, more,
                        devices != NULL ? group_reads_left_out(store) : NULL);
}

static void handle_series(gpointer ctx, RpcCall *call, guint32 group, const char *prefix,
                          const char *after, guint limit, gboolean partial)
{
  ReadOptions options = {.group = group, .timeout_ms = -1};
  ReadJob job = {.call = call, .prefix = prefix, .after = after, .partial = partial};
  job.limit = limit == 0 ? SERIES_LIMIT : MIN(limit, SERIES_LIMIT);
  start_routed(ctx, &options, NULL, read_series, &job);
}

static void read_tail(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  const TailQuery *query = &job->tail;
  g_autoptr(GError) local = NULL;
  g_autoptr(EntryRun) run = NULL;
  guint64 first = 0;
  /* That nothing came in time is an answer. */
  gboolean waited = g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TIMEOUT);
  if (store != NULL)
    run = replica_read_log(job->replica, query->log, query->from, query->limit, TAIL_BYTES, &first,
                           &local);
  rpc_call_reply_tail(job->call, error != NULL && !waited ? error : local, run, query->from, first);
}

static void handle_tail(gpointer ctx, RpcCall *call, guint32 group, const TailQuery *query)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica == NULL) {
    rpc_call_reply_tail(call, error, NULL, query->from, 0);
    return;
  }
  Token token = {.log = query->log, .index = query->from};
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof token);
  g_array_append_val(tokens, token);
  ReadJob *job = g_new0(ReadJob, 1);
  *job = (ReadJob){.call = call, .tail = *query, .replica = replica};
  job->tail.limit = query->limit == 0 ? TAIL_LIMIT : MIN(query->limit, TAIL_LIMIT);
  /* It stays until the read has ended, by itself. */
  replica_read(replica, tokens, bounded_timeout(query->wait_ms, bounds_of(service).read_timeout_ms),
               read_tail, job);
  replica_release(replica);
}

/* --- status -------------------------------------------------------------------------------------
 */

/* All of the store is read for it. */
static void run_digest(gpointer data)
{
  g_autofree ReadJob *job = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) logs = NULL;
  StateDigest digest = {0};
  Store *store = replica_begin_view(job->replica, &error);
  if (store != NULL) {
    store_digest(store, &(DigestScope){G_MAXUINT64}, &digest, &logs, &error);
    replica_end_view(job->replica);
  }
  g_autoptr(Progress) progress = progress_new();
  for (guint i = 0; logs != NULL && i < logs->len; i++) {
    const StoreProgress *log = &g_array_index(logs, StoreProgress, i);
    LogProgress *p = progress_put(progress, log->log);
    p->received = p->durable = p->applied = log->applied;
    p->applied_hlc = log->hlc;
    p->first_available = log->applied + 1;
  }
  rpc_call_reply_digest(job->call, error, &digest, progress);
}

static void read_digest(gpointer data, Store *store, const GError *error)
{
  ReadJob *job = data;
  if (store != NULL) {
    replica_work_apart(job->replica, "digest", run_digest, job);
    return;
  }
  rpc_call_reply_digest(job->call, error, NULL, NULL);
  g_free(job);
}

static void handle_digest(gpointer ctx, RpcCall *call, const ReadOptions *options)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, options->group, &error);
  if (replica == NULL) {
    rpc_call_reply_digest(call, error, NULL, NULL);
    return;
  }
  ReadJob *job = g_new0(ReadJob, 1);
  *job = (ReadJob){.call = call, .replica = replica};
  /* It stays until the read has ended, by itself. */
  replica_read(replica, options->tokens,
               bounded_timeout(options->timeout_ms, bounds_of(service).read_timeout_ms),
               read_digest, job);
  replica_release(replica);
}

static void read_digest_parts(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  const DigestQuery *query = &job->digest;
  DigestScope scope = {query->cut};
  g_autoptr(GError) local = NULL;
  g_autoptr(GPtrArray) parts = NULL;
  gboolean more = FALSE;
  if (store != NULL && query->device != NULL)
    parts = store_digest_buckets(store, &scope, query->device, query->from, query->limit, &more,
                                 &local);
  else if (store != NULL)
    parts = store_digest_devices(store, &scope, query->after, query->limit, &more, &local);
  rpc_call_reply_digest_parts(job->call, error != NULL ? error : local, parts, more);
}

static void handle_digest_parts(gpointer ctx, RpcCall *call, guint32 group,
                                const DigestQuery *query)
{
  Service *service = ctx;
  ReadOptions options = {.group = group, .timeout_ms = -1};
  ReadJob job = {.call = call, .digest = *query};
  job.digest.limit = query->limit == 0 ? SERIES_LIMIT : MIN(query->limit, SERIES_LIMIT);
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica == NULL) {
    rpc_call_reply_digest_parts(call, error, NULL, FALSE);
    return;
  }
  guint64 horizon = replica_horizon(replica);
  replica_release(replica);
  if (query->cut == G_MAXUINT64 || query->cut <= horizon) {
    start_read(service, &options, read_digest_parts, &job);
    return;
  }
  fail(&error, SYNCLOG_NOT_READY,
       "the horizon of this node is at clock %" G_GUINT64_FORMAT
       ", asked was for %" G_GUINT64_FORMAT,
       horizon, query->cut);
  rpc_call_reply_digest_parts(call, error, NULL, FALSE);
}

static void read_conflicts(gpointer data, Store *store, const GError *error)
{
  g_autofree ReadJob *job = data;
  g_autoptr(GError) local = NULL;
  g_autoptr(ConflictPage) page =
      store != NULL ? store_conflicts(store, &job->conflicts, &local) : NULL;
  rpc_call_reply_conflicts(job->call, error != NULL ? error : local, page);
}

static void handle_conflicts(gpointer ctx, RpcCall *call, guint32 group, const ConflictQuery *query)
{
  ReadOptions options = {.group = group, .timeout_ms = -1};
  ReadJob job = {.call = call, .conflicts = *query};
  job.conflicts.limit = query->limit == 0 ? CONFLICTS_LIMIT : MIN(query->limit, CONFLICTS_LIMIT);
  start_read(ctx, &options, read_conflicts, &job);
}

static void handle_info(gpointer ctx, RpcCall *call)
{
  Service *service = ctx;
  NodeInfo info = {.version = g_strdup(SYNCLOG_VERSION),
                   .groups = g_array_new(FALSE, FALSE, sizeof(guint32)),
                   .configured = g_array_new(FALSE, TRUE, sizeof(guint32))};
  g_autoptr(GPtrArray) open = groups_hold_all(service->groups);
  for (guint i = 0; i < open->len; i++) {
    guint32 group = replica_group(open->pdata[i]);
    g_array_append_val(info.groups, group);
  }
  g_array_set_size(info.configured, 1); /* group 0 */
  g_mutex_lock(&service->mutex);
  for (guint i = 0; i < service->config->groups->len; i++)
    g_array_append_val(info.configured, g_array_index(service->config->groups, ConfigGroup, i).id);
  info.node_id = service->config->node_id;
  info.cluster_id = g_strdup(service->config->cluster_id);
  info.time_precision = g_strdup(config_time_precision_name(service->config));
  g_mutex_unlock(&service->mutex);
  rpc_call_reply_info(call, &info);
  node_info_clear(&info);
}

void service_set_http(Service *service, HttpServer *http)
{
  g_mutex_lock(&service->mutex);
  service->http = http;
  g_mutex_unlock(&service->mutex);
}

/* What is the node's, not a group's. */
static void add_node_status(Service *service, NodeStatus *status)
{
  g_mutex_lock(&service->mutex);
  RpcServer *clients = service->clients, *peers = service->peers;
  HttpServer *http = service->http;
  if (clients != NULL) {
    status->connections = rpc_server_connections(clients) + rpc_server_connections(peers);
    named_count_add(status->memory, "client_requests", rpc_server_memory(clients));
    named_count_add(status->memory, "peer_requests", rpc_server_memory(peers));
    for (int code = SYNCLOG_PENDING + 1; code <= SYNCLOG_STATUS_LAST; code++)
      named_count_add(status->errors, synclog_status_name(code), rpc_server_errors(clients, code));
  }
  if (http != NULL) {
    status->connections += http_server_connections(http);
    status->http_refused = http_server_refused(http);
  }
  g_mutex_unlock(&service->mutex);
}

NodeStatus *service_status(Service *service, guint32 group, GError **error)
{
  Replica *replica = groups_hold(service->groups, group, error);
  if (replica == NULL)
    return NULL;
  NodeStatus *status = replica_status(replica);
  add_node_status(service, status);
  replica_release(replica);
  return status;
}

GPtrArray *service_statuses(Service *service)
{
  GPtrArray *statuses = g_ptr_array_new_with_free_func((GDestroyNotify)node_status_free);
  g_autoptr(GPtrArray) open = groups_hold_all(service->groups);
  for (guint i = 0; i < open->len; i++)
    g_ptr_array_add(statuses, replica_status(open->pdata[i]));
  add_node_status(service, statuses->pdata[0]);
  return statuses;
}

static void handle_status(gpointer ctx, RpcCall *call, guint32 group)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(NodeStatus) status = service_status(ctx, group, &error);
  rpc_call_reply_status(call, error, status);
}

static void handle_config(gpointer ctx, RpcCall *call)
{
  Service *service = ctx;
  g_mutex_lock(&service->mutex);
  g_autoptr(GPtrArray) entries = config_entries(service->config);
  g_mutex_unlock(&service->mutex);
  rpc_call_reply_config(call, entries);
}

static void handle_forget(gpointer ctx, RpcCall *call, guint32 group, guint32 node)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL)
    replica_forget(replica, node, &error);
  g_clear_pointer(&replica, replica_release);
  rpc_call_reply_forget(call, error);
}

typedef struct AddJob {
  Replica *replica;
  RpcCall *call;
  guint32 node;
  char *address;
} AddJob;

static void run_add_member(gpointer data)
{
  g_autofree AddJob *job = data;
  g_autofree char *address = job->address;
  g_autoptr(GError) error = NULL;
  replica_add_member(job->replica, job->node, address, &error);
  FAILPOINT("member_add_reply");
  rpc_call_reply_add_member(job->call, error);
}

/* Who is at the address is asked before: that is no wait for a worker. */
static void handle_add_member(gpointer ctx, RpcCall *call, guint32 group, guint32 node,
                              const char *address)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL && config_check_address(address, FALSE, &error)) {
    AddJob *job = g_new(AddJob, 1);
    *job = (AddJob){replica, call, node, g_strdup(address)};
    replica_work_apart(replica, "add", run_add_member, job);
  } else {
    rpc_call_reply_add_member(call, error);
  }
  g_clear_pointer(&replica, replica_release);
}

static void handle_remove_member(gpointer ctx, RpcCall *call, guint32 group, guint32 node)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL)
    replica_remove_member(replica, node, &error);
  g_clear_pointer(&replica, replica_release);
  FAILPOINT("member_remove_reply");
  rpc_call_reply_remove_member(call, error);
}

static void handle_skip(gpointer ctx, RpcCall *call, guint32 group, const Token *entry)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL)
    replica_skip(replica, entry, &error);
  g_clear_pointer(&replica, replica_release);
  rpc_call_reply_skip(call, error);
}

static void handle_repair(gpointer ctx, RpcCall *call, guint32 group, const RepairQuery *query)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL)
    replica_repair(replica, call, query);
  else
    rpc_call_reply_repair(call, error, NULL);
  g_clear_pointer(&replica, replica_release);
}

static void handle_bucket(gpointer ctx, RpcCall *call, const BucketAsker *asker,
                          const BucketQuery *query)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, asker->group, &error);
  if (replica != NULL)
    replica_bucket(replica, call, asker, query);
  else
    rpc_call_reply_bucket(call, error, NULL);
  g_clear_pointer(&replica, replica_release);
}

static void handle_pause(gpointer ctx, RpcCall *call, guint32 group, guint32 node, gboolean paused)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL)
    replica_pause_peer(replica, node, paused, &error);
  g_clear_pointer(&replica, replica_release);
  rpc_call_reply_pause(call, error);
}

static void handle_groups(gpointer ctx, RpcCall *call)
{
  Service *service = ctx;
  g_autoptr(GPtrArray) groups = groups_list(service->groups);
  rpc_call_reply_groups(call, groups);
}

static void on_deleted(gpointer data, const GError *error)
{
  rpc_call_reply_delete_group(data, error);
}

static void handle_delete_group(gpointer ctx, RpcCall *call, guint32 group)
{
  Service *service = ctx;
  groups_delete(service->groups, group, on_deleted, call);
}

/* --- snapshots ----------------------------------------------------------------------------------
 */

static void handle_snapshot(gpointer ctx, RpcCall *call, const SnapshotRequest *request)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, request->group, &error);
  if (replica != NULL)
    replica_snapshot(replica, call, request);
  else
    rpc_call_reply_snapshot(call, error, NULL);
  g_clear_pointer(&replica, replica_release);
}

static void handle_fragment(gpointer ctx, RpcCall *call, const FragmentRequest *request)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, request->group, &error);
  if (replica != NULL)
    replica_fragment(replica, call, request);
  else
    rpc_call_reply_fragment(call, error, NULL);
  g_clear_pointer(&replica, replica_release);
}

static void handle_snapshot_end(gpointer ctx, RpcCall *call, guint32 group, guint64 id)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, group, &error);
  if (replica != NULL)
    replica_snapshot_end(replica, id, &error);
  g_clear_pointer(&replica, replica_release);
  rpc_call_reply_snapshot_end(call, error);
}

static void handle_reseed(gpointer ctx, RpcCall *call, const ReseedRequest *request)
{
  Service *service = ctx;
  g_autoptr(GError) error = NULL;
  Replica *replica = groups_hold(service->groups, request->group, &error);
  if (replica != NULL)
    replica_reseed(replica, request, &error);
  g_clear_pointer(&replica, replica_release);
  rpc_call_reply_reseed(call, error);
}

const RpcHandlers *service_handlers(void)
{
  static const RpcHandlers handlers = {.write = handle_write,
                                       .sync_log = handle_sync_log,
                                       .handshake = handle_handshake,
                                       .heartbeat = handle_heartbeat,
                                       .query = handle_query,
                                       .last = handle_last,
                                       .aggregate = handle_aggregate,
                                       .series = handle_series,
                                       .tail = handle_tail,
                                       .info = handle_info,
                                       .status = handle_status,
                                       .digest = handle_digest,
                                       .digest_parts = handle_digest_parts,
                                       .conflicts = handle_conflicts,
                                       .config = handle_config,
                                       .forget = handle_forget,
                                       .skip = handle_skip,
                                       .repair = handle_repair,
                                       .bucket = handle_bucket,
                                       .add_member = handle_add_member,
                                       .remove_member = handle_remove_member,
                                       .snapshot = handle_snapshot,
                                       .fragment = handle_fragment,
                                       .snapshot_end = handle_snapshot_end,
                                       .reseed = handle_reseed,
                                       .pause = handle_pause,
                                       .groups = handle_groups,
                                       .delete_group = handle_delete_group,
                                       .batch_end = handle_batch_end};
  return &handlers;
}
