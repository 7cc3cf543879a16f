#include "node/log_set.h"

#include "wal/file.h"

#include <errno.h>

struct LogSet {
  char *directory;
  gsize segment_size;
  guint32 own;
  const WalIo *io;
  GArray *found;
  GMutex mutex; /* guards wals */
  GPtrArray *wals;
};

static void found_clear(gpointer data)
{
  wal_recovery_clear(&((FoundLog *)data)->recovery);
}

/* How many logs are opened at a time: each waits for its disk, which syncs many almost as fast as
 * one. */
enum { OPENERS = 16 };

static Wal *open_one(const LogSet *set, LogId log, WalRecovery *out_recovery, GError **error)
{
  char name[LOG_ID_TEXT_SIZE];
  g_autofree char *path = g_build_filename(set->directory, log_id_format(log, name), NULL);
  WalOptions options = {.directory = path,
                        .log = log,
                        .segment_size = set->segment_size,
                        .io = set->io,
                        /* The seeds that the simulator keeps go by the number of calls. */
                        .keep_open = set->io != wal_io_system(),
                        .keep_tail = log.origin == set->own};
  return wal_open(&options, out_recovery, error);
}

typedef struct Opening {
  FoundLog found;
  GError *error;
} Opening;

/* What the threads share that open logs: each takes the next one until there is none. */
typedef struct Openers {
  LogSet *set;
  GArray *openings;
  gint next; /* atomic */
} Openers;

static Opening *open_next(Openers *openers)
{
  guint i = (guint)g_atomic_int_add(&openers->next, 1);
  if (i >= openers->openings->len)
    return NULL;
  Opening *opening = &g_array_index(openers->openings, Opening, i);
  FoundLog *found = &opening->found;
  found->wal = open_one(openers->set, found->log, &found->recovery, &opening->error);
  return opening;
}

static gpointer opener_main(gpointer data)
{
  while (open_next(data) != NULL)
    ;
  return NULL;
}

/* As many threads as can be had; with fewer of them the caller opens logs, too. */
static void open_side_by_side(Openers *openers, guint count)
{
  GThread *threads[OPENERS];
  guint begun = 0;
  while (begun < count &&
         (threads[begun] = g_thread_try_new("open", opener_main, openers, NULL)) != NULL)
    begun++;
  if (begun < count)
    opener_main(openers);
  for (guint i = 0; i < begun; i++)
    g_thread_join(threads[i]);
}

/* One after the other on an `io` of the caller's, as a test or the simulator goes by the order of
 * calls. */
static gboolean open_them(LogSet *set, GArray *openings, GError **error)
{
  Openers openers = {set, openings, 0};
  guint count = set->io == wal_io_system() ? MIN(openings->len, (guint)OPENERS) : 0;
  if (count > 1) {
    open_side_by_side(&openers, count);
  } else {
    Opening *opening = open_next(&openers);
    while (opening != NULL && opening->error == NULL)
      opening = open_next(&openers);
  }
  gboolean opened = TRUE;
  for (guint i = 0; i < openings->len; i++) {
    Opening *opening = &g_array_index(openings, Opening, i);
    if (opening->found.wal != NULL) {
      g_ptr_array_add(set->wals, opening->found.wal);
      g_array_append_val(set->found, opening->found);
    } else if (opening->error != NULL && opened) {
      g_propagate_error(error, g_steal_pointer(&opening->error));
      opened = FALSE;
    }
    g_clear_error(&opening->error);
  }
  return opened;
}

static int compare_found(gconstpointer a, gconstpointer b)
{
  return log_id_compare(&((const FoundLog *)a)->log, &((const FoundLog *)b)->log);
}

static gboolean open_all(LogSet *set, GError **error)
{
  g_autoptr(GPtrArray) names = set->io->list(set->io->ctx, set->directory);
  if (names == NULL)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "%s", set->directory);
  g_autoptr(GArray) openings = g_array_new(FALSE, TRUE, sizeof(Opening));
  for (guint i = 0; i < names->len; i++) {
    Opening opening = {0};
    if (log_id_parse(names->pdata[i], &opening.found.log))
      g_array_append_val(openings, opening);
  }
  if (!open_them(set, openings, error))
    return FALSE;
  g_array_sort(set->found, compare_found);
  return TRUE;
}

LogSet *log_set_open(const char *directory, gsize segment_size, guint32 own, const WalIo *io,
                     GError **error)
{
  g_autoptr(LogSet) set = g_new0(LogSet, 1);
  g_mutex_init(&set->mutex);
  set->directory = g_strdup(directory);
  set->segment_size = segment_size;
  set->own = own;
  set->io = io != NULL ? io : wal_io_system();
  set->wals = g_ptr_array_new_with_free_func((GDestroyNotify)wal_close);
  set->found = g_array_new(FALSE, FALSE, sizeof(FoundLog));
  g_array_set_clear_func(set->found, found_clear);
  if (!wal_directory_create(set->io, directory, error) || !open_all(set, error))
    return NULL;
  return g_steal_pointer(&set);
}

void log_set_close(LogSet *set)
{
  g_array_unref(set->found);
  g_ptr_array_unref(set->wals);
  g_mutex_clear(&set->mutex);
  g_free(set->directory);
  g_free(set);
}

const GArray *log_set_found(const LogSet *set)
{
  return set->found;
}

static Wal *find_locked(LogSet *set, LogId log)
{
  for (guint i = 0; i < set->wals->len; i++)
    if (log_id_equal(wal_log(set->wals->pdata[i]), log))
      return set->wals->pdata[i];
  return NULL;
}

Wal *log_set_find(LogSet *set, LogId log)
{
  g_mutex_lock(&set->mutex);
  Wal *wal = find_locked(set, log);
  g_mutex_unlock(&set->mutex);
  return wal;
}

Wal *log_set_get(LogSet *set, LogId log, GError **error)
{
  Wal *wal = log_set_find(set, log);
  if (wal != NULL)
    return wal;
  /* Without the mutex: whoever looks for a log must not wait for the disk. */
  WalRecovery recovery = {0};
  wal = open_one(set, log, &recovery, error);
  wal_recovery_clear(&recovery);
  if (wal == NULL)
    return NULL;
  g_mutex_lock(&set->mutex);
  g_assert(find_locked(set, log) == NULL);
  g_ptr_array_add(set->wals, wal);
  g_mutex_unlock(&set->mutex);
  return wal;
}

guint64 log_set_bytes(LogSet *set)
{
  guint64 bytes = 0;
  g_mutex_lock(&set->mutex);
  for (guint i = 0; i < set->wals->len; i++) {
    WalStats stats;
    wal_stats(set->wals->pdata[i], &stats);
    bytes += stats.bytes;
  }
  g_mutex_unlock(&set->mutex);
  return bytes;
}
