#include "wal/wal_private.h"

#include "base/failpoint.h"
#include "wal/recovery.h"

#include <errno.h>
#include <fcntl.h>

enum {
  /* Zeros are written ahead of the records in steps: as much as the file holds already, within
   * these bounds. So a small log stays small, and a step comes rarely in a large one. */
  FILL_MIN_SIZE = 64 * 1024,
  FILL_MAX_SIZE = 1024 * 1024,
  /* For an append so large they are not written: that its sync must note where the blocks are costs
   * less than writing everything twice. */
  ALLOCATE_SIZE = 64 * 1024,
  /* The step in which opening writes the last segment again. */
  REWRITE_STEP = 1024 * 1024,
};

static gboolean attach_last_segment(Wal *wal, gboolean cut_tail, gboolean keep_open,
                                    GError **error);
static gboolean open_for_writing(Wal *wal, GError **error);
static gboolean make_room(Wal *wal, const EntryRun *run, guint64 chain_before, GError **error);
static gboolean begin_segment(Wal *wal, guint64 first, guint64 chain_before, GError **error);
static void list_segment(Wal *wal);
static void publish(Wal *wal, const EntryRun *run);

Wal *wal_open(const WalOptions *options, WalRecovery *out_recovery, GError **error)
{
  const WalIo *io = options->io != NULL ? options->io : wal_io_system();
  g_auto(Recovered) found = {0};
  WalRecovery recovery;
  if (!wal_directory_create(io, options->directory, error) ||
      !recover_directory(options, io, &found, &recovery, error))
    return NULL;

  g_autoptr(Wal) wal = g_new0(Wal, 1);
  wal->io = io;
  wal->directory = g_strdup(options->directory);
  wal->log = options->log;
  wal->segment_size = options->segment_size;
  wal->file = WAL_FILE_NONE;
  g_mutex_init(&wal->removing);
  g_mutex_init(&wal->lock);
  wal->segments = g_steal_pointer(&found.segments);
  wal->beyond = g_steal_pointer(&found.beyond);
  wal->last_index = found.last_index;
  wal->durable_index = found.last_index;
  wal->last_hlc = found.last_hlc;
  wal->chain_known = found.chain_known;
  wal->chain = found.chain;
  wal->torn = recovery.verdict == WAL_TORN_TAIL && options->keep_tail;
  wal->damaged = recovery.verdict == WAL_CORRUPT || wal->torn;
  if (!attach_last_segment(wal, recovery.verdict == WAL_TORN_TAIL && !wal->torn, options->keep_open,
                           error)) {
    wal_recovery_clear(&recovery);
    return NULL;
  }
  *out_recovery = recovery;
  return g_steal_pointer(&wal);
}

void wal_close(Wal *wal)
{
  wal_close_segment(wal);
  g_ptr_array_unref(wal->segments);
  g_ptr_array_unref(wal->beyond);
  g_mutex_clear(&wal->removing);
  g_mutex_clear(&wal->lock);
  g_free(wal->directory);
  g_free(wal);
}

gboolean wal_append(Wal *wal, EntryRun *run, guint64 chain_before, GError **error)
{
  guint64 first = entry_run_first_index(run);
  g_assert(log_id_equal(entry_run_log(run), wal->log));
  g_assert(wal->last_index == 0 || first == wal->last_index + 1);
  if (!wal_check_writable(wal, error) || !open_for_writing(wal, error) ||
      !make_room(wal, run, chain_before, error))
    return FALSE;

  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  gsize written =
      FAILPOINT_FAILS("wal_append") ? 0 : wal_file_write(&wal->file, bytes, size, wal->open->end);
  if (written < size) {
    int errno_value = errno;
    fail_errno(error, SYNCLOG_READ_ONLY, errno_value, "write %s at offset %" G_GINT64_FORMAT,
               wal->open->path, (gint64)wal->open->end + (gint64)written);
    /* With no byte written and no room, nothing has happened. */
    if (written == 0 && (errno_value == ENOSPC || errno_value == EDQUOT))
      return FALSE;
    return wal_break(wal, error);
  }
  FAILPOINT("wal_after_append");
  publish(wal, run);
  return TRUE;
}

gboolean wal_begin(Wal *wal, guint64 index, guint64 chain, GError **error)
{
  g_assert(index > 0 && index < G_MAXINT64 && wal->last_index == 0);
  if (!wal_check_writable(wal, error) || !wal_discard_unused_segment(wal, error) ||
      !begin_segment(wal, index + 1, chain, error))
    return FALSE;
  g_mutex_lock(&wal->lock);
  list_segment(wal);
  wal->last_index = index;
  wal->chain_known = wal->open->header.chain_known;
  wal->chain = wal->open->header.chain;
  g_mutex_unlock(&wal->lock);
  return TRUE;
}

gboolean wal_sync(Wal *wal, GError **error)
{
  if (wal->broken)
    return wal_check_writable(wal, error);
  if (wal->durable_index == wal->last_index)
    return TRUE;
  if (FAILPOINT_FAILS("wal_before_sync") || wal->io->fdatasync(wal->io->ctx, wal->file.fd) < 0) {
    fail_errno(error, SYNCLOG_READ_ONLY, errno, "fdatasync %s", wal->open->path);
    return wal_break(wal, error);
  }
  FAILPOINT("wal_after_sync");
  g_mutex_lock(&wal->lock);
  wal->durable_index = wal->last_index;
  wal->durable_end = wal->open->end;
  g_mutex_unlock(&wal->lock);
  return TRUE;
}

gboolean wal_is_broken(Wal *wal)
{
  g_mutex_lock(&wal->lock);
  gboolean broken = wal->broken;
  g_mutex_unlock(&wal->lock);
  return broken;
}

LogId wal_log(Wal *wal)
{
  return wal->log;
}

static guint64 first_index(Wal *wal)
{
  if (wal->segments->len == 0)
    return wal->last_index + 1;
  const Segment *first = wal->segments->pdata[0];
  return first->header.first_index;
}

guint64 wal_first_index(Wal *wal)
{
  g_mutex_lock(&wal->lock);
  guint64 first = first_index(wal);
  g_mutex_unlock(&wal->lock);
  return first;
}

static guint64 locked_u64(Wal *wal, const guint64 *value)
{
  g_mutex_lock(&wal->lock);
  guint64 copy = *value;
  g_mutex_unlock(&wal->lock);
  return copy;
}

guint64 wal_last_index(Wal *wal)
{
  return locked_u64(wal, &wal->last_index);
}

guint64 wal_durable_index(Wal *wal)
{
  return locked_u64(wal, &wal->durable_index);
}

guint64 wal_last_hlc(Wal *wal)
{
  return locked_u64(wal, &wal->last_hlc);
}

gboolean wal_end_chain(Wal *wal, guint64 *out_index, guint64 *out_chain)
{
  g_mutex_lock(&wal->lock);
  gboolean known = wal->chain_known && wal->last_index > 0;
  *out_index = wal->last_index;
  *out_chain = wal->chain;
  g_mutex_unlock(&wal->lock);
  return known;
}

/* What a reader must know about the segment that holds `index`. `written`: up to the last record
 * written, not only the durable ones. The caller holds the lock. */
static ReadView view_of(Wal *wal, guint64 index, gboolean written)
{
  guint position;
  Segment *segment = wal_find_segment(wal, index, &position);
  gboolean last = position + 1 == wal->segments->len;
  ReadView view = {wal->io, segment_ref(segment), segment->last_index, segment->end};
  if (last && !written) {
    view.last_index = wal->durable_index;
    view.end = wal->durable_end;
  }
  return view;
}

static gboolean changed_since(Wal *wal, guint generation)
{
  g_mutex_lock(&wal->lock);
  gboolean changed = wal->generation != generation;
  g_mutex_unlock(&wal->lock);
  return changed;
}

static void note_read_failure(Wal *wal, const GError *failure)
{
  if (g_error_matches(failure, SYNCLOG_ERROR, SYNCLOG_CORRUPT))
    g_atomic_int_set(&wal->read_damage, TRUE);
}

EntryRun *wal_read(Wal *wal, guint64 from, guint max_count, gsize max_bytes, GError **error)
{
  g_assert(from > 0 && max_count > 0);
  /* Again only when a file was taken away meanwhile. */
  for (;;) {
    g_mutex_lock(&wal->lock);
    guint generation = wal->generation;
    guint64 first = first_index(wal);
    if (from > wal->durable_index || from < first) {
      gboolean below = from < first && from <= wal->durable_index;
      g_mutex_unlock(&wal->lock);
      if (below)
        fail(error, SYNCLOG_INVALID,
             "record %" G_GUINT64_FORMAT " is not held, the first is %" G_GUINT64_FORMAT, from,
             first);
      return NULL;
    }
    ReadView view = view_of(wal, from, FALSE);
    g_mutex_unlock(&wal->lock);

    g_autoptr(Segment) segment = view.segment;
    g_autoptr(GError) failure = NULL;
    g_autoptr(EntryRun) run =
        reader_read(&view, from, max_count, MIN(max_bytes, (gsize)G_MAXINT32), &failure);
    if (changed_since(wal, generation))
      continue;
    if (run != NULL)
      return g_steal_pointer(&run);
    note_read_failure(wal, failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
  }
}

gboolean wal_chain_at(Wal *wal, guint64 index, guint64 *out_chain, GError **error)
{
  for (;;) {
    g_mutex_lock(&wal->lock);
    guint generation = wal->generation;
    guint64 chain = wal->chain;
    gboolean known = wal->chain_known && index + 1 >= first_index(wal) && index <= wal->last_index;
    gboolean at_end = index == wal->last_index;
    ReadView view = {0};
    if (known && !at_end) /* of the next record: when that begins a segment, its header knows */
      view = view_of(wal, index + 1, TRUE);
    g_mutex_unlock(&wal->lock);
    if (!known)
      return FALSE;
    if (at_end) {
      *out_chain = chain;
      return TRUE;
    }

    g_autoptr(Segment) segment = view.segment;
    g_autoptr(GError) failure = NULL;
    ReadMark mark;
    gboolean read = reader_mark(&view, index, &mark, &failure);
    if (changed_since(wal, generation))
      continue;
    if (read) {
      *out_chain = mark.chain;
      return TRUE;
    }
    note_read_failure(wal, failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
  }
}

guint64 wal_behind_segment_of(Wal *wal, guint64 index)
{
  guint position;
  g_mutex_lock(&wal->lock);
  const Segment *segment = wal_find_segment(wal, index, &position);
  guint64 next = segment != NULL ? segment->last_index + 1 : first_index(wal);
  g_mutex_unlock(&wal->lock);
  return next;
}

void wal_stats(Wal *wal, WalStats *out_stats)
{
  WalStats stats = {0};
  g_mutex_lock(&wal->lock);
  stats.segments = wal->segments->len;
  for (guint i = 0; i < wal->segments->len; i++)
    stats.bytes += (guint64)((const Segment *)wal->segments->pdata[i])->file_size;
  g_mutex_unlock(&wal->lock);
  *out_stats = stats;
}

guint64 wal_index_of_oldest(Wal *wal, guint64 bytes)
{
  guint64 index = 0, sum = 0;
  g_mutex_lock(&wal->lock);
  for (guint i = 0; i + 1 < wal->segments->len && sum < bytes; i++) {
    const Segment *segment = wal->segments->pdata[i];
    sum += (guint64)segment->file_size;
    index = segment->last_index;
  }
  g_mutex_unlock(&wal->lock);
  return index;
}

gboolean wal_check_writable(Wal *wal, GError **error)
{
  if (wal->broken)
    return fail(error, SYNCLOG_READ_ONLY, "%s: a write or sync has failed before", wal->directory);
  if (wal->damaged)
    return fail(error, SYNCLOG_READ_ONLY, "%s: damaged behind record %" G_GUINT64_FORMAT,
                wal->directory, wal->last_index);
  return TRUE;
}

gboolean wal_break(Wal *wal, GError **error)
{
  g_mutex_lock(&wal->lock);
  wal->broken = TRUE;
  g_mutex_unlock(&wal->lock);
  if (error != NULL && *error != NULL)
    (*error)->code = SYNCLOG_READ_ONLY;
  return FALSE;
}

gboolean wal_fail_clean(Wal *wal, GError *failure, GError **error)
{
  gboolean again = synclog_error_is_lack(failure);
  g_propagate_error(error, failure);
  return again ? FALSE : wal_break(wal, error);
}

void wal_close_segment(Wal *wal)
{
  wal_file_close(&wal->file);
  g_clear_pointer(&wal->open, segment_unref);
  wal->listed = FALSE;
  wal->filled = 0;
}

gboolean wal_discard_unused_segment(Wal *wal, GError **error)
{
  if (wal->open == NULL || wal->listed)
    return TRUE;
  g_auto(WalFile) names = WAL_FILE_NONE;
  g_autoptr(GError) failure = NULL;
  if (!wal_directory_open(wal->io, wal->directory, &names, &failure))
    return wal_fail_clean(wal, g_steal_pointer(&failure), error);
  if (wal->io->unlink(wal->io->ctx, wal->open->path) < 0 && errno != ENOENT) {
    fail_errno(&failure, wal_file_status(errno), errno, "unlink %s", wal->open->path);
    return wal_fail_clean(wal, g_steal_pointer(&failure), error);
  }
  wal_close_segment(wal);
  return wal_directory_sync_open(&names, wal->directory, error) || wal_break(wal, error);
}

Segment *wal_find_segment(Wal *wal, guint64 index, guint *out_position)
{
  guint low = 0, high = wal->segments->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const Segment *segment = wal->segments->pdata[middle];
    if (segment->header.first_index <= index)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0)
    return NULL;
  *out_position = low - 1;
  return wal->segments->pdata[low - 1];
}

/*
 * Writes the last segment once more as it was read. A process before may have stopped over a failed
 * sync, and then the kernel can take pages for written that are not on the disk; a sync alone would
 * not bring them there. All of it, as nothing tells how much of it was never synced; the segments
 * before were, when this one began.
 */
static gboolean rewrite_segment(Wal *wal, GError **error)
{
  Segment *segment = wal->open;
  g_autofree guint8 *bytes = g_malloc(REWRITE_STEP);
  for (goffset at = SEGMENT_HEADER_SIZE; at < segment->end; at += REWRITE_STEP) {
    gsize size = (gsize)MIN(segment->end - at, (goffset)REWRITE_STEP);
    gssize n = wal_file_read(&wal->file, bytes, size, at);
    if (n != (gssize)size)
      return fail_errno(error, SYNCLOG_INTERNAL, n < 0 ? errno : EIO, "read %s", segment->path);
    if (wal_file_write(&wal->file, bytes, size, at) < size)
      return fail_errno(error, SYNCLOG_INTERNAL, errno, "write %s", segment->path);
  }
  return TRUE;
}

/* Readies the last segment for appending and makes durable what recovery has found. */
static gboolean attach_last_segment(Wal *wal, gboolean cut_tail, gboolean keep_open, GError **error)
{
  guint n = wal->segments->len;
  if (n == 0)
    return TRUE;
  Segment *segment = wal->segments->pdata[n - 1];
  wal->durable_end = segment->end;
  if (!wal_file_open(wal->io, segment->path, O_RDWR, &wal->file, error))
    return FALSE;
  wal->open = segment_ref(segment);
  wal->listed = TRUE;
  /* Damaged files are left alone: wal_cut wants them as they are. */
  if (!wal->damaged || wal->torn) {
    FAILPOINT("wal_open_before_rewrite");
    if (cut_tail) {
      FAILPOINT("wal_open_before_truncate");
      if (wal->io->ftruncate(wal->io->ctx, wal->file.fd, segment->end) < 0)
        return fail_errno(error, SYNCLOG_INTERNAL, errno, "truncate %s", segment->path);
      segment->file_size = segment->end;
    }
    if (!rewrite_segment(wal, error))
      return FALSE;
  }
  wal->filled = segment->file_size;
  if (FAILPOINT_FAILS("wal_open_before_sync") || wal->io->fsync(wal->io->ctx, wal->file.fd) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", segment->path);
  if (!wal_directory_sync(wal->io, wal->directory, error))
    return FALSE;
  FAILPOINT("wal_open_after_sync");
  if (!keep_open) /* there may be thousands of logs that nothing is written to */
    wal_file_close(&wal->file);
  if (wal->damaged) {
    wal_close_segment(wal);
  } else if (wal->last_index == 0) {
    /* Made for record 1, which never came: the log may still begin anywhere. */
    g_ptr_array_set_size(wal->segments, 0);
    wal->listed = FALSE;
    wal->chain = 0;
    wal->chain_known = TRUE;
  }
  return TRUE;
}

/* Opening a log leaves its last segment closed. */
static gboolean open_for_writing(Wal *wal, GError **error)
{
  g_autoptr(GError) failure = NULL;
  if (wal->open == NULL || wal->file.fd >= 0 ||
      wal_file_open(wal->io, wal->open->path, O_RDWR, &wal->file, &failure))
    return TRUE;
  return wal_fail_clean(wal, g_steal_pointer(&failure), error);
}

/* Opens the segment that begins with record `first`. */
static gboolean begin_segment(Wal *wal, guint64 first, guint64 chain_before, GError **error)
{
  FAILPOINT("wal_before_roll");
  SegmentHeader header = {.log = wal->log, .first_index = first, .hlc = wal->last_hlc};
  if (wal->last_index > 0) {
    header.chain_known = wal->chain_known;
    header.chain = wal->chain;
  } else {
    header.chain_known = first == 1 || chain_before != 0;
    header.chain = first == 1 ? 0 : chain_before;
  }
  if (wal->open != NULL && wal->listed) {
    header.previous_first = wal->open->header.first_index;
    header.previous_end = wal->open->end;
  }
  g_auto(WalFile) file = WAL_FILE_NONE;
  gboolean clean;
  g_autoptr(GError) failure = NULL;
  Segment *segment = segment_create(wal->io, wal->directory, &header, &file, &clean, &failure);
  if (segment == NULL) {
    if (clean)
      return wal_fail_clean(wal, g_steal_pointer(&failure), error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return wal_break(wal, error);
  }
  FAILPOINT("wal_after_roll");
  wal_close_segment(wal);
  wal->open = segment;
  wal->file = wal_file_steal(&file);
  wal->filled = SEGMENT_HEADER_SIZE;
  return TRUE;
}

/* Without writing them; FALSE: they must be written, be it that no disk space was left for all, and
 * whatever is wrong with the disk is met there. */
static gboolean allocate(Wal *wal, goffset target)
{
  int result;
  do
    result = wal->io->allocate(wal->io->ctx, wal->file.fd, wal->filled, target - wal->filled);
  while (result < 0 && errno == EINTR);
  if (result < 0)
    return FALSE;
  wal->filled = target;
  FAILPOINT("wal_after_allocate");
  return TRUE;
}

/* Makes the file as long as `need` with zeros, and somewhat longer, before an append of
 * `append_size` bytes. */
static gboolean fill(Wal *wal, goffset need, gsize append_size, GError **error)
{
  if (need <= wal->filled)
    return TRUE;
  goffset step = CLAMP(need, FILL_MIN_SIZE, FILL_MAX_SIZE);
  goffset target = MAX(need, MIN(need + step, (goffset)wal->segment_size));
  if (append_size >= ALLOCATE_SIZE && allocate(wal, target))
    return TRUE;
  gsize size = (gsize)(target - wal->filled);
  gsize done =
      FAILPOINT_FAILS("wal_fill") ? 0 : wal_file_write_zeros(&wal->file, size, wal->filled);
  int errno_value = errno;
  FAILPOINT("wal_after_fill");
  wal->filled += (goffset)done;
  if (done == size)
    return TRUE;
  if (errno_value == ENOSPC || errno_value == EDQUOT) {
    if (wal->filled >= need)
      return TRUE;
    return fail_errno(error, SYNCLOG_NO_SPACE, errno_value, "write %s", wal->open->path);
  }
  fail_errno(error, SYNCLOG_READ_ONLY, errno_value, "write %s at offset %" G_GINT64_FORMAT,
             wal->open->path, (gint64)wal->filled);
  return wal_break(wal, error);
}

/*
 * Finds a place for the run behind the last record: in a new segment when it does not fit. The
 * place is filled with zeros first, so that a full disk is met before any byte of the run is
 * written, and so that most syncs find blocks that the file has already.
 */
static gboolean make_room(Wal *wal, const EntryRun *run, guint64 chain_before, GError **error)
{
  guint64 first = entry_run_first_index(run);
  gsize size;
  entry_run_bytes(run, &size);
  if (wal->open != NULL && wal->last_index == 0) {
    /* In a log that holds nothing the place to begin may change. */
    const SegmentHeader *header = &wal->open->header;
    gboolean fits = header->first_index == first &&
                    header->chain == (header->first_index == 1 ? 0 : chain_before);
    if (!fits && !wal_discard_unused_segment(wal, error))
      return FALSE;
  }
  gboolean full = FALSE;
  if (wal->open != NULL)
    full =
        wal->open->end > SEGMENT_HEADER_SIZE && (guint64)wal->open->end + size > wal->segment_size;
  if (wal->open == NULL || full) {
    /* Closed segments are durable: recovery takes a hole in one for damage, not for a torn tail. */
    if (full && !wal_sync(wal, error))
      return FALSE;
    if (!begin_segment(wal, first, chain_before, error))
      return FALSE;
  }
  return fill(wal, wal->open->end + (goffset)size, size, error);
}

/* The open segment is one of the log's from now on. The caller holds the lock. */
static void list_segment(Wal *wal)
{
  if (wal->listed)
    return;
  g_ptr_array_add(wal->segments, segment_ref(wal->open));
  if (wal->last_index == 0) /* the log begins here */
    wal->durable_index = wal->open->header.first_index - 1;
  wal->durable_end = SEGMENT_HEADER_SIZE;
  wal->listed = TRUE;
}

/* Makes a run that was written visible. */
static void publish(Wal *wal, const EntryRun *run)
{
  Segment *segment = wal->open;
  gsize size;
  const guint8 *bytes = entry_run_bytes(run, &size);
  guint count = entry_run_count(run);
  gboolean known = wal->last_index > 0 ? wal->chain_known : segment->header.chain_known;
  guint64 chain = wal->last_index > 0 ? wal->chain : segment->header.chain;
  for (guint i = 0; known && i < count; i++) {
    gsize at = entry_run_offset(run, i);
    chain = record_chain(chain, bytes + at, entry_run_offset(run, i + 1) - at);
  }
  guint64 hlc = entry_run_record(run, count - 1).hlc;
  segment_cover_run(segment, run, segment->end);

  g_mutex_lock(&wal->lock);
  list_segment(wal);
  segment->last_index = entry_run_last_index(run);
  segment->end += (goffset)size;
  segment->file_size = wal->filled;
  wal->last_index = segment->last_index;
  wal->last_hlc = hlc;
  wal->chain_known = known;
  wal->chain = known ? chain : 0;
  g_mutex_unlock(&wal->lock);
}
