/* Disk, store, log thread and apply thread of a fake node. */
#include "support/fake_private.h"

static const guint64 WALL_BASE_MS = 1700000000000;

static void try_persist(FakeNode *node);

void fake_log_free(gpointer data)
{
  FakeLog *log = data;
  g_ptr_array_unref(log->records);
  g_free(log);
}

static FakeLog *find_log(GPtrArray *logs, LogId id)
{
  for (guint i = 0; i < logs->len; i++)
    if (log_id_equal(((FakeLog *)logs->pdata[i])->id, id))
      return logs->pdata[i];
  return NULL;
}

static FakeLog *put_log(GPtrArray *logs, LogId id)
{
  FakeLog *log = find_log(logs, id);
  if (log != NULL)
    return log;
  log = g_new0(FakeLog, 1);
  log->id = id;
  log->records = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  g_ptr_array_add(logs, log);
  return log;
}

static guint64 last_of(const FakeLog *log)
{
  return log->base + log->records->len;
}

static GBytes *record_of(const FakeLog *log, guint64 index)
{
  g_assert(index > log->base && index <= last_of(log));
  return log->records->pdata[index - log->base - 1];
}

static FakeApplied *find_applied(GArray *store, LogId id)
{
  for (guint i = 0; i < store->len; i++)
    if (log_id_equal(g_array_index(store, FakeApplied, i).id, id))
      return &g_array_index(store, FakeApplied, i);
  return NULL;
}

static FakeApplied *put_applied(GArray *store, LogId id)
{
  if (find_applied(store, id) == NULL) {
    FakeApplied fresh = {.id = id};
    g_array_append_val(store, fresh);
  }
  return find_applied(store, id);
}

static GBytes *bytes_of(EntryRun *run, guint i)
{
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  gsize begin = entry_run_offset(run, i);
  return g_bytes_new(bytes + begin, entry_run_offset(run, i + 1) - begin);
}

static void append(FakeLog *log, EntryRun *run)
{
  if (log->records->len == 0 && log->base == 0)
    log->base = log->begun_index = entry_run_first_index(run) - 1;
  if (log->records->len == 0 && log->base == log->begun_index && log->begun_digest == 0)
    log->begun_digest = entry_run_chain_before(run);
  fast_assert(entry_run_first_index(run) == last_of(log) + 1); /* P2 */
  for (guint i = 0; i < entry_run_count(run); i++)
    g_ptr_array_add(log->records, bytes_of(run, i));
}

static EntryRun *run_of_records(const FakeLog *log, guint64 from, guint64 to)
{
  GByteArray *bytes = g_byte_array_new();
  for (guint64 i = from; i <= to; i++) {
    gsize size;
    const guint8 *record = g_bytes_get_data(record_of(log, i), &size);
    g_byte_array_append(bytes, record, (guint)size);
  }
  return entry_run_new(log->id, from, (guint)(to - from + 1), bytes->data, bytes->len, bytes,
                       (GDestroyNotify)g_byte_array_unref);
}

/* The run and one record behind it, of a commit that is synced and not yet published. */
static EntryRun *run_ahead(EntryRun *run)
{
  static const guint8 data[] = "synced a moment ago";
  gsize size;
  const guint8 *records = entry_run_bytes(run, &size);
  LogId log = entry_run_log(run);
  guint64 last = entry_run_last_index(run);
  GByteArray *bytes = g_byte_array_new();
  g_byte_array_append(bytes, records, (guint)size);
  guint8 record[sizeof data + RECORD_OVERHEAD_SIZE];
  size = record_write(record_seed(log), last + 1, 1, data, sizeof data, record);
  g_byte_array_append(bytes, record, (guint)size);
  EntryRun *longer =
      entry_run_new(log, entry_run_first_index(run), entry_run_count(run) + 1, bytes->data,
                    bytes->len, bytes, (GDestroyNotify)g_byte_array_unref);
  entry_run_unref(run);
  return longer;
}

/* P4: what an index means is said once. */
static void check_truth(FakeNode *node, LogId id, guint64 index, GBytes *record)
{
  if (log_id_equal(id, node->forked))
    return;
  FakeLog *truth = find_log(node->cluster->truth, id);
  fast_assert_msg(truth != NULL && index <= last_of(truth), "entry %lu was made by nobody",
                  (gulong)index);
  fast_assert_msg(g_bytes_equal(record_of(truth, index), record), "entry %lu has a second content",
                  (gulong)index);
}

/* --- the log thread -----------------------------------------------------------------------------
 */

static void try_persist(FakeNode *node)
{
  if (!node->persist_wanted || !group_mirrors_synced(node->group))
    return;
  node->persist_wanted = FALSE;
  for (guint i = 0; i < node->store->len; i++) {
    FakeApplied *applied = &g_array_index(node->store, FakeApplied, i);
    const FakeLog *log = find_log(node->logs, applied->id);
    /* A log on disk is never shorter than what the store makes durable of it; one that lost its end
     * since may be refetched just now. */
    fast_assert(log != NULL &&
                (log->durable >= applied->applied || applied->applied == applied->durable));
    applied->durable = applied->applied;
    applied->durable_hlc = applied->applied_hlc;
    group_on_store_durable(node->group, applied->id, applied->durable);
  }
}

static EntryRun *append_own(FakeNode *node, GPtrArray *writes)
{
  LogId own = fake_own_log(node->cluster, node->id);
  GByteArray *bytes = g_byte_array_new();
  for (guint i = 0; i < writes->len; i++) {
    const GroupWrite *write = writes->pdata[i];
    g_autofree guint8 *record = g_malloc(write->size + RECORD_OVERHEAD_SIZE);
    gsize size =
        record_write(record_seed(own), write->index, write->hlc, write->data, write->size, record);
    g_byte_array_append(bytes, record, (guint)size);
  }
  EntryRun *run = entry_run_new(own, ((GroupWrite *)writes->pdata[0])->index, writes->len,
                                bytes->data, bytes->len, bytes, (GDestroyNotify)g_byte_array_unref);
  FakeLog *log = put_log(node->logs, own);
  append(log, run);
  log->durable = last_of(log);
  if (!log_id_equal(own, node->forked))
    append(put_log(node->cluster->truth, own), run);
  return run;
}

/* What a write says that fails. */
static SynclogStatus refusal(const FakeNode *node)
{
  if (node->disk_broken)
    return SYNCLOG_READ_ONLY;
  return node->busy ? SYNCLOG_OVERLOADED : SYNCLOG_NO_SPACE;
}

static void commit_own(FakeNode *node)
{
  FakeCluster *cluster = node->cluster;
  GPtrArray *writes = node->work.writes;
  if (node->disk_full || node->disk_broken) {
    g_autoptr(GError) error = NULL;
    fail(&error, refusal(node), "the disk says no");
    group_on_own_failed(node->group, writes, error);
    return;
  }
  g_autoptr(EntryRun) run = append_own(node, writes);
  node->commits++;
  group_on_own_durable(node->group, writes, run, cluster->now_us);
}

static void do_mirror(FakeNode *node, const MirrorWork *work)
{
  FakeLog *log = put_log(node->logs, work->log);
  g_autoptr(GError) error = NULL;
  guint written = 0;
  if (work->reset && node->disk_full && node->busy)
    fail(&error, refusal(node), "the disk says no");
  if (work->reset && error == NULL) {
    g_ptr_array_set_size(log->records, 0);
    /* It goes on behind what the store has. */
    log->base = log->durable = put_applied(node->store, work->log)->applied;
    log->begun_index = log->base;
    log->begun_digest = 0;
  }
  /* A full disk still has room for one run at a time: that is the harder case. */
  for (guint i = 0; i < work->runs->len && error == NULL; i++) {
    if (node->disk_broken || (node->disk_full && (i > 0 || fake_percent(node->cluster, 50)))) {
      fail(&error, refusal(node), "the disk says no");
      break;
    }
    append(log, work->runs->pdata[i]);
    written = i + 1;
  }
  if (error == NULL && work->sync && (node->disk_broken || node->sync_broken))
    fail(&error, SYNCLOG_READ_ONLY, "the disk says no");
  if (error == NULL && work->sync) {
    log->durable = last_of(log);
    node->mirror_syncs++;
  }
  group_on_mirror_done(node->group, work, written, error, node->cluster->now_us);
}

static void do_trim(FakeNode *node, const TrimWork *trim)
{
  FakeLog *log = find_log(node->logs, trim->log);
  g_assert(log != NULL);
  /* P5 */
  guint keepers = 0;
  for (guint i = 1; i <= node->cluster->count; i++) {
    gboolean keeps = fake_kept(node->cluster, i, trim->log) >= trim->index;
    keepers += keeps;
    fast_assert(!membership_has(node->membership, i) || !membership_retains(node->membership, i) ||
                keeps || node->cluster->over_limit);
  }
  fast_assert(!node->cluster->over_limit || keepers >= membership_majority(node->membership));
  fast_assert(find_applied(node->store, trim->log)->durable >= trim->index);
  node->trims++;
  while (!node->deletes_fail && log->base < trim->index) {
    g_ptr_array_remove_index(log->records, 0);
    log->base++;
  }
  group_on_trimmed(node->group, trim->log, log->base + 1, !node->deletes_fail);
}

static void on_work_done(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  if (node->work.writes->len > 0)
    commit_own(node);
  for (guint i = 0; i < node->work.mirrors->len; i++)
    do_mirror(node, &g_array_index(node->work.mirrors, MirrorWork, i));
  for (guint i = 0; i < node->work.trims->len; i++)
    do_trim(node, &g_array_index(node->work.trims, TrimWork, i));
  group_work_clear(&node->work);
  node->has_work = node->log_busy = FALSE;
  fake_turn_log_thread(node);
}

guint64 fake_wall_ms(const FakeNode *node)
{
  return WALL_BASE_MS + (guint64)(node->cluster->now_us / 1000 + node->wall_offset_ms);
}

/* As in the daemon: ticks what is due, then takes work. */
/* As the daemon before it begins a new incarnation: what the group does not know goes. */
static void cut_own(FakeNode *node)
{
  LogId own = fake_own_log(node->cluster, node->id);
  FakeLog *log = find_log(node->logs, own);
  g_autoptr(Progress) progress = group_progress(node->group);
  guint64 durable = progress_find(progress, own)->durable;
  if (log == NULL || last_of(log) <= durable)
    return;
  g_ptr_array_set_size(log->records, (gint)(MAX(durable, log->base) - log->base));
  log->durable = MIN(log->durable, last_of(log));
}

void fake_turn_log_thread(FakeNode *node)
{
  FakeCluster *cluster = node->cluster;
  if (node->group == NULL || node->log_busy)
    return;
  if (group_deadline_us(node->group) <= cluster->now_us)
    group_tick(node->group, cluster->now_us);
  if (group_wants_incarnation(node->group)) {
    cut_own(node);
    g_autoptr(Progress) known = group_progress(node->group);
    do
      node->incarnation += 1;
    while (progress_find(known, fake_own_log(cluster, node->id)) != NULL);
    group_begin_incarnation(node->group, fake_own_log(cluster, node->id));
  }
  node->has_work = group_take_work(node->group, cluster->now_us, fake_wall_ms(node), GROUP_ALL_WORK,
                                   &node->work);
  if (node->has_work) {
    node->log_busy = TRUE;
    fake_add_event(cluster, cluster->disk_us,
                   (Event){.run = on_work_done, .node = node->id, .life = node->life});
    return;
  }
  try_persist(node);
  /* P9: otherwise the log thread would turn for ever. */
  fast_assert_msg(group_deadline_us(node->group) > cluster->now_us,
                  "node %u asks for a time that has passed and has nothing to do", node->id);
}

static void on_turn(FakeCluster *cluster, Event *event)
{
  fake_turn_log_thread(fake_node(cluster, event->node));
}

void fake_port_work(gpointer ctx)
{
  FakeNode *node = ctx;
  fake_add_event(node->cluster, 0, (Event){.run = on_turn, .node = node->id, .life = node->life});
}

/* --- the apply thread ---------------------------------------------------------------------------
 */

static void on_apply(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  if (node->apply_paused) {
    fake_add_event(cluster, cluster->apply_us, *event);
    return;
  }
  g_autoptr(EntryRun) run = g_queue_pop_head(&node->applies);
  LogId id = entry_run_log(run);
  FakeApplied *applied = put_applied(node->store, id);
  fast_assert(entry_run_first_index(run) == applied->applied + 1); /* P2 */
  applied->applied = entry_run_last_index(run);
  applied->applied_hlc = entry_run_record(run, entry_run_count(run) - 1).hlc;
  gsize size;
  entry_run_bytes(run, &size);
  if (!g_queue_is_empty(&node->applies))
    fake_add_event(cluster, cluster->apply_us, *event);
  group_on_applied(node->group, id, applied->applied, applied->applied_hlc, size);
  try_persist(node);
}

void fake_port_apply(gpointer ctx, EntryRun *run)
{
  FakeNode *node = ctx;
  FakeApplied *given = put_applied(node->given, entry_run_log(run));
  fast_assert(entry_run_first_index(run) == given->applied + 1); /* P2 */
  for (guint i = 0; i < entry_run_count(run); i++) {
    g_autoptr(GBytes) record = bytes_of(run, i);
    Record parsed = entry_run_record(run, i);
    fast_assert(parsed.index == given->applied + 1);
    fast_assert(parsed.hlc > given->applied_hlc); /* the clock grows along a log */
    fast_assert(parsed.hlc > node->horizon);      /* nothing comes from below the horizon */
    check_truth(node, entry_run_log(run), parsed.index, record);
    given->applied = parsed.index;
    given->applied_hlc = parsed.hlc;
  }
  if (g_queue_is_empty(&node->applies))
    fake_add_event(node->cluster, node->cluster->apply_us,
                   (Event){.run = on_apply, .node = node->id, .life = node->life});
  g_queue_push_tail(&node->applies, run);
}

/* --- reads of the WAL ---------------------------------------------------------------------------
 */

typedef struct ReadJob {
  LogId log;
  guint64 from;
  guint max_count;
  gsize max_bytes;
} ReadJob;

static void on_read(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  const ReadJob *job = event->message;
  const FakeLog *log = find_log(node->logs, job->log);
  node->reads++;
  EntryRun *run = NULL;
  gboolean damaged = log_id_equal(job->log, node->damaged) && job->from == node->damaged_index;
  const char *error = node->reads_fail || damaged ? "the disk says no" : NULL;
  if (error == NULL && !node->reads_find_nothing && log != NULL && job->from > log->base &&
      job->from <= log->durable) {
    guint64 to = job->from;
    gsize bytes = g_bytes_get_size(record_of(log, to));
    while (to < log->durable && to - job->from + 1 < job->max_count &&
           !(log_id_equal(job->log, node->damaged) && to + 1 == node->damaged_index) &&
           bytes + g_bytes_get_size(record_of(log, to + 1)) <= job->max_bytes)
      bytes += g_bytes_get_size(record_of(log, ++to));
    run = run_of_records(log, job->from, to);
    if (node->reads_run_ahead && to == log->durable)
      run = run_ahead(run);
  }
  if (damaged)
    group_on_unreadable(node->group, job->log, job->from, job->from + 1);
  group_on_read(node->group, event->peer, job->log, job->from, run, error, cluster->now_us);
}

/* --- beside the logs ----------------------------------------------------------------------------
 */

static void on_clock_bound(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  node->clock_bound = event->cookie;
  group_on_clock_bound(node->group, event->cookie, TRUE);
}

void fake_port_keep_clock_bound(gpointer ctx, guint64 hlc)
{
  FakeNode *node = ctx;
  fake_add_event(
      node->cluster, node->cluster->disk_us,
      (Event){.run = on_clock_bound, .node = node->id, .life = node->life, .cookie = hlc});
}

static void on_members_kept(FakeCluster *cluster, Event *event)
{
  FakeNode *node = &cluster->nodes[event->node];
  if (!node->disk_broken) {
    g_clear_pointer(&node->members, g_ptr_array_unref);
    node->members = g_ptr_array_ref(event->message);
  }
  group_on_members_kept(node->group, !node->disk_broken);
  fake_turn_log_thread(node);
}

void fake_port_keep_members(gpointer ctx, GPtrArray *members, guint64 changes)
{
  FakeNode *node = ctx;
  (void)changes;
  if (node->dying)
    return;
  fake_add_event(node->cluster, node->cluster->disk_us,
                 (Event){.run = on_members_kept,
                         .node = node->id,
                         .life = node->life,
                         .message = g_ptr_array_ref(members),
                         .free_message = (GDestroyNotify)g_ptr_array_unref});
}

gboolean fake_port_meet(gpointer ctx, guint32 peer, const char *address)
{
  (void)ctx;
  (void)peer;
  (void)address;
  return TRUE;
}

/* --- running digests ----------------------------------------------------------------------------
 */

static gboolean has_digest(const FakeLog *log, guint64 index)
{
  return index > 0 && index <= last_of(log) && index >= log->begun_index &&
         (log->begun_index == 0 || log->begun_digest != 0);
}

/* What lies below the records that are kept comes from the truth: no log is forked there. */
static guint64 digest_up_to(FakeNode *node, const FakeLog *log, guint64 index)
{
  const FakeLog *truth = find_log(node->cluster->truth, log->id);
  guint64 digest = log->begun_digest;
  for (guint64 i = log->begun_index + 1; i <= index; i++) {
    gsize size;
    const guint8 *bytes = g_bytes_get_data(record_of(i <= log->base ? truth : log, i), &size);
    digest = record_chain(digest, bytes, size);
  }
  return digest;
}

gboolean fake_port_digest_at_end(gpointer ctx, LogId id, guint64 *out_index, guint64 *out_digest)
{
  FakeNode *node = ctx;
  const FakeLog *log = find_log(node->logs, id);
  if (log == NULL || !has_digest(log, last_of(log)))
    return FALSE;
  *out_index = last_of(log);
  *out_digest = digest_up_to(node, log, last_of(log));
  return TRUE;
}

typedef struct DigestJob {
  LogId log;
  guint64 index;
} DigestJob;

static void on_digest(FakeCluster *cluster, Event *event)
{
  FakeNode *node = fake_node(cluster, event->node);
  const DigestJob *job = event->message;
  const FakeLog *log = find_log(node->logs, job->log);
  gboolean known = !node->no_descriptors && log != NULL && has_digest(log, job->index);
  DigestVerdict verdict = node->no_descriptors ? DIGEST_LATER
                          : known              ? DIGEST_KNOWN
                                               : DIGEST_UNKNOWN;
  group_on_digest(node->group, event->peer, job->log, job->index, verdict,
                  known ? digest_up_to(node, log, job->index) : 0, cluster->now_us);
}

void fake_port_read_digest(gpointer ctx, guint32 peer, LogId log, guint64 index)
{
  FakeNode *node = ctx;
  DigestJob *job = g_new(DigestJob, 1);
  *job = (DigestJob){log, index};
  fake_add_event(node->cluster, 1 + fake_delay_us(node->cluster) / 4,
                 (Event){.run = on_digest,
                         .node = node->id,
                         .life = node->life,
                         .peer = peer,
                         .message = job,
                         .free_message = g_free});
}

void fake_port_read_log(gpointer ctx, guint32 peer, LogId log, guint64 from, guint max_count,
                        gsize max_bytes)
{
  FakeNode *node = ctx;
  ReadJob *job = g_new(ReadJob, 1);
  *job = (ReadJob){log, from, max_count, max_bytes};
  fake_add_event(node->cluster, 1 + fake_delay_us(node->cluster) / 4,
                 (Event){.run = on_read,
                         .node = node->id,
                         .life = node->life,
                         .peer = peer,
                         .message = job,
                         .free_message = g_free});
}

/* --- starting and dying --------------------------------------------------------------------------
 */

void fake_disk_init(FakeNode *node)
{
  node->logs = g_ptr_array_new_with_free_func(fake_log_free);
  node->store = g_array_new(FALSE, FALSE, sizeof(FakeApplied));
  node->given = g_array_new(FALSE, FALSE, sizeof(FakeApplied));
  g_queue_init(&node->applies);
}

void fake_disk_clear(FakeNode *node)
{
  g_ptr_array_unref(node->logs);
  g_array_unref(node->store);
  g_array_unref(node->given);
  g_clear_pointer(&node->members, g_ptr_array_unref);
}

/* A part of the work under way reached the disk, but nobody was told. */
static void write_half(FakeNode *node)
{
  FakeCluster *cluster = node->cluster;
  if (node->work.writes->len > 0) {
    g_autoptr(GError) error = NULL;
    if (!node->disk_full && !node->disk_broken && fake_percent(cluster, 50))
      entry_run_unref(append_own(node, node->work.writes));
    fail(&error, SYNCLOG_INTERNAL, "killed");
    group_on_own_failed(node->group, node->work.writes, error);
  }
  for (guint i = 0; i < node->work.mirrors->len && fake_percent(cluster, 70); i++) {
    const MirrorWork *work = &g_array_index(node->work.mirrors, MirrorWork, i);
    FakeLog *log = put_log(node->logs, work->log);
    for (guint k = 0; !work->reset && k < work->runs->len && fake_percent(cluster, 50); k++)
      append(log, work->runs->pdata[k]);
  }
}

void fake_disk_die(FakeNode *node, gboolean power_off)
{
  if (node->has_work) {
    write_half(node);
    group_work_clear(&node->work);
  }
  node->has_work = node->log_busy = node->persist_wanted = FALSE;
  EntryRun *run;
  while ((run = g_queue_pop_head(&node->applies)) != NULL)
    entry_run_unref(run);
  for (guint i = 0; power_off && i < node->logs->len; i++) {
    FakeLog *log = node->logs->pdata[i];
    guint64 unsynced = last_of(log) - MAX(log->durable, log->base);
    guint lost = (guint)g_rand_int_range(node->cluster->rand, 0, (gint32)unsynced + 1);
    g_ptr_array_set_size(log->records, (gint)(log->records->len - lost));
  }
  /* The store has no log of its own: what it did not make durable is gone with the process. */
  for (guint i = 0; i < node->store->len; i++) {
    FakeApplied *applied = &g_array_index(node->store, FakeApplied, i);
    applied->applied = applied->durable;
    applied->applied_hlc = applied->durable_hlc;
  }
}

static void replay(FakeNode *node, const FakeLog *log, FakeApplied *applied)
{
  for (guint64 i = applied->applied + 1; i <= last_of(log); i++) {
    GBytes *bytes = record_of(log, i);
    Record record;
    g_assert(record_parse(record_seed(log->id), g_bytes_get_data(bytes, NULL),
                          g_bytes_get_size(bytes), &record) == RECORD_VALID);
    check_truth(node, log->id, i, bytes);
    if (log->id.origin != node->id &&
        hlc_is_ahead(record.hlc, fake_wall_ms(node),
                     (guint64)node->cluster->options.max_clock_skew_ms))
      return;
    applied->applied = i;
    applied->applied_hlc = record.hlc;
  }
}

static guint64 last_hlc_of(const FakeLog *log, const FakeApplied *applied)
{
  Record record = {.hlc = applied->applied_hlc};
  if (log->records->len > 0) {
    GBytes *bytes = record_of(log, last_of(log));
    g_assert(record_parse(record_seed(log->id), g_bytes_get_data(bytes, NULL),
                          g_bytes_get_size(bytes), &record) == RECORD_VALID);
  }
  return MAX(record.hlc, applied->applied_hlc);
}

void fake_disk_add_logs(FakeNode *node)
{
  node->horizon = 0; /* what the store lost comes again, and what it cleaned is gone with it */
  g_array_set_size(node->given, 0);
  for (guint i = 0; i < node->logs->len; i++) {
    FakeLog *log = node->logs->pdata[i];
    FakeApplied *applied = put_applied(node->store, log->id);
    if (log->records->len == 0 && log->base < applied->applied) {
      log->base = log->begun_index = applied->applied;
      log->begun_digest = 0;
    }
    gboolean hole = log->base > applied->applied;
    if (!hole)
      replay(node, log, applied);
    log->durable = last_of(log);
    FakeApplied *given = put_applied(node->given, log->id);
    given->applied = applied->applied;
    given->applied_hlc = applied->applied_hlc;
    GroupLog found = {.log = log->id,
                      .first_available = log->base + 1,
                      .last = last_of(log),
                      .last_hlc = last_hlc_of(log, applied),
                      .applied = applied->applied,
                      .applied_hlc = applied->applied_hlc,
                      .store_durable = applied->durable,
                      .stopped = hole ? "neither in the store nor in the WAL" : NULL};
    group_add_log(node->group, &found);
  }
}

/* --- for the tests -------------------------------------------------------------------------------
 */

FakeLog *fake_find_log(FakeCluster *cluster, guint node, LogId log)
{
  return find_log(fake_node(cluster, node)->logs, log);
}

FakeApplied *fake_find_applied(FakeCluster *cluster, guint node, LogId log)
{
  return find_applied(fake_node(cluster, node)->store, log);
}

guint64 fake_durable(FakeCluster *cluster, guint node, LogId log)
{
  const FakeLog *found = fake_find_log(cluster, node, log);
  return found != NULL ? found->durable : 0;
}

guint64 fake_kept(FakeCluster *cluster, guint node, LogId log)
{
  const FakeApplied *applied = fake_find_applied(cluster, node, log);
  return MAX(fake_durable(cluster, node, log), applied != NULL ? applied->durable : 0);
}

guint64 fake_written(FakeCluster *cluster, guint node, LogId log)
{
  const FakeLog *found = fake_find_log(cluster, node, log);
  return found != NULL ? last_of(found) : 0;
}

guint64 fake_applied(FakeCluster *cluster, guint node, LogId log)
{
  const FakeApplied *found = fake_find_applied(cluster, node, log);
  return found != NULL ? found->applied : 0;
}

EntryRun *fake_forge(FakeCluster *cluster, LogId id, guint count)
{
  FakeLog *truth = put_log(cluster->truth, id);
  guint64 first = last_of(truth) + 1;
  GByteArray *bytes = g_byte_array_new();
  for (guint64 i = first; i < first + count; i++) {
    guint8 record[64];
    gsize size = record_write(record_seed(id), i, (WALL_BASE_MS << 16) + i, "forged", 6, record);
    g_byte_array_append(bytes, record, (guint)size);
  }
  EntryRun *run = entry_run_new(id, first, count, bytes->data, bytes->len, bytes,
                                (GDestroyNotify)g_byte_array_unref);
  append(truth, run);
  return run;
}

EntryRun *fake_true_run(FakeCluster *cluster, LogId log, guint64 first, guint64 last)
{
  return run_of_records(find_log(cluster->truth, log), first, last);
}

void fake_persist(FakeCluster *cluster, guint id)
{
  FakeNode *node = fake_node(cluster, id);
  node->persist_wanted = TRUE;
  group_sync_mirrors(node->group);
}
