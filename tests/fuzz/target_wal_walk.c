/* What synclogctl says of a log's files, against what the node finds when it opens them. */
#include "fuzz/wal_files.h"
#include "wal/scan.h"
#include "wal/wal.h"

/* The tool's source, over the files in memory, and without waiting for a writer that there is not.
 */
static const WalIo *files;
#define wal_io_system() files
#define g_usleep(us) ((void)(us))
#include "ctl/wal_walk.c"
#undef wal_io_system
#undef g_usleep

typedef struct Seen {
  guint64 first, next, count;
} Seen;

static gboolean visit(gpointer ctx, const char *path, goffset offset, const Record *record)
{
  Seen *seen = ctx;
  g_assert(path != NULL && offset >= SEGMENT_HEADER_SIZE);
  guint8 checksum[4];
  store_be32(checksum, crc32c(record_seed(fuzz_log), record->data - RECORD_HEAD_SIZE,
                              record->size - RECORD_TAIL_SIZE));
  g_assert(memcmp(checksum, record->data + record->data_size + 3, 4) == 0);
  if (seen->count++ == 0)
    seen->first = record->index;
  else
    g_assert(record->index == seen->next);
  seen->next = record->index + 1;
  return TRUE;
}

static void check_findings(const WalFindings *findings, const Seen *seen)
{
  g_assert(findings->records == seen->count);
  if (seen->count == 0)
    return;
  g_assert(findings->first_index == seen->first && findings->last_index == seen->next - 1);
}

/* A log that the tool calls sound is one that the node opens as it stands, and the other way round
 * the tool finds whatever the node does. */
static void compare(MemDisk *disk, const WalFindings *findings)
{
  WalOptions options = {FUZZ_DIRECTORY, fuzz_log, 64 * 1024, mem_disk_io(disk), FALSE, FALSE};
  WalRecovery recovery;
  g_autoptr(GError) error = NULL;
  g_autoptr(Wal) wal = wal_open(&options, &recovery, &error);
  if (wal == NULL) {
    /* The walk may have ended before a file of another version. */
    g_assert(error->code == SYNCLOG_WRONG_VERSION && findings->damage->len > 0);
    return;
  }
  if (recovery.verdict == WAL_CORRUPT)
    g_assert(findings->damage->len > 0);
  if (findings->damage->len == 0) {
    g_assert(recovery.verdict == (findings->note != NULL ? WAL_TORN_TAIL : WAL_CLEAN));
    if (findings->records > 0)
      g_assert(wal_last_index(wal) == findings->last_index &&
               wal_first_index(wal) == findings->first_index);
  }
  wal_recovery_clear(&recovery);
}

void fuzz_one(const guint8 *bytes, gsize size)
{
  FuzzInput in = {bytes, size};
  guint64 from = fuzz_u8(&in) % 4;
  g_autoptr(MemDisk) disk = files_from_input(&in);
  files = mem_disk_io(disk);
  WalPlace place = {(char *)FUZZ_DIRECTORY, NULL, fuzz_log};
  Seen seen = {0};
  g_auto(WalFindings) findings = {0};
  g_autoptr(GError) error = NULL;
  if (!wal_walk(&place, from, visit, &seen, &findings, &error)) {
    g_assert(g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_WRONG_VERSION));
    return;
  }
  check_findings(&findings, &seen);
  if (from <= 1)
    compare(disk, &findings);
}

void fuzz_seeds(void)
{
  static const guint8 options[] = {0};
  seed_all_files(options, 1);
}
