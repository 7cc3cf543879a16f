/*
 * A file system in memory for the WAL, which knows what was synced and what was not, and can fail.
 *
 * A power loss (mem_disk_crash) keeps what was synced. Of the rest each page and each change of a
 * directory survives or is lost by itself, and a page may be torn at any byte, so what is left is
 * anything that a disk may show. All by a seeded generator: a seed gives one history.
 *
 * Thread-safe, but a crash must not run beside other calls; files open then give EBADF ever after.
 */
#pragma once

#include "wal/io.h"

typedef struct MemDisk MemDisk;

/* The calls that can fail. */
typedef enum {
  MEM_OPEN,
  MEM_PREAD,
  MEM_PWRITE,
  MEM_FDATASYNC,
  MEM_FSYNC, /* of a file or a directory */
  MEM_FTRUNCATE,
  MEM_RENAME,
  MEM_UNLINK,
  MEM_CALLS,
} MemCall;

typedef enum {
  MEM_LOSE_ALL,    /* nothing that was not synced survives */
  MEM_LOSE_SOME,   /* by chance */
  MEM_LOSE_NOTHING /* kill -9: only the process is gone */
} MemLoss;

MemDisk *mem_disk_new(guint32 seed);
void mem_disk_free(MemDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemDisk, mem_disk_free)

/* Valid as long as the disk. */
const WalIo *mem_disk_io(MemDisk *disk);

void mem_disk_crash(MemDisk *disk, MemLoss loss);

/* The call of that kind after `after` more succeeds no more: it fails once with errno_value. A
 * write puts the first `partial` bytes before it fails; a sync that fails makes what it should have
 * synced count as clean, as the kernel does. */
void mem_disk_fail(MemDisk *disk, MemCall call, guint after, int errno_value, gsize partial);

/* All calls of that kind fail from now on, or (0) none any more. */
void mem_disk_keep_failing(MemDisk *disk, MemCall call, int errno_value);

/* Whether a failure that was asked for has happened. */
gboolean mem_disk_failed(MemDisk *disk);

/* From now on files can't grow beyond so many bytes in sum; G_MAXUINT64 takes the limit away. */
void mem_disk_limit(MemDisk *disk, guint64 bytes);

/* Writes and reads take a random part of what was asked for. */
void mem_disk_short_calls(MemDisk *disk, gboolean on);

guint mem_disk_calls(MemDisk *disk, MemCall call);
guint mem_disk_open_files(MemDisk *disk);

/* The content of a file, for a test to look at and to spoil; spoiling counts as synced. */
gboolean mem_disk_exists(MemDisk *disk, const char *path);
GByteArray *mem_disk_get(MemDisk *disk, const char *path);
void mem_disk_set(MemDisk *disk, const char *path, const void *bytes, gsize size);
void mem_disk_set_directory(MemDisk *disk, const char *path);
gboolean mem_disk_is_directory(MemDisk *disk, const char *path);
/* All paths, sorted. */
GPtrArray *mem_disk_names(MemDisk *disk);
/* Bytes of all files. */
guint64 mem_disk_bytes(MemDisk *disk);
