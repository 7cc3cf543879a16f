#include "base/run.h"

#include "base/error.h"
#include "base/limits.h"

struct EntryRun {
  gint refs; /* atomic; not a gatomicrefcount, whose functions no sanitizer sees into */
  LogId log;
  guint64 first_index;
  guint count;
  guint64 chain_before;
  const guint8 *bytes;
  gpointer owner;
  GDestroyNotify release;
  gpointer *decoded; /* NULL or `count` pointers */
  GDestroyNotify free_decoded;
  guint32 offsets[]; /* count + 1 */
};

G_STATIC_ASSERT(LIMIT_FRAME_SIZE < G_MAXUINT32);

static EntryRun *run_alloc(LogId log, guint64 first_index, guint count, const guint8 *bytes)
{
  EntryRun *run = g_malloc0(sizeof *run + (count + 1) * sizeof run->offsets[0]);
  run->refs = 1;
  run->log = log;
  run->first_index = first_index;
  run->count = count;
  run->bytes = bytes;
  return run;
}

EntryRun *entry_run_new(LogId log, guint64 first_index, guint count, const guint8 *bytes,
                        gsize size, gpointer owner, GDestroyNotify release)
{
  g_assert(count > 0 && size < G_MAXUINT32);
  EntryRun *run = run_alloc(log, first_index, count, bytes);
  gsize at = 0;
  for (guint i = 0; i < count; i++) {
    Record record;
    g_assert(record_parse_trusted(bytes + at, size - at, &record) == RECORD_VALID);
    g_assert(record.index == first_index + i);
    run->offsets[i] = (guint32)at;
    at += record.size;
  }
  g_assert(at == size);
  run->offsets[count] = (guint32)at;
  run->owner = owner;
  run->release = release;
  return run;
}

EntryRun *entry_run_parse(LogId log, const guint8 *bytes, gsize size, gpointer owner,
                          GDestroyNotify release, GError **error)
{
  guint32 seed = record_seed(log);
  guint64 first_index = 0;
  guint count = 0;
  if (size == 0 || size >= G_MAXUINT32) {
    fail(error, SYNCLOG_CORRUPT, "a run of %zu bytes", size);
    return NULL;
  }
  for (gsize at = 0; at < size; count++) {
    Record record;
    if (record_parse(seed, bytes + at, size - at, &record) != RECORD_VALID) {
      if (count == 0)
        fail(error, SYNCLOG_CORRUPT, "no valid record at the beginning");
      else
        fail(error, SYNCLOG_CORRUPT,
             "no valid record at offset %zu of %zu, where entry %" G_GUINT64_FORMAT " should stand",
             at, size, first_index + count);
      return NULL;
    }
    if (record.hlc > RECORD_HLC_MAX) {
      fail(error, SYNCLOG_CORRUPT, "entry %" G_GUINT64_FORMAT " has a clock that no node can have",
           record.index);
      return NULL;
    }
    if (count == 0)
      first_index = record.index;
    if (record.index != first_index + count) {
      fail(error, SYNCLOG_CORRUPT,
           "index %" G_GUINT64_FORMAT " where %" G_GUINT64_FORMAT " should stand", record.index,
           first_index + count);
      return NULL;
    }
    at += record.size;
  }
  return entry_run_new(log, first_index, count, bytes, size, owner, release);
}

/* The running digest behind the first `count` records; 0 where that before them was not told. */
static guint64 chain_after(const EntryRun *run, guint count)
{
  guint64 chain = run->chain_before;
  for (guint i = 0; chain != 0 && i < count; i++)
    chain =
        record_chain(chain, run->bytes + run->offsets[i], run->offsets[i + 1] - run->offsets[i]);
  return chain;
}

EntryRun *entry_run_slice(EntryRun *run, guint first, guint count)
{
  g_assert(count > 0 && first + count <= run->count);
  gsize begin = run->offsets[first];
  EntryRun *slice = run_alloc(run->log, run->first_index + first, count, run->bytes + begin);
  for (guint i = 0; i <= count; i++)
    slice->offsets[i] = run->offsets[first + i] - (guint32)begin;
  slice->chain_before = chain_after(run, first);
  slice->owner = entry_run_ref(run);
  slice->release = (GDestroyNotify)entry_run_unref;
  if (run->decoded != NULL) {
    slice->decoded = g_new(gpointer, count);
    slice->free_decoded = run->free_decoded;
    for (guint i = 0; i < count; i++)
      slice->decoded[i] = g_steal_pointer(&run->decoded[first + i]);
  }
  return slice;
}

EntryRun *entry_run_ref(EntryRun *run)
{
  g_atomic_int_inc(&run->refs);
  return run;
}

void entry_run_unref(EntryRun *run)
{
  if (!g_atomic_int_dec_and_test(&run->refs))
    return;
  if (run->decoded != NULL)
    for (guint i = 0; i < run->count; i++)
      if (run->decoded[i] != NULL)
        run->free_decoded(run->decoded[i]);
  g_free(run->decoded);
  if (run->release != NULL)
    run->release(run->owner);
  g_free(run);
}

LogId entry_run_log(const EntryRun *run)
{
  return run->log;
}

guint64 entry_run_first_index(const EntryRun *run)
{
  return run->first_index;
}

guint64 entry_run_last_index(const EntryRun *run)
{
  return run->first_index + run->count - 1;
}

guint entry_run_count(const EntryRun *run)
{
  return run->count;
}

const guint8 *entry_run_bytes(const EntryRun *run, gsize *out_size)
{
  *out_size = run->offsets[run->count];
  return run->bytes;
}

gsize entry_run_offset(const EntryRun *run, guint i)
{
  g_assert(i <= run->count);
  return run->offsets[i];
}

Record entry_run_record(const EntryRun *run, guint i)
{
  g_assert(i < run->count);
  Record record;
  RecordVerdict verdict = record_parse_trusted(run->bytes + run->offsets[i],
                                               run->offsets[i + 1] - run->offsets[i], &record);
  g_assert(verdict == RECORD_VALID);
  return record;
}

void entry_run_set_chain_before(EntryRun *run, guint64 chain)
{
  run->chain_before = chain;
}

guint64 entry_run_chain_before(const EntryRun *run)
{
  return run->chain_before;
}

void entry_run_set_decoded(EntryRun *run, gpointer *decoded, GDestroyNotify free_one)
{
  g_assert(run->decoded == NULL);
  run->decoded = decoded;
  run->free_decoded = free_one;
}

gpointer entry_run_take_decoded(EntryRun *run, guint i)
{
  g_assert(i < run->count);
  return run->decoded == NULL ? NULL : g_steal_pointer(&run->decoded[i]);
}
