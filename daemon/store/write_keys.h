/*
 * The keys that clients gave to their writes (TWrite.key), of the newest LIMIT_WRITE_KEYS applied
 * entries that have one: where a write that comes again is recognised. Of a key that two nodes took
 * before they heard of each other the smallest version is kept.
 *
 * Thread-safe. Knows nothing of disks: whoever adds stores what it must.
 */
#pragma once

#include "base/log_id.h"

enum { WRITE_KEY_HASH_SIZE = 16 };

typedef struct WriteKeys WriteKeys;

/* A key, by its hash, and the entry that has it. */
typedef struct WriteKey {
  guint8 hash[WRITE_KEY_HASH_SIZE];
  LogId log;
  guint64 index, hlc;
} WriteKey;

/* At most `max` keys, 1 at least. */
WriteKeys *write_keys_new(guint max);
void write_keys_free(WriteKeys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WriteKeys, write_keys_free)

/* XXH3-128 of the key's bytes, canonical. */
void write_keys_hash(const guint8 *key, gsize size, guint8 out_hash[WRITE_KEY_HASH_SIZE]);

/*
 * Adds. FALSE when the key was there with a smaller version, or with this one. *out_dropped becomes
 * TRUE when the oldest one had to go for it: `dropped` then has it.
 */
gboolean write_keys_add(WriteKeys *keys, const WriteKey *key, WriteKey *dropped,
                        gboolean *out_dropped);

gboolean write_keys_find(WriteKeys *keys, const guint8 hash[WRITE_KEY_HASH_SIZE],
                         WriteKey *out_key);

guint write_keys_count(WriteKeys *keys);
