/* What takes records away: trim at the front, cut at the end, reset. */
#include "wal/wal_private.h"

#include "base/failpoint.h"
#include "wal/scan.h"

#include <errno.h>
#include <fcntl.h>

typedef struct Cut {
  guint64 index;     /* first record to go */
  guint keep;        /* segments before the one that is cut, which stay whole */
  Segment *segment;  /* the one that is cut; NULL when nothing of the log can be read */
  ReadMark mark;     /* its state at index - 1 */
  GPtrArray *behind; /* char*: paths of the segments behind it */
  gboolean keep_bad; /* keep what is taken away */
  GPtrArray *taken;  /* char*: names in the directory, when something is kept */
  WalFile file;      /* of `segment` */
  WalFile names;     /* the log's directory */
} Cut;

static void cut_clear(Cut *cut)
{
  g_clear_pointer(&cut->segment, segment_unref);
  g_clear_pointer(&cut->behind, g_ptr_array_unref);
  g_clear_pointer(&cut->taken, g_ptr_array_unref);
  wal_file_close(&cut->file);
  wal_file_close(&cut->names);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Cut, cut_clear)

static gboolean find_cut(Wal *wal, guint64 index, Cut *cut, GError **error);
static void publish_cut(Wal *wal, const Cut *cut);
static gboolean keep_copy(Wal *wal, const Cut *cut, GError **error);
static gboolean remove_behind(Wal *wal, const Cut *cut, GError **error);
static gboolean shorten(Wal *wal, Cut *cut, GError **error);
static gboolean prepare_cut(Wal *wal, Cut *cut, GError **error);

static gboolean unlink_file(Wal *wal, const char *path, GError **error)
{
  FAILPOINT("wal_before_unlink");
  if (wal->io->unlink(wal->io->ctx, path) < 0 && errno != ENOENT)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "unlink %s", path);
  FAILPOINT("wal_after_unlink");
  return TRUE;
}

/* Each deletion is made durable before the next: after a power loss the files that are left must
 * not have a hole between them. names: the directory, opened before anything was changed, so that
 * no descriptor is wanted in between. */
static gboolean remove_file(Wal *wal, const WalFile *names, const char *path, GError **error)
{
  return unlink_file(wal, path, error) && wal_directory_sync_open(names, wal->directory, error);
}

/* Takes the first segment off the list, unless there are at most `keep` or it goes beyond `index`:
 * NULL. */
static Segment *take_first(Wal *wal, guint keep, guint64 index)
{
  Segment *taken = NULL;
  g_mutex_lock(&wal->lock);
  Segment *first = wal->segments->len > keep ? wal->segments->pdata[0] : NULL;
  if (first != NULL && first->last_index <= index) {
    taken = segment_ref(first);
    g_ptr_array_remove_index(wal->segments, 0);
    wal->generation++;
  }
  g_mutex_unlock(&wal->lock);
  return taken;
}

static void put_back_first(Wal *wal, Segment *segment)
{
  g_mutex_lock(&wal->lock);
  g_ptr_array_insert(wal->segments, 0, segment_ref(segment));
  wal->generation++;
  g_mutex_unlock(&wal->lock);
}

/* That the last one is gone. */
static gboolean sync_front(Wal *wal, const WalFile *names, GError **error)
{
  if (!wal->front_unsynced)
    return TRUE;
  if (names != NULL ? !wal_directory_sync_open(names, wal->directory, error)
                    : !wal_directory_sync(wal->io, wal->directory, error))
    return FALSE;
  wal->front_unsynced = FALSE;
  return TRUE;
}

/*
 * Removes all that take_first() gives, each from the list first. None goes before it is sure that
 * the one before is gone, be that in an earlier call: with a hole between them the next opening
 * would take all behind it for damaged. names: the directory if it is open, else NULL.
 */
static gboolean remove_front(Wal *wal, guint keep, guint64 index, const WalFile *names,
                             GError **error)
{
  if (!sync_front(wal, names, error))
    return FALSE;
  for (;;) {
    g_autoptr(Segment) segment = take_first(wal, keep, index);
    if (segment == NULL)
      return TRUE;
    if (!unlink_file(wal, segment->path, error)) {
      put_back_first(wal, segment);
      return FALSE;
    }
    wal->front_unsynced = TRUE;
    if (!sync_front(wal, names, error))
      return FALSE;
  }
}

gboolean wal_trim(Wal *wal, guint64 index, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&wal->removing);
  return remove_front(wal, 1, index, NULL, error);
}

gboolean wal_reset(Wal *wal, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&wal->removing);
  if (wal->broken)
    return wal_check_writable(wal, error);
  FAILPOINT("wal_reset");
  g_auto(WalFile) names = WAL_FILE_NONE;
  g_autoptr(GError) failure = NULL;
  if (!wal_directory_open(wal->io, wal->directory, &names, &failure))
    return wal_fail_clean(wal, g_steal_pointer(&failure), error);
  if (!wal_discard_unused_segment(wal, error))
    return FALSE;
  wal_close_segment(wal);
  /* From the front: whenever this stops, a log that was trimmed is left. */
  if (!remove_front(wal, 0, G_MAXUINT64, &names, error))
    return wal_break(wal, error);
  for (guint i = 0; i < wal->beyond->len; i++) {
    g_autofree char *path = g_build_filename(wal->directory, wal->beyond->pdata[i], NULL);
    if (!remove_file(wal, &names, path, error))
      return wal_break(wal, error);
  }
  g_ptr_array_set_size(wal->beyond, 0);
  g_mutex_lock(&wal->lock);
  wal->last_index = wal->durable_index = 0;
  wal->durable_end = 0;
  wal->last_hlc = 0;
  wal->chain_known = TRUE;
  wal->chain = 0;
  wal->damaged = wal->torn = FALSE;
  wal->generation++;
  g_mutex_unlock(&wal->lock);
  g_atomic_int_set(&wal->read_damage, FALSE);
  return TRUE;
}

gboolean wal_cut(Wal *wal, guint64 index, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&wal->removing);
  g_assert(index >= wal_first_index(wal) && index <= wal->last_index + 1);
  if (wal->broken)
    return wal_check_writable(wal, error);
  if (!wal->damaged && index == wal->last_index + 1)
    return TRUE;
  g_auto(Cut) cut = {.index = index, .file = WAL_FILE_NONE, .names = WAL_FILE_NONE};
  if (!find_cut(wal, index, &cut, error))
    return FALSE;
  g_autoptr(GError) failure = NULL;
  if (!prepare_cut(wal, &cut, &failure))
    return wal_fail_clean(wal, g_steal_pointer(&failure), error);
  /* In this order: without the open segment the next one would not know what is before it. */
  if (!wal_discard_unused_segment(wal, error))
    return FALSE;
  wal_close_segment(wal);
  /* First for the readers, then on disk: a reader whose file changes under it sees that the log did
   * and looks again. */
  publish_cut(wal, &cut);
  FAILPOINT("wal_cut");
  if (!remove_behind(wal, &cut, error) || !shorten(wal, &cut, error))
    return wal_break(wal, error);
  return TRUE;
}

/* Opens what the cut needs before anything is changed: what is short now may not be later. The copy
 * comes last, as each further try makes another one. */
static gboolean prepare_cut(Wal *wal, Cut *cut, GError **error)
{
  if (cut->segment != NULL &&
      !wal_file_open(wal->io, cut->segment->path, O_RDWR, &cut->file, error))
    return FALSE;
  if (!wal_directory_open(wal->io, wal->directory, &cut->names, error))
    return FALSE;
  if (cut->keep_bad && (cut->taken = wal->io->list(wal->io->ctx, wal->directory)) == NULL)
    return fail_errno(error, wal_file_status(errno), errno, "list %s", wal->directory);
  return keep_copy(wal, cut, error);
}

/* Where the cut goes through, and what the log is in front of it. */
static gboolean find_cut(Wal *wal, guint64 index, Cut *cut, GError **error)
{
  cut->mark.offset = SEGMENT_HEADER_SIZE;
  cut->keep_bad = (wal->damaged && !wal->torn) || g_atomic_int_get(&wal->read_damage);
  cut->behind = g_ptr_array_new_with_free_func(g_free);
  guint position = 0;
  /* Record index - 1 is the one to keep; without it, the first segment is emptied. */
  Segment *segment = index == 1 ? NULL : wal_find_segment(wal, index - 1, &position);
  if (segment == NULL && wal->segments->len > 0)
    segment = wal->segments->pdata[0];
  if (segment != NULL) {
    cut->segment = segment_ref(segment);
    cut->keep = position;
    ReadView view = {wal->io, segment, segment->last_index, segment->end};
    if (!reader_mark(&view, index - 1, &cut->mark, error))
      return fail_prefix(error, "cut at %" G_GUINT64_FORMAT ": ", index);
    for (guint i = position + 1; i < wal->segments->len; i++) {
      const Segment *behind = wal->segments->pdata[i];
      g_ptr_array_add(cut->behind, g_strdup(behind->path));
    }
  }
  for (guint i = 0; i < wal->beyond->len; i++)
    g_ptr_array_add(cut->behind, g_build_filename(wal->directory, wal->beyond->pdata[i], NULL));
  return TRUE;
}

/* The log as it is from now on. */
static void publish_cut(Wal *wal, const Cut *cut)
{
  SegmentHeader header = {
      .log = wal->log, .first_index = cut->index, .chain_known = cut->index == 1};
  if (cut->segment != NULL)
    header = cut->segment->header;
  /* A new one: the sparse index of the old one goes too far. */
  Segment *segment = segment_new(wal->directory, &header);
  segment->last_index = cut->index - 1;
  segment->end = segment->file_size = cut->mark.offset;

  g_mutex_lock(&wal->lock);
  g_ptr_array_set_size(wal->segments, (int)cut->keep);
  /* A log without a record may begin anywhere, so its file is not listed. */
  if (cut->index > 1)
    g_ptr_array_add(wal->segments, segment_ref(segment));
  wal->last_index = wal->durable_index = cut->index - 1;
  wal->durable_end = segment->end;
  wal->last_hlc = cut->mark.hlc;
  wal->chain_known = header.chain_known;
  wal->chain = header.chain_known ? cut->mark.chain : 0;
  wal->damaged = wal->torn = FALSE;
  wal->generation++;
  g_mutex_unlock(&wal->lock);

  g_atomic_int_set(&wal->read_damage, FALSE);
  g_ptr_array_set_size(wal->beyond, 0);
  wal->open = segment;
  wal->listed = cut->index > 1;
  wal->filled = cut->mark.offset;
}

/* A name ending in ".bad" that is not taken. */
static char *bad_path(const Wal *wal, const Cut *cut, const char *path)
{
  g_autofree char *base = g_path_get_basename(path);
  for (guint n = 1;; n++) {
    g_autofree char *name = g_strdup_printf("%s.%u.bad", base, n);
    if (!g_ptr_array_find_with_equal_func(cut->taken, name, g_str_equal, NULL))
      return g_build_filename(wal->directory, name, NULL);
  }
}

static gboolean take_away(Wal *wal, const Cut *cut, const char *path, GError **error)
{
  if (!cut->keep_bad)
    return remove_file(wal, &cut->names, path, error);
  g_autofree char *bad = bad_path(wal, cut, path);
  if (wal->io->rename(wal->io->ctx, path, bad) < 0 && errno != ENOENT)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "rename %s to %s", path, bad);
  return wal_directory_sync_open(&cut->names, wal->directory, error);
}

/* Copies the segment that is cut when anything stands behind the cut. */
static gboolean keep_copy(Wal *wal, const Cut *cut, GError **error)
{
  if (!cut->keep_bad || cut->segment == NULL)
    return TRUE;
  const Segment *segment = cut->segment;
  g_auto(WalFile) file = WAL_FILE_NONE;
  if (!wal_file_open(wal->io, segment->path, O_RDONLY, &file, error))
    return FALSE;
  g_auto(Scan) scan;
  scan_begin(&scan, &file, segment->path, wal->log, cut->index, cut->mark.offset,
             segment->file_size);
  ScanTail tail;
  if (!scan_tail(&scan, &tail, error))
    return FALSE;
  if (tail.dirty_end == cut->mark.offset)
    return TRUE;
  g_autofree char *bad = bad_path(wal, cut, segment->path);
  g_autofree char *temp = segment_temp_path(wal->directory);
  return wal_file_copy(wal->io, segment->path, temp, bad, error) &&
         wal_directory_sync_open(&cut->names, wal->directory, error);
}

/* From the back: whenever this stops, what is left has no hole. */
static gboolean remove_behind(Wal *wal, const Cut *cut, GError **error)
{
  for (guint i = cut->behind->len; i > 0; i--)
    if (!take_away(wal, cut, cut->behind->pdata[i - 1], error))
      return FALSE;
  return TRUE;
}

/* Makes the file end at the cut and opens it. Where nothing can be read, an empty segment begins
 * there, so that the log remembers its place. */
static gboolean shorten(Wal *wal, Cut *cut, GError **error)
{
  const char *path = wal->open->path;
  if (cut->segment == NULL) {
    gboolean clean;
    g_autoptr(Segment) made =
        segment_create(wal->io, wal->directory, &wal->open->header, &wal->file, &clean, error);
    return made != NULL;
  }
  wal->file = wal_file_steal(&cut->file);
  FAILPOINT("wal_cut_before_truncate");
  if (wal->io->ftruncate(wal->io->ctx, wal->file.fd, cut->mark.offset) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "truncate %s", path);
  if (wal->io->fsync(wal->io->ctx, wal->file.fd) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "fsync %s", path);
  return TRUE;
}
