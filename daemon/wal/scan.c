#include "wal/scan.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <errno.h>

enum { CHUNK_SIZE = 1024 * 1024 };

void scan_begin(Scan *scan, const WalFile *file, const char *path, LogId log, guint64 index,
                goffset offset, goffset limit)
{
  *scan = (Scan){.file = file,
                 .path = path,
                 .seed = record_seed(log),
                 .index = index,
                 .offset = offset,
                 .limit = limit,
                 .chunk = CHUNK_SIZE};
}

void scan_clear(Scan *scan)
{
  g_clear_pointer(&scan->buffer, g_free);
}

/*
 * The bytes from `offset` on: *out_size is at least `need`, unless the limit or the end of the file
 * comes first. NULL with an error when the file can't be read.
 */
static const guint8 *window(Scan *scan, goffset offset, gsize need, gsize *out_size, GError **error)
{
  gboolean inside = offset >= scan->start && offset <= scan->start + (goffset)scan->size;
  gsize have = inside ? (gsize)(scan->start + (goffset)scan->size - offset) : 0;
  gsize left = offset < scan->limit ? (gsize)(scan->limit - offset) : 0;
  if (have < MIN(need, left) || scan->buffer == NULL) {
    gsize want = MIN(MAX(need, scan->chunk), left);
    if (want > scan->room || scan->buffer == NULL) {
      guint8 *larger = g_malloc(MAX(want, (gsize)1));
      if (have > 0)
        memcpy(larger, scan->buffer + (offset - scan->start), have);
      g_free(scan->buffer);
      scan->buffer = larger;
      scan->room = want;
    } else if (have > 0) {
      memmove(scan->buffer, scan->buffer + (offset - scan->start), have);
    }
    scan->start = offset;
    scan->size = have;
    gssize n = wal_file_read(scan->file, scan->buffer + have, want - have, offset + (goffset)have);
    if (n < 0) {
      fail_errno(error, wal_file_status(errno), errno, "read %s at %" G_GINT64_FORMAT, scan->path,
                 (gint64)offset);
      return NULL;
    }
    scan->size += (gsize)n;
  }
  *out_size = MIN((gsize)(scan->start + (goffset)scan->size - offset), left);
  return scan->buffer + (offset - scan->start);
}

/* Parses what begins at `offset`, with as many bytes as it needs. FALSE: could not be read. */
static gboolean parse_at(Scan *scan, goffset offset, RecordVerdict *out_verdict, Record *out_record,
                         GError **error)
{
  gsize size;
  const guint8 *bytes = window(scan, offset, RECORD_OVERHEAD_SIZE, &size, error);
  if (bytes == NULL)
    return FALSE;
  *out_verdict = record_parse(scan->seed, bytes, size, out_record);
  if (*out_verdict != RECORD_SHORT || size < RECORD_HEAD_SIZE)
    return TRUE;
  gsize need = load_be32(bytes + RECORD_HEAD_SIZE - 4) + (gsize)RECORD_OVERHEAD_SIZE;
  bytes = window(scan, offset, need, &size, error);
  if (bytes == NULL)
    return FALSE;
  *out_verdict = record_parse(scan->seed, bytes, size, out_record);
  return TRUE;
}

ScanResult scan_next(Scan *scan, Record *out_record, GError **error)
{
  RecordVerdict verdict;
  Record record;
  if (!parse_at(scan, scan->offset, &verdict, &record, error))
    return SCAN_FAILED;
  if (verdict == RECORD_EMPTY)
    return SCAN_END;
  if (verdict != RECORD_VALID || record.index != scan->index)
    return SCAN_BAD;
  scan->offset += (goffset)record.size;
  scan->index++;
  *out_record = record;
  return SCAN_RECORD;
}

static gboolean find_dirty_end(Scan *scan, goffset *out_end, GError **error)
{
  *out_end = scan->offset;
  for (goffset at = scan->offset; at < scan->limit;) {
    gsize size;
    const guint8 *bytes = window(scan, at, 1, &size, error);
    if (bytes == NULL)
      return FALSE;
    if (size == 0)
      break;
    for (gsize i = size; i > 0; i--)
      if (bytes[i - 1] != 0) {
        *out_end = at + (goffset)i;
        break;
      }
    at += (goffset)size;
  }
  return TRUE;
}

/* Tries every byte as the beginning of a record: the length of what is broken can't be believed. */
static gboolean find_valid(Scan *scan, goffset end, ScanTail *tail, GError **error)
{
  for (goffset at = scan->offset; at < end;) {
    gsize size;
    const guint8 *bytes = window(scan, at, RECORD_OVERHEAD_SIZE, &size, error);
    if (bytes == NULL)
      return FALSE;
    if (size < RECORD_OVERHEAD_SIZE)
      break;
    const guint8 *head = memchr(bytes, 0x0A, size);
    if (head == NULL || head != bytes) {
      at += head == NULL ? (goffset)size : head - bytes;
      continue;
    }
    RecordVerdict verdict;
    Record record;
    if (!parse_at(scan, at, &verdict, &record, error))
      return FALSE;
    if (verdict == RECORD_VALID && record.index >= scan->index) {
      tail->valid_behind = TRUE;
      tail->valid_index = record.index;
      break;
    }
    at++;
  }
  return TRUE;
}

gboolean scan_tail(Scan *scan, ScanTail *out_tail, GError **error)
{
  ScanTail tail = {0};
  if (!find_dirty_end(scan, &tail.dirty_end, error))
    return FALSE;
  if (tail.dirty_end > scan->offset && !find_valid(scan, tail.dirty_end, &tail, error))
    return FALSE;
  *out_tail = tail;
  return TRUE;
}
