/*
 * Any history of appends, syncs, trims and cuts, ended by a crash at any point: what was durable is
 * there, what is there is a prefix of what was written, and the log goes on.
 *
 * SYNCLOG_TEST_SEEDS sets how many histories are tried; with many, CK_TIMEOUT_MULTIPLIER is needed.
 */
#include "unit/wal/helpers.h"
#include "unit/wal/mem_io.c"

#include "support/suite.h"

#include <errno.h>

typedef struct Model {
  guint64 first;   /* first index that may still be asked for */
  guint64 last;    /* written */
  guint64 durable; /* promised */
  GArray *chains;  /* guint64: digest by index */
} Model;

typedef struct History {
  guint32 seed;
  GRand *random;
  MemDisk *disk;
  gsize segment_size;
  gsize max_size;
  Wal *wal;
  Model model;
  guint corrupt;
} History;

static gint32 below(History *h, gint32 end)
{
  return g_rand_int_range(h->random, 0, end);
}

static EntryRun *next_run(History *h)
{
  guint count = (guint)(below(h, 4) == 0 ? 1 + below(h, 40) : 1 + below(h, 4));
  return test_run_salted(h->model.last + 1, count, h->max_size, 0);
}

static void note_run(History *h, EntryRun *run)
{
  GArray *chains = h->model.chains;
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  for (guint i = 0; i < entry_run_count(run); i++) {
    guint64 index = entry_run_first_index(run) + i;
    gsize at = entry_run_offset(run, i);
    guint64 chain = record_chain(g_array_index(chains, guint64, index - 1), bytes + at,
                                 entry_run_offset(run, i + 1) - at);
    g_array_set_size(chains, (guint)index + 1);
    g_array_index(chains, guint64, index) = chain;
  }
  h->model.last = entry_run_last_index(run);
}

/* One step; FALSE when the log broke. */
static gboolean step(History *h)
{
  Model *m = &h->model;
  gint32 dice = below(h, 100);
  if (dice < 55) {
    g_autoptr(EntryRun) run = next_run(h);
    guint64 last = m->last;
    note_run(h, run); /* also a run that failed may be there after a crash */
    if (!wal_append(h->wal, run, 0, NULL)) {
      if (wal_is_broken(h->wal))
        return FALSE;
      m->last = last;
    }
  } else if (dice < 90) {
    if (!wal_sync(h->wal, NULL))
      return FALSE;
    m->durable = m->last;
    ck_assert_uint_eq(wal_durable_index(h->wal), m->last);
  } else if (dice < 96) {
    guint64 index = m->durable == 0 ? 0 : (guint64)below(h, (gint32)m->durable + 1);
    wal_trim(h->wal, index, NULL); /* breaks nothing when it fails */
    guint64 before = m->first;
    m->first = wal_first_index(h->wal);
    ck_assert_uint_ge(m->first, before);
    ck_assert_uint_le(m->first, MAX(index + 1, before));
  } else if (dice < 98 && m->last > m->first) {
    guint64 index = m->first + (guint64)below(h, (gint32)(m->last - m->first));
    /* From here on both lengths are possible. */
    m->durable = MIN(m->durable, index - 1);
    if (!wal_cut(h->wal, index, NULL))
      return FALSE;
    m->last = m->durable = index - 1;
  }
  m->durable = MAX(m->durable, MIN(wal_durable_index(h->wal), m->last));
  return TRUE;
}

static void maybe_fault(History *h)
{
  static const MemCall calls[] = {MEM_PWRITE, MEM_FDATASYNC, MEM_FSYNC,
                                  MEM_RENAME, MEM_UNLINK,    MEM_FTRUNCATE};
  if (below(h, 3) != 0)
    return;
  mem_disk_fail(h->disk, calls[below(h, G_N_ELEMENTS(calls))], (guint)below(h, 60),
                below(h, 2) == 0 ? EIO : ENOSPC, (gsize)below(h, 3000));
}

static void check_after_crash(History *h)
{
  Model *m = &h->model;
  WalRecovery recovery;
  h->wal = test_open(h->disk, h->segment_size, &recovery);
  guint64 last = wal_last_index(h->wal);
  ck_assert_msg(last >= m->durable,
                "seed %u: %" G_GUINT64_FORMAT " was durable, %" G_GUINT64_FORMAT " is left: %s",
                h->seed, m->durable, last, recovery.message);
  ck_assert_msg(last <= m->last, "seed %u", h->seed);
  ck_assert_uint_le(wal_first_index(h->wal), MAX(m->first, last + 1));
  if (recovery.verdict == WAL_CORRUPT) {
    /* Pages of one unsynced run reach the disk in any order. */
    ck_assert_uint_eq(recovery.bad_index, last + 1);
    h->corrupt++;
    ck_assert(wal_cut(h->wal, recovery.bad_index, NULL));
  }
  wal_recovery_clear(&recovery);
  guint64 first = MAX(m->first, wal_first_index(h->wal));
  test_check_range(h->wal, first, last, 20, 20000, h->max_size, 0);
  ck_assert_uint_eq(wal_chain(h->wal), g_array_index(m->chains, guint64, last));
  m->first = wal_first_index(h->wal);
  m->last = m->durable = last;
}

static guint run_history(guint32 seed)
{
  History h = {.seed = seed, .random = g_rand_new_with_seed(seed), .disk = mem_disk_new(seed)};
  h.segment_size = below(&h, 2) == 0 ? 8192 : 100000;
  h.max_size = below(&h, 3) == 0 ? 9000 : 600;
  mem_disk_short_calls(h.disk, below(&h, 4) == 0);
  guint64 zero = 0;
  h.model = (Model){.first = 1, .chains = g_array_new(FALSE, TRUE, sizeof(guint64))};
  g_array_append_val(h.model.chains, zero);
  h.wal = test_open_as(h.disk, h.segment_size, WAL_CLEAN);
  for (int crash = 0; crash < 4; crash++) {
    maybe_fault(&h);
    gint32 steps = below(&h, 60);
    for (gint32 i = 0; i < steps && step(&h); i++)
      ;
    if (wal_is_broken(h.wal) && below(&h, 2) == 0) {
      /* Only the process goes: what the kernel has stays. */
      mem_disk_crash(h.disk, MEM_LOSE_NOTHING);
    } else {
      mem_disk_crash(h.disk, (MemLoss)below(&h, 3));
    }
    wal_close(h.wal);
    check_after_crash(&h);
  }
  test_append(h.wal, h.model.last + 1, 30, h.max_size);
  test_sync(h.wal);
  test_check_range(h.wal, h.model.first, h.model.last + 30, 20, 20000, h.max_size, 0);
  wal_close(h.wal);
  ck_assert_uint_eq(mem_disk_open_files(h.disk), 0);
  g_array_unref(h.model.chains);
  g_rand_free(h.random);
  mem_disk_free(h.disk);
  return h.corrupt;
}

START_TEST(s03_histories)
{
  const char *text = g_getenv("SYNCLOG_TEST_SEEDS");
  guint seeds = text == NULL ? HISTORIES(1000) : (guint)g_ascii_strtoull(text, NULL, 10);
  guint corrupt = 0;
  for (guint seed = 1; seed <= seeds; seed++)
    corrupt += run_history(seed);
  /* The histories do reach the case, and it is not the rule. */
  if (seeds >= 300) {
    ck_assert_uint_gt(corrupt, 0);
    ck_assert_uint_lt(corrupt, seeds * 4 / 2);
  }
}
END_TEST

int main(void)
{
  Suite *suite = suite_create("wal power loss");
  const TTest *tests[] = {s03_histories};
  test_add(suite, "histories", tests, G_N_ELEMENTS(tests));
  return test_main(suite);
}
