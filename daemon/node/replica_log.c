/*
 * The log's work: entries of this node get their order, are written and synced; those of others are
 * written. Only one thread does it at a time, whoever has taken it
 * (log_taken): the log thread, or a network thread at the end of an iteration that brought work
 * (rpc_loop_run_last). A lone write is so answered by the thread that read it, without a hand-over
 * to one that sleeps. The log thread has the engine's timers, and whatever a network thread does
 * better not wait for: much at once, as it can be reading meanwhile, and a slow disk.
 *
 * How slow the disk is, all teach that wait for it, whichever thread and log it is: by the mean of
 * the syncs, and a single wait that was long is remembered for some seconds. What a network thread
 * has in its turn is looked at when the turn begins, and is the own commit or the others' logs, so
 * that answers of the one do not wait for the other.
 */
#include "base/failpoint.h"
#include "node/log_work.h"
#include "node/replica_private.h"

enum {
  TURN_BYTES = 16 * 1024,   /* more goes to the log thread */
  TURN_SYNC_US = 1000,      /* syncs that take longer are left to the log thread */
  SYNC_CEILING_US = 4000,   /* one that took longer counts as such */
  LONG_WAIT_US = 50 * 1000, /* who waited longer for the disk ends the turns … */
  TURN_PAUSE_WAITS = 16,    /* … for so many times that, so they wait for 1/16 of the time */
  TURN_PAUSE_US = 5 * G_USEC_PER_SEC, /* … at most */
  INCARNATION_RETRY_US = G_USEC_PER_SEC,
};

/* The disk was waited for. Caller holds `mutex`. */
static void note_wait(Replica *replica, gint64 begun_us, gint64 now_us, gboolean synced)
{
  gint64 took_us = now_us - begun_us;
  if (synced)
    replica->sync_us += (MIN(took_us, SYNC_CEILING_US) - replica->sync_us) / 8;
  if (took_us > LONG_WAIT_US)
    replica->turns_from_us = now_us + MIN(took_us * TURN_PAUSE_WAITS, TURN_PAUSE_US);
}

/* Caller holds `mutex`, or has taken the work. */
static gboolean must_sync_own(const Replica *replica, gint64 now_us, gboolean wanted)
{
  switch (replica->options.wal_sync) {
  case WAL_SYNC_GROUP:
    return TRUE;
  case WAL_SYNC_INTERVAL:
    return wanted ||
           now_us >= replica->own_synced_us + replica->options.wal_sync_interval_ms * 1000;
  case WAL_SYNC_NONE:
    break;
  }
  return wanted;
}

static void commit_own(Replica *replica, GPtrArray *writes)
{
  g_autoptr(EntryRun) run = log_work_encode(wal_log(replica->own_wal), writes);
  g_autoptr(GError) error = NULL;
  rpc_loop_begin_wait();
  gint64 now_us = clock_mono_us(replica->clock);
  gboolean sync = must_sync_own(replica, now_us, FALSE);
  FAILPOINT("commit_before_append");
  const ClientWrite *oldest = writes->pdata[0];
  latency_add_alone(&replica->steps.step[STEP_QUEUE], now_us - oldest->queued_us);
  gint64 begun_us = clock_mono_us(replica->clock); /* the run is encoded */
  gboolean done = log_work_append(replica->own_wal, run, FALSE, &error);
  gint64 durable_us = replica_note_step(replica, STEP_APPEND, begun_us);
  if (done && sync) {
    done = wal_sync(replica->own_wal, &error);
    durable_us = replica_note_step(replica, STEP_SYNC, durable_us);
  }
  FAILPOINT("commit_before_publish");
  rpc_loop_end_wait();
  for (guint i = 0; i < writes->len; i++) {
    ClientWrite *write = writes->pdata[i];
    write->base.decoded = NULL; /* the run's from here on */
    write->durable_us = durable_us;
  }
  replica_lock(replica);
  replica->answers_us = durable_us;
  note_wait(replica, begun_us, durable_us, done && sync);
  if (done && sync)
    replica->own_synced_us = now_us;
  if (done)
    group_on_own_durable(replica->group, writes, run, durable_us);
  else
    group_on_own_failed(replica->group, writes, error);
  replica_tell_progress(replica);
  replica_unlock(replica);
  FAILPOINT("commit_published");
}

static void do_mirror(Replica *replica, const MirrorWork *work)
{
  g_autoptr(GError) error = NULL;
  guint written = 0;
  gint64 begun_us = clock_mono_us(replica->clock);
  rpc_loop_begin_wait();
  gboolean done = log_work_mirror(replica->logs, work, &written, &error);
  gint64 now_us = replica_note_step(replica, STEP_MIRROR, begun_us);
  FAILPOINT("mirror_before_publish");
  rpc_loop_end_wait();
  replica_lock(replica);
  note_wait(replica, begun_us, now_us, done && work->sync);
  group_on_mirror_done(replica->group, work, written, error, now_us);
  replica_tell_progress(replica);
  replica_unlock(replica);
}

static void do_work(Replica *replica, const GroupWork *work)
{
  if (work->writes->len > 0)
    commit_own(replica, work->writes);
  for (guint i = 0; i < work->mirrors->len; i++)
    do_mirror(replica, &g_array_index(work->mirrors, MirrorWork, i));
  for (guint i = 0; i < work->trims->len; i++)
    replica_trim(replica, &g_array_index(work->trims, TrimWork, i));
}

/* With wal_sync other than group: syncs what was written since. */
static void sync_own(Replica *replica)
{
  g_autoptr(GError) error = NULL;
  gint64 begun_us = clock_mono_us(replica->clock);
  gboolean wanted = wal_durable_index(replica->own_wal) < wal_last_index(replica->own_wal);
  gboolean synced = !wanted || wal_sync(replica->own_wal, &error);
  gint64 now_us = clock_mono_us(replica->clock);
  replica_lock(replica);
  note_wait(replica, begun_us, now_us, wanted && synced);
  replica->own_synced_us = begun_us;
  if (!synced && replica->own_broken == NULL)
    replica->own_broken = g_strdup(error->message);
  if (!synced)
    replica_update_refusal(replica);
  replica_tell_progress(replica);
  replica_unlock(replica);
}

/*
 * The own log lost its end: from now on another one is written. What lacks descriptors, memory or
 * room is tried again, and no write is taken meanwhile. Caller holds `mutex`.
 */
static void begin_incarnation(Replica *replica)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Progress) progress = group_progress(replica->group);
  LogId before = wal_log(replica->own_wal);
  guint64 durable = progress_find(progress, before)->durable;
  /* A peer may have told of a log that this node wrote in another life, with a wrong clock. */
  LogId unused = {before.origin, MAX(before.incarnation + 1, replica_new_incarnation())};
  while (progress_find(progress, unused) != NULL)
    unused.incarnation++;
  replica_unlock(replica);
  Wal *wal = log_work_begin_incarnation(replica->identity, replica->logs, replica->own_wal, durable,
                                        unused.incarnation, &error);
  if (wal != NULL && replica->incarnation_again_us != 0) /* a try before may have left it unclean */
    replica_mark_clean(replica, NULL);
  replica_lock(replica);
  if (wal == NULL && synclog_error_is_lack(error)) {
    g_warning("a new incarnation can't begin now, which is tried again: %s", error->message);
    replica->incarnation_again_us = clock_mono_us(replica->clock) + INCARNATION_RETRY_US;
    return;
  }
  if (wal == NULL) {
    replica_set_fatal(replica, error->message);
    return;
  }
  replica->incarnation_again_us = 0;
  FAILPOINT("incarnation_begun");
  g_warning("a new incarnation begins: the own log lost its end");
  replica->own_wal = wal;
  group_begin_incarnation(replica->group, wal_log(wal));
}

/* Caller holds `mutex`. */
static gboolean must_begin_incarnation(const Replica *replica)
{
  return replica->fatal == NULL && group_wants_incarnation(replica->group);
}

/* When the log thread must wake by itself. Caller holds `mutex`. */
static gint64 deadline_us(Replica *replica)
{
  gint64 deadline = group_deadline_us(replica->group);
  if (must_begin_incarnation(replica))
    deadline = MIN(deadline, replica->incarnation_again_us);
  if (replica->options.wal_sync == WAL_SYNC_INTERVAL &&
      wal_durable_index(replica->own_wal) < wal_last_index(replica->own_wal))
    deadline = MIN(deadline, replica->own_synced_us + replica->options.wal_sync_interval_ms * 1000);
  return deadline;
}

/* Does what there is; FALSE when there is nothing. Caller holds `mutex` and has taken the work. */
static gboolean do_turn(Replica *replica, gint64 now_us, GroupPart part)
{
  GroupWork work;
  replica->log_turned_us = now_us;
  if (!group_take_work(replica->group, now_us, clock_wall_ms(replica->clock), part, &work))
    return FALSE;
  replica_unlock(replica);
  do_work(replica, &work);
  group_work_clear(&work);
  replica_lock(replica);
  return TRUE;
}

/* Whether only the log thread can do what there is to do. Caller holds `mutex`. */
static gboolean needs_log_thread(Replica *replica)
{
  return replica->log_stop || replica->own_sync_wanted || replica->fatal != NULL ||
         group_wants_incarnation(replica->group);
}

/*
 * Whether the work is better done by a network thread than by the log thread. A sync that nobody
 * waits for is not. Caller holds `mutex`.
 */
static gboolean suits_a_turn(Replica *replica, gint64 now_us, GroupPart *out_part)
{
  GroupPending pending;
  if (now_us < replica->turns_from_us || needs_log_thread(replica) ||
      !group_has_work(replica->group, now_us, &pending) || pending.late ||
      pending.bytes + pending.mirror_bytes > TURN_BYTES)
    return FALSE;
  /* By turns, so that neither waits for ever. */
  gboolean own = pending.bytes > 0 && !(pending.mirrors && replica->turn_was_own);
  gboolean sync = own ? must_sync_own(replica, now_us, FALSE) : pending.sync;
  *out_part = own ? GROUP_OWN_WORK : GROUP_MIRROR_WORK;
  return !sync || replica->sync_us <= TURN_SYNC_US;
}

static void wake_log_thread(Replica *replica)
{
  if (!replica->log_waiting)
    return;
  replica->log_waiting = FALSE; /* one signal wakes it for all */
  replica->wake_log = TRUE;
}

/* A network thread's turn, as the last of its iteration. */
static void take_turn(gpointer data)
{
  Replica *replica = data;
  log_set_group(replica->options.group.group);
  replica_lock(replica);
  replica->turn_asked = FALSE;
  gint64 now_us = clock_mono_us(replica->clock);
  GroupPart part;
  /* Asked again: more may have come since. */
  if (!replica->log_taken && rpc_loop_can_wait() && suits_a_turn(replica, now_us, &part)) {
    replica->log_taken = TRUE;
    replica->turn_was_own = part == GROUP_OWN_WORK;
    do_turn(replica, now_us, part);
    replica->log_taken = FALSE;
  }
  /* Whatever is left, or came meanwhile, or what is due earlier than it was. */
  GroupPending pending;
  replica->work_brought = group_has_work(replica->group, clock_mono_us(replica->clock), &pending);
  if (needs_log_thread(replica) || deadline_us(replica) < replica->log_until_us)
    wake_log_thread(replica);
  if (g_atomic_int_dec_and_test(&replica->jobs))
    replica_tell_progress(replica);
  replica_unlock(replica);
  log_set_group(0);
}

void replica_give_work(Replica *replica)
{
  replica->work_brought = FALSE;
  /* Whoever has taken it, or is about to, looks again afterwards. */
  if (replica->log_taken || replica->turn_asked)
    return;
  GroupPart part;
  if (suits_a_turn(replica, clock_mono_us(replica->clock), &part) &&
      rpc_loop_run_last(take_turn, replica)) {
    replica->turn_asked = TRUE;
    replica_job_begin(replica);
    return;
  }
  wake_log_thread(replica);
}

/* The log thread's turn: until there is nothing to do. Caller holds `mutex`. */
static void do_turns(Replica *replica)
{
  while (!replica->log_stop) {
    gint64 now_us = clock_mono_us(replica->clock);
    gint64 deadline = deadline_us(replica);
    if (deadline <= now_us)
      group_tick(replica->group, now_us);
    if (must_begin_incarnation(replica) && replica->incarnation_again_us <= now_us)
      begin_incarnation(replica);
    gboolean sync_wanted = replica->own_sync_wanted;
    replica->own_sync_wanted = FALSE;
    if (!do_turn(replica, now_us, GROUP_ALL_WORK) && !sync_wanted && deadline > now_us)
      return;
    if (replica->options.wal_sync != WAL_SYNC_GROUP &&
        must_sync_own(replica, clock_mono_us(replica->clock), sync_wanted)) {
      replica_unlock(replica);
      sync_own(replica);
      replica_lock(replica);
    }
  }
}

gpointer replica_log_thread(gpointer data)
{
  Replica *replica = data;
  log_set_group(replica->options.group.group);
  replica_lock(replica);
  while (!replica->log_stop || replica->log_taken) {
    /* What is due while another thread is at work is seen to by waking up behind it. */
    gint64 until_us = G_MAXINT64;
    if (!replica->log_taken) {
      replica->log_taken = TRUE;
      do_turns(replica);
      replica->log_taken = FALSE;
      until_us = deadline_us(replica);
    }
    if (!replica->log_stop || replica->log_taken)
      replica_wait_for_work(replica, until_us);
  }
  replica_unlock(replica);
  return NULL;
}
