/* The disk of a node: the WAL tests' file system in memory, with a process that can die inside a
 * call, and one failure at a time. */
#include "sim/sim.h"

#include "unit/wal/mem_io.h"

#include <errno.h>
#include <string.h>

struct SimDisk {
  WalIo io;
  MemDisk *mem;
  GRand *rand;
  guint64 inode, next_inode;
  GPtrArray *paths; /* char*, by descriptor */
  guint64 calls;
  gboolean stopping, stopped;
  guint stop_after;
  gboolean armed;
  DiskFailure failure;
  guint fail_after;
  char *failed;
  GHashTable *copy; /* path → GBytes, NULL value: a directory */
  gboolean short_calls;
};

/* Counts a call; FALSE when the process is dead by now. */
static gboolean alive(SimDisk *disk)
{
  disk->calls++;
  if (disk->stopping && !disk->stopped && disk->stop_after-- == 0)
    disk->stopped = TRUE;
  if (!disk->stopped)
    return TRUE;
  errno = EIO;
  return FALSE;
}

static gboolean is_armed(SimDisk *disk, DiskFailure failure)
{
  if (!disk->armed || disk->failure != failure)
    return FALSE;
  if (disk->fail_after-- > 0)
    return FALSE;
  disk->armed = FALSE;
  return TRUE;
}

static void note_failed(SimDisk *disk, int fd)
{
  g_free(disk->failed);
  disk->failed = g_strdup(disk->paths->pdata[fd]);
}

static const WalIo *below(SimDisk *disk)
{
  return mem_disk_io(disk->mem);
}

static int sim_open(gpointer ctx, const char *path, int flags, mode_t mode)
{
  SimDisk *disk = ctx;
  if (!alive(disk))
    return -1;
  int fd = below(disk)->open(disk->mem, path, flags, mode);
  if (fd < 0)
    return fd;
  if ((guint)fd >= disk->paths->len)
    g_ptr_array_set_size(disk->paths, fd + 1);
  g_free(disk->paths->pdata[fd]);
  disk->paths->pdata[fd] = g_strdup(path);
  return fd;
}

static int sim_close(gpointer ctx, int fd)
{
  SimDisk *disk = ctx;
  return below(disk)->close(disk->mem, fd);
}

static ssize_t sim_pread(gpointer ctx, int fd, void *buffer, gsize size, goffset offset)
{
  SimDisk *disk = ctx;
  if (!alive(disk))
    return -1;
  if (is_armed(disk, DISK_FAIL_READ))
    mem_disk_fail(disk->mem, MEM_PREAD, 0, EIO, 0);
  return below(disk)->pread(disk->mem, fd, buffer, size, offset);
}

static ssize_t sim_pwrite(gpointer ctx, int fd, const void *buffer, gsize size, goffset offset)
{
  SimDisk *disk = ctx;
  gboolean was_alive = !disk->stopped;
  if (!alive(disk)) {
    gsize torn = size > 0 ? (gsize)g_rand_int_range(disk->rand, 0, (gint32)size + 1) : 0;
    if (was_alive && torn > 0)
      below(disk)->pwrite(disk->mem, fd, buffer, torn, offset);
    errno = EIO;
    return -1;
  }
  if (is_armed(disk, DISK_FAIL_WRITE)) {
    note_failed(disk, fd);
    gsize part = size > 1 && g_rand_boolean(disk->rand)
                     ? (gsize)g_rand_int_range(disk->rand, 1, (gint32)size)
                     : 0;
    mem_disk_fail(disk->mem, MEM_PWRITE, 0, EIO, part);
  }
  return below(disk)->pwrite(disk->mem, fd, buffer, size, offset);
}

static int sync_call(SimDisk *disk, int fd, gboolean data_only)
{
  if (!alive(disk))
    return -1;
  if (is_armed(disk, DISK_FAIL_SYNC)) {
    /* Of the files: what a failed sync of a directory breaks is looked at by the WAL's tests. */
    if (data_only) {
      note_failed(disk, fd);
      mem_disk_fail(disk->mem, MEM_FDATASYNC, 0, EIO, 0);
    } else {
      disk->armed = TRUE;
    }
  }
  return data_only ? below(disk)->fdatasync(disk->mem, fd) : below(disk)->fsync(disk->mem, fd);
}

static int sim_fdatasync(gpointer ctx, int fd)
{
  return sync_call(ctx, fd, TRUE);
}

static int sim_fsync(gpointer ctx, int fd)
{
  return sync_call(ctx, fd, FALSE);
}

static int sim_ftruncate(gpointer ctx, int fd, goffset size)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->ftruncate(disk->mem, fd, size) : -1;
}

static int sim_allocate(gpointer ctx, int fd, goffset offset, goffset size)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->allocate(disk->mem, fd, offset, size) : -1;
}

static goffset sim_size(gpointer ctx, int fd)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->size(disk->mem, fd) : -1;
}

static int sim_rename(gpointer ctx, const char *from, const char *to)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->rename(disk->mem, from, to) : -1;
}

static int sim_unlink(gpointer ctx, const char *path)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->unlink(disk->mem, path) : -1;
}

static int sim_mkdir(gpointer ctx, const char *path, mode_t mode)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->mkdir(disk->mem, path, mode) : -1;
}

static GPtrArray *sim_list(gpointer ctx, const char *path)
{
  SimDisk *disk = ctx;
  return alive(disk) ? below(disk)->list(disk->mem, path) : NULL;
}

static void free_bytes(gpointer bytes)
{
  if (bytes != NULL)
    g_bytes_unref(bytes);
}

SimDisk *disk_new(guint32 seed)
{
  SimDisk *disk = g_new0(SimDisk, 1);
  disk->rand = g_rand_new_with_seed(seed ^ 0x5eed);
  disk->mem = mem_disk_new(seed);
  disk->inode = disk->next_inode = 1;
  disk->paths = g_ptr_array_new_with_free_func(g_free);
  disk->io = (WalIo){sim_open,   sim_close,     sim_pread,    sim_pwrite, sim_fdatasync,
                     sim_fsync,  sim_ftruncate, sim_allocate, sim_size,   sim_rename,
                     sim_unlink, sim_mkdir,     sim_list,     disk};
  return disk;
}

void disk_free(SimDisk *disk)
{
  mem_disk_free(disk->mem);
  g_ptr_array_unref(disk->paths);
  g_rand_free(disk->rand);
  g_clear_pointer(&disk->copy, g_hash_table_unref);
  g_free(disk->failed);
  g_free(disk);
}

const WalIo *disk_io(SimDisk *disk)
{
  return &disk->io;
}

guint64 disk_inode(const SimDisk *disk)
{
  return disk->inode;
}

void disk_stop_after(SimDisk *disk, guint calls)
{
  disk->stopping = TRUE;
  disk->stop_after = calls;
}

gboolean disk_is_stopped(const SimDisk *disk)
{
  return disk->stopped;
}

void disk_fail(SimDisk *disk, DiskFailure failure, guint after)
{
  disk->armed = TRUE;
  disk->failure = failure;
  disk->fail_after = after;
}

char *disk_take_failed(SimDisk *disk)
{
  return g_steal_pointer(&disk->failed);
}

/* Segments and what else counts; the files in memory are small. */
guint64 disk_bytes(SimDisk *disk)
{
  return mem_disk_bytes(disk->mem);
}

void disk_set_full(SimDisk *disk, gboolean full)
{
  guint64 room =
      full ? disk_bytes(disk) + (guint64)g_rand_int_range(disk->rand, 0, 8192) : G_MAXUINT64;
  mem_disk_limit(disk->mem, room);
}

void disk_set_short_calls(SimDisk *disk, gboolean on)
{
  mem_disk_short_calls(disk->mem, on);
}

void disk_heal(SimDisk *disk)
{
  disk->armed = disk->stopping = FALSE;
  mem_disk_limit(disk->mem, G_MAXUINT64);
  mem_disk_short_calls(disk->mem, FALSE);
}

void disk_die(SimDisk *disk, gboolean power)
{
  static const MemLoss losses[] = {MEM_LOSE_ALL, MEM_LOSE_SOME, MEM_LOSE_SOME};
  mem_disk_crash(disk->mem, power ? losses[g_rand_int_range(disk->rand, 0, 3)] : MEM_LOSE_NOTHING);
  disk->stopping = disk->stopped = disk->armed = FALSE;
  g_clear_pointer(&disk->failed, g_free);
}

static gboolean is_of(const char *path, guint32 node)
{
  g_autofree char *directory = g_path_get_dirname(path);
  g_autofree char *name = g_path_get_basename(directory);
  LogId log;
  return log_id_parse(name, &log) && log.origin == node;
}

/* Segments only; of a node's own logs if it is given. */
static void keep_segments(GPtrArray *names, guint32 node)
{
  for (guint i = names->len; i > 0; i--) {
    const char *path = names->pdata[i - 1];
    if (!g_str_has_suffix(path, ".wal") || (node != 0 && !is_of(path, node)))
      g_ptr_array_remove_index(names, i - 1);
  }
}

gboolean disk_flip(SimDisk *disk, guint32 node, GRand *rand, char **out_where)
{
  g_autoptr(GPtrArray) names = mem_disk_names(disk->mem);
  keep_segments(names, g_rand_boolean(rand) ? node : 0);
  if (names->len == 0)
    return FALSE;
  const char *path = names->pdata[g_rand_int_range(rand, 0, (gint32)names->len)];
  g_autoptr(GByteArray) bytes = mem_disk_get(disk->mem, path);
  /* Mostly where something stands: behind it there are zeros. */
  guint used = bytes->len;
  while (used > 0 && bytes->data[used - 1] == 0)
    used--;
  if (used == 0)
    return FALSE;
  guint at = (guint)g_rand_int_range(rand, 0, (gint32)used);
  bytes->data[at] ^= (guint8)(1 << g_rand_int_range(rand, 0, 8));
  mem_disk_set(disk->mem, path, bytes->data, bytes->len);
  *out_where = g_strdup_printf("%s at %u", path, at);
  return TRUE;
}

static void replace(SimDisk *disk)
{
  mem_disk_free(disk->mem);
  disk->mem = mem_disk_new(g_rand_int(disk->rand));
  g_ptr_array_set_size(disk->paths, 0);
  disk->inode = ++disk->next_inode;
}

void disk_wipe(SimDisk *disk)
{
  replace(disk);
}

void disk_keep_copy(SimDisk *disk)
{
  g_clear_pointer(&disk->copy, g_hash_table_unref);
  disk->copy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_bytes);
  g_autoptr(GPtrArray) names = mem_disk_names(disk->mem);
  for (guint i = 0; i < names->len; i++) {
    gboolean directory = mem_disk_is_directory(disk->mem, names->pdata[i]);
    GBytes *bytes =
        directory ? NULL : g_byte_array_free_to_bytes(mem_disk_get(disk->mem, names->pdata[i]));
    g_hash_table_insert(disk->copy, g_strdup(names->pdata[i]), bytes);
  }
}

gboolean disk_has_copy(const SimDisk *disk)
{
  return disk->copy != NULL;
}

void disk_restore_copy(SimDisk *disk)
{
  replace(disk);
  GHashTableIter iter;
  gpointer name, bytes;
  g_hash_table_iter_init(&iter, disk->copy);
  while (g_hash_table_iter_next(&iter, &name, &bytes)) {
    gsize size = 0;
    const void *data = bytes != NULL ? g_bytes_get_data(bytes, &size) : NULL;
    if (bytes != NULL)
      mem_disk_set(disk->mem, name, data, size);
    else
      mem_disk_set_directory(disk->mem, name);
  }
}

guint disk_open_files(SimDisk *disk)
{
  return mem_disk_open_files(disk->mem);
}

guint64 disk_calls(SimDisk *disk)
{
  return disk->calls;
}
