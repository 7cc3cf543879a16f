/*
 * Writes with a key: one that comes again is not taken again. A key is in flight from the moment
 * that a write with it is taken until that write is answered and applied; from then on the store
 * knows it. Whoever comes in between waits for the first one's answer.
 */
#include "node/replica_private.h"

#include <string.h>

struct KeysInFlight {
  GMutex mutex;      /* guards the table; taken under Replica.mutex too, a leaf */
  GHashTable *table; /* KeyInFlight, owned, by its hash */
  gint count;        /* atomic: of the table */
};

/* Whoever waits for the answer: a call, or what came another way. */
typedef struct KeyWaiter {
  RpcCall *call;
  ReplicaWritten done;
  gpointer done_data;
  AckLevel ack;
} KeyWaiter;

typedef struct KeyInFlight {
  guint8 hash[WRITE_KEY_HASH_SIZE]; /* first: found by it */
  AckLevel ack;                     /* that the first one asked for */
  gboolean answered, applied;
  SynclogStatus status; /* once answered: OK or PENDING */
  Token token;          /* once answered */
  GArray *waiting;      /* KeyWaiter, NULL for none */
} KeyInFlight;

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

static void in_flight_free(gpointer data)
{
  KeyInFlight *key = data;
  g_clear_pointer(&key->waiting, g_array_unref);
  g_free(key);
}

KeysInFlight *replica_keys_new(void)
{
  KeysInFlight *keys = g_new0(KeysInFlight, 1);
  g_mutex_init(&keys->mutex);
  keys->table = g_hash_table_new_full(hash_of, is_equal, NULL, in_flight_free);
  return keys;
}

void replica_keys_free(KeysInFlight *keys)
{
  g_hash_table_unref(keys->table);
  g_mutex_clear(&keys->mutex);
  g_free(keys);
}

static void tell(Replica *replica, const KeyWaiter *waiter, SynclogStatus status,
                 const char *message, const Token *token)
{
  if (waiter->call == NULL) {
    waiter->done(waiter->done_data, status, message, token);
    return;
  }
  if (status != SYNCLOG_OK)
    rpc_call_hint_retry(waiter->call, replica_retry_after_ms(replica, status));
  rpc_call_reply_write(waiter->call, status, message, token);
}

/* The first one is durable at its node. Where a later one asks for more than the first one reached,
 * it is what the engine knows of it now: else it is still spreading. Caller holds Replica.mutex. */
static void tell_known(Replica *replica, const KeyWaiter *waiter, SynclogStatus status,
                       AckLevel reached, const Token *token)
{
  gboolean enough = waiter->ack == ACK_LOCAL || (status == SYNCLOG_OK && waiter->ack <= reached) ||
                    group_is_acked(replica->group, token, waiter->ack);
  tell(replica, waiter, enough ? SYNCLOG_OK : SYNCLOG_PENDING,
       enough ? NULL : "the write was taken before and is still spreading", token);
}

static KeyWaiter waiter_of(const ClientWrite *write)
{
  KeyWaiter waiter = {.call = write->call, .ack = write->base.ack};
  if (write->call == NULL) {
    waiter.done = ((const OtherWrite *)write)->done;
    waiter.done_data = ((const OtherWrite *)write)->done_data;
  }
  return waiter;
}

/* What is known of the key of a write that comes again. */
typedef struct Known {
  SynclogStatus status;
  AckLevel reached;
  Token token; /* index 0: nothing, the first one is under way */
} Known;

/* Caller holds the mutex, and the store's lock for reading. */
static gboolean claim(Replica *replica, const ClientWrite *write, Known *out)
{
  KeysInFlight *keys = replica->keys;
  KeyInFlight *known = g_hash_table_lookup(keys->table, write->key_hash);
  if (known != NULL && known->answered) {
    *out = (Known){known->status, known->ack, known->token};
    return FALSE;
  }
  if (known != NULL) {
    KeyWaiter waiter = waiter_of(write);
    if (known->waiting == NULL)
      known->waiting = g_array_new(FALSE, FALSE, sizeof(KeyWaiter));
    g_array_append_val(known->waiting, waiter);
    return FALSE;
  }
  WriteKey applied;
  if (replica->store != NULL && store_find_key(replica->store, write->key_hash, &applied)) {
    *out =
        (Known){SYNCLOG_PENDING, ACK_LOCAL, {applied.log, applied.index, replica_group(replica)}};
    return FALSE;
  }
  KeyInFlight *fresh = g_new0(KeyInFlight, 1);
  memcpy(fresh->hash, write->key_hash, sizeof fresh->hash);
  fresh->ack = write->base.ack;
  g_hash_table_insert(keys->table, fresh, fresh);
  g_atomic_int_inc(&keys->count);
  return TRUE;
}

gboolean replica_claim_key(Replica *replica, const ClientWrite *write)
{
  /* Once it waits, the write may be gone. */
  KeyWaiter waiter = waiter_of(write);
  Known known = {0};
  g_rw_lock_reader_lock(&replica->store_lock);
  g_mutex_lock(&replica->keys->mutex);
  gboolean claimed = claim(replica, write, &known);
  g_mutex_unlock(&replica->keys->mutex);
  g_rw_lock_reader_unlock(&replica->store_lock);
  if (claimed || known.token.index == 0)
    return claimed;
  replica_lock(replica);
  tell_known(replica, &waiter, known.status, known.reached, &known.token);
  replica_unlock(replica);
  return FALSE;
}

/* Caller holds the mutex. */
static void forget(KeysInFlight *keys, const KeyInFlight *key)
{
  g_hash_table_remove(keys->table, key);
  g_atomic_int_add(&keys->count, -1);
}

void replica_key_answered(Replica *replica, const guint8 hash[WRITE_KEY_HASH_SIZE],
                          SynclogStatus status, const char *message, const Token *token)
{
  KeysInFlight *keys = replica->keys;
  gboolean taken = status == SYNCLOG_OK || status == SYNCLOG_PENDING;
  g_mutex_lock(&keys->mutex);
  KeyInFlight *key = g_hash_table_lookup(keys->table, hash);
  g_assert(key != NULL && !key->answered);
  g_autoptr(GArray) waiting = g_steal_pointer(&key->waiting);
  AckLevel reached = key->ack;
  key->answered = taken;
  key->status = status;
  if (taken)
    key->token = *token;
  if (!taken || key->applied)
    forget(keys, key);
  g_mutex_unlock(&keys->mutex);
  for (guint i = 0; waiting != NULL && i < waiting->len; i++) {
    const KeyWaiter *waiter = &g_array_index(waiting, KeyWaiter, i);
    if (taken)
      tell_known(replica, waiter, status, reached, token);
    else
      tell(replica, waiter, status, message, NULL);
  }
}

void replica_key_applied(Replica *replica, const Decoded *decoded)
{
  KeysInFlight *keys = replica->keys;
  const guint8 *hash = store_decoded_key(decoded);
  if (hash == NULL || g_atomic_int_get(&keys->count) == 0)
    return;
  g_mutex_lock(&keys->mutex);
  KeyInFlight *key = g_hash_table_lookup(keys->table, hash);
  if (key != NULL && key->answered)
    forget(keys, key);
  else if (key != NULL)
    key->applied = TRUE;
  g_mutex_unlock(&keys->mutex);
}
