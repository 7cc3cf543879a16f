#include "node/recovery.h"

#include "base/failpoint.h"
#include "core/hlc.h"
#include "node/log_work.h"

enum {
  REPLAY_ENTRIES = 4096, /* per store batch */
  REPLAY_BYTES = 4 * 1024 * 1024,
};

Decoded *recovery_decode(Identity *identity, LogId log, const Record *record,
                         guint64 partition_interval, GError **error)
{
  /* Whether or not it would decode by now: what a node has left out stays out. */
  if (identity_skips(identity, log, record->index))
    return store_decode_nothing();
  return store_decode(record->data, record->data_size, partition_interval, error);
}

/* Decodes a run's entries; the array holds those before the first that fails. */
static GPtrArray *decode_run(Identity *identity, EntryRun *run, guint64 partition_interval,
                             GError **error)
{
  GPtrArray *decoded = g_ptr_array_new_with_free_func((GDestroyNotify)store_decoded_free);
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record = entry_run_record(run, i);
    Decoded *one =
        recovery_decode(identity, entry_run_log(run), &record, partition_interval, error);
    if (one == NULL) {
      if (error != NULL && *error != NULL)
        (*error)->code = SYNCLOG_CORRUPT;
      fail_prefix(error, "entry %" G_GUINT64_FORMAT " does not decode: ", record.index);
      break;
    }
    g_ptr_array_add(decoded, one);
  }
  return decoded;
}

static gboolean apply_run(Store *store, EntryRun *run, GPtrArray *decoded, guint64 *out_applied,
                          guint64 *out_hlc, GError **error)
{
  g_autofree StoreEntry *entries = g_new(StoreEntry, decoded->len);
  for (guint i = 0; i < decoded->len; i++) {
    Record record = entry_run_record(run, i);
    entries[i] = (StoreEntry){entry_run_log(run), record.index, record.hlc, decoded->pdata[i]};
  }
  GError *local = NULL;
  FAILPOINT("recovery_before_apply");
  if (!store_apply(store, entries, decoded->len, &local)) {
    /* Damage of the store is none of the log. */
    if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_CORRUPT))
      local->code = SYNCLOG_INTERNAL;
    g_propagate_error(error, local);
    return FALSE;
  }
  FAILPOINT("recovery_after_apply");
  *out_applied = entries[decoded->len - 1].index;
  *out_hlc = entries[decoded->len - 1].hlc;
  /* The queue of what may be a conflict would not hold a whole log. */
  gboolean more;
  return store_find_conflicts(store, hlc_ms(*out_hlc), REPLAY_BYTES, &more, error);
}

/* How many of the run's entries are not above the clock `limit`. The clock grows along a log. */
static guint count_up_to(EntryRun *run, guint64 limit)
{
  guint count = entry_run_count(run);
  while (count > 0 && entry_run_record(run, count - 1).hlc > limit)
    count--;
  return count;
}

gboolean recovery_replay(Identity *identity, Wal *wal, Store *store, guint64 partition_interval,
                         guint64 from, guint64 to, guint64 limit_hlc, guint64 *out_applied,
                         guint64 *out_hlc, GError **error)
{
  while (from <= to) {
    guint count = (guint)MIN(REPLAY_ENTRIES, to - from + 1);
    g_autoptr(GError) local = NULL;
    guint64 behind;
    g_autoptr(EntryRun) run = log_work_read(wal, from, count, REPLAY_BYTES, &behind, &local);
    if (run == NULL && local != NULL) {
      if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_CORRUPT))
        fail_prefix(&local, "entry %" G_GUINT64_FORMAT " is not given by the disk: ", from);
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (run == NULL)
      return TRUE;
    guint fit = count_up_to(run, limit_hlc);
    if (fit == 0)
      return TRUE;
    if (fit < entry_run_count(run)) {
      EntryRun *part = entry_run_slice(run, 0, fit);
      entry_run_unref(run);
      run = part;
    }
    g_autoptr(GPtrArray) decoded = decode_run(identity, run, partition_interval, &local);
    if (decoded->len > 0 && !apply_run(store, run, decoded, out_applied, out_hlc, error))
      return FALSE;
    if (local != NULL) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    from = entry_run_last_index(run) + 1;
  }
  return TRUE;
}

static StoreProgress *find_progress(GArray *progress, LogId log)
{
  for (guint i = 0; i < progress->len; i++) {
    StoreProgress *p = &g_array_index(progress, StoreProgress, i);
    if (log_id_equal(p->log, log))
      return p;
  }
  return NULL;
}

static void group_log_clear(gpointer data)
{
  g_free((char *)((GroupLog *)data)->stopped);
}

/* The first entry below `end` that is damaged; `end` when none is, or the disk fails before. */
static guint64 first_unreadable(Wal *wal, guint64 end)
{
  guint64 from = wal_first_index(wal);
  while (from < end) {
    guint count = (guint)MIN(REPLAY_ENTRIES, end - from);
    guint64 behind;
    g_autoptr(GError) error = NULL;
    g_autoptr(EntryRun) run = log_work_read(wal, from, count, REPLAY_BYTES, &behind, &error);
    if (run == NULL && error != NULL && !g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT)) {
      g_warning("%s", error->message);
      return end;
    }
    if (run == NULL)
      return from;
    from = entry_run_last_index(run) + 1;
  }
  return end;
}

/* What the recovery of one log needs to know. */
typedef struct Recovery {
  Identity *identity;
  Store *store;
  guint64 partition_interval, now_us, limit_hlc;
  const GArray *found;    /* FoundLog */
  const GArray *progress; /* StoreProgress */
  LogId own;              /* the log that was written last */
  gboolean begun;         /* a later one is to be written from now on */
} Recovery;

static gboolean is_known(const Recovery *recovery, LogId id)
{
  for (guint i = 0; i < recovery->found->len; i++)
    if (log_id_equal(g_array_index(recovery->found, FoundLog, i).log, id))
      return TRUE;
  for (guint i = 0; i < recovery->progress->len; i++)
    if (log_id_equal(g_array_index(recovery->progress, StoreProgress, i).log, id))
      return TRUE;
  return FALSE;
}

/* A log of this node's own id may have been given back by peers that was written in another life,
 * with a wrong clock: its incarnation is not begun a second time (P4). */
static guint64 unused_incarnation(const Recovery *recovery)
{
  const Identity *identity = recovery->identity;
  LogId unused = {identity->node_id, MAX(identity->incarnation + 1, recovery->now_us)};
  while (is_known(recovery, unused))
    unused.incarnation++;
  return unused.incarnation;
}

static gboolean begin_incarnation(Recovery *recovery, const char *why, GError **error)
{
  if (recovery->begun)
    return TRUE;
  if (why != NULL)
    g_warning("a new incarnation begins: %s", why);
  FAILPOINT("recovery_before_incarnation");
  recovery->begun =
      identity_begin_incarnation(recovery->identity, unused_incarnation(recovery), error);
  return recovery->begun;
}

/*
 * Cuts a damaged log at `index`, or before: only the end of a log is looked at when it is opened,
 * so there may be damage in front of the one that was found. A log that was cut looks sound. So the
 * own one is given up before: should this start fail, the next one must not write on in it (P4).
 * Only what was read and is wrong is cut off. What the disk does not give now may be given at the
 * next start, and may be acknowledged and nowhere else (P1): then this one fails.
 */
static gboolean cut_damaged(Recovery *recovery, Wal *wal, guint64 index, const char *why,
                            GError **error)
{
  if (log_id_equal(wal_log(wal), recovery->own) && !begin_incarnation(recovery, why, error))
    return FALSE;
  FAILPOINT("recovery_before_cut");
  g_autoptr(GError) local = NULL;
  if (wal_cut(wal, index, &local))
    return TRUE;
  guint64 earlier = first_unreadable(wal, index);
  if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_CORRUPT) && earlier < index) {
    g_warning("%s", local->message);
    /* What was just applied of it is durable nowhere else. */
    return store_persist(recovery->store, TRUE, error) && wal_cut(wal, earlier, error);
  }
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

/* What opening found in a log and left there is taken away. */
static gboolean cut_found(Recovery *recovery, const FoundLog *found, GError **error)
{
  const WalRecovery *state = &found->recovery;
  if (state->verdict != WAL_CLEAN)
    g_warning("%s", state->message);
  if (state->verdict == WAL_CORRUPT)
    return cut_damaged(recovery, found->wal, state->bad_index, "the own log was found damaged",
                       error);
  /* A write that was torn was never acknowledged. But an entry that was, the very last one, looks
   * the same once it has gone bad; its index must not be used again (P4). */
  return state->verdict != WAL_TORN_TAIL || found->log.origin != recovery->identity->node_id ||
         cut_damaged(recovery, found->wal, state->bad_index,
                     "the end of the own log is no entry: a write that was cut short, or an entry "
                     "that went bad",
                     error);
}

/*
 * The store is ahead of the log: that lost its end. Who lacks what stood there can't get it from
 * here any more, only with the store; the rest goes too, so that all see that: a log that told more
 * than it can hand on would leave others without it for ever, and nobody would know.
 */
static gboolean give_up_rest(Recovery *recovery, Wal *wal, GroupLog *log, GError **error)
{
  if (log_id_equal(log->log, recovery->own) &&
      !begin_incarnation(recovery, "the own log is shorter than what the store has of it", error))
    return FALSE;
  return wal_reset(wal, error);
}

/* Brings one log and the store together. */
static gboolean recover_log(Recovery *recovery, const FoundLog *found, GroupLog *log,
                            GError **error)
{
  Wal *wal = found->wal;
  if (!cut_found(recovery, found, error))
    return FALSE;
  char name[LOG_ID_TEXT_SIZE];
  log_id_format(log->log, name);
  gboolean empty = wal_first_index(wal) > wal_last_index(wal);
  if (!empty && wal_first_index(wal) > log->applied + 1) {
    log->stopped = g_strdup_printf("entries %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                                   " are neither in the store nor in the WAL",
                                   log->applied + 1, wal_first_index(wal) - 1);
  } else if (!empty && wal_last_index(wal) > log->applied) {
    g_message("log %s: applying entries %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, name,
              log->applied + 1, wal_last_index(wal));
    g_autoptr(GError) local = NULL;
    guint64 limit =
        log->log.origin == recovery->identity->node_id ? G_MAXUINT64 : recovery->limit_hlc;
    if (!recovery_replay(recovery->identity, wal, recovery->store, recovery->partition_interval,
                         log->applied + 1, G_MAXUINT64, limit, &log->applied, &log->applied_hlc,
                         &local)) {
      if (!g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_CORRUPT)) {
        fail_prefix(&local, "log %s, of which nothing is cut off: ", name);
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
      }
      g_critical("log %s: %s", name, local->message);
      if (!cut_damaged(recovery, wal, log->applied + 1, "the own log was found damaged", error))
        return FALSE;
    }
  }
  if (wal_last_index(wal) < log->applied && !give_up_rest(recovery, wal, log, error))
    return FALSE;
  empty = wal_first_index(wal) > wal_last_index(wal);
  /* A mirror that was begun behind a store that is no more: what was in that is to come again. */
  if (empty && wal_last_index(wal) > log->applied && !log_id_equal(log->log, recovery->own) &&
      !wal_reset(wal, error))
    return FALSE;
  log->last = empty ? MAX(log->applied, wal_last_index(wal)) : wal_last_index(wal);
  log->last_hlc = MAX(wal_last_hlc(wal), log->applied_hlc);
  log->first_available = empty ? log->last + 1 : wal_first_index(wal);
  return TRUE;
}

/* Logs of which only the store knows: their directory is gone. */
static void add_store_only(GArray *progress, GArray *logs)
{
  for (guint i = 0; i < progress->len; i++) {
    const StoreProgress *p = &g_array_index(progress, StoreProgress, i);
    gboolean known = FALSE;
    for (guint k = 0; k < logs->len; k++)
      known |= log_id_equal(g_array_index(logs, GroupLog, k).log, p->log);
    if (known)
      continue;
    GroupLog log = {.log = p->log,
                    .last = p->applied,
                    .last_hlc = p->hlc,
                    .applied = p->applied,
                    .applied_hlc = p->hlc,
                    .store_durable = p->applied,
                    .first_available = p->applied + 1};
    g_array_append_val(logs, log);
  }
}

/* Why the node can't prove that it holds its whole last log, damage apart; NULL when it can. */
static const char *doubt(const Identity *identity, const GArray *found)
{
  if (identity->copied)
    return "the data directory is a copy, and what was written after it was made is unknown";
  if (!identity->clean)
    return "the last stop was not clean and not every write was synced";
  for (guint i = 0; i < found->len; i++) {
    LogId log = g_array_index(found, FoundLog, i).log;
    if (log.origin == identity->node_id && log.incarnation == identity->incarnation)
      return NULL;
  }
  return "the own log is missing";
}

gboolean recovery_run(Identity *identity, LogSet *logs, Store *store, guint64 partition_interval,
                      guint64 now_us, guint64 limit_hlc, GArray **out_logs, LogId *out_own,
                      GError **error)
{
  FAILPOINT("recovery_begin");
  g_autoptr(GArray) progress = store_progress(store, TRUE, error);
  if (progress == NULL)
    return FALSE;
  const GArray *found = log_set_found(logs);
  Recovery recovery = {.identity = identity,
                       .found = found,
                       .progress = progress,
                       .store = store,
                       .partition_interval = partition_interval,
                       .now_us = now_us,
                       .limit_hlc = limit_hlc,
                       .own = {identity->node_id, identity->incarnation}};
  const char *why = identity->incarnation != 0 ? doubt(identity, found) : NULL;
  if ((identity->incarnation == 0 || why != NULL) && !begin_incarnation(&recovery, why, error))
    return FALSE;
  g_autoptr(GArray) result = g_array_new(FALSE, TRUE, sizeof(GroupLog));
  g_array_set_clear_func(result, group_log_clear);
  for (guint i = 0; i < found->len; i++) {
    const FoundLog *one = &g_array_index(found, FoundLog, i);
    const StoreProgress *p = find_progress(progress, one->log);
    GroupLog log = {.log = one->log,
                    .applied = p != NULL ? p->applied : 0,
                    .applied_hlc = p != NULL ? p->hlc : 0,
                    .store_durable = p != NULL ? p->applied : 0};
    gboolean recovered = recover_log(&recovery, one, &log, error);
    g_array_append_val(result, log);
    if (!recovered)
      return FALSE;
  }
  add_store_only(progress, result);
  FAILPOINT("recovery_before_own_log");
  *out_own = (LogId){identity->node_id, identity->incarnation};
  if (log_set_get(logs, *out_own, error) == NULL)
    return FALSE;
  FAILPOINT("recovery_end");
  *out_logs = g_steal_pointer(&result);
  return TRUE;
}
