/*
 * What is given to the store. As a rule a run goes there as it comes; but entries whose clock is
 * too far ahead wait (DESIGN 8), and what comes behind them is read from the WAL once they may go
 * on.
 */
#include "engine/group_private.h"

#include "core/hlc.h"

enum {
  FEED_ENTRIES = 4096, /* per read */
  FEED_BYTES = 4 * 1024 * 1024,
  KEPT_BYTES = 8 * 1024 * 1024, /* per log that lags */
  LOOK_AGAIN_US = G_USEC_PER_SEC,
};

/* How many of the run's entries are not above the clock `limit`. The clock grows along a log. */
static guint count_up_to(EntryRun *run, guint64 limit)
{
  guint count = entry_run_count(run);
  while (count > 0 && entry_run_record(run, count - 1).hlc > limit)
    count--;
  return count;
}

void feeder_forget(Log *log)
{
  EntryRun *run;
  while ((run = g_queue_pop_head(&log->kept)) != NULL)
    entry_run_unref(run);
  log->kept_bytes = 0;
}

void feeder_keep(Log *log, EntryRun *run)
{
  gsize size;
  entry_run_bytes(run, &size);
  EntryRun *before = g_queue_peek_tail(&log->kept);
  if (log->held_hlc != 0 || log->kept_bytes + size > KEPT_BYTES ||
      (before != NULL && entry_run_last_index(before) + 1 != entry_run_first_index(run)))
    feeder_forget(log); /* it is read from the WAL */
  if (log->held_hlc != 0 || size > KEPT_BYTES) {
    entry_run_unref(run);
    return;
  }
  g_queue_push_tail(&log->kept, run);
  log->kept_bytes += size;
}

static void hold(Group *group, Log *log, guint64 hlc)
{
  log->lagging = TRUE;
  group->feed_at_us = MIN(group->feed_at_us, group->wall_at_us + LOOK_AGAIN_US);
  if (log->held_hlc == hlc)
    return;
  log->held_hlc = hlc;
  g_autofree char *why =
      g_strdup_printf("entry %" G_GUINT64_FORMAT " is stamped %" G_GUINT64_FORMAT
                      " s ahead of the clocks here; it is kept, and applied when its time has come",
                      log->given + 1, (hlc_ms(hlc) - MIN(hlc_ms(hlc), group->wall_ms)) / 1000);
  if (log->state == LOG_OK || log->state == LOG_HELD)
    log_set_state(group, log, LOG_HELD, why);
}

void feeder_give(Group *group, Log *log, EntryRun *run)
{
  g_assert(entry_run_first_index(run) == log->given + 1); /* P2: exact order */
  guint count = entry_run_count(run);
  /* What this node acknowledged itself is applied whatever its clock says: it must be readable. */
  guint fit = log->id.origin == group->self ? count : count_up_to(run, clocks_limit_hlc(group));
  if (fit < count) {
    hold(group, log, entry_run_record(run, fit).hlc);
    EntryRun *part = fit > 0 ? entry_run_slice(run, 0, fit) : NULL;
    entry_run_unref(run);
    run = part;
  }
  if (run == NULL)
    return;
  log->given = entry_run_last_index(run);
  gsize size;
  entry_run_bytes(run, &size);
  group->apply_backlog += size;
  group->ports.apply(group->ports.ctx, run);
}

/* What came meanwhile and is next by now. */
static void give_kept(Group *group, Log *log)
{
  EntryRun *run;
  while ((run = g_queue_peek_head(&log->kept)) != NULL &&
         entry_run_first_index(run) <= log->given + 1) {
    gsize size;
    entry_run_bytes(run, &size);
    log->kept_bytes -= size;
    group_apply(group, log, g_queue_pop_head(&log->kept));
  }
}

void feeder_feed(Group *group, Log *log)
{
  if (!log->lagging || log->feeding || log->blocked || group->stopped ||
      group_is_congested(group) || log->held_hlc > clocks_limit_hlc(group))
    return;
  log->held_hlc = 0;
  if (log->state == LOG_HELD)
    log_set_state(group, log, LOG_OK, NULL);
  give_kept(group, log);
  if (log->held_hlc == 0 && log->given >= log->written)
    log->lagging = FALSE;
  if (log->held_hlc != 0 || log->given >= log->durable)
    return; /* only what is synced can be read */
  log->feeding = TRUE;
  group->ports.read_log(group->ports.ctx, group->self, log->id, log->given + 1, FEED_ENTRIES,
                        FEED_BYTES);
}

void feeder_tick(Group *group, gint64 now_us)
{
  if (now_us < group->feed_at_us)
    return;
  group->feed_at_us = G_MAXINT64;
  for (guint i = 0; i < group->logs->len; i++) {
    Log *log = group->logs->pdata[i];
    feeder_feed(group, log);
    if (log->lagging && !log->blocked)
      group->feed_at_us = now_us + LOOK_AGAIN_US;
  }
}

void feeder_on_unreadable(Log *log, guint64 index)
{
  if (log->feeding && index == log->given + 1 && !log_is_over(log))
    log->feed_behind = index + 1;
}

void feeder_on_read(Group *group, LogId id, EntryRun *run, const char *error)
{
  g_autoptr(EntryRun) read = run;
  Log *log = group_find_log(group, id);
  if (log == NULL || !log->feeding)
    return;
  log->feeding = FALSE;
  if (error != NULL) {
    log->feed_failed = TRUE;
    g_autofree char *why =
        g_strdup_printf("%s%s", error, log->feed_behind != 0 ? "; a snapshot is needed" : "");
    if (!log_is_over(log))
      log_set_state(group, log, LOG_STOPPED, why);
    return; /* tried again at the next look */
  }
  if (log->feed_failed && !log_is_over(log))
    log_set_state(group, log, LOG_OK, NULL);
  log->feed_failed = FALSE;
  log->feed_behind = 0;
  if (read != NULL && !group->stopped)
    group_apply(group, log, g_steal_pointer(&read));
  feeder_feed(group, log);
}

gint64 feeder_deadline_us(const Group *group)
{
  return group->feed_at_us;
}
