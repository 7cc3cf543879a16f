/* Loaded before a daemon by LD_PRELOAD: a disk whose syncs do nothing. The power-loss campaign must
 * notice. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

int fsync(int fd)
{
  (void)fd;
  return 0;
}

int fdatasync(int fd)
{
  (void)fd;
  return 0;
}

int syncfs(int fd)
{
  (void)fd;
  return 0;
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
  (void)fd;
  (void)offset;
  (void)size;
  (void)flags;
  return 0;
}
