#include "ctl/wal_walk.h"

#include "base/error.h"
#include "wal/format.h"
#include "wal/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
  FIND_DEPTH = 4,
  /* A node that is writing may be seen in the middle of a write: look again before calling it
   * damage. */
  TAIL_LOOKS = 5,
  TAIL_PAUSE_US = 20 * 1000,
};

typedef struct Walk {
  const WalPlace *place;
  guint64 from;
  WalVisit visit;
  gpointer ctx;
  WalFindings *findings;
  gboolean ended;     /* by damage or by the visitor */
  gboolean began;     /* a segment was read; the next one must follow it */
  guint64 next_index; /* behind the last record */
  guint64 previous_first;
  gboolean chain_known;
  guint64 chain;
} Walk;

/* One segment file while it is read. */
typedef struct Piece {
  char *path;
  WalFile file;
  SegmentHeader header;
  goffset limit; /* bytes that belong to it */
  gboolean last; /* nothing follows it */
} Piece;

static void piece_clear(Piece *piece)
{
  g_free(piece->path);
  wal_file_close(&piece->file);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Piece, piece_clear)

void wal_place_free(WalPlace *place)
{
  g_free(place->directory);
  g_free(place->only_file);
  g_free(place);
}

void wal_findings_clear(WalFindings *findings)
{
  g_clear_pointer(&findings->damage, g_ptr_array_unref);
  g_clear_pointer(&findings->note, g_free);
}

static void add_place(GPtrArray *places, const char *directory, const char *only_file, LogId log)
{
  WalPlace *place = g_new0(WalPlace, 1);
  place->directory = g_strdup(directory);
  place->only_file = g_strdup(only_file);
  place->log = log;
  g_ptr_array_add(places, place);
}

static gboolean read_header(Piece *piece, HeaderVerdict *out_verdict, GError **error)
{
  guint8 bytes[SEGMENT_HEADER_SIZE];
  gssize n = wal_file_read(&piece->file, bytes, sizeof bytes, 0);
  if (n < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "read %s", piece->path);
  *out_verdict = segment_header_decode(bytes, (gsize)n, &piece->header);
  return TRUE;
}

/* A single file: its header tells the log, or the name of its directory does. */
static gboolean find_file(const char *path, GPtrArray *places, GError **error)
{
  g_autofree char *name = g_path_get_basename(path);
  g_autofree char *directory = g_path_get_dirname(path);
  g_autofree char *directory_name = g_path_get_basename(directory);
  guint64 first;
  if (!segment_name_parse(name, &first))
    return fail(error, SYNCLOG_INVALID, "%s: no segment file has such a name", path);
  LogId log;
  if (log_id_parse(directory_name, &log)) {
    add_place(places, directory, name, log);
    return TRUE;
  }
  g_auto(Piece) piece = {.path = g_strdup(path), .file = WAL_FILE_NONE};
  HeaderVerdict verdict;
  if (!wal_file_open(wal_io_system(), path, O_RDONLY, &piece.file, error) ||
      !read_header(&piece, &verdict, error))
    return FALSE;
  if (verdict != HEADER_VALID)
    return fail(error, SYNCLOG_CORRUPT, "%s: damaged header at offset 0", path);
  add_place(places, directory, name, piece.header.log);
  return TRUE;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean find_below(const char *path, guint depth, GPtrArray *places, GError **error)
{
  g_autofree char *name = g_path_get_basename(path);
  LogId log;
  if (log_id_parse(name, &log)) {
    add_place(places, path, NULL, log);
    return TRUE;
  }
  const WalIo *io = wal_io_system();
  g_autoptr(GPtrArray) names = io->list(io->ctx, path);
  if (names == NULL)
    return fail_errno(error, SYNCLOG_INVALID, errno, "%s", path);
  g_ptr_array_sort(names, compare_names);
  for (guint i = 0; i < names->len; i++) {
    const char *child = names->pdata[i];
    gboolean known =
        strcmp(child, "wal") == 0 || g_str_has_prefix(child, "group-") || log_id_parse(child, &log);
    g_autofree char *child_path = g_build_filename(path, child, NULL);
    if (known && depth < FIND_DEPTH && g_file_test(child_path, G_FILE_TEST_IS_DIR) &&
        !find_below(child_path, depth + 1, places, error))
      return FALSE;
  }
  return TRUE;
}

gboolean wal_places_find(const char *path, GPtrArray *places, GError **error)
{
  if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
    return find_file(path, places, error);
  guint before = places->len;
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  if (!find_below(absolute, 0, places, error))
    return FALSE;
  if (places->len == before)
    return fail(error, SYNCLOG_INVALID, "%s: neither a log nor a directory above one", path);
  return TRUE;
}

static int compare_u64(gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return x < y ? -1 : x > y;
}

/* First indices of the segments there are, sorted. */
static GArray *list_segments(const WalPlace *place, GError **error)
{
  const WalIo *io = wal_io_system();
  g_autoptr(GPtrArray) names = io->list(io->ctx, place->directory);
  if (names == NULL) {
    fail_errno(error, SYNCLOG_INVALID, errno, "%s", place->directory);
    return NULL;
  }
  GArray *firsts = g_array_new(FALSE, FALSE, sizeof(guint64));
  for (guint i = 0; i < names->len; i++) {
    guint64 first;
    if (segment_name_parse(names->pdata[i], &first))
      g_array_append_val(firsts, first);
  }
  g_array_sort(firsts, compare_u64);
  return firsts;
}

static void add_damage(Walk *walk, const char *path, goffset offset, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void add_damage(Walk *walk, const char *path, goffset offset, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *what = g_strdup_vprintf(format, args);
  va_end(args);
  g_ptr_array_add(walk->findings->damage, g_strdup_printf("%s: offset %" G_GINT64_FORMAT ": %s",
                                                          path, (gint64)offset, what));
  walk->ended = TRUE;
}

/* Whether the header fits the file's name, the log, and the segment before. */
static void check_header(Walk *walk, const Piece *piece, guint64 first)
{
  const SegmentHeader *header = &piece->header;
  char log[LOG_ID_TEXT_SIZE];
  if (!log_id_equal(header->log, walk->place->log))
    add_damage(walk, piece->path, 0, "the segment belongs to log %s",
               log_id_format(header->log, log));
  else if (header->first_index != first)
    add_damage(walk, piece->path, 0, "the header says first index %" G_GUINT64_FORMAT,
               header->first_index);
  else if (!walk->began)
    return;
  else if (header->previous_first != walk->previous_first)
    add_damage(walk, piece->path, 0,
               "the segment before it, %020" G_GUINT64_FORMAT ".wal, is missing",
               header->previous_first);
  else if (first != walk->next_index)
    add_damage(walk, piece->path, 0,
               "begins with record %" G_GUINT64_FORMAT ", but %" G_GUINT64_FORMAT " is next", first,
               walk->next_index);
  else if (header->chain_known && walk->chain_known && header->chain != walk->chain)
    add_damage(walk, piece->path, 0, "its running digest is not that of the segment before");
}

/* Records until the first thing that is none. FALSE: the file could not be read. */
static gboolean read_records(Walk *walk, const Piece *piece, Scan *scan, GError **error)
{
  WalFindings *findings = walk->findings;
  Record record;
  ScanResult result = SCAN_RECORD;
  while (!walk->ended) {
    goffset at = scan->offset;
    result = scan_next(scan, &record, error);
    if (result != SCAN_RECORD)
      break;
    walk->next_index = record.index + 1;
    if (walk->chain_known)
      walk->chain = record_chain(walk->chain, record.data - RECORD_HEAD_SIZE, record.size);
    if (record.index < walk->from)
      continue;
    if (findings->records == 0)
      findings->first_index = record.index;
    findings->last_index = record.index;
    findings->records++;
    findings->bytes += record.size;
    if (walk->visit != NULL && !walk->visit(walk->ctx, piece->path, at, &record))
      walk->ended = TRUE;
  }
  return result != SCAN_FAILED;
}

/* Judges what stands behind the last record of the last segment. */
static gboolean judge_tail(Walk *walk, const Piece *piece, Scan *scan, GError **error)
{
  ScanTail tail;
  if (!scan_tail(scan, &tail, error))
    return FALSE;
  if (tail.valid_behind)
    add_damage(walk, piece->path, scan->offset,
               "no valid record %" G_GUINT64_FORMAT ", but record %" G_GUINT64_FORMAT
               " stands behind it",
               scan->index, tail.valid_index);
  else if (tail.dirty_end > scan->offset && walk->findings->note == NULL)
    walk->findings->note =
        g_strdup_printf("%s: offset %" G_GINT64_FORMAT ": %" G_GINT64_FORMAT
                        " bytes of a write that never ended; they are cut off at the next start",
                        piece->path, (gint64)scan->offset, (gint64)(tail.dirty_end - scan->offset));
  return TRUE;
}

static gboolean is_dirty(Scan *scan, gboolean *out_dirty, GError **error)
{
  ScanTail tail;
  if (!scan_tail(scan, &tail, error))
    return FALSE;
  *out_dirty = tail.dirty_end > scan->offset;
  return TRUE;
}

/* Reads the last segment, which may be growing, until it stands still. */
static gboolean read_last(Walk *walk, Piece *piece, GError **error)
{
  guint64 index = piece->header.first_index;
  goffset offset = SEGMENT_HEADER_SIZE;
  for (guint look = 0; !walk->ended; look++) {
    g_auto(Scan) scan;
    scan_begin(&scan, &piece->file, piece->path, walk->place->log, index, offset, piece->limit);
    gboolean dirty = FALSE;
    if (!read_records(walk, piece, &scan, error))
      return FALSE;
    if (walk->ended)
      return TRUE;
    if (scan.index > index)
      look = 0;
    index = scan.index;
    offset = scan.offset;
    if (!is_dirty(&scan, &dirty, error))
      return FALSE;
    if (!dirty)
      return TRUE;
    if (look == TAIL_LOOKS)
      return judge_tail(walk, piece, &scan, error);
    g_usleep(TAIL_PAUSE_US);
  }
  return TRUE;
}

/* Reads a segment that has a successor: its records must go up to where that one says. */
static gboolean read_closed(Walk *walk, Piece *piece, guint64 next_first, GError **error)
{
  g_auto(Scan) scan;
  scan_begin(&scan, &piece->file, piece->path, walk->place->log, piece->header.first_index,
             SEGMENT_HEADER_SIZE, piece->limit);
  if (!read_records(walk, piece, &scan, error))
    return FALSE;
  if (!walk->ended && scan.index < next_first)
    add_damage(walk, piece->path, scan.offset,
               "no valid record %" G_GUINT64_FORMAT
               ", the next segment begins with %" G_GUINT64_FORMAT,
               scan.index, next_first);
  return TRUE;
}

/* The end of a segment's records as its successor's header has it; 0 when that can't be told. */
static goffset end_from_next(const Walk *walk, const Piece *piece, guint64 next_first)
{
  char name[SEGMENT_NAME_SIZE];
  segment_name_format(next_first, name);
  g_auto(Piece)
      next = {.path = g_build_filename(walk->place->directory, name, NULL), .file = WAL_FILE_NONE};
  HeaderVerdict verdict;
  if (!wal_file_open(wal_io_system(), next.path, O_RDONLY, &next.file, NULL) ||
      !read_header(&next, &verdict, NULL) || verdict != HEADER_VALID ||
      next.header.previous_first != piece->header.first_index)
    return 0;
  return next.header.previous_end;
}

static gboolean walk_segment(Walk *walk, guint64 first, guint64 next_first, GError **error)
{
  char name[SEGMENT_NAME_SIZE];
  const WalIo *io = wal_io_system();
  g_auto(Piece) piece = {
      .path = g_build_filename(walk->place->directory, segment_name_format(first, name), NULL),
      .file = WAL_FILE_NONE,
      .last = next_first == 0};
  g_autoptr(GError) local = NULL;
  if (!wal_file_open(io, piece.path, O_RDONLY, &piece.file, &local)) {
    /* A running node deletes old segments, always from the front. */
    if (!walk->began && g_error_matches(local, SYNCLOG_ERROR, SYNCLOG_INVALID))
      return TRUE;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  HeaderVerdict verdict;
  if (!read_header(&piece, &verdict, error))
    return FALSE;
  if (verdict == HEADER_OTHER_VERSION)
    return fail(error, SYNCLOG_WRONG_VERSION, "%s: written by another version of synclogd",
                piece.path);
  walk->findings->segments++;
  if (verdict == HEADER_DAMAGED)
    add_damage(walk, piece.path, 0, "damaged header");
  else
    check_header(walk, &piece, first);
  if (walk->ended)
    return TRUE;
  walk->began = TRUE;
  walk->previous_first = first;
  walk->next_index = first;
  walk->chain_known = piece.header.chain_known;
  walk->chain = piece.header.chain;
  piece.limit = io->size(io->ctx, piece.file.fd);
  if (piece.last) {
    /* It may grow while it is read. */
    piece.limit = G_MAXINT64;
    return read_last(walk, &piece, error);
  }
  goffset end = end_from_next(walk, &piece, next_first);
  if (end > piece.limit)
    add_damage(walk, piece.path, piece.limit,
               "the file ends, its records went up to %" G_GINT64_FORMAT, (gint64)end);
  else if (end > 0)
    piece.limit = end;
  return walk->ended || read_closed(walk, &piece, next_first, error);
}

gboolean wal_walk(const WalPlace *place, guint64 from, WalVisit visit, gpointer ctx,
                  WalFindings *out_findings, GError **error)
{
  *out_findings = (WalFindings){.damage = g_ptr_array_new_with_free_func(g_free)};
  Walk walk = {.place = place, .from = from, .visit = visit, .ctx = ctx, .findings = out_findings};
  g_autoptr(GArray) firsts = list_segments(place, error);
  if (firsts == NULL)
    return FALSE;
  for (guint i = 0; i < firsts->len && !walk.ended; i++) {
    guint64 first = g_array_index(firsts, guint64, i);
    guint64 next = i + 1 < firsts->len ? g_array_index(firsts, guint64, i + 1) : 0;
    char name[SEGMENT_NAME_SIZE];
    gboolean wanted =
        place->only_file == NULL || strcmp(place->only_file, segment_name_format(first, name)) == 0;
    if (!wanted || (next != 0 && next <= from))
      continue;
    if (!walk_segment(&walk, first, next, error))
      return FALSE;
  }
  return TRUE;
}
