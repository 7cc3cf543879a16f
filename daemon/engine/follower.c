/* The logs of others: from a syncLog to its answer. */
#include "engine/group_private.h"

#include "core/routing.h"

/* Batches come in order on a channel and are decoded side by side: a hole of more than that is one
 * that the sender does not know of. */
enum { HOLE_US = 5 * G_USEC_PER_SEC };

static void forget_run(gpointer data)
{
  entry_run_unref(data);
}

void follower_init_log(Group *group, Log *log)
{
  log->reorder = reorder_new(LIMIT_PENDING_BATCHES, log->written + 1, forget_run);
  log->to_write = g_ptr_array_new_with_free_func(forget_run);
  log->sync_due_us = G_MAXINT64;
  g_queue_init(&log->calls);
  (void)group;
}

static void reply_progress(Group *group, gpointer call, const Log *log, SynclogStatus status,
                           const char *message)
{
  SyncReply reply = {.status = status, .message = (char *)message};
  if (log != NULL) {
    reply.received = log->written;
    reply.durable = log->durable;
    reply.applied = log->applied;
    if (status == SYNCLOG_OUT_OF_WINDOW)
      reply.expected_index = log->reorder != NULL ? reorder_expected(log->reorder) : 0;
  }
  group->ports.sync_done(group->ports.ctx, call, &reply);
}

static void refuse_all_calls(Group *group, Log *log, SynclogStatus status, const char *message)
{
  SyncCall *waiting;
  while ((waiting = g_queue_pop_head(&log->calls)) != NULL) {
    reply_progress(group, waiting->call, log, status, message);
    g_free(waiting);
  }
}

/*
 * Answers what is satisfied. While the store is far behind, answers wait: the sender's window fills
 * and it sends no more.
 */
void follower_answer(Group *group, Log *log)
{
  if (log->own || g_queue_is_empty(&log->calls) || group_is_congested(group))
    return;
  for (GList *link = log->calls.head; link != NULL;) {
    GList *next = link->next;
    SyncCall *waiting = link->data;
    if (waiting->last_index <= (waiting->sync_now ? log->durable : log->written)) {
      reply_progress(group, waiting->call, log, SYNCLOG_OK, NULL);
      g_free(waiting);
      g_queue_delete_link(&log->calls, link);
    }
    link = next;
  }
}

void follower_answer_all(Group *group)
{
  for (guint i = 0; i < group->logs->len; i++)
    follower_answer(group, group->logs->pdata[i]);
}

/* Drops what waits behind a hole; the sender begins again before it. */
static void drop_waiting(Group *group, Log *log, const char *why)
{
  reorder_reset(log->reorder, reorder_expected(log->reorder));
  log->hole_since_us = 0;
  refuse_all_calls(group, log, SYNCLOG_OUT_OF_WINDOW, why);
}

void follower_close(Group *group, Log *log)
{
  if (log->reorder != NULL && reorder_waiting(log->reorder) > 0)
    drop_waiting(group, log, "the log was closed");
}

void follower_tick(Group *group, Log *log, gint64 now_us)
{
  if (log->own || log->state != LOG_OK || log->hole_since_us == 0 ||
      now_us - log->hole_since_us < HOLE_US)
    return;
  char text[LOG_ID_TEXT_SIZE];
  group_note(group, G_LOG_LEVEL_WARNING,
             "log %s: entry %" G_GUINT64_FORMAT
             " does not come, what waits behind it is asked for again",
             log_id_format(log->id, text), reorder_expected(log->reorder));
  drop_waiting(group, log, "a batch before it does not come");
}

guint64 follower_taken(const Log *log)
{
  guint64 taken = MAX(log->written, log->tried);
  return log->reorder != NULL ? MAX(taken, reorder_expected(log->reorder) - 1) : taken;
}

/* Moves what became contiguous from the reorder queue to the disk's queue. */
static void release_contiguous(Group *group, Log *log)
{
  for (;;) {
    guint64 expected = reorder_expected(log->reorder);
    EntryRun *run = reorder_pop(log->reorder);
    if (run == NULL)
      return;
    guint64 first = entry_run_first_index(run);
    g_assert(first <= expected); /* P2 */
    if (first < expected) {
      guint skip = (guint)(expected - first);
      group->entries_duplicate += skip;
      EntryRun *rest = entry_run_slice(run, skip, entry_run_count(run) - skip);
      entry_run_unref(run);
      run = rest;
    }
    Record last = entry_run_record(run, entry_run_count(run) - 1);
    group_observe_log(group, log, last.hlc);
    log->last_hlc = MAX(log->last_hlc, last.hlc);
    g_ptr_array_add(log->to_write, run);
    group->ports.work(group->ports.ctx);
  }
}

/* How long batches have waited for one that was missing. */
static void note_hole(Group *group, Log *log, gint64 now_us)
{
  gboolean hole = reorder_waiting(log->reorder) > 0;
  if (hole && log->hole_since_us == 0)
    log->hole_since_us = now_us;
  if (hole || log->hole_since_us == 0)
    return;
  if (group->options.steps != NULL)
    latency_add_alone(&group->options.steps->step[STEP_REORDER], now_us - log->hole_since_us);
  log->hole_since_us = 0;
}

static void wait_for(Log *log, gpointer call, guint64 last_index, gboolean sync_now)
{
  SyncCall *waiting = g_new(SyncCall, 1);
  *waiting = (SyncCall){call, last_index, sync_now};
  g_queue_push_tail(&log->calls, waiting);
}

/* Takes a run of a log in good order. Answers the call now or lets it wait. */
static void take_run(Group *group, Log *log, gpointer call, EntryRun *run, gboolean sync_now,
                     gint64 now_us)
{
  guint64 first = entry_run_first_index(run), last = entry_run_last_index(run);
  guint count = entry_run_count(run);
  /* Twice the window: what a lost channel left behind may wait beside what the new one brings. */
  if (first > reorder_expected(log->reorder) &&
      reorder_waiting(log->reorder) >= 2 * group->window) {
    entry_run_unref(run);
    reply_progress(group, call, log, SYNCLOG_OUT_OF_WINDOW, "the batch is beyond the window");
    return;
  }
  switch (reorder_push(log->reorder, first, last, run)) {
  case REORDER_OUT_OF_WINDOW:
    entry_run_unref(run);
    reply_progress(group, call, log, SYNCLOG_OUT_OF_WINDOW, "the batch is beyond the window");
    return;
  case REORDER_DUPLICATE:
    group->entries_duplicate += count;
    entry_run_unref(run);
    break;
  case REORDER_ACCEPTED:
    break;
  }
  if (sync_now)
    log->sync_index = MAX(log->sync_index, last);
  release_contiguous(group, log);
  note_hole(group, log, now_us);
  wait_for(log, call, last, sync_now);
  if (log->durable < log->sync_index)
    group->ports.work(group->ports.ctx);
  follower_answer(group, log);
}

void follower_end_hole(Group *group, Log *log)
{
  log->seed_from = log->stopped_at = 0;
  if (!log->feed_failed)
    log_set_state(group, log, LOG_OK, NULL);
}

void group_on_sync(Group *group, gpointer call, guint32 sender, LogId id, guint64 first_index,
                   EntryRun *run, const char *undecodable, gboolean sync_now, gint64 now_us)
{
  g_autoptr(EntryRun) taken = run;
  const char *refusal = NULL;
  SynclogStatus status = SYNCLOG_OK;
  Log *log = NULL;
  if (group->stopped) {
    status = SYNCLOG_NOT_READY;
    refusal = GROUP_STOPPED_TEXT;
  } else if (membership_is_gone(group->options.membership, sender)) {
    /* Others were told what there is of its log. Who stays hands on what else there is (P3). */
    status = SYNCLOG_FORGOTTEN;
    refusal = "the sender is a member no more";
  } else if (log_id_equal(id, group->own->id)) {
    status = SYNCLOG_DUPLICATE_NODE;
    refusal = "this is the log that the receiver writes itself";
  } else if ((log = group_put_log(group, id)) == NULL) {
    status = membership_has(group->options.membership, id.origin) ? SYNCLOG_OVERLOADED
                                                                  : SYNCLOG_NOT_MEMBER;
    refusal = status == SYNCLOG_OVERLOADED ? "as many logs as are possible are known here already"
                                           : "the log's origin is not a member here";
  } else if (log->state == LOG_READ_ONLY) {
    status = SYNCLOG_READ_ONLY;
    refusal = log->message;
  } else if (log->state == LOG_FORKED) {
    status = SYNCLOG_CORRUPT;
    refusal = log->message;
  }
  if (status != SYNCLOG_OK) {
    reply_progress(group, call, log, status, refusal);
    return;
  }
  guint64 bad_index = run != NULL ? entry_run_last_index(run) + 1 : first_index;
  if (undecodable == NULL) {
    /* It was stopped at an entry which decodes now: it goes on. */
    if (log->state == LOG_STOPPED && !log->blocked &&
        entry_run_first_index(run) <= log->written + 1)
      follower_end_hole(group, log);
    take_run(group, log, call, g_steal_pointer(&taken), sync_now, now_us);
    return;
  }
  if (run != NULL && reorder_push(log->reorder, entry_run_first_index(run), bad_index - 1, run) ==
                         REORDER_ACCEPTED)
    g_steal_pointer(&taken);
  release_contiguous(group, log);
  note_hole(group, log, now_us);
  g_autofree char *why =
      g_strdup_printf("entry %" G_GUINT64_FORMAT " does not decode: %s", bad_index, undecodable);
  if (bad_index <= reorder_expected(log->reorder)) {
    log_set_state(group, log, LOG_STOPPED, why);
    log->stopped_at = bad_index;
  }
  reply_progress(group, call, log, SYNCLOG_CORRUPT, why);
}

gboolean group_is_stopped_at(const Group *group, LogId id, guint64 index, GError **error)
{
  const Log *log = group_find_log(group, id);
  char text[LOG_ID_TEXT_SIZE];
  log_id_format(id, text);
  if (log == NULL)
    return fail(error, SYNCLOG_UNKNOWN_LOG, "log %s is not known here", text);
  if (log->state == LOG_STOPPED && log->stopped_at == index)
    return TRUE;
  return fail(error, SYNCLOG_INVALID, "log %s is not stopped at entry %" G_GUINT64_FORMAT, text,
              index);
}

void group_stop_log(Group *group, LogId id, const char *why)
{
  Log *log = group_put_log(group, id);
  if (log == NULL)
    return;
  log->blocked = TRUE;
  log_set_state(group, log, LOG_STOPPED, why);
}

typedef enum {
  NO_SYNC,
  SYNC_DUE,    /* it is time, and nobody waits for it */
  SYNC_WANTED, /* somebody waits for it */
} SyncNeed;

static gboolean writes(const Log *log)
{
  return !log->own && log->state != LOG_READ_ONLY &&
         (log->to_write->len > 0 || (log->reset_wanted && !log->reset_waits));
}

/*
 * How long a sync that is due gives way. What waits to be written would wait for it else, and be
 * applied and answered later; so it comes behind that, unless that never ends.
 */
static gint64 patience_us(const Group *group, gint64 now_us)
{
  /* With a wrong clock the writes that wait are refused only. */
  gboolean busy = !group->clock_wrong && leader_has_work(group, now_us);
  for (guint i = 0; !busy && i < group->logs->len; i++)
    busy = writes(group->logs->pdata[i]);
  return busy ? group->options.mirror_sync_interval_ms * 1000 / 4 : 0;
}

/* Whether there is something to do on the log's disk. */
static gboolean has_work(const Log *log, gint64 due_us, SyncNeed *out_sync)
{
  *out_sync = NO_SYNC;
  if (log->own || log->state == LOG_READ_ONLY)
    return FALSE;
  gboolean unsynced = log->written > log->durable || log->to_write->len > 0;
  if (unsynced && log->durable < log->sync_index)
    *out_sync = SYNC_WANTED;
  else if (unsynced && log->sync_due_us <= due_us)
    *out_sync = SYNC_DUE;
  return writes(log) || *out_sync != NO_SYNC;
}

void follower_look(const Group *group, gint64 now_us, GroupPending *pending)
{
  gint64 due_us = now_us - patience_us(group, now_us);
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    SyncNeed sync;
    if (!has_work(log, due_us, &sync))
      continue;
    pending->mirrors = TRUE;
    for (guint run = 0; run < log->to_write->len; run++) {
      gsize size;
      entry_run_bytes(log->to_write->pdata[run], &size);
      pending->mirror_bytes += size;
    }
    pending->sync |= sync == SYNC_WANTED;
    pending->late |= sync == SYNC_DUE;
  }
}

void follower_take(Group *group, gint64 now_us, GArray *mirrors)
{
  gint64 due_us = now_us - patience_us(group, now_us);
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    SyncNeed sync;
    if (!has_work(log, due_us, &sync))
      continue;
    MirrorWork work = {.log = log->id,
                       .runs = g_steal_pointer(&log->to_write),
                       .reset = log->reset_wanted,
                       .sync = sync != NO_SYNC};
    log->to_write = g_ptr_array_new_with_free_func(forget_run);
    log->reset_wanted = log->reset_waits = FALSE;
    g_array_append_val(mirrors, work);
  }
}

/* The log can't be written any more here: nothing that waits will come true. */
static void mirror_failed(Group *group, Log *log, const GError *error)
{
  if (synclog_error_is_lack(error)) {
    /* Nothing of the failed run was written; the sender comes again with all behind `written`. */
    reorder_reset(log->reorder, log->written + 1);
    log->hole_since_us = 0;
    g_ptr_array_set_size(log->to_write, 0);
    refuse_all_calls(group, log, (SynclogStatus)error->code, error->message);
    return;
  }
  log_set_state(group, log, LOG_READ_ONLY, error->message);
  reorder_reset(log->reorder, log->written + 1);
  log->hole_since_us = 0;
  g_ptr_array_set_size(log->to_write, 0);
  feeder_forget(log); /* what waits to be applied is not synced either, or is read from the WAL */
  refuse_all_calls(group, log, SYNCLOG_READ_ONLY, error->message);
}

void group_on_mirror_done(Group *group, const MirrorWork *work, guint written_runs,
                          const GError *error, gint64 now_us)
{
  Log *log = group_find_log(group, work->log);
  g_assert(log != NULL && !log->own);
  /* What was written and can't be synced may be gone after a power loss: the store is not to have
   * it before the next start has read it. */
  gboolean lost = error != NULL && !synclog_error_is_lack(error);
  for (guint i = 0; i < written_runs; i++) {
    EntryRun *run = work->runs->pdata[i];
    if (log->written == 0 || work->reset)
      log->first_available = MAX(log->first_available, entry_run_first_index(run));
    log->written = entry_run_last_index(run);
    if (!lost)
      group_apply(group, log, entry_run_ref(run));
  }
  if (work->sync && error == NULL) {
    log->durable = log->written;
    log->sync_due_us = G_MAXINT64;
  } else if (log->written > log->durable && log->sync_due_us == G_MAXINT64) {
    log->sync_due_us = now_us + group->options.mirror_sync_interval_ms * 1000;
  }
  if (lost && work->runs->len > 0) /* it may be on the disk all the same */
    log->tried = entry_run_last_index(work->runs->pdata[work->runs->len - 1]);
  if (error != NULL) {
    if (work->reset && written_runs == 0)
      log->reset_wanted = log->reset_waits = TRUE;
    mirror_failed(group, log, error);
    return;
  }
  follower_answer(group, log);
  if (!work->sync)
    return;
  feeder_feed(group, log);
  dispatcher_pump_all(group, now_us); /* to those who asked for it */
}

void group_sync_mirrors(Group *group)
{
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (!log->own && log->written > log->durable)
      log->sync_index = MAX(log->sync_index, log->written);
  }
  group->ports.work(group->ports.ctx);
}

/* Whether the store has, or is given, what the log may lose. It may be ahead of a log whose file
 * was lost. */
static gboolean is_ahead(const Log *log, guint64 index)
{
  return log->durable < MIN(index, log->written);
}

gboolean group_mirrors_synced(const Group *group)
{
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    if (is_ahead(log, log->applied))
      return FALSE;
  }
  return TRUE;
}

char *group_why_unsyncable(const Group *group)
{
  for (guint i = 0; i < group->logs->len; i++) {
    const Log *log = group->logs->pdata[i];
    if (log->state != LOG_READ_ONLY || !is_ahead(log, log->given))
      continue;
    char text[LOG_ID_TEXT_SIZE];
    return g_strdup_printf("log %s is durable up to %" G_GUINT64_FORMAT
                           " and applied up to %" G_GUINT64_FORMAT ": %s",
                           log_id_format(log->id, text), log->durable, log->given, log->message);
  }
  return NULL;
}

/* Whether a peer can hand on what comes next of a log. */
static gboolean can_be_handed_on(const Group *group, const Log *log)
{
  for (guint i = 0; i < group->peers->len; i++) {
    const Peer *peer = group->peers->pdata[i];
    const LogProgress *theirs = progress_find(peer->progress, log->id);
    if (!peer->forgotten && theirs != NULL && theirs->durable > log->written &&
        theirs->first_available <= log->written + 1)
      return TRUE;
  }
  return FALSE;
}

void follower_meet_hole(Group *group, Log *log, guint64 first)
{
  guint64 expected = reorder_expected(log->reorder);
  if (log_is_over(log) || first <= expected || log->given > log->applied)
    return;
  if (log->applied + 1 < first) {
    /* Nothing is put behind the hole; should somebody turn up who has it, the log goes on. It is
     * told once: others may keep other entries, and each says so with every heartbeat. */
    gboolean told = log->state == LOG_STOPPED && log->seed_from != 0;
    log->seed_from = first;
    if (told)
      return;
    g_autofree char *why = g_strdup_printf("entries %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                                           " are gone at the sender: a snapshot is needed",
                                           expected, first - 1);
    log_set_state(group, log, LOG_STOPPED, why);
    return;
  }
  char text[LOG_ID_TEXT_SIZE];
  group_note(group, G_LOG_LEVEL_WARNING,
             "log %s: the WAL here ends at %" G_GUINT64_FORMAT
             ", the sender kept entries from %" G_GUINT64_FORMAT
             "; it goes on behind %" G_GUINT64_FORMAT ", which the store has",
             log_id_format(log->id, text), expected - 1, first, log->applied);
  reorder_reset(log->reorder, log->applied + 1);
  log->hole_since_us = 0;
  g_ptr_array_set_size(log->to_write, 0);
  log->seed_from = 0;
  log->reset_wanted = TRUE;
  log->reset_waits = FALSE;
  log->written = log->durable = log->applied;
  log->first_available = log->applied + 1;
  unreadable_trimmed(log, log->first_available);
  group->ports.work(group->ports.ctx);
}

void follower_realign(Group *group, const Peer *peer, const Progress *sender)
{
  for (guint i = 0; i < sender->logs->len; i++) {
    const LogProgress *theirs = &g_array_index(sender->logs, LogProgress, i);
    Log *log = group_find_log(group, theirs->log);
    /* Others may hold less of a log than its sender does, that says nothing. */
    if (log == NULL || log->own ||
        !routing_sends(peer->id, group->self, log->id, group->own->id.incarnation))
      continue;
    if (log->applied + 1 >= theirs->first_available || !can_be_handed_on(group, log))
      follower_meet_hole(group, log, theirs->first_available);
  }
}

void follower_stop(Group *group)
{
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    if (!log->own)
      refuse_all_calls(group, log, SYNCLOG_NOT_READY, GROUP_STOPPED_TEXT);
  }
}
