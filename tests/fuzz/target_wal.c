/*
 * Segment files of a log: opening, reading, cutting, appending, opening again. Whatever the files
 * hold: no record is given whose checksum is wrong, and what could be read once stays as it was.
 */
#include "fuzz/wal_files.h"
#include "wal/wal.h"

enum { SEGMENT_SIZE = 16 * 1024, APPENDS = 3 };

/* What was read of the log: its records one behind the other. */
typedef struct Held {
  guint64 first, next;
  GArray *digests;  /* guint64: of the bytes of each record */
  gboolean damaged; /* reading ended before the log did */
} Held;

static Wal *open_log(MemDisk *disk, WalRecovery *recovery)
{
  WalOptions options = {FUZZ_DIRECTORY, fuzz_log, SEGMENT_SIZE, mem_disk_io(disk), FALSE, FALSE};
  g_autoptr(GError) error = NULL;
  Wal *wal = wal_open(&options, recovery, &error);
  g_assert((wal == NULL) == (error != NULL));
  /* The files are there and can be read, so nothing else may stand in the way. */
  g_assert(error == NULL || g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_WRONG_VERSION));
  return wal;
}

static void take_run(Held *held, const EntryRun *run)
{
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  g_assert(entry_run_first_index(run) == held->next);
  gsize at = 0;
  for (guint i = 0; i < entry_run_count(run); i++) {
    Record record;
    g_assert(record_parse(record_seed(fuzz_log), bytes + at, size - at, &record) == RECORD_VALID);
    /* Not only as the daemon's own parser sees it. */
    guint32 covered = crc32c(record_seed(fuzz_log), bytes + at, record.size - RECORD_TAIL_SIZE);
    g_assert(covered == load_be32(bytes + at + record.size - RECORD_TAIL_SIZE + 3));
    g_assert(record.index == held->next++);
    guint64 digest = record_chain(0, bytes + at, record.size);
    g_array_append_val(held->digests, digest);
    at += record.size;
  }
  g_assert(at == size);
}

/* Reads all that the log gives, `count` records or `bytes` at a time. */
static Held read_all(Wal *wal, guint count, gsize bytes)
{
  Held held = {.first = wal_first_index(wal)};
  held.next = held.first;
  held.digests = g_array_new(FALSE, FALSE, sizeof(guint64));
  while (held.next <= wal_durable_index(wal)) {
    g_autoptr(GError) error = NULL;
    g_autoptr(EntryRun) run = wal_read(wal, held.next, count, bytes, &error);
    if (run == NULL) {
      g_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT));
      held.damaged = TRUE;
      return held;
    }
    g_assert(entry_run_count(run) >= 1 && entry_run_count(run) <= count);
    take_run(&held, run);
  }
  g_assert(held.next == wal_durable_index(wal) + 1);
  return held;
}

static void held_clear(Held *held)
{
  g_array_unref(held->digests);
}

/* Every record that both hold is the same in both. */
static void compare(const Held *a, const Held *b)
{
  for (guint64 i = MAX(a->first, b->first); i < MIN(a->next, b->next); i++)
    g_assert(g_array_index(a->digests, guint64, i - a->first) ==
             g_array_index(b->digests, guint64, i - b->first));
}

/* Whatever is asked of the running digest, the answer is one or an error. */
static void ask_chains(Wal *wal, const Held *held)
{
  for (guint64 i = held->first - 1; i < held->next && i < held->first + 8; i++) {
    guint64 chain = 0;
    g_autoptr(GError) error = NULL;
    if (!wal_chain_at(wal, i, &chain, &error))
      g_assert(error == NULL || error->code == SYNCLOG_CORRUPT);
  }
}

/* The running digest at the end; 0 when it is not known. */
static guint64 last_chain(Wal *wal)
{
  guint64 chain = 0;
  wal_chain_at(wal, wal_last_index(wal), &chain, NULL);
  return chain;
}

static void append(Wal *wal, guint64 index)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  put_record(bytes, index, wal_last_hlc(wal), "appended", 8);
  gsize size = bytes->len;
  guint8 *owned = g_byte_array_free(g_steal_pointer(&bytes), FALSE);
  g_autoptr(EntryRun) run = entry_run_new(fuzz_log, index, 1, owned, size, owned, g_free);
  g_autoptr(GError) error = NULL;
  gboolean appended = wal_append(wal, run, 0, &error);
  g_assert_no_error(error);
  g_assert(appended);
}

/* Makes the log ready for appending again. FALSE when it says that it can't be: then nothing may
 * have changed. */
static gboolean mend(Wal *wal, const WalRecovery *recovery, const Held *held)
{
  guint64 index = held->damaged ? held->next : recovery->bad_index;
  if (recovery->verdict != WAL_CORRUPT && !held->damaged)
    return TRUE;
  g_autoptr(GError) error = NULL;
  if (wal_cut(wal, index, &error)) {
    g_assert(wal_last_index(wal) == index - 1);
    return TRUE;
  }
  g_assert_error(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT);
  return FALSE;
}

/* Appends to it, and opens it again: it holds what it held and what was appended. */
static void go_on(MemDisk *disk, Wal **wal, const Held *before)
{
  guint64 from = wal_last_index(*wal) + 1;
  if (from + APPENDS > G_MAXINT64)
    return;
  for (guint i = 0; i < APPENDS; i++)
    append(*wal, from + i);
  g_assert(wal_sync(*wal, NULL));
  Held appended = read_all(*wal, 2, 300);
  compare(before, &appended);
  g_assert(!appended.damaged && appended.next == from + APPENDS);
  guint64 chain = last_chain(*wal);
  g_clear_pointer(wal, wal_close);

  WalRecovery recovery;
  *wal = open_log(disk, &recovery);
  g_assert(*wal != NULL && recovery.verdict == WAL_CLEAN);
  g_assert(last_chain(*wal) == chain && wal_last_index(*wal) == from + APPENDS - 1);
  Held again = read_all(*wal, 100, 1 << 20);
  g_assert(again.first == appended.first && again.next == appended.next && !again.damaged);
  compare(&appended, &again);
  wal_recovery_clear(&recovery);
  held_clear(&appended);
  held_clear(&again);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  guint options = fuzz_u8(&in);
  g_autoptr(MemDisk) disk = files_from_input(&in);
  mem_disk_short_calls(disk, (options & 1) != 0);
  WalRecovery recovery;
  g_autoptr(Wal) wal = open_log(disk, &recovery);
  if (wal == NULL)
    return;
  g_assert((recovery.message == NULL) == (recovery.verdict == WAL_CLEAN));
  g_assert(wal_durable_index(wal) == wal_last_index(wal));
  if (recovery.verdict == WAL_CORRUPT)
    g_assert(recovery.bad_index == wal_last_index(wal) + 1);
  Held held = read_all(wal, 1 + options % 5, 100);
  ask_chains(wal, &held);
  if (options & 2)
    wal_trim(wal, held.first + (options >> 4), NULL);
  /* A trim may have taken the damage away. */
  Held left = read_all(wal, 3, 4096);
  compare(&held, &left);
  if (mend(wal, &recovery, &left))
    go_on(disk, &wal, &left);
  wal_recovery_clear(&recovery);
  held_clear(&held);
  held_clear(&left);
  g_clear_pointer(&wal, wal_close);
  g_assert(mem_disk_open_files(disk) == 0);
}

void fuzz_seeds(void)
{
  static const guint8 options[] = {0};
  seed_all_files(options, 1);
}
