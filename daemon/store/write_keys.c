#include "store/write_keys.h"

#include <string.h>
#include <xxhash.h>

struct WriteKeys {
  guint max;
  GMutex mutex;        /* guards the rest */
  GHashTable *by_hash; /* Node, owned */
  GQueue oldest_first; /* of the nodes' links */
};

typedef struct Node {
  WriteKey key; /* first: found by its hash */
  GList link;
} Node;

static guint hash_of(gconstpointer data)
{
  guint hash;
  memcpy(&hash, data, sizeof hash);
  return hash;
}

static gboolean is_equal(gconstpointer a, gconstpointer b)
{
  return memcmp(a, b, WRITE_KEY_HASH_SIZE) == 0;
}

WriteKeys *write_keys_new(guint max)
{
  g_assert(max > 0);
  WriteKeys *keys = g_new0(WriteKeys, 1);
  keys->max = max;
  g_mutex_init(&keys->mutex);
  keys->by_hash = g_hash_table_new_full(hash_of, is_equal, NULL, g_free);
  g_queue_init(&keys->oldest_first);
  return keys;
}

void write_keys_free(WriteKeys *keys)
{
  g_hash_table_unref(keys->by_hash);
  g_mutex_clear(&keys->mutex);
  g_free(keys);
}

void write_keys_hash(const guint8 *key, gsize size, guint8 out_hash[WRITE_KEY_HASH_SIZE])
{
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(key, size));
  memcpy(out_hash, canonical.digest, WRITE_KEY_HASH_SIZE);
}

/* Whether `a` is of an older version than `b`. */
static gboolean is_older(const WriteKey *a, const WriteKey *b)
{
  return a->hlc != b->hlc ? a->hlc < b->hlc : a->log.origin < b->log.origin;
}

gboolean write_keys_add(WriteKeys *keys, const WriteKey *key, WriteKey *dropped,
                        gboolean *out_dropped)
{
  gboolean added = TRUE;
  *out_dropped = FALSE;
  g_mutex_lock(&keys->mutex);
  Node *known = g_hash_table_lookup(keys->by_hash, key->hash);
  if (known != NULL) {
    added = is_older(key, &known->key);
    if (added)
      known->key = *key;
  } else {
    if (g_hash_table_size(keys->by_hash) >= keys->max) {
      Node *oldest = g_queue_pop_head_link(&keys->oldest_first)->data;
      *dropped = oldest->key;
      *out_dropped = TRUE;
      g_hash_table_remove(keys->by_hash, oldest);
    }
    Node *node = g_new0(Node, 1);
    node->key = *key;
    node->link.data = node;
    g_queue_push_tail_link(&keys->oldest_first, &node->link);
    g_hash_table_add(keys->by_hash, node);
  }
  g_mutex_unlock(&keys->mutex);
  return added;
}

gboolean write_keys_find(WriteKeys *keys, const guint8 hash[WRITE_KEY_HASH_SIZE], WriteKey *out_key)
{
  g_mutex_lock(&keys->mutex);
  const Node *node = g_hash_table_lookup(keys->by_hash, hash);
  if (node != NULL)
    *out_key = node->key;
  g_mutex_unlock(&keys->mutex);
  return node != NULL;
}

guint write_keys_count(WriteKeys *keys)
{
  g_mutex_lock(&keys->mutex);
  guint count = g_hash_table_size(keys->by_hash);
  g_mutex_unlock(&keys->mutex);
  return count;
}
