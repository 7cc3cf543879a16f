#include "wal/segment.h"

#include "base/failpoint.h"

#include <errno.h>
#include <fcntl.h>

Segment *segment_new(const char *directory, const SegmentHeader *header)
{
  char name[SEGMENT_NAME_SIZE];
  Segment *segment = g_new0(Segment, 1);
  segment->refs = 1;
  segment->path = g_build_filename(directory, segment_name_format(header->first_index, name), NULL);
  segment->header = *header;
  segment->last_index = header->first_index - 1;
  segment->end = SEGMENT_HEADER_SIZE;
  segment->file_size = SEGMENT_HEADER_SIZE;
  g_mutex_init(&segment->lock);
  segment->points = g_array_new(FALSE, FALSE, sizeof(SegmentPoint));
  segment->next = (SegmentPoint){header->first_index, SEGMENT_HEADER_SIZE};
  return segment;
}

Segment *segment_ref(Segment *segment)
{
  g_atomic_int_inc(&segment->refs);
  return segment;
}

void segment_unref(Segment *segment)
{
  if (!g_atomic_int_dec_and_test(&segment->refs))
    return;
  g_free(segment->path);
  g_mutex_clear(&segment->lock);
  g_array_unref(segment->points);
  g_free(segment);
}

char *segment_temp_path(const char *directory)
{
  return g_build_filename(directory, "segment.tmp", NULL);
}

/* The header in a temporary file, written and synced. */
static gboolean write_header(const WalIo *io, const char *temp, const SegmentHeader *header,
                             WalFile *out_file, GError **error)
{
  guint8 bytes[SEGMENT_HEADER_SIZE];
  segment_header_encode(header, bytes);
  g_auto(WalFile) file = WAL_FILE_NONE;
  if (!wal_file_open(io, temp, O_RDWR | O_CREAT | O_TRUNC, &file, error))
    return FALSE;
  if (FAILPOINT_FAILS("segment_header_write") ||
      wal_file_write(&file, bytes, sizeof bytes, 0) < sizeof bytes)
    return fail_errno(error, wal_file_status(errno), errno, "write %s", temp);
  if (FAILPOINT_FAILS("segment_header_sync") || io->fsync(io->ctx, file.fd) < 0)
    return fail_errno(error, wal_file_status(errno), errno, "fsync %s", temp);
  *out_file = wal_file_steal(&file);
  return TRUE;
}

Segment *segment_create(const WalIo *io, const char *directory, const SegmentHeader *header,
                        WalFile *out_file, gboolean *out_clean, GError **error)
{
  g_autoptr(Segment) segment = segment_new(directory, header);
  g_autofree char *temp = segment_temp_path(directory);
  g_auto(WalFile) file = WAL_FILE_NONE;
  g_auto(WalFile) names = WAL_FILE_NONE;
  *out_clean = TRUE;
  if (!write_header(io, temp, header, &file, error) ||
      !wal_directory_open(io, directory, &names, error)) {
    io->unlink(io->ctx, temp);
    return NULL;
  }
  if (FAILPOINT_FAILS("segment_rename") || io->rename(io->ctx, temp, segment->path) < 0) {
    fail_errno(error, wal_file_status(errno), errno, "rename %s to %s", temp, segment->path);
    io->unlink(io->ctx, temp);
    return NULL;
  }
  /* Its records may be acknowledged later without another sync of the directory. */
  *out_clean = FALSE;
  FAILPOINT("segment_before_dir_sync");
  if (!wal_directory_sync_open(&names, directory, error))
    return NULL;
  *out_file = wal_file_steal(&file);
  return g_steal_pointer(&segment);
}

static void cover(Segment *segment, guint64 index, goffset offset, gsize size)
{
  if (index != segment->next.index)
    return;
  g_assert(offset == segment->next.offset);
  guint n = segment->points->len;
  goffset last =
      n == 0 ? SEGMENT_HEADER_SIZE : g_array_index(segment->points, SegmentPoint, n - 1).offset;
  if (offset - last >= SEGMENT_POINT_DISTANCE)
    g_array_append_val(segment->points, segment->next);
  segment->next = (SegmentPoint){index + 1, offset + (goffset)size};
}

void segment_cover(Segment *segment, guint64 index, goffset offset, gsize size)
{
  g_mutex_lock(&segment->lock);
  cover(segment, index, offset, size);
  g_mutex_unlock(&segment->lock);
}

void segment_cover_run(Segment *segment, const EntryRun *run, goffset offset)
{
  guint64 first = entry_run_first_index(run);
  g_mutex_lock(&segment->lock);
  for (guint i = 0; i < entry_run_count(run); i++) {
    gsize at = entry_run_offset(run, i);
    cover(segment, first + i, offset + (goffset)at, entry_run_offset(run, i + 1) - at);
  }
  g_mutex_unlock(&segment->lock);
}

void segment_note_end(Segment *segment, guint64 next_index, goffset next_offset)
{
  g_mutex_lock(&segment->lock);
  segment->ends[segment->next_end] = (SegmentPoint){next_index, next_offset};
  segment->next_end = (segment->next_end + 1) % SEGMENT_ENDS;
  g_mutex_unlock(&segment->lock);
}

SegmentPoint segment_nearest(Segment *segment, guint64 index)
{
  SegmentPoint nearest = {segment->header.first_index, SEGMENT_HEADER_SIZE};
  g_mutex_lock(&segment->lock);
  guint low = 0, high = segment->points->len; /* points[low - 1] <= index < points[high] */
  while (low < high) {
    guint middle = low + (high - low) / 2;
    SegmentPoint point = g_array_index(segment->points, SegmentPoint, middle);
    if (point.index <= index) {
      nearest = point;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (segment->next.index <= index)
    nearest = segment->next;
  for (guint i = 0; i < SEGMENT_ENDS; i++)
    if (segment->ends[i].index <= index && segment->ends[i].index > nearest.index)
      nearest = segment->ends[i];
  g_mutex_unlock(&segment->lock);
  return nearest;
}
