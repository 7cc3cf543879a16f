/*
 * The few system calls that the WAL uses, as a table, so that the simulator and the tests can lose,
 * tear and refuse writes. Each returns as the call of the same name does and sets errno. Paths are
 * absolute or relative to the working directory. Thread-safe.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct WalIo {
  int (*open)(gpointer ctx, const char *path, int flags, mode_t mode);
  int (*close)(gpointer ctx, int fd);
  ssize_t (*pread)(gpointer ctx, int fd, void *buffer, gsize size, goffset offset);
  ssize_t (*pwrite)(gpointer ctx, int fd, const void *buffer, gsize size, goffset offset);
  int (*fdatasync)(gpointer ctx, int fd);
  int (*fsync)(gpointer ctx, int fd); /* also of directories */
  int (*ftruncate)(gpointer ctx, int fd, goffset size);
  /* fallocate(2): the file has zeros up to offset + size, which nobody wrote. */
  int (*allocate)(gpointer ctx, int fd, goffset offset, goffset size);
  goffset (*size)(gpointer ctx, int fd); /* -1 on failure */
  int (*rename)(gpointer ctx, const char *from, const char *to);
  int (*unlink)(gpointer ctx, const char *path);
  int (*mkdir)(gpointer ctx, const char *path, mode_t mode); /* EEXIST is the caller's to judge */
  /* Names in a directory without "." and "..", in any order; NULL on failure. Transfer full. */
  GPtrArray *(*list)(gpointer ctx, const char *path);
  gpointer ctx;
} WalIo;

/* The kernel. */
const WalIo *wal_io_system(void);
