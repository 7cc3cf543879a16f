#include "wal/recovery.h"

#include "wal/scan.h"

#include <errno.h>
#include <fcntl.h>

typedef struct Recoverer {
  const WalIo *io;
  const WalOptions *options;
  GArray *firsts;    /* guint64: the segment files, sorted */
  Recovered found;   /* what goes out */
  WalRecovery state; /* what goes out */
} Recoverer;

static void recoverer_clear(Recoverer *r)
{
  g_clear_pointer(&r->firsts, g_array_unref);
  recovered_clear(&r->found);
  wal_recovery_clear(&r->state);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Recoverer, recoverer_clear)

static gboolean list_files(Recoverer *r, GError **error);
static gboolean load_segments(Recoverer *r, GError **error);
static gboolean scan_last_segment(Recoverer *r, GError **error);

void recovered_clear(Recovered *recovered)
{
  g_clear_pointer(&recovered->segments, g_ptr_array_unref);
  g_clear_pointer(&recovered->beyond, g_ptr_array_unref);
}

void wal_recovery_clear(WalRecovery *recovery)
{
  g_clear_pointer(&recovery->bad_file, g_free);
  g_clear_pointer(&recovery->message, g_free);
  *recovery = (WalRecovery){0};
}

gboolean recover_directory(const WalOptions *options, const WalIo *io, Recovered *out_recovered,
                           WalRecovery *out_recovery, GError **error)
{
  g_auto(Recoverer) r = {.io = io, .options = options};
  r.firsts = g_array_new(FALSE, FALSE, sizeof(guint64));
  r.found.segments = g_ptr_array_new_with_free_func((GDestroyNotify)segment_unref);
  r.found.beyond = g_ptr_array_new_with_free_func(g_free);
  if (!list_files(&r, error) || !load_segments(&r, error) || !scan_last_segment(&r, error))
    return FALSE;
  *out_recovered = r.found;
  *out_recovery = r.state;
  r.found = (Recovered){0};
  r.state = (WalRecovery){0};
  return TRUE;
}

static int compare_u64(gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return x < y ? -1 : x > y;
}

static gboolean list_files(Recoverer *r, GError **error)
{
  const char *directory = r->options->directory;
  g_autoptr(GPtrArray) names = r->io->list(r->io->ctx, directory);
  if (names == NULL)
    return fail_errno(error, wal_file_status(errno), errno, "list %s", directory);
  for (guint i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];
    guint64 first;
    if (segment_name_parse(name, &first)) {
      g_array_append_val(r->firsts, first);
    } else if (g_str_has_suffix(name, ".tmp")) {
      g_autofree char *path = g_build_filename(directory, name, NULL);
      if (r->io->unlink(r->io->ctx, path) < 0 && errno != ENOENT)
        return fail_errno(error, SYNCLOG_INTERNAL, errno, "unlink %s", path);
    }
  }
  g_array_sort(r->firsts, compare_u64);
  return TRUE;
}

/* Notes where the damage begins; bad_index follows from what can be read before it. */
static void note_damage(Recoverer *r, const char *path, goffset offset, char *message)
{
  wal_recovery_clear(&r->state);
  r->state.verdict = WAL_CORRUPT;
  r->state.bad_file = g_strdup(path);
  r->state.bad_offset = (guint64)offset;
  r->state.message = message;
}

/* Why the header can't be that of the next segment; NULL when it can. */
static char *header_problem(Recoverer *r, const SegmentHeader *header, guint64 name_index)
{
  if (!log_id_equal(header->log, r->options->log)) {
    char text[LOG_ID_TEXT_SIZE];
    return g_strdup_printf("segment belongs to log %s", log_id_format(header->log, text));
  }
  if (header->first_index != name_index)
    return g_strdup_printf("header says first index %" G_GUINT64_FORMAT ", the name says otherwise",
                           header->first_index);
  guint n = r->found.segments->len;
  if (n == 0)
    return NULL;
  const Segment *before = r->found.segments->pdata[n - 1];
  if (header->previous_first != before->header.first_index)
    return g_strdup_printf("the segment before, with first index %" G_GUINT64_FORMAT ", is missing",
                           header->previous_first);
  return NULL;
}

/* Reads the header of one file. *out_segment stays NULL when the damage begins here. */
static gboolean load_segment(Recoverer *r, guint64 first, Segment **out_segment, GError **error)
{
  char name[SEGMENT_NAME_SIZE];
  g_autofree char *path =
      g_build_filename(r->options->directory, segment_name_format(first, name), NULL);
  g_auto(WalFile) file = WAL_FILE_NONE;
  guint8 bytes[SEGMENT_HEADER_SIZE];
  if (!wal_file_open(r->io, path, O_RDONLY, &file, error))
    return FALSE;
  goffset size = r->io->size(r->io->ctx, file.fd);
  gssize n = wal_file_read(&file, bytes, sizeof bytes, 0);
  if (size < 0 || n < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "read %s", path);

  SegmentHeader header;
  switch (segment_header_decode(bytes, (gsize)n, &header)) {
  case HEADER_VALID:
    break;
  case HEADER_DAMAGED:
    note_damage(r, path, 0, g_strdup_printf("%s: damaged header", path));
    return TRUE;
  case HEADER_OTHER_VERSION:
    return fail(error, SYNCLOG_WRONG_VERSION, "%s was written by another version of synclogd",
                path);
  }
  g_autofree char *problem = header_problem(r, &header, first);
  if (problem != NULL) {
    note_damage(r, path, 0, g_strdup_printf("%s: %s", path, problem));
    return TRUE;
  }
  *out_segment = segment_new(r->options->directory, &header);
  (*out_segment)->file_size = size;
  return TRUE;
}

static gboolean load_segments(Recoverer *r, GError **error)
{
  guint i;
  for (i = 0; i < r->firsts->len; i++) {
    guint64 first = g_array_index(r->firsts, guint64, i);
    Segment *segment = NULL;
    if (!load_segment(r, first, &segment, error))
      return FALSE;
    if (segment == NULL)
      break;
    if (r->found.segments->len > 0) {
      Segment *before = r->found.segments->pdata[r->found.segments->len - 1];
      goffset end = segment->header.previous_end;
      if (before->file_size < end) {
        note_damage(r, before->path, before->file_size,
                    g_strdup_printf("%s ends at offset %" G_GINT64_FORMAT
                                    ", records went up to %" G_GINT64_FORMAT,
                                    before->path, (gint64)before->file_size, (gint64)end));
        segment_unref(segment);
        break;
      }
      before->end = end;
      before->last_index = first - 1;
    }
    g_ptr_array_add(r->found.segments, segment);
  }
  for (; i < r->firsts->len; i++) {
    char name[SEGMENT_NAME_SIZE];
    segment_name_format(g_array_index(r->firsts, guint64, i), name);
    g_ptr_array_add(r->found.beyond, g_strdup(name));
  }
  return TRUE;
}

/* Judges what stands where the last segment's records end. */
static gboolean judge_tail(Recoverer *r, Scan *scan, gboolean bad, GError **error)
{
  ScanTail tail;
  if (!scan_tail(scan, &tail, error))
    return FALSE;
  gboolean dirty = bad || tail.dirty_end > scan->offset;
  if (dirty && (tail.valid_behind || r->found.beyond->len > 0)) {
    char *behind = tail.valid_behind
                       ? g_strdup_printf("record %" G_GUINT64_FORMAT, tail.valid_index)
                       : g_strdup_printf("segment %s", (char *)r->found.beyond->pdata[0]);
    note_damage(r, scan->path, scan->offset,
                g_strdup_printf("%s: no valid record %" G_GUINT64_FORMAT
                                " at offset %" G_GINT64_FORMAT ", but %s stands behind it",
                                scan->path, scan->index, (gint64)scan->offset, behind));
    g_free(behind);
  } else if (dirty) {
    r->state.verdict = WAL_TORN_TAIL;
    r->state.cut_bytes = (guint64)(tail.dirty_end - scan->offset);
    r->state.message = g_strdup_printf("%s: cut off %" G_GUINT64_FORMAT
                                       " bytes at offset %" G_GINT64_FORMAT " that are no record",
                                       scan->path, r->state.cut_bytes, (gint64)scan->offset);
  }
  return TRUE;
}

static gboolean scan_segment(Recoverer *r, Segment *segment, GError **error)
{
  g_auto(WalFile) file = WAL_FILE_NONE;
  if (!wal_file_open(r->io, segment->path, O_RDONLY, &file, error))
    return FALSE;
  g_auto(Scan) scan;
  scan_begin(&scan, &file, segment->path, segment->header.log, segment->header.first_index,
             SEGMENT_HEADER_SIZE, segment->file_size);
  Recovered *found = &r->found;
  found->chain_known = segment->header.chain_known;
  found->chain = segment->header.chain;
  found->last_hlc = segment->header.hlc;
  ScanResult result;
  Record record;
  for (goffset at = scan.offset; (result = scan_next(&scan, &record, error)) == SCAN_RECORD;
       at = scan.offset) {
    if (found->chain_known)
      found->chain = record_chain(found->chain, record.data - RECORD_HEAD_SIZE, record.size);
    found->last_hlc = record.hlc;
    segment_cover(segment, record.index, at, record.size);
  }
  if (result == SCAN_FAILED)
    return FALSE;
  segment->last_index = scan.index - 1;
  segment->end = scan.offset;
  found->last_index = segment->last_index;
  return judge_tail(r, &scan, result == SCAN_BAD, error);
}

static gboolean scan_last_segment(Recoverer *r, GError **error)
{
  Recovered *found = &r->found;
  guint n = found->segments->len;
  if (n > 0) {
    if (!scan_segment(r, found->segments->pdata[n - 1], error))
      return FALSE;
  } else if (r->firsts->len > 0) {
    /* Nothing can be read. That something was there must not be forgotten. */
    found->last_index = g_array_index(r->firsts, guint64, 0) - 1;
  } else {
    found->chain_known = TRUE;
  }
  if (r->state.verdict != WAL_CLEAN)
    r->state.bad_index = found->last_index + 1;
  return TRUE;
}
