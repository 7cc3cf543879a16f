#include "wal/reader.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "wal/scan.h"

#include <errno.h>
#include <fcntl.h>

static gboolean fail_bad_record(GError **error, const char *path, goffset offset, guint64 index)
{
  return fail(error, SYNCLOG_CORRUPT,
              "%s: no valid record %" G_GUINT64_FORMAT " at offset %" G_GINT64_FORMAT, path, index,
              (gint64)offset);
}

/* As scan_next, but anything other than a record is a failure. */
static gboolean next_record(Scan *scan, Record *out_record, GError **error)
{
  switch (scan_next(scan, out_record, error)) {
  case SCAN_RECORD:
    return TRUE;
  case SCAN_FAILED:
    return FALSE;
  case SCAN_END:
  case SCAN_BAD:
    break;
  }
  return fail_bad_record(error, scan->path, scan->offset, scan->index);
}

/* A segment that the log has and the disk has not is damage, too. */
static gboolean open_segment(const ReadView *view, WalFile *out_file, GError **error)
{
  g_autoptr(GError) local = NULL;
  if (wal_file_open(view->io, view->segment->path, O_RDONLY, out_file, &local))
    return TRUE;
  if (g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_INVALID))
    local->code = SYNCLOG_CORRUPT;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

/* The offset of record `index`, walking from the nearest place known and noting the way. */
static gboolean find_offset(const ReadView *view, const WalFile *file, guint64 index,
                            goffset *out_offset, GError **error)
{
  SegmentPoint point = segment_nearest(view->segment, index);
  g_auto(Scan) scan;
  scan_begin(&scan, file, view->segment->path, view->segment->header.log, point.index, point.offset,
             view->end);
  scan.chunk = SEGMENT_POINT_DISTANCE;
  while (scan.index < index) {
    Record record;
    goffset at = scan.offset;
    if (!next_record(&scan, &record, error))
      return FALSE;
    segment_cover(view->segment, record.index, at, record.size);
  }
  *out_offset = scan.offset;
  return TRUE;
}

/* How many bytes are likely to hold what is asked for. */
static gsize estimate_size(const ReadView *view, guint64 from, guint max_count, gsize max_bytes)
{
  const SegmentHeader *header = &view->segment->header;
  guint64 records = view->last_index - header->first_index + 1;
  guint64 bytes = (guint64)(view->end - SEGMENT_HEADER_SIZE);
  guint64 average = bytes / records + 1;
  guint64 count = MIN((guint64)max_count, view->last_index - from + 1);
  /* A quarter more, as sizes differ; a page more, as it costs nothing. */
  guint64 likely = count * average + count * average / 4 + 4096;
  return (gsize)MIN(likely, (guint64)max_bytes);
}

/* Reads [offset, offset + size) in one piece; the file must be that long. */
static guint8 *fetch(const ReadView *view, const WalFile *file, goffset offset, gsize size,
                     GError **error)
{
  g_autofree guint8 *bytes = g_malloc(size);
  gssize n = wal_file_read(file, bytes, size, offset);
  if (n < 0) {
    fail_errno(error, wal_file_status(errno), errno, "read %s at offset %" G_GINT64_FORMAT,
               view->segment->path, (gint64)offset);
    return NULL;
  }
  if ((gsize)n < size) {
    fail(error, SYNCLOG_CORRUPT,
         "%s ends at offset %" G_GINT64_FORMAT ", %" G_GINT64_FORMAT " expected",
         view->segment->path, (gint64)(offset + n), (gint64)view->end);
    return NULL;
  }
  return g_steal_pointer(&bytes);
}

/* Counts the valid records at the beginning of `bytes` that fit into the limits. *out_verdict is
 * that of the record behind them, VALID when a limit ended the counting. */
static guint count_records(const ReadView *view, const guint8 *bytes, gsize size, guint64 from,
                           guint max_count, gsize max_bytes, gsize *out_used,
                           RecordVerdict *out_verdict)
{
  guint32 seed = record_seed(view->segment->header.log);
  guint count = 0;
  gsize used = 0;
  RecordVerdict verdict = RECORD_VALID;
  while (count < max_count && from + count <= view->last_index) {
    Record record;
    verdict = record_parse(seed, bytes + used, size - used, &record);
    if (verdict == RECORD_VALID && record.index != from + count)
      verdict = RECORD_BROKEN;
    if (verdict != RECORD_VALID || (count > 0 && record.size > max_bytes - used))
      break;
    used += record.size;
    count++;
    if (used >= max_bytes)
      break;
  }
  *out_used = used;
  *out_verdict = verdict;
  return count;
}

/* Size of the record that begins at bytes[0] and goes on behind `size`; its structure is not broken
 * as far as it can be seen. */
static gsize size_wanted(const guint8 *bytes, gsize size)
{
  if (size < RECORD_HEAD_SIZE)
    return RECORD_HEAD_SIZE;
  return load_be32(bytes + RECORD_HEAD_SIZE - 4) + (gsize)RECORD_OVERHEAD_SIZE;
}

EntryRun *reader_read(const ReadView *view, guint64 from, guint max_count, gsize max_bytes,
                      GError **error)
{
  Segment *segment = view->segment;
  g_auto(WalFile) file = WAL_FILE_NONE;
  goffset offset;
  if (!open_segment(view, &file, error) || !find_offset(view, &file, from, &offset, error))
    return NULL;

  if (offset >= view->end) { /* the header behind it counts more records than there are */
    fail_bad_record(error, segment->path, offset, from);
    return NULL;
  }
  gsize left = (gsize)(view->end - offset);
  gsize want = MAX(estimate_size(view, from, max_count, max_bytes), (gsize)RECORD_OVERHEAD_SIZE);
  g_autofree guint8 *bytes = NULL;
  guint count = 0;
  gsize size = 0, used = 0;
  /* A second round only when already the first record is longer than what was read. */
  for (;;) {
    size = MIN(want, left);
    g_free(bytes);
    bytes = fetch(view, &file, offset, size, error);
    if (bytes == NULL)
      return NULL;
    RecordVerdict verdict;
    count = count_records(view, bytes, size, from, max_count, max_bytes, &used, &verdict);
    if (count > 0)
      break;
    if (verdict != RECORD_SHORT || size == left) {
      fail_bad_record(error, segment->path, offset, from);
      return NULL;
    }
    want = size_wanted(bytes, size);
    g_assert(want > size);
  }
  /* A run may live long: give back what it does not need. */
  if (used < size - size / 4) {
    guint8 *exact = g_memdup2(bytes, used);
    g_free(bytes);
    bytes = exact;
  }
  guint8 *owned = g_steal_pointer(&bytes);
  EntryRun *run = entry_run_new(segment->header.log, from, count, owned, used, owned, g_free);
  segment_cover_run(segment, run, offset);
  segment_note_end(segment, from + count, offset + (goffset)used);
  return run;
}

gboolean reader_mark(const ReadView *view, guint64 index, ReadMark *out_mark, GError **error)
{
  Segment *segment = view->segment;
  g_auto(WalFile) file = WAL_FILE_NONE;
  if (!open_segment(view, &file, error))
    return FALSE;
  g_auto(Scan) scan;
  scan_begin(&scan, &file, segment->path, segment->header.log, segment->header.first_index,
             SEGMENT_HEADER_SIZE, view->end);
  ReadMark mark = {SEGMENT_HEADER_SIZE, segment->header.chain, segment->header.hlc};
  while (scan.index <= index) {
    Record record;
    if (!next_record(&scan, &record, error))
      return FALSE;
    mark.chain = record_chain(mark.chain, record.data - RECORD_HEAD_SIZE, record.size);
    mark.hlc = record.hlc;
  }
  mark.offset = scan.offset;
  *out_mark = mark;
  return TRUE;
}
