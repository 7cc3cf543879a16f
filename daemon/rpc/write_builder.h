/*
 * A write under construction: TWrite, encoded as it is built. Not thread-safe. Nothing is checked
 * here; whoever takes the write does, and names what is wrong.
 */
#pragma once

#include "base/table.h"

typedef struct WriteBuilder WriteBuilder;
WriteBuilder *write_builder_new(void);
void write_builder_free(WriteBuilder *builder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WriteBuilder, write_builder_free)
/* values[i] belongs to measurements[i], both of `count`. Copied. */
void write_builder_row(WriteBuilder *builder, const char *device, gint64 timestamp,
                       const char *const *measurements, const Value *values, guint count);
/* columns: finished Column*, each of timestamps->len rows. Copied. */
void write_builder_tablet(WriteBuilder *builder, const char *device, const GArray *timestamps,
                          const GPtrArray *columns);
/* measurements: NULL-terminated, or NULL for all. */
void write_builder_delete(WriteBuilder *builder, const char *device,
                          const char *const *measurements, gint64 start_time, gint64 end_time);
/* What a write that is sent again is recognised by, 1 to LIMIT_KEY_SIZE bytes; NULL: nothing. */
void write_builder_key(WriteBuilder *builder, const char *key);
/* Bytes so far, to decide when to send. */
gsize write_builder_size(const WriteBuilder *builder);

/* Appends the TWrite as it stands on the wire. */
void write_builder_encode(const WriteBuilder *builder, GByteArray *out);

/* Makes it empty. */
void write_builder_clear(WriteBuilder *builder);
