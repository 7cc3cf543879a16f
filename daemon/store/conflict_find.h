/*
 * Finds what a block met: each of its values is compared with what its cell showed before the block
 * was applied. Pure computation over blocks that the caller has loaded; one thread.
 *
 * What a cell showed is the value or the delete with the greatest version among all that were
 * applied before. Where it is of the same leader, there is no conflict.
 */
#pragma once

#include "store/block.h"
#include "store/conflict_record.h"
#include "store/tombstones.h"

typedef struct Scene Scene;

/* The blocks of one (device, partition) and the deletes of the device. */
Scene *scene_new(guint32 device);
void scene_free(Scene *scene);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

/* The sequence of the check of a version, 0 when it has none any more. */
typedef guint64 (*SequenceOf)(gpointer ctx, const Version *version);

/* Adds a block (copied) with the version of its key, or a delete (borrowed). Rows and deletes whose
 * sequence is behind the check that is looked at are left out. CORRUPT when it is none. */
gboolean scene_add_block(Scene *scene, const Version *version, gint64 min_time, gint64 max_time,
                         SequenceOf sequence_of, gpointer ctx, const guint8 *bytes, gsize size,
                         GError **error);
void scene_add_delete(Scene *scene, const Tombstone *tombstone, guint64 sequence);

/* Bytes of memory, about. */
gsize scene_bytes(const Scene *scene);

/*
 * Looks at the rows of the check's version, from its column and row on (the row is counted among
 * these rows alone: so it says the same whatever else is in the block). What is found is given to
 * `found`, in the order of columns and times; several cells of a column that one delete hides are
 * given as one. When `found` returns FALSE, or more than *work comparisons were made, it stops with
 * FALSE, and the check says where to go on. *work is what is left.
 */
typedef gboolean (*FoundFunc)(gpointer ctx, const Found *found);
gboolean scene_look(Scene *scene, Check *check, FoundFunc found, gpointer ctx, gint64 *work);
