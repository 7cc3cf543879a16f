/*
 * Buckets with a block or chunk that can't be read. They fail their own reads, and what would
 * change them leaves them alone until they are mended; all else goes on. In memory: met again after
 * the store was opened anew. The applying thread's, but for the count.
 */
#include "store/rocks_private.h"

enum {
  DAMAGED_BUCKETS = 1 << 12,     /* are told apart; with more, all count as damaged */
  TELL_US = 60 * G_USEC_PER_SEC, /* between two words about damage */
};

typedef struct Place {
  gint64 partition;
  guint32 device;
} Place;

struct Damage {
  GHashTable *places; /* Place, by itself */
  gboolean full;      /* … and there are more */
  gint count;         /* atomic */
  gint64 tell_from_us;
};

static guint place_hash(gconstpointer key)
{
  const Place *place = key;
  return g_int64_hash(&place->partition) ^ place->device * 2654435761u;
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;
  return x->device == y->device && x->partition == y->partition;
}

Damage *rocks_damage_new(void)
{
  Damage *damage = g_new0(Damage, 1);
  damage->places = g_hash_table_new_full(place_hash, place_equal, g_free, NULL);
  return damage;
}

void rocks_damage_free(Damage *damage)
{
  g_hash_table_unref(damage->places);
  g_free(damage);
}

static void count(Damage *damage)
{
  g_atomic_int_set(&damage->count,
                   (gint)g_hash_table_size(damage->places) + (damage->full ? 1 : 0));
}

gboolean rocks_is_damage(const RocksStore *store, const GError *error)
{
  return g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_CORRUPT) && store->failure == NULL;
}

void rocks_damage_tell(RocksStore *store, const char *what)
{
  Damage *damage = store->damage;
  gint64 now_us = g_get_monotonic_time();
  if (now_us < damage->tell_from_us)
    return;
  damage->tell_from_us = now_us + TELL_US;
  g_critical("%s: it is left as it is, and can't be read", what);
}

void rocks_damage_note(RocksStore *store, guint32 device, gint64 partition, const GError *error)
{
  Damage *damage = store->damage;
  Place *place = g_new0(Place, 1);
  *place = (Place){partition, device};
  if (g_hash_table_size(damage->places) < DAMAGED_BUCKETS ||
      g_hash_table_contains(damage->places, place)) {
    g_hash_table_add(damage->places, place);
  } else {
    damage->full = TRUE;
    g_free(place);
  }
  count(damage);
  const char *name = schema_name(store->schema, device);
  g_autofree char *what = g_strdup_printf("device %s, partition %" G_GINT64_FORMAT ": %s",
                                          name != NULL ? name : "?", partition, error->message);
  rocks_damage_tell(store, what);
}

gboolean rocks_damage_between(const RocksStore *store, guint32 device, gint64 first, gint64 last)
{
  const Damage *damage = store->damage;
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, damage->places);
  while (!damage->full && g_hash_table_iter_next(&iter, &key, NULL)) {
    const Place *place = key;
    if (place->device == device && first <= place->partition && place->partition <= last)
      return TRUE;
  }
  return damage->full;
}

void rocks_damage_mended(RocksStore *store, guint32 device, gint64 partition)
{
  g_hash_table_remove(store->damage->places, &(Place){partition, device});
  count(store->damage);
}

guint rocks_damage_count(const RocksStore *store)
{
  return (guint)g_atomic_int_get(&store->damage->count);
}
