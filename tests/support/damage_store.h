/*
 * Damages a closed store behind its back, as a defect or a bad disk would: takes out records of one
 * device, or cuts them in half. Nothing else of it changes, and the progress stays as it was.
 */
#pragma once

#include "store/keys.h"

#include <rocksdb/c.h>
#include <string.h>

/* Whether the name under the key is the device's. */
static inline gboolean damage_is_name(const char *key, gsize key_size, const char *value,
                                      gsize size, const char *device)
{
  return key_size == NAME_KEY_SIZE && key[0] == KEY_NAME && size == strlen(device) &&
         memcmp(value, device, size) == 0;
}

/*
 * Takes out (or halves) every `each`-th record of the given kinds of the device, of `partition`
 * only unless that is G_MININT64. Gives how many, -1 when the store can't be opened.
 */
static inline int damage_records(const char *directory, const char *device, const char *kinds,
                                 gint64 partition, guint each, gboolean halve)
{
  rocksdb_options_t *options = rocksdb_options_create();
  char *message = NULL;
  rocksdb_t *db = rocksdb_open(options, directory, &message);
  if (message != NULL) {
    rocksdb_free(message);
    rocksdb_options_destroy(options);
    return -1;
  }
  rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
  rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
  rocksdb_flushoptions_t *flushing = rocksdb_flushoptions_create();
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(db, reading);
  guint32 id = 0;
  int taken = 0;
  guint seen = 0;
  for (rocksdb_iter_seek(iterator, "N", 1); id == 0 && rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    size_t key_size, size;
    const char *key = rocksdb_iter_key(iterator, &key_size);
    const char *value = rocksdb_iter_value(iterator, &size);
    if (damage_is_name(key, key_size, value, size, device))
      id = load_be32((const guint8 *)key + 1);
  }
  for (rocksdb_iter_seek_to_first(iterator); id != 0 && rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    size_t size;
    const guint8 *key = (const guint8 *)rocksdb_iter_key(iterator, &size);
    gboolean placed = key[0] != KEY_TOMBSTONE && size >= BLOCK_PREFIX_SIZE;
    if (size < 5 || strchr(kinds, (char)key[0]) == NULL || load_be32(key + 1) != id ||
        (placed && partition != G_MININT64 && key_unflip(load_be64(key + 5)) != partition) ||
        seen++ % each != 0)
      continue;
    size_t value_size;
    const char *value = rocksdb_iter_value(iterator, &value_size);
    if (halve)
      rocksdb_put(db, writing, (const char *)key, size, value, value_size / 2, &message);
    else
      rocksdb_delete(db, writing, (const char *)key, size, &message);
    g_assert(message == NULL);
    taken++;
  }
  rocksdb_iter_destroy(iterator);
  rocksdb_flush(db, flushing, &message);
  g_assert(message == NULL);
  rocksdb_flushoptions_destroy(flushing);
  rocksdb_writeoptions_destroy(writing);
  rocksdb_readoptions_destroy(reading);
  rocksdb_close(db);
  rocksdb_options_destroy(options);
  return taken;
}

static inline int damage_store(const char *directory, const char *device, const char *kinds,
                               gint64 partition, guint each)
{
  return damage_records(directory, device, kinds, partition, each, FALSE);
}

static inline int halve_records(const char *directory, const char *device, const char *kinds,
                                gint64 partition, guint each)
{
  return damage_records(directory, device, kinds, partition, each, TRUE);
}
