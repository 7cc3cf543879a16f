/*
 * The deletes that a store holds, by device. Not thread-safe: the store guards it; readers take a
 * copy of one device's list (tombstones_of), which is theirs.
 */
#pragma once

#include "store/schema.h"

typedef struct Tombstone {
  Version version;
  gint64 start_time, end_time; /* both included */
  guint32 *measurements;       /* sorted ids, owned; NULL: all */
  guint measurement_count;
} Tombstone;

typedef struct Tombstones Tombstones;

Tombstones *tombstones_new(void);
void tombstones_free(Tombstones *tombstones);

/* Takes over `measurements`. */
void tombstones_add(Tombstones *tombstones, guint32 device, const Tombstone *tombstone);

guint tombstones_count(const Tombstones *tombstones);

/* A device that has tombstones of clocks at or below `horizon` that are wanted; 0: none has. */
typedef gboolean (*TombstoneWanted)(gconstpointer ctx, guint32 device, const Tombstone *tombstone);
guint32 tombstones_device_below(const Tombstones *tombstones, guint64 horizon,
                                TombstoneWanted wanted, gconstpointer ctx);

/* Those of the device: GPtrArray of Tombstone with counted references. Transfer full. */
GPtrArray *tombstones_below(const Tombstones *tombstones, guint32 device, guint64 horizon);

/* Takes out exactly the given ones of the device. */
void tombstones_remove(Tombstones *tombstones, guint32 device, const GPtrArray *removed);

/* The device's tombstones that touch the range and may hide cells of it: GPtrArray of Tombstone
 * with counted references, NULL when there are none. Transfer full. */
GPtrArray *tombstones_of(Tombstones *tombstones, guint32 device, gint64 start_time,
                         gint64 end_time);

/* The tombstones of all devices as they are now. */
typedef struct TombstoneSet TombstoneSet;
TombstoneSet *tombstones_snapshot(Tombstones *tombstones);
void tombstone_set_free(TombstoneSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TombstoneSet, tombstone_set_free)
/* Borrowed; NULL when the device has none. */
const GPtrArray *tombstone_set_of(const TombstoneSet *set, guint32 device);

/* Whether a value of that version is hidden. */
gboolean tombstones_hide(const Tombstones *tombstones, guint32 device, guint32 measurement,
                         gint64 time, const Version *version);

/* Whether it is about that measurement. */
gboolean tombstone_names(const Tombstone *tombstone, guint32 measurement);
