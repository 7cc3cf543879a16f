/*
 * The names and types that a store knows: local ids for device and measurement names, and for each
 * (device, measurement) the types that were written, each with its oldest version.
 *
 * Kept in memory whole. Thread-safe: one lock inside. What is reserved but not yet applied is known
 * here and not on disk; ids given to it are only good until the store is closed.
 */
#pragma once

#include "store/decoded.h"
#include "store/version.h"

/* A column of a device as readers see it. */
typedef struct SchemaColumn {
  guint32 measurement;
  DataType type;
  gboolean conflicting;
  const char *name; /* lives as long as the schema */
} SchemaColumn;

typedef struct Schema Schema;

Schema *schema_new(void);
void schema_free(Schema *schema);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Schema, schema_free)

/* While opening: what is on disk, names before types. FALSE when it can't be right. */
gboolean schema_load_name(Schema *schema, guint32 id, const char *bytes, gsize size);
gboolean schema_load_type(Schema *schema, guint32 device, guint32 measurement, DataType type,
                          const Version *version);

/* See store_reserve(). Resolves the write's ids on the way. */
gboolean schema_reserve(Schema *schema, Decoded *decoded, GError **error);

/* Told of each record that has to be written to disk together with what is applied. */
typedef struct SchemaSink {
  void (*name)(gpointer ctx, guint32 id, const char *bytes, gsize size);
  void (*type)(gpointer ctx, guint32 device, guint32 measurement, DataType type,
               const Version *version);
  /* The measurement had another type before this one. */
  void (*further_type)(gpointer ctx, guint32 device, guint32 measurement, DataType type);
  gpointer ctx;
} SchemaSink;

/* An entry is applied: resolves its ids, notes its types with their versions. */
void schema_apply(Schema *schema, Decoded *decoded, guint64 hlc, guint32 origin,
                  const SchemaSink *sink);

/* Id of a name that was applied; 0 when there is none. */
guint32 schema_find(Schema *schema, const char *name);

/* The applied columns of a device, sorted by name, the valid type before conflicting ones. Only the
 * named measurements, unless measurements is NULL. */
GArray *schema_columns(Schema *schema, guint32 device, const char *const *measurements);

/* The oldest versions of the measurement's applied types, by DataType; returns a bit per type. */
guint schema_oldest(Schema *schema, guint32 device, guint32 measurement,
                    Version out_oldest[DATA_TEXT + 1]);

/* Device* in order of names; see store_series(). */
GPtrArray *schema_devices(Schema *schema, const char *prefix, const char *after, guint limit,
                          gboolean *out_more);

/* The name of an id, NULL when there is none of it; lives as long as the schema. */
const char *schema_name(Schema *schema, guint32 id);
