/* Builds the encoded blocks of a Decoded from checked rows and tablets. One thread. */
#pragma once

#include "store/decoded.h"

/* A column as it came: packed as in TColumn, or one value in inline_value (values NULL). */
typedef struct BuilderColumn {
  Slice measurement;
  DataType type;
  const guint8 *values;
  gsize values_size;
  const guint8 *nulls;
  gsize nulls_size;
  guint8 inline_value[8];
} BuilderColumn;

/*
 * Consecutive rows of one device with the same columns, which become one tablet: fewer and larger
 * blocks. That later rows win over earlier ones holds inside a tablet too. Zero it before use.
 */
typedef struct RowRun {
  Slice device;
  guint32 ordinal; /* of the first row */
  guint rows;      /* 0: nothing is pending */
  GArray *columns; /* BuilderColumn: names and types */
  GByteArray *times;
  GByteArray *cells; /* 8 bytes each, row by row */
} RowRun;

/* Whether a row with these columns can be added behind those that are pending. */
gboolean row_run_takes(const RowRun *run, Slice device, const BuilderColumn *columns, guint count);

/* Adds a row; whatever is pending and does not go with it is built before. Rows with a TEXT are
 * built at once. */
void row_run_add(RowRun *run, Decoded *decoded, Slice device, guint32 ordinal, gint64 time,
                 guint64 partition_interval, const BuilderColumn *columns, guint count);

/* Builds what is pending. */
void row_run_flush(RowRun *run, Decoded *decoded, guint64 partition_interval);

void row_run_clear(RowRun *run);

/* One row with a value in each column; of TEXT, `values` are the bytes themselves. */
void builder_add_row(Decoded *decoded, Slice device, guint32 ordinal, gint64 time,
                     guint64 partition_interval, const BuilderColumn *columns, guint count);

/* `rows` packed little-endian times in any order, columns packed and checked. Makes one block per
 * partition, each sorted by time; of equal times the later row stays behind the earlier. */
void builder_add_tablet(Decoded *decoded, Slice device, guint32 ordinal, const guint8 *times,
                        guint rows, guint64 partition_interval, const BuilderColumn *columns,
                        guint count);
