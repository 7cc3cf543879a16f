/* Digests of the RocksDB store: of all, by device, by bucket, as of a cut. */
#include "store/answer.h"
#include "store/decoded.h"
#include "store/rocks_buckets.h"

#include "base/failpoint.h"

#include <string.h>

/* One state that all parts are read from. */
typedef struct Source {
  RocksStore *store;
  RocksView view;
  Buckets buckets;
  GArray *progress;
  TombstoneSet *tombstones;
  guint64 cut;
  Partition *partition;
  GArray *cells;
  GPtrArray *hiding; /* the tombstones of `device` up to the cut; NULL: none */
  guint32 device;
} Source;

/* FALSE: the store can't tell any more how the state was at the cut, or not all of it. */
static gboolean source_open(RocksStore *store, const DigestScope *scope, Source *source,
                            GError **error)
{
  fair_lock_write(&store->publish_lock);
  gboolean settled = rocks_settle_down_to(store, 0, error);
  guint64 maintained = store->maintained_hlc;
  *source = (Source){.store = store,
                     .view = {.store = store, .snapshot = rocksdb_create_snapshot(store->db)},
                     .progress = g_array_copy(store->progress),
                     .tombstones = tombstones_snapshot(store->tombstones),
                     .cut = scope->cut,
                     .partition = partition_new(),
                     .cells = g_array_new(FALSE, FALSE, sizeof(Cell))};
  fair_lock_release(&store->publish_lock);
  source->view.read_options = rocksdb_readoptions_create();
  buckets_open(store, source->view.snapshot, 0, FALSE, &source->buckets);
  if (!settled)
    return FALSE;
  return scope->cut >= maintained ||
         fail(error, SYNCLOG_INVALID,
              "the state at clock %" G_GUINT64_FORMAT
              " is not known any more: deletes up to %" G_GUINT64_FORMAT " were carried out",
              scope->cut, maintained);
}

static void source_close(Source *source)
{
  buckets_close(&source->buckets);
  rocks_view_close(&source->view);
  g_array_unref(source->progress);
  tombstone_set_free(source->tombstones);
  partition_free(source->partition);
  g_array_unref(source->cells);
  g_clear_pointer(&source->hiding, g_ptr_array_unref);
}

static void choose_tombstones(Source *source, guint32 device)
{
  if (source->device == device)
    return;
  source->device = device;
  g_clear_pointer(&source->hiding, g_ptr_array_unref);
  const GPtrArray *all = tombstone_set_of(source->tombstones, device);
  if (all == NULL)
    return;
  source->hiding = g_ptr_array_new();
  for (guint i = 0; i < all->len; i++)
    if (((const Tombstone *)all->pdata[i])->version.hlc <= source->cut)
      g_ptr_array_add(source->hiding, all->pdata[i]);
}

/* Adds the visible cells of the (device, partition) that it is at, and goes behind it. */
static gboolean add_bucket(Source *source, guint32 device, gint64 partition, StateDigest *digest,
                           GError **error)
{
  Schema *schema = source->store->schema;
  BucketScope scope = {device, partition, G_MININT64, G_MAXINT64, source->cut, NULL, FALSE};
  if (!buckets_load(&source->buckets, &scope, source->partition, error))
    return FALSE;
  choose_tombstones(source, device);
  const char *device_name = schema_name(schema, device);
  g_autoptr(GArray) columns = partition_columns(source->partition);
  for (guint i = 0; i < columns->len; i++) {
    guint64 id = g_array_index(columns, guint64, i);
    const char *name = schema_name(schema, (guint32)(id >> 8));
    DataType type = (DataType)(id & 0xFF);
    if (device_name == NULL || name == NULL)
      return fail(error, SYNCLOG_CORRUPT, "store: a block has a name id that there is not");
    partition_cells(source->partition, (guint32)(id >> 8), type, G_MININT64, G_MAXINT64,
                    source->hiding, source->cells);
    answer_digest(device_name, name, type, source->cells, digest);
  }
  return TRUE;
}

static gboolean may_go_on(const StoreOptions *options, GError **error)
{
  FAILPOINT("digest_bucket");
  return options->digest_step == NULL || options->digest_step(options->digest_ctx) ||
         fail(error, SYNCLOG_NOT_READY, "the digest was ended");
}

gboolean rocks_digest(Store *parent, const DigestScope *scope, StateDigest *out_digest,
                      GArray **out_progress, GError **error)
{
  Source source;
  *out_digest = (StateDigest){0};
  gboolean ok = source_open((RocksStore *)parent, scope, &source, error);
  guint32 device, counted = 0;
  gint64 partition;
  buckets_seek(&source.buckets, 0, G_MININT64);
  while (ok && buckets_here(&source.buckets, &device, &partition)) {
    guint64 before = out_digest->cells;
    ok = may_go_on(&source.store->options, error) &&
         add_bucket(&source, device, partition, out_digest, error);
    if (out_digest->cells > before && device != counted) {
      counted = device;
      out_digest->devices++;
    }
  }
  ok = ok && buckets_ok(&source.buckets, error);
  if (ok)
    *out_progress = g_array_ref(source.progress);
  source_close(&source);
  return ok;
}

static void add_part(GPtrArray *parts, const char *device, gint64 start_time,
                     const StateDigest *digest)
{
  DigestPart *part = g_new(DigestPart, 1);
  *part = (DigestPart){g_strdup(device), start_time, *digest};
  part->digest.devices = digest->cells > 0;
  g_ptr_array_add(parts, part);
}

static gboolean digest_device(Source *source, const char *name, StateDigest *digest, GError **error)
{
  guint32 wanted = schema_find(source->store->schema, name), device;
  gint64 partition;
  *digest = (StateDigest){0};
  buckets_seek(&source->buckets, wanted, G_MININT64);
  while (buckets_here(&source->buckets, &device, &partition) && device == wanted)
    if (!add_bucket(source, device, partition, digest, error))
      return FALSE;
  return buckets_ok(&source->buckets, error);
}

GPtrArray *rocks_digest_devices(Store *parent, const DigestScope *scope, const char *after,
                                guint limit, gboolean *out_more, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  Source source;
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  gboolean ok = source_open(store, scope, &source, error);
  g_autoptr(GPtrArray) devices =
      ok ? schema_devices(store->schema, NULL, after, limit, out_more) : NULL;
  for (guint i = 0; ok && i < devices->len; i++) {
    const Device *device = devices->pdata[i];
    StateDigest digest;
    ok = digest_device(&source, device->name, &digest, error);
    /* The last one of a page is told also without cells: it is what the next page goes on behind.
     */
    if (ok && (digest.cells > 0 || (*out_more && i + 1 == devices->len)))
      add_part(parts, device->name, 0, &digest);
  }
  source_close(&source);
  return ok ? g_steal_pointer(&parts) : NULL;
}

GPtrArray *rocks_digest_buckets(Store *parent, const DigestScope *scope, const char *name,
                                gint64 from, guint limit, gboolean *out_more, GError **error)
{
  RocksStore *store = (RocksStore *)parent;
  guint64 interval = store->options.partition_interval;
  Source source;
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)digest_part_free);
  *out_more = FALSE;
  gboolean ok = source_open(store, scope, &source, error);
  guint32 wanted = schema_find(store->schema, name), device;
  gint64 partition;
  buckets_seek(&source.buckets, wanted, partition_of(from, interval));
  while (ok && wanted != 0 && buckets_here(&source.buckets, &device, &partition) &&
         device == wanted) {
    if (parts->len == limit) {
      *out_more = TRUE;
      break;
    }
    StateDigest digest = {0};
    ok = add_bucket(&source, device, partition, &digest, error);
    if (ok && digest.cells > 0)
      add_part(parts, name, partition_start(partition, interval), &digest);
  }
  ok = ok && buckets_ok(&source.buckets, error);
  source_close(&source);
  return ok ? g_steal_pointer(&parts) : NULL;
}
