/*
 * Plain data of the read and write API: values, packed columns, questions and their answers. The
 * store computes with them, rpc carries them, synclogctl prints them. Not thread-safe; whoever
 * holds one owns it. The packed form of a column is that of TColumn in thrift/types.thrift.
 */
#pragma once

#include <glib.h>

typedef enum {
  DATA_BOOLEAN = 1,
  DATA_INT32 = 2,
  DATA_INT64 = 3,
  DATA_FLOAT = 4,
  DATA_DOUBLE = 5,
  DATA_TEXT = 6,
} DataType;

/* "BOOLEAN" …; NULL for a number that is no type. */
const char *data_type_name(int type);

/* FALSE when there is no type of that name (any case). */
gboolean data_type_parse(const char *name, DataType *out_type);

/* Bytes of one packed value; 0 for TEXT. */
gsize data_type_size(DataType type);

typedef struct Value {
  DataType type;
  union {
    gboolean boolean;
    gint32 int32;
    gint64 int64;
    float float32;
    double float64;
    struct {
      char *bytes; /* owned, NUL-terminated for convenience */
      gsize size;
    } text;
  };
} Value;

/* Frees what the value owns and makes it a FALSE boolean. */
void value_clear(Value *value);

/* Reads one packed value: data_type_size() bytes, or `size` bytes of TEXT (copied). */
void value_unpack(DataType type, const guint8 *packed, gsize size, Value *out_value);

/* The number; a BOOLEAN is 0 or 1, a TEXT 0. */
double value_as_double(const Value *value);

/* Deep copy. */
void value_copy(const Value *value, Value *out_value);

/* One packed column. In TEXT, `values` holds the offsets (rows + 1) while `text` collects the
 * bytes; column_finish() joins them. */
typedef struct Column {
  char *measurement;
  DataType type;
  guint rows;
  GByteArray *values;
  GByteArray *text;  /* TEXT under construction, else NULL */
  GByteArray *nulls; /* NULL while no value is missing */
} Column;

Column *column_new(const char *measurement, DataType type);
void column_free(Column *column);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Column, column_free)

/* Appends `rows` packed values of one type without nulls (not TEXT). */
void column_append_packed(Column *column, const void *values, guint rows);
/* Makes room for `rows` further packed values (not TEXT) and gives it, to be filled; then takes
 * `count` of them from `first` on. `rows` is the same in both. */
guint8 *column_open(Column *column, guint rows);
void column_close(Column *column, guint rows, guint first, guint count);
/* Appends one value; `packed` points to data_type_size() bytes, or to `size` bytes of TEXT. */
void column_append(Column *column, const void *packed, gsize size);
/* Appends a missing value. */
void column_append_null(Column *column);
/* Ends a TEXT column under construction: `values` becomes offsets and bytes. No-op otherwise. */
void column_finish(Column *column);
/* The value of a finished column at `row`; FALSE when it is missing. Caller clears the value. */
gboolean column_get(const Column *column, guint row, Value *out_value);
/* Whether the packed bytes are as TColumn demands for `rows` rows; INVALID names what is wrong. */
gboolean column_check(const Column *column, guint rows, GError **error);

/* The same for packed bytes that are in no Column; nulls may be NULL. */
gboolean column_check_packed(DataType type, const guint8 *values, gsize size, const guint8 *nulls,
                             gsize nulls_size, guint rows, GError **error);

/* Rows of one device in order of time. */
typedef struct Table {
  GArray *timestamps; /* gint64 */
  GPtrArray *columns; /* Column*, all of the same number of rows */
  GBytes *next_page;  /* NULL: nothing behind it */
} Table;

Table *table_new(void);
void table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

typedef struct Query {
  const char *device;
  const char *const *measurements; /* NULL-terminated; NULL: all */
  gint64 start_time, end_time;     /* both included */
  guint limit;                     /* rows per page, 1 .. LIMIT_QUERY_ROWS */
  gboolean descending;
  GBytes *page; /* from Table.next_page, or NULL */
} Query;

typedef struct LastValue {
  char *measurement;
  gint64 timestamp;
  Value value;
} LastValue;

void last_value_free(LastValue *last);

typedef struct AggregateQuery {
  const char *device;
  const char *measurement;
  gint64 start_time, end_time; /* both included */
  guint64 window;              /* length; 0: one window */
  guint limit;                 /* windows */
} AggregateQuery;

typedef struct Window {
  gint64 start_time;
  guint64 count;
  double sum, avg; /* not for TEXT */
  Value min, max;  /* not for TEXT */
  Value first, last;
  gint64 first_time, last_time;
} Window;

typedef struct Aggregate {
  DataType type;
  GArray *windows; /* Window; only those with values */
  gboolean more;
  gint64 next_start_time; /* valid when more */
} Aggregate;

Aggregate *aggregate_new(void);
void aggregate_free(Aggregate *aggregate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Aggregate, aggregate_free)

typedef struct Measurement {
  char *name;
  DataType type;
  gboolean conflicting; /* lost against an older write of another type */
} Measurement;

typedef struct Device {
  char *name;
  GArray *measurements; /* Measurement, sorted by name */
} Device;

void device_free(Device *device);

/* Digest of a whole state: a sum modulo 2^128 over all visible cells. */
typedef struct StateDigest {
  guint64 low, high;
  guint64 cells;
  guint64 devices; /* with at least one visible cell */
} StateDigest;

/* The digest of a device, or of one of its buckets: its cells of one partition. */
typedef struct DigestPart {
  char *device;
  gint64 start_time; /* of a bucket: the first time of the partition; else 0 */
  StateDigest digest;
} DigestPart;

void digest_part_free(DigestPart *part);

/* Which parts to tell, and as of when; see store_digest_devices() and store_digest_buckets(). */
typedef struct DigestQuery {
  guint64 cut;        /* G_MAXUINT64: of all entries */
  const char *device; /* its buckets; NULL: the devices */
  const char *after;  /* devices behind this one; NULL: from the first */
  gint64 from;        /* buckets from this time on */
  guint limit;        /* 0: not given */
} DigestQuery;
