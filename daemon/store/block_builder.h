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

/* One row with a value in each column; of TEXT, `values` are the bytes themselves. */
void builder_add_row(Decoded *decoded, Slice device, guint32 ordinal, gint64 time,
                     guint64 partition_interval, const BuilderColumn *columns, guint count);

/* `rows` packed little-endian times in any order, columns packed and checked. Makes one block per
 * partition, each sorted by time; of equal times the later row stays behind the earlier. */
void builder_add_tablet(Decoded *decoded, Slice device, guint32 ordinal, const guint8 *times,
                        guint rows, guint64 partition_interval, const BuilderColumn *columns,
                        guint count);
