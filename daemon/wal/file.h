/*
 * What several parts of the WAL do with files, over the table of system calls. No state, any
 * thread. Failures name the path; ENOSPC and EDQUOT become NO_SPACE.
 */
#pragma once

#include "base/error.h"
#include "wal/io.h"

/* An open file that closes itself: g_auto(WalFile) file = WAL_FILE_NONE. */
typedef struct WalFile {
  const WalIo *io;
  int fd; /* -1: none */
} WalFile;

#define WAL_FILE_NONE ((WalFile){NULL, -1})

void wal_file_close(WalFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(WalFile, wal_file_close)

/* Gives an open file away and leaves none. */
static inline WalFile wal_file_steal(WalFile *file)
{
  WalFile given = *file;
  *file = WAL_FILE_NONE;
  return given;
}

/*
 * What a call that failed with this errno says: INTERNAL when the disk does not do it (EIO, and
 * whatever else; it may with the next try), OVERLOADED when the process has no memory or
 * descriptors for it, which says nothing of the file. Never CORRUPT: that is what was read and is
 * wrong, or a file that is not there.
 */
SynclogStatus wal_file_status(int errno_value);

/* `flags` as of open(2). A file that does not exist fails with INVALID, anything else as
 * wal_file_status says. */
gboolean wal_file_open(const WalIo *io, const char *path, int flags, WalFile *out_file,
                       GError **error);

/* Reads until `size` bytes or the end of the file: the number read, or -1 with errno. */
gssize wal_file_read(const WalFile *file, void *buffer, gsize size, goffset offset);

/* Writes until done or the first failure: the number written; errno is set when it is not `size`.
 */
gsize wal_file_write(const WalFile *file, const void *bytes, gsize size, goffset offset);

/* The same with zeros. */
gsize wal_file_write_zeros(const WalFile *file, gsize size, goffset offset);

/* Makes the names in a directory durable. In two steps, the first of which can be done before the
 * names change: it may find no descriptor. */
gboolean wal_directory_open(const WalIo *io, const char *directory, WalFile *out_file,
                            GError **error);
gboolean wal_directory_sync_open(const WalFile *file, const char *directory, GError **error);
/* Both. */
gboolean wal_directory_sync(const WalIo *io, const char *directory, GError **error);

/* Creates a directory and what is missing above it; its name is durable afterwards, also when it
 * was there before. */
gboolean wal_directory_create(const WalIo *io, const char *directory, GError **error);

/* Copies a file durably: the copy has its name only when it is whole. `temp` is a path beside it.
 */
gboolean wal_file_copy(const WalIo *io, const char *from, const char *temp, const char *to,
                       GError **error);
