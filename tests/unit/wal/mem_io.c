/* Included by the tests that use it: each is one file to the Makefile. */
#include "unit/wal/mem_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { PAGE_SIZE = 4096 };

typedef struct Inode {
  gatomicrefcount refs;
  gboolean directory;
  GByteArray *now;    /* as the process sees it */
  GByteArray *synced; /* as it is on the disk */
  GHashTable *dirty;  /* page number: differs from `synced` and may reach the disk by itself */
} Inode;

/* A change of a name: path → inode, or NULL when it goes. A rename is two in one. */
typedef struct NameChange {
  char *removed; /* or NULL */
  char *added;   /* or NULL */
  Inode *inode;
} NameChange;

typedef struct OpenFile {
  Inode *inode; /* NULL: closed */
  char *path;
} OpenFile;

struct MemDisk {
  WalIo io;
  GMutex lock; /* guards everything below */
  GRand *random;
  GHashTable *names;  /* path → Inode: as the process sees it */
  GHashTable *synced; /* as it is on the disk */
  GPtrArray *changes; /* NameChange, those that are not on the disk yet */
  GArray *files;      /* OpenFile by descriptor */
  guint64 limit;
  gboolean short_calls;
  guint calls[MEM_CALLS];
  struct {
    gboolean armed;
    MemCall call;
    guint after;
    int errno_value;
    gsize partial;
  } fault;
  int lasting[MEM_CALLS]; /* errno of all calls of the kind; 0: none fails */
  gboolean failed;
};

static Inode *inode_new(gboolean directory)
{
  Inode *inode = g_new0(Inode, 1);
  g_atomic_ref_count_init(&inode->refs);
  inode->directory = directory;
  inode->now = g_byte_array_new();
  inode->synced = g_byte_array_new();
  inode->dirty = g_hash_table_new(NULL, NULL);
  return inode;
}

static Inode *inode_ref(Inode *inode)
{
  g_atomic_ref_count_inc(&inode->refs);
  return inode;
}

static void inode_unref(gpointer data)
{
  Inode *inode = data;
  if (inode == NULL || !g_atomic_ref_count_dec(&inode->refs))
    return;
  g_byte_array_unref(inode->now);
  g_byte_array_unref(inode->synced);
  g_hash_table_unref(inode->dirty);
  g_free(inode);
}

static void name_change_free(gpointer data)
{
  NameChange *change = data;
  g_free(change->removed);
  g_free(change->added);
  inode_unref(change->inode);
  g_free(change);
}

static void set_size(GByteArray *array, gsize size)
{
  gsize old = array->len;
  g_byte_array_set_size(array, (guint)size);
  if (size > old)
    memset(array->data + old, 0, size - old);
}

/* Counts a call; TRUE when it is to fail. */
static gboolean fault(MemDisk *disk, MemCall call)
{
  disk->calls[call]++;
  if (disk->lasting[call] != 0) {
    disk->fault.errno_value = disk->lasting[call];
    disk->fault.partial = 0;
    return TRUE;
  }
  if (!disk->fault.armed || disk->fault.call != call)
    return FALSE;
  if (disk->fault.after-- > 0)
    return FALSE;
  disk->fault.armed = FALSE;
  disk->failed = TRUE;
  return TRUE;
}

static void change_name(MemDisk *disk, const char *removed, const char *added, Inode *inode)
{
  NameChange *change = g_new0(NameChange, 1);
  change->removed = g_strdup(removed);
  change->added = g_strdup(added);
  change->inode = inode == NULL ? NULL : inode_ref(inode);
  g_ptr_array_add(disk->changes, change);
}

static int fail_with(int errno_value)
{
  errno = errno_value;
  return -1;
}

static int mem_open_locked(MemDisk *disk, const char *path, int flags)
{
  if (fault(disk, MEM_OPEN))
    return fail_with(disk->fault.errno_value);
  Inode *inode = g_hash_table_lookup(disk->names, path);
  if (inode == NULL) {
    g_autofree char *parent = g_path_get_dirname(path);
    if (!(flags & O_CREAT) || !g_hash_table_contains(disk->names, parent))
      return fail_with(ENOENT);
    inode = inode_new(FALSE);
    g_hash_table_insert(disk->names, g_strdup(path), inode);
    change_name(disk, NULL, path, inode);
  }
  if (flags & O_TRUNC) {
    set_size(inode->now, 0);
    g_hash_table_insert(inode->dirty, GSIZE_TO_POINTER(0), NULL);
  }
  OpenFile file = {inode_ref(inode), g_strdup(path)};
  for (guint fd = 0; fd < disk->files->len; fd++)
    if (g_array_index(disk->files, OpenFile, fd).path == NULL) {
      g_array_index(disk->files, OpenFile, fd) = file;
      return (int)fd;
    }
  g_array_append_val(disk->files, file);
  return (int)disk->files->len - 1;
}

static int mem_open(gpointer ctx, const char *path, int flags, mode_t mode G_GNUC_UNUSED)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int fd = mem_open_locked(disk, path, flags);
  g_mutex_unlock(&disk->lock);
  return fd;
}

static OpenFile *file_of(MemDisk *disk, int fd)
{
  if (fd < 0 || (guint)fd >= disk->files->len)
    return NULL;
  OpenFile *file = &g_array_index(disk->files, OpenFile, fd);
  return file->inode == NULL ? NULL : file;
}

static int mem_close(gpointer ctx, int fd)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  g_assert(fd >= 0 && (guint)fd < disk->files->len);
  OpenFile *file = &g_array_index(disk->files, OpenFile, fd);
  g_assert(file->path != NULL);
  g_clear_pointer(&file->inode, inode_unref);
  g_clear_pointer(&file->path, g_free);
  g_mutex_unlock(&disk->lock);
  return 0;
}

static gsize part_of(MemDisk *disk, gsize size)
{
  if (!disk->short_calls || size < 2)
    return size;
  return (gsize)g_rand_int_range(disk->random, 1, (gint32)MIN(size, (gsize)G_MAXINT32 - 1) + 1);
}

static ssize_t mem_pread_locked(MemDisk *disk, int fd, void *buffer, gsize size, goffset offset)
{
  OpenFile *file = file_of(disk, fd);
  if (fault(disk, MEM_PREAD))
    return fail_with(disk->fault.errno_value);
  if (file == NULL)
    return fail_with(EBADF);
  GByteArray *bytes = file->inode->now;
  if ((guint64)offset >= bytes->len)
    return 0;
  gsize n = MIN(size, bytes->len - (gsize)offset);
  n = part_of(disk, n);
  if (n > 0)
    memcpy(buffer, bytes->data + offset, n);
  return (ssize_t)n;
}

static ssize_t mem_pread(gpointer ctx, int fd, void *buffer, gsize size, goffset offset)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  ssize_t n = mem_pread_locked(disk, fd, buffer, size, offset);
  g_mutex_unlock(&disk->lock);
  return n;
}

static guint64 bytes_in_use(MemDisk *disk)
{
  guint64 sum = 0;
  GHashTableIter iter;
  gpointer inode;
  g_hash_table_iter_init(&iter, disk->names);
  while (g_hash_table_iter_next(&iter, NULL, &inode))
    sum += ((Inode *)inode)->now->len;
  return sum;
}

static void put_bytes(Inode *inode, const void *buffer, gsize size, gsize offset)
{
  if (size == 0)
    return;
  if (offset + size > inode->now->len)
    set_size(inode->now, offset + size);
  memcpy(inode->now->data + offset, buffer, size);
  for (gsize page = offset / PAGE_SIZE; page <= (offset + size - 1) / PAGE_SIZE; page++)
    g_hash_table_insert(inode->dirty, GSIZE_TO_POINTER(page), NULL);
}

static ssize_t mem_pwrite_locked(MemDisk *disk, int fd, const void *buffer, gsize size,
                                 goffset offset)
{
  OpenFile *file = file_of(disk, fd);
  if (fault(disk, MEM_PWRITE)) {
    if (file != NULL && disk->fault.partial > 0) {
      /* As the kernel: the part is reported, the error comes with the next call. */
      gsize part = MIN(disk->fault.partial, size);
      put_bytes(file->inode, buffer, part, (gsize)offset);
      disk->fault.partial = 0;
      disk->fault.after = 0;
      disk->fault.armed = TRUE;
      return (ssize_t)part;
    }
    return fail_with(disk->fault.errno_value);
  }
  if (file == NULL)
    return fail_with(EBADF);
  gsize n = part_of(disk, size);
  gsize have = file->inode->now->len;
  if (disk->limit != G_MAXUINT64 && (gsize)offset + n > have) {
    guint64 used = bytes_in_use(disk);
    guint64 room = (used >= disk->limit ? 0 : disk->limit - used) + have;
    if (room <= (guint64)offset)
      return fail_with(ENOSPC);
    n = MIN(n, room - (gsize)offset);
  }
  put_bytes(file->inode, buffer, n, (gsize)offset);
  return (ssize_t)n;
}

static ssize_t mem_pwrite(gpointer ctx, int fd, const void *buffer, gsize size, goffset offset)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  ssize_t n = mem_pwrite_locked(disk, fd, buffer, size, offset);
  g_mutex_unlock(&disk->lock);
  return n;
}

static void sync_names(MemDisk *disk, const char *directory);

static int mem_sync_locked(MemDisk *disk, int fd, MemCall call)
{
  OpenFile *file = file_of(disk, fd);
  if (fault(disk, call)) {
    /* The pages count as clean although they are not on the disk. */
    if (file != NULL)
      g_hash_table_remove_all(file->inode->dirty);
    return fail_with(disk->fault.errno_value);
  }
  if (file == NULL)
    return fail_with(EBADF);
  Inode *inode = file->inode;
  if (inode->directory) {
    sync_names(disk, file->path);
    return 0;
  }
  GHashTableIter iter;
  gpointer key;
  set_size(inode->synced, inode->now->len);
  g_hash_table_iter_init(&iter, inode->dirty);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    gsize at = GPOINTER_TO_SIZE(key) * PAGE_SIZE;
    if (at < inode->now->len)
      memcpy(inode->synced->data + at, inode->now->data + at,
             MIN((gsize)PAGE_SIZE, inode->now->len - at));
  }
  g_hash_table_remove_all(inode->dirty);
  return 0;
}

static int mem_fdatasync(gpointer ctx, int fd)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int result = mem_sync_locked(disk, fd, MEM_FDATASYNC);
  g_mutex_unlock(&disk->lock);
  return result;
}

static int mem_fsync(gpointer ctx, int fd)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int result = mem_sync_locked(disk, fd, MEM_FSYNC);
  g_mutex_unlock(&disk->lock);
  return result;
}

static void mark_dirty(Inode *inode, gsize from, gsize to)
{
  for (gsize page = from / PAGE_SIZE; page <= to / PAGE_SIZE; page++)
    g_hash_table_insert(inode->dirty, GSIZE_TO_POINTER(page), NULL);
}

static int mem_ftruncate(gpointer ctx, int fd, goffset size)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int result = 0;
  OpenFile *file = file_of(disk, fd);
  if (fault(disk, MEM_FTRUNCATE)) {
    result = fail_with(disk->fault.errno_value);
  } else if (file == NULL) {
    result = fail_with(EBADF);
  } else {
    gsize old = file->inode->now->len;
    set_size(file->inode->now, (gsize)size);
    mark_dirty(file->inode, MIN(old, (gsize)size), MAX(old, (gsize)size));
  }
  g_mutex_unlock(&disk->lock);
  return result;
}

static int mem_allocate_locked(MemDisk *disk, int fd, gsize offset, gsize size)
{
  OpenFile *file = file_of(disk, fd);
  if (fault(disk, MEM_PWRITE))
    return fail_with(disk->fault.errno_value);
  if (file == NULL)
    return fail_with(EBADF);
  gsize have = file->inode->now->len;
  if (offset + size <= have)
    return 0;
  if (disk->limit != G_MAXUINT64 && bytes_in_use(disk) + (offset + size - have) > disk->limit)
    return fail_with(ENOSPC);
  set_size(file->inode->now, offset + size);
  mark_dirty(file->inode, have, offset + size);
  return 0;
}

static int mem_allocate(gpointer ctx, int fd, goffset offset, goffset size)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int result = mem_allocate_locked(disk, fd, (gsize)offset, (gsize)size);
  g_mutex_unlock(&disk->lock);
  return result;
}

static goffset mem_size(gpointer ctx, int fd)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  OpenFile *file = file_of(disk, fd);
  goffset size = file == NULL ? fail_with(EBADF) : (goffset)file->inode->now->len;
  g_mutex_unlock(&disk->lock);
  return size;
}

static int mem_rename(gpointer ctx, const char *from, const char *to)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int result = 0;
  Inode *inode = g_hash_table_lookup(disk->names, from);
  if (fault(disk, MEM_RENAME)) {
    result = fail_with(disk->fault.errno_value);
  } else if (inode == NULL) {
    result = fail_with(ENOENT);
  } else {
    g_hash_table_insert(disk->names, g_strdup(to), inode_ref(inode));
    change_name(disk, from, to, inode);
    g_hash_table_remove(disk->names, from);
  }
  g_mutex_unlock(&disk->lock);
  return result;
}

static int mem_unlink(gpointer ctx, const char *path)
{
  MemDisk *disk = ctx;
  g_mutex_lock(&disk->lock);
  int result = 0;
  if (fault(disk, MEM_UNLINK)) {
    result = fail_with(disk->fault.errno_value);
  } else if (!g_hash_table_contains(disk->names, path)) {
    result = fail_with(ENOENT);
  } else {
    change_name(disk, path, NULL, NULL);
    g_hash_table_remove(disk->names, path);
  }
  g_mutex_unlock(&disk->lock);
  return result;
}

static int mem_mkdir(gpointer ctx, const char *path, mode_t mode G_GNUC_UNUSED)
{
  MemDisk *disk = ctx;
  g_autofree char *parent = g_path_get_dirname(path);
  g_mutex_lock(&disk->lock);
  int result = 0;
  if (g_hash_table_contains(disk->names, path)) {
    result = fail_with(EEXIST);
  } else if (!g_hash_table_contains(disk->names, parent)) {
    result = fail_with(ENOENT);
  } else {
    Inode *inode = inode_new(TRUE);
    g_hash_table_insert(disk->names, g_strdup(path), inode);
    change_name(disk, NULL, path, inode);
  }
  g_mutex_unlock(&disk->lock);
  return result;
}

static gboolean is_inside(const char *path, const char *directory)
{
  if (path == NULL)
    return FALSE;
  g_autofree char *parent = g_path_get_dirname(path);
  return strcmp(parent, directory) == 0;
}

static GPtrArray *mem_list(gpointer ctx, const char *path)
{
  MemDisk *disk = ctx;
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  g_mutex_lock(&disk->lock);
  gboolean exists = g_hash_table_contains(disk->names, path);
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init(&iter, disk->names);
  while (g_hash_table_iter_next(&iter, &name, NULL))
    if (is_inside(name, path) && strcmp(name, "/") != 0)
      g_ptr_array_add(found, g_path_get_basename(name));
  g_mutex_unlock(&disk->lock);
  if (!exists) {
    errno = ENOENT;
    return NULL;
  }
  return g_steal_pointer(&found);
}

static void apply_change(GHashTable *names, const NameChange *change)
{
  if (change->removed != NULL)
    g_hash_table_remove(names, change->removed);
  if (change->added != NULL)
    g_hash_table_insert(names, g_strdup(change->added), inode_ref(change->inode));
}

static void sync_names(MemDisk *disk, const char *directory)
{
  for (guint i = 0; i < disk->changes->len;) {
    NameChange *change = disk->changes->pdata[i];
    if (!is_inside(change->removed, directory) && !is_inside(change->added, directory)) {
      i++;
      continue;
    }
    apply_change(disk->synced, change);
    g_ptr_array_remove_index(disk->changes, i);
  }
}

static GHashTable *names_new(void)
{
  return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, inode_unref);
}

MemDisk *mem_disk_new(guint32 seed)
{
  MemDisk *disk = g_new0(MemDisk, 1);
  disk->io = (WalIo){mem_open,   mem_close,     mem_pread,    mem_pwrite, mem_fdatasync,
                     mem_fsync,  mem_ftruncate, mem_allocate, mem_size,   mem_rename,
                     mem_unlink, mem_mkdir,     mem_list,     disk};
  g_mutex_init(&disk->lock);
  disk->random = g_rand_new_with_seed(seed);
  disk->names = names_new();
  disk->synced = names_new();
  disk->changes = g_ptr_array_new_with_free_func(name_change_free);
  disk->files = g_array_new(FALSE, FALSE, sizeof(OpenFile));
  disk->limit = G_MAXUINT64;
  Inode *root = inode_new(TRUE);
  g_hash_table_insert(disk->names, g_strdup("/"), root);
  g_hash_table_insert(disk->synced, g_strdup("/"), inode_ref(root));
  return disk;
}

void mem_disk_free(MemDisk *disk)
{
  for (guint i = 0; i < disk->files->len; i++) {
    inode_unref(g_array_index(disk->files, OpenFile, i).inode);
    g_free(g_array_index(disk->files, OpenFile, i).path);
  }
  g_array_unref(disk->files);
  g_ptr_array_unref(disk->changes);
  g_hash_table_unref(disk->names);
  g_hash_table_unref(disk->synced);
  g_rand_free(disk->random);
  g_mutex_clear(&disk->lock);
  g_free(disk);
}

const WalIo *mem_disk_io(MemDisk *disk)
{
  return &disk->io;
}

/* What the disk holds of a file after the power was lost. */
static void lose_pages(MemDisk *disk, Inode *inode, MemLoss loss)
{
  g_autoptr(GList) pages = g_hash_table_get_keys(inode->dirty);
  if (loss == MEM_LOSE_SOME && inode->now->len != inode->synced->len &&
      g_rand_boolean(disk->random))
    set_size(inode->synced, inode->now->len);
  for (GList *l = pages; l != NULL && loss == MEM_LOSE_SOME; l = l->next) {
    gsize at = GPOINTER_TO_SIZE(l->data) * PAGE_SIZE;
    guint fate = (guint)g_rand_int_range(disk->random, 0, 4);
    gsize n = fate == 0   ? 0
              : fate == 1 ? (gsize)g_rand_int_range(disk->random, 0, PAGE_SIZE)
                          : (gsize)PAGE_SIZE;
    gsize end = MIN(at + n, (gsize)inode->now->len);
    if (end <= at)
      continue;
    if (end > inode->synced->len)
      set_size(inode->synced, end);
    memcpy(inode->synced->data + at, inode->now->data + at, end - at);
  }
  set_size(inode->now, 0);
  g_byte_array_append(inode->now, inode->synced->data, inode->synced->len);
  g_hash_table_remove_all(inode->dirty);
}

void mem_disk_crash(MemDisk *disk, MemLoss loss)
{
  for (guint i = 0; i < disk->files->len; i++)
    g_clear_pointer(&g_array_index(disk->files, OpenFile, i).inode, inode_unref);
  disk->fault.armed = FALSE;
  if (loss == MEM_LOSE_NOTHING)
    return;
  for (guint i = 0; i < disk->changes->len; i++)
    if (loss == MEM_LOSE_SOME && g_rand_boolean(disk->random))
      apply_change(disk->synced, disk->changes->pdata[i]);
  g_ptr_array_set_size(disk->changes, 0);
  g_hash_table_remove_all(disk->names);
  GHashTableIter iter;
  gpointer name, inode;
  g_hash_table_iter_init(&iter, disk->synced);
  while (g_hash_table_iter_next(&iter, &name, &inode)) {
    lose_pages(disk, inode, loss);
    g_hash_table_insert(disk->names, g_strdup(name), inode_ref(inode));
  }
}

void mem_disk_fail(MemDisk *disk, MemCall call, guint after, int errno_value, gsize partial)
{
  g_mutex_lock(&disk->lock);
  disk->fault.armed = TRUE;
  disk->fault.call = call;
  disk->fault.after = after;
  disk->fault.errno_value = errno_value;
  disk->fault.partial = partial;
  disk->failed = FALSE;
  g_mutex_unlock(&disk->lock);
}

void mem_disk_keep_failing(MemDisk *disk, MemCall call, int errno_value)
{
  g_mutex_lock(&disk->lock);
  disk->lasting[call] = errno_value;
  g_mutex_unlock(&disk->lock);
}

gboolean mem_disk_failed(MemDisk *disk)
{
  return disk->failed;
}

void mem_disk_limit(MemDisk *disk, guint64 bytes)
{
  g_mutex_lock(&disk->lock);
  disk->limit = bytes;
  g_mutex_unlock(&disk->lock);
}

void mem_disk_short_calls(MemDisk *disk, gboolean on)
{
  disk->short_calls = on;
}

guint mem_disk_calls(MemDisk *disk, MemCall call)
{
  g_mutex_lock(&disk->lock);
  guint calls = disk->calls[call];
  g_mutex_unlock(&disk->lock);
  return calls;
}

guint mem_disk_open_files(MemDisk *disk)
{
  guint open = 0;
  g_mutex_lock(&disk->lock);
  for (guint i = 0; i < disk->files->len; i++)
    open += g_array_index(disk->files, OpenFile, i).inode != NULL;
  g_mutex_unlock(&disk->lock);
  return open;
}

gboolean mem_disk_exists(MemDisk *disk, const char *path)
{
  return g_hash_table_contains(disk->names, path);
}

GByteArray *mem_disk_get(MemDisk *disk, const char *path)
{
  Inode *inode = g_hash_table_lookup(disk->names, path);
  g_assert(inode != NULL);
  GByteArray *copy = g_byte_array_new();
  g_byte_array_append(copy, inode->now->data, inode->now->len);
  return copy;
}

static void set_inode(MemDisk *disk, const char *path, Inode *inode)
{
  g_hash_table_insert(disk->names, g_strdup(path), inode);
  g_hash_table_insert(disk->synced, g_strdup(path), inode_ref(inode));
}

void mem_disk_set(MemDisk *disk, const char *path, const void *bytes, gsize size)
{
  Inode *inode = inode_new(FALSE);
  g_byte_array_append(inode->now, bytes, (guint)size);
  g_byte_array_append(inode->synced, bytes, (guint)size);
  set_inode(disk, path, inode);
}

void mem_disk_set_directory(MemDisk *disk, const char *path)
{
  set_inode(disk, path, inode_new(TRUE));
}

gboolean mem_disk_is_directory(MemDisk *disk, const char *path)
{
  const Inode *inode = g_hash_table_lookup(disk->names, path);
  return inode != NULL && inode->directory;
}

static int compare_file_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *mem_disk_names(MemDisk *disk)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init(&iter, disk->names);
  while (g_hash_table_iter_next(&iter, &name, NULL))
    g_ptr_array_add(names, g_strdup(name));
  g_ptr_array_sort(names, compare_file_names);
  return names;
}

guint64 mem_disk_bytes(MemDisk *disk)
{
  g_mutex_lock(&disk->lock);
  guint64 bytes = bytes_in_use(disk);
  g_mutex_unlock(&disk->lock);
  return bytes;
}
