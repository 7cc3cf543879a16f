/*
 * A CSV file as rows to be written: which column is what, of what type, and the batches made of it.
 * The file is read twice: import_source_scan() settles the types and checks every row, so that a
 * file with a mistake in it is refused before anything is sent; then import_source_fill() builds
 * the batches. One thread.
 */
#pragma once

#include "base/table.h"
#include "rpc/client.h"

#include <stdio.h>

/* How times in the file are to be read. */
typedef struct ImportTimes {
  gint64 per_second; /* the cluster's precision */
  gint64 unit;       /* integers in the file are so many per second */
  gboolean round;    /* digits finer than the precision are dropped */
} ImportTimes;

/* Asks for a device's measurements; NULL without an error: there is no such device. */
typedef Device *(*ImportLookup)(gpointer ctx, const char *device, GError **error);

typedef struct ImportOptions {
  char delimiter;
  const char *device;        /* of all rows; not with device_column */
  const char *device_column; /* NULL: none */
  const char *time_column;   /* NULL: the one called time or timestamp, else the first */
  GHashTable *types;         /* column → GINT_TO_POINTER(DataType); may be NULL */
  ImportTimes times;
  ImportLookup lookup;
  gpointer lookup_ctx;
} ImportOptions;

typedef struct ImportSource ImportSource;

/* Opens the file and reads its head; "-" is standard input (copied to a temporary file). `options`
 * must live as long as the source. Errors name file and line. */
ImportSource *import_source_open(const char *path, const ImportOptions *options, GError **error);
void import_source_free(ImportSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImportSource, import_source_free)

/* A shorthand of the head, to recognise the file by. */
guint32 import_source_head_checksum(const ImportSource *source);
/* CRC-32C over the last bytes of the file before `offset`; INVALID when the file is shorter. */
gboolean import_source_checksum_before(ImportSource *source, guint64 offset, guint32 *out_checksum,
                                       GError **error);

/* Bytes of the file when it was opened. */
guint64 import_source_size(const ImportSource *source);

/* Bytes read so far by the current pass, and the next line. */
guint64 import_source_offset(const ImportSource *source);
guint64 import_source_line(const ImportSource *source);

/* The first pass; `progress` (may be NULL) is called now and then. Ends at the first row. */
gboolean import_source_scan(ImportSource *source, void (*progress)(gpointer ctx), gpointer ctx,
                            GError **error);

/* Goes on at a point that import_source_offset and _line have told before. */
gboolean import_source_seek(ImportSource *source, guint64 offset, guint64 line, GError **error);

typedef struct ImportBatch {
  guint64 rows, points;
} ImportBatch;

/*
 * Adds the next rows to the builder, as tablets, in the order of the file: up to max_rows, fewer
 * when they grow to about max_bytes. out_batch->rows is 0 at the end of the file.
 */
gboolean import_source_fill(ImportSource *source, guint max_rows, gsize max_bytes,
                            WriteBuilder *builder, ImportBatch *out_batch, GError **error);

/* The same into several builders: builder_for(ctx, device) says into which. */
gboolean import_source_fill_routed(ImportSource *source, guint max_rows, gsize max_bytes,
                                   WriteBuilder *(*builder_for)(gpointer ctx, const char *device),
                                   gpointer ctx, ImportBatch *out_batch, GError **error);

/* Number of columns of measurements, with the type that a new measurement gets (after the scan). */
guint import_source_column_count(const ImportSource *source);
const char *import_source_column(const ImportSource *source, guint i, DataType *out_type);
