/*
 * Repair: a bucket of the store that lost or altered cells, although the logs agree, is replaced by
 * what a peer holds there as of a clock that both have passed. Nothing is written to a log: all
 * nodes have the entries already, one of them shows them wrongly.
 */
#include "node/replica_private.h"

#include "rpc/client.h"

enum {
  PAGE_BYTES = 4 << 20,     /* of cells in one answer of the peer */
  BUCKET_BYTES = 256 << 20, /* of cells that a bucket to be mended may have */
};

typedef struct RepairJob {
  Replica *replica;
  RpcCall *call;
  const RepairQuery *query; /* lives until the call is answered */
  char *address;            /* of the peer */
} RepairJob;

static void job_free(RepairJob *job)
{
  g_free(job->address);
  g_free(job);
}

static gsize bytes_of(const BucketPage *page)
{
  gsize bytes = 0;
  for (guint i = 0; i < page->parts->len; i++) {
    const Table *table = ((const BucketPart *)page->parts->pdata[i])->table;
    bytes += sizeof(BucketPart) + table->timestamps->len * sizeof(gint64);
    for (guint k = 0; k < table->columns->len; k++)
      bytes += sizeof(Column) + ((const Column *)table->columns->pdata[k])->values->len;
  }
  return bytes;
}

/* All parts of the bucket at the peer; NULL with an error. */
static GPtrArray *fetch(const RepairJob *job, GError **error)
{
  Replica *replica = job->replica;
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)bucket_part_free);
  g_autoptr(RpcClient) client = rpc_client_new(job->address, replica->options.request_timeout_ms);
  BucketAsker asker = {replica->identity->cluster_id, replica->options.group.group,
                       replica->identity->node_id};
  BucketQuery query = {
      .device = job->query->device, .start_time = job->query->start_time, .cut = job->query->cut};
  gsize bytes = 0;
  gboolean more = TRUE;
  while (more) {
    g_autoptr(BucketPage) page = rpc_client_bucket(client, &asker, &query, error);
    if (page == NULL) {
      fail_prefix(error, "node %u: ", job->query->from_node);
      return NULL;
    }
    bytes += bytes_of(page);
    if (bytes > BUCKET_BYTES) {
      fail(error, SYNCLOG_TOO_LARGE, "the bucket has more than %d bytes of cells", BUCKET_BYTES);
      return NULL;
    }
    more = page->more;
    while (page->parts->len > 0)
      g_ptr_array_add(parts, g_ptr_array_steal_index(page->parts, 0));
    if (!more)
      break;
    CellVersion last = ((const BucketPart *)parts->pdata[parts->len - 1])->version;
    if (cell_version_compare(&last, &query.after) <= 0) {
      fail(error, SYNCLOG_INVALID, "node %u repeats itself", job->query->from_node);
      return NULL;
    }
    query.after = last;
  }
  return g_steal_pointer(&parts);
}

/* The digest of the bucket here. */
static gboolean digest_here(const RepairJob *job, StateDigest *out_digest, GError **error)
{
  Replica *replica = job->replica;
  const RepairQuery *query = job->query;
  Store *store = replica_begin_view(replica, error);
  if (store == NULL)
    return FALSE;
  gboolean done = store_bucket_digest(store, &(DigestScope){query->cut}, query->device,
                                      query->start_time, out_digest, error);
  replica_end_view(replica);
  return done;
}

static gboolean is_same(const StateDigest *a, const StateDigest *b)
{
  return a->low == b->low && a->high == b->high && a->cells == b->cells;
}

/* Lets the apply thread do it and waits. */
static gboolean mend(const RepairJob *job, const GPtrArray *parts, GError **error)
{
  Replica *replica = job->replica;
  const RepairQuery *query = job->query;
  MendRequest request = {.mend = {query->device, query->start_time, query->cut, parts}};
  g_mutex_lock(&replica->apply_mutex);
  if (replica->apply_ended) {
    fail(&request.error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  } else {
    replica->mend = &request;
    g_cond_broadcast(&replica->apply_cond);
    while (!request.done)
      g_cond_wait(&replica->mend_cond, &replica->apply_mutex);
  }
  g_mutex_unlock(&replica->apply_mutex);
  if (request.error == NULL)
    return TRUE;
  g_propagate_error(error, request.error);
  return FALSE;
}

static gboolean repair(const RepairJob *job, RepairResult *result, GError **error)
{
  const RepairQuery *query = job->query;
  StateDigest before = {0}, theirs = {0}, after = {0};
  /* What is damaged so that it can't be read is replaced all the same. */
  g_autoptr(GError) local = NULL;
  gboolean readable = digest_here(job, &before, &local);
  if (!readable && !g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_CORRUPT)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  g_autoptr(GPtrArray) parts = fetch(job, error);
  if (parts == NULL)
    return FALSE;
  store_parts_digest(query->device, parts, &theirs);
  *result = (RepairResult){.cells_before = before.cells,
                           .cells_after = theirs.cells,
                           .was_equal = readable && is_same(&before, &theirs)};
  if (result->was_equal || query->dry_run)
    return TRUE;
  if (!mend(job, parts, error) || !digest_here(job, &after, error))
    return FALSE;
  if (!is_same(&after, &theirs))
    return fail(error, SYNCLOG_INTERNAL, "the bucket differs although it was replaced");
  g_atomic_int_inc(&job->replica->buckets_mended);
  g_message("repair: device \"%s\", bucket of time %" G_GINT64_FORMAT
            ": replaced by what node %u holds as of clock %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
            " cells were %" G_GUINT64_FORMAT,
            query->device, query->start_time, query->from_node, query->cut, theirs.cells,
            before.cells);
  return TRUE;
}

static void set_cut(Replica *replica, guint64 cut)
{
  g_mutex_lock(&replica->apply_mutex);
  replica->repair_cut = cut;
  if (cut != 0)
    replica->maintain_horizon = MIN(replica->maintain_horizon, cut);
  g_mutex_unlock(&replica->apply_mutex);
}

static gpointer repair_thread(gpointer data)
{
  RepairJob *job = data;
  Replica *replica = job->replica;
  RepairResult result = {0};
  g_autoptr(GError) error = NULL;
  set_cut(replica, job->query->cut);
  if (!repair(job, &result, &error))
    g_warning("repair: device \"%s\", bucket of time %" G_GINT64_FORMAT ": %s", job->query->device,
              job->query->start_time, error->message);
  set_cut(replica, 0);
  RpcCall *call = job->call;
  g_atomic_int_set(&replica->repairing, FALSE);
  rpc_call_reply_repair(call, error, &result);
  job_free(job);
  replica_job_end(replica);
  return NULL;
}

/* NULL: it is no peer, or the node stops. Transfer full. */
static char *peer_address(Replica *replica, guint32 node)
{
  char *address = NULL;
  replica_lock(replica);
  for (guint i = 0; !replica->stopped && i < replica->links->len; i++) {
    const Link *link = replica->links->pdata[i];
    if (link->peer == node)
      address = g_strdup(link->address);
  }
  replica_unlock(replica);
  return address;
}

static gboolean check_query(Replica *replica, const RepairQuery *query, const char *address,
                            GError **error)
{
  if (address == NULL)
    return fail(error, SYNCLOG_NOT_MEMBER, "node %u is no peer of this node", query->from_node);
  guint64 horizon = replica_horizon(replica);
  if (query->cut == 0 || query->cut > horizon)
    return fail(error, SYNCLOG_NOT_READY,
                "the horizon of this node is at clock %" G_GUINT64_FORMAT
                ", asked was for %" G_GUINT64_FORMAT,
                horizon, query->cut);
  return TRUE;
}

void replica_repair(Replica *replica, RpcCall *call, const RepairQuery *query)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *address = peer_address(replica, query->from_node);
  replica_job_begin(replica);
  replica_lock(replica);
  gboolean stopped = replica->stopped;
  replica_unlock(replica);
  if (stopped)
    fail(&error, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  else if (check_query(replica, query, address, &error) &&
           !g_atomic_int_compare_and_exchange(&replica->repairing, FALSE, TRUE))
    fail(&error, SYNCLOG_OVERLOADED, "another bucket is just being mended");
  if (error != NULL) {
    rpc_call_reply_repair(call, error, NULL);
    replica_job_end(replica);
    return;
  }
  RepairJob *job = g_new(RepairJob, 1);
  *job = (RepairJob){replica, call, query, g_steal_pointer(&address)};
  g_thread_unref(g_thread_new("repair", repair_thread, job));
}

/* --- the other side -----------------------------------------------------------------------------
 */

typedef struct BucketRead {
  RpcCall *call;
  const BucketQuery *query; /* lives until the call is answered */
} BucketRead;

static void read_bucket(gpointer data, Store *store, const GError *error)
{
  g_autofree BucketRead *read = data;
  g_autoptr(GError) local = NULL;
  g_autoptr(BucketPage) page =
      store != NULL ? store_bucket(store, read->query, PAGE_BYTES, &local) : NULL;
  rpc_call_reply_bucket(read->call, error != NULL ? error : local, page);
}

void replica_bucket(Replica *replica, RpcCall *call, const BucketAsker *asker,
                    const BucketQuery *query)
{
  g_autoptr(GError) error = NULL;
  replica_lock(replica);
  gboolean member = membership_has(replica->membership, asker->node_id) &&
                    !membership_is_gone(replica->membership, asker->node_id);
  guint64 horizon = group_horizon(replica->group);
  replica_unlock(replica);
  if (asker->group != replica->options.group.group)
    fail(&error, SYNCLOG_UNKNOWN_GROUP, "group %u does not exist here", asker->group);
  else if (g_strcmp0(asker->cluster_id, replica->identity->cluster_id) != 0)
    fail(&error, SYNCLOG_WRONG_CLUSTER, "this node belongs to another cluster");
  else if (!member)
    fail(&error, SYNCLOG_NOT_MEMBER, "node %u is not a member here", asker->node_id);
  else if (query->cut > horizon)
    fail(&error, SYNCLOG_NOT_READY,
         "its horizon is at clock %" G_GUINT64_FORMAT ", asked was for %" G_GUINT64_FORMAT, horizon,
         query->cut);
  if (error != NULL) {
    rpc_call_reply_bucket(call, error, NULL);
    return;
  }
  BucketRead *read = g_new(BucketRead, 1);
  *read = (BucketRead){call, query};
  replica_read(replica, NULL, replica->options.request_timeout_ms, read_bucket, read);
}
