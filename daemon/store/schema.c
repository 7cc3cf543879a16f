#include "store/schema.h"

#include "base/fair_lock.h"
#include "base/limits.h"

#include <string.h>
#include <xxhash.h>

enum {
  TYPES = DATA_TEXT + 1,
  LAYOUTS = 4, /* that are kept of a device */
  LAYOUT_COLUMNS = 64,
};

typedef struct Name Name;
typedef struct Layout Layout;

struct Name {
  Slice text; /* first: by it a name is found */
  guint32 id;
  gboolean on_disk;
  gboolean is_device;   /* something was applied to a device of this name */
  GArray *measurements; /* guint32 ids that were applied to this device; NULL: none */
  /* Of this device. Under the read lock one may be put in front, atomically; under the write lock
   * all go when a type of the device changes. */
  Layout *layouts;
  char bytes[]; /* NUL-terminated */
};

/*
 * The columns of a write that was looked up, in their order: what comes again is compared with them
 * instead of being looked up name by name.
 */
struct Layout {
  Layout *next;
  guint64 id;      /* none of this schema ever has the same */
  Version since;   /* all of these types were applied with this version or an older one */
  gboolean agrees; /* and each is the measurement's type */
  guint count;
  struct LayoutColumn {
    const Name *name;
    guint32 id; /* of the name */
    DataType type;
  } columns[];
};

/* The types of one measurement of one device. */
typedef struct Types {
  guint8 applied;  /* a bit per type */
  guint8 reserved; /* the type that a write on its way will fix; 0: none */
  Version oldest[TYPES];
} Types;

struct Schema {
  FairLock lock;       /* guards all below; names themselves never move */
  GHashTable *by_name; /* set of Name; asked with a Slice */
  GPtrArray *by_id;    /* Name; 0 is NULL */
  GHashTable *types;   /* guint64 device << 32 | measurement → Types */
  GTree *devices;      /* bytes → Name: devices with something applied, in order */
  guint64 generation;  /* differs for each Schema of the process */
  guint64 layouts;     /* atomic: that were made */
};

static guint name_hash(gconstpointer key)
{
  const Slice *slice = key;
  return (guint)XXH3_64bits(slice->bytes, slice->size);
}

static gboolean name_equal(gconstpointer a, gconstpointer b)
{
  const Slice *x = a, *y = b;
  return x->size == y->size && memcmp(x->bytes, y->bytes, x->size) == 0;
}

/* Of two small ids: GLib's own for 64 bits would give most pairs one of a few values. */
static guint pair_hash(gconstpointer key)
{
  return (guint)(*(const guint64 *)key * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15) >> 32);
}

static int compare_names(gconstpointer a, gconstpointer b, gpointer data)
{
  (void)data;
  return strcmp(a, b);
}

static void drop_layouts(Name *device)
{
  while (device->layouts != NULL) {
    Layout *layout = device->layouts;
    device->layouts = layout->next;
    g_free(layout);
  }
}

static void name_free(gpointer data)
{
  Name *name = data;
  if (name == NULL)
    return;
  drop_layouts(name);
  g_clear_pointer(&name->measurements, g_array_unref);
  g_free(name);
}

Schema *schema_new(void)
{
  static gint generations = 0;
  Schema *schema = g_new0(Schema, 1);
  fair_lock_init(&schema->lock);
  schema->by_name = g_hash_table_new(name_hash, name_equal);
  schema->by_id = g_ptr_array_new_with_free_func(name_free);
  g_ptr_array_add(schema->by_id, NULL);
  schema->types = g_hash_table_new_full(pair_hash, g_int64_equal, g_free, g_free);
  schema->devices = g_tree_new_full(compare_names, NULL, NULL, NULL);
  schema->generation = (guint64)g_atomic_int_add(&generations, 1) + 1;
  return schema;
}

void schema_free(Schema *schema)
{
  g_tree_unref(schema->devices);
  g_hash_table_unref(schema->types);
  g_hash_table_unref(schema->by_name);
  g_ptr_array_unref(schema->by_id);
  fair_lock_clear(&schema->lock);
  g_free(schema);
}

static Name *add_name(Schema *schema, guint32 id, const char *bytes, gsize size)
{
  Name *name = g_malloc0(sizeof *name + size + 1);
  name->id = id;
  memcpy(name->bytes, bytes, size);
  name->text = (Slice){name->bytes, (guint)size};
  while (schema->by_id->len <= id)
    g_ptr_array_add(schema->by_id, NULL);
  schema->by_id->pdata[id] = name;
  g_hash_table_add(schema->by_name, name);
  return name;
}

static Name *find_name(Schema *schema, const Slice *slice)
{
  return g_hash_table_lookup(schema->by_name, slice);
}

/* Caller holds the lock for writing. */
static Name *put_name(Schema *schema, const Slice *slice)
{
  Name *name = find_name(schema, slice);
  return name != NULL ? name : add_name(schema, schema->by_id->len, slice->bytes, slice->size);
}

static Types *find_types(Schema *schema, guint32 device, guint32 measurement)
{
  guint64 key = (guint64)device << 32 | measurement;
  return g_hash_table_lookup(schema->types, &key);
}

static Types *put_types(Schema *schema, guint32 device, guint32 measurement)
{
  Types *types = find_types(schema, device, measurement);
  if (types != NULL)
    return types;
  types = g_new0(Types, 1);
  guint64 *key = g_new(guint64, 1);
  *key = (guint64)device << 32 | measurement;
  g_hash_table_insert(schema->types, key, types);
  return types;
}

/* NULL when there is none of that id. */
static Name *name_of(Schema *schema, guint32 id)
{
  return id < schema->by_id->len ? schema->by_id->pdata[id] : NULL;
}

/* The measurement's type; 0 when nothing was applied. */
static int valid_type(const Types *types)
{
  int valid = 0;
  for (int type = DATA_BOOLEAN; type < TYPES; type++)
    if (types->applied & (1u << type) &&
        (valid == 0 || version_compare(&types->oldest[type], &types->oldest[valid]) < 0))
      valid = type;
  return valid;
}

static void note_device(Schema *schema, Name *device, guint32 measurement)
{
  if (!device->is_device) {
    device->is_device = TRUE;
    g_tree_insert(schema->devices, device->bytes, device);
  }
  if (measurement == 0)
    return;
  if (device->measurements == NULL)
    device->measurements = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_array_append_val(device->measurements, measurement);
}

gboolean schema_load_name(Schema *schema, guint32 id, const char *bytes, gsize size)
{
  enum { MOST_NAMES = 1 << 30 }; /* a greater id is damage */
  if (id == 0 || id > MOST_NAMES || size == 0 || size > LIMIT_NAME_SIZE)
    return FALSE;
  add_name(schema, id, bytes, size)->on_disk = TRUE;
  return TRUE;
}

gboolean schema_load_type(Schema *schema, guint32 device, guint32 measurement, DataType type,
                          const Version *version)
{
  if (name_of(schema, device) == NULL || name_of(schema, measurement) == NULL ||
      data_type_name((int)type) == NULL)
    return FALSE;
  Types *types = put_types(schema, device, measurement);
  if (types->applied == 0)
    note_device(schema, schema->by_id->pdata[device], measurement);
  types->applied |= (guint8)(1u << type);
  types->oldest[type] = *version;
  return TRUE;
}

/* --- writes -------------------------------------------------------------------------------------
 */

/* Layouts of another schema mean nothing here. */
static void forget_layouts(const Schema *schema, Decoded *decoded)
{
  for (guint i = 0; decoded->ids_of != schema->generation && i < decoded->blocks->len; i++)
    g_array_index(decoded->blocks, DecodedBlock, i).layout = 0;
}

/* Gives every column and block of the write its ids. FALSE when a name is not known yet. */
static gboolean resolve_known(Schema *schema, Decoded *decoded)
{
  forget_layouts(schema, decoded);
  for (guint i = 0; i < decoded->blocks->len; i++) {
    DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    if (decoded_block_continues(decoded, i)) {
      block->device_id = (block - 1)->device_id;
      continue;
    }
    Name *name = find_name(schema, &block->device);
    if (name == NULL)
      return FALSE;
    block->device_id = name->id;
  }
  for (guint i = 0; i < decoded->columns->len; i++) {
    DecodedColumn *column = &g_array_index(decoded->columns, DecodedColumn, i);
    Name *name = find_name(schema, &column->measurement);
    if (name == NULL)
      return FALSE;
    column->id = name->id;
  }
  decoded->ids_of = schema->generation;
  return TRUE;
}

static void resolve_all(Schema *schema, Decoded *decoded)
{
  forget_layouts(schema, decoded);
  for (guint i = 0; i < decoded->blocks->len; i++) {
    DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    block->device_id = decoded_block_continues(decoded, i) ? (block - 1)->device_id
                                                           : put_name(schema, &block->device)->id;
  }
  for (guint i = 0; i < decoded->columns->len; i++) {
    DecodedColumn *column = &g_array_index(decoded->columns, DecodedColumn, i);
    column->id = put_name(schema, &column->measurement)->id;
  }
  decoded->ids_of = schema->generation;
}

/* --- layouts ------------------------------------------------------------------------------------
 */

static gboolean is_column(const struct LayoutColumn *known, const DecodedColumn *column,
                          gboolean resolved)
{
  if (known->type != column->type)
    return FALSE;
  if (resolved)
    return known->id == column->id;
  return known->name->text.size == column->measurement.size &&
         memcmp(known->name->bytes, column->measurement.bytes, column->measurement.size) == 0;
}

/* NULL: there is none with these columns. */
static const Layout *find_layout(Name *device, const DecodedBlock *block,
                                 const DecodedColumn *columns, gboolean resolved)
{
  guint count = block->column_count;
  const Layout *layout = g_atomic_pointer_get(&device->layouts);
  for (; layout != NULL; layout = layout->next) {
    if (resolved && layout->id == block->layout)
      return layout;
    guint same = 0;
    while (layout->count == count && same < count &&
           is_column(&layout->columns[same], &columns[same], resolved))
      same++;
    if (same == count)
      return layout;
  }
  return NULL;
}

/* The device's name and the columns of a block. */
static Name *block_place(Schema *schema, const Decoded *decoded, const DecodedBlock *block,
                         DecodedColumn **out_columns)
{
  *out_columns = &g_array_index(decoded->columns, DecodedColumn, block->first_column);
  return decoded->ids_of == schema->generation ? name_of(schema, block->device_id)
                                               : find_name(schema, &block->device);
}

/*
 * Whether all parts of the write have a layout: with types that agree; or, for an entry that is
 * applied, from before its version. Then the ids are filled in.
 */
static gboolean match_layouts(Schema *schema, Decoded *decoded, const Version *entry)
{
  gboolean resolved = decoded->ids_of == schema->generation;
  for (guint i = 0; i < decoded->blocks->len; i++) {
    DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    if (decoded_block_continues(decoded, i)) {
      block->device_id = (block - 1)->device_id;
      block->layout = (block - 1)->layout;
      continue;
    }
    DecodedColumn *columns;
    Name *device = block_place(schema, decoded, block, &columns);
    const Layout *layout = device != NULL ? find_layout(device, block, columns, resolved) : NULL;
    Version version = entry != NULL ? *entry : (Version){0};
    version.ordinal = block->ordinal;
    if (layout == NULL ||
        (entry == NULL ? !layout->agrees : version_compare(&layout->since, &version) > 0))
      return FALSE;
    block->device_id = device->id;
    block->layout = layout->id;
    for (guint k = 0; !resolved && k < layout->count; k++)
      columns[k].id = layout->columns[k].id;
  }
  decoded->ids_of = schema->generation;
  return TRUE;
}

/* Keeps the columns of a block whose ids are resolved, and that all were applied. Either lock is
 * held. */
static void keep_layout(Schema *schema, const Decoded *decoded, const DecodedBlock *block)
{
  DecodedColumn *columns;
  Name *device = block_place(schema, decoded, block, &columns);
  guint kept = 0;
  Layout *first = g_atomic_pointer_get(&device->layouts);
  for (const Layout *one = first; one != NULL; one = one->next)
    kept++;
  if (kept >= LAYOUTS || block->column_count > LAYOUT_COLUMNS)
    return;
  Layout *layout = g_malloc(sizeof *layout + block->column_count * sizeof layout->columns[0]);
  *layout = (Layout){.next = first,
                     .id = __atomic_add_fetch(&schema->layouts, 1, __ATOMIC_RELAXED),
                     .agrees = TRUE,
                     .count = block->column_count};
  for (guint i = 0; i < layout->count; i++) {
    const Types *types = find_types(schema, device->id, columns[i].id);
    const Version *oldest = &types->oldest[columns[i].type];
    layout->columns[i].name = name_of(schema, columns[i].id);
    layout->columns[i].id = columns[i].id;
    layout->columns[i].type = columns[i].type;
    layout->agrees = layout->agrees && valid_type(types) == (int)columns[i].type;
    if (version_compare(oldest, &layout->since) > 0)
      layout->since = *oldest;
  }
  if (!g_atomic_pointer_compare_and_exchange(&device->layouts, first, layout))
    g_free(layout); /* somebody else was faster */
}

static void keep_layouts(Schema *schema, const Decoded *decoded)
{
  for (guint i = 0; i < decoded->blocks->len; i++)
    if (!decoded_block_continues(decoded, i))
      keep_layout(schema, decoded, &g_array_index(decoded->blocks, DecodedBlock, i));
}

/* --- reserving and applying ---------------------------------------------------------------------
 */

/* The type that a new write must have; 0: free to choose. */
static int wanted_type(const Types *types)
{
  if (types == NULL)
    return 0;
  int valid = valid_type(types);
  return valid != 0 ? valid : types->reserved;
}

typedef enum { TYPES_AGREE, TYPES_NEW, TYPES_DIFFER } TypeVerdict;

static TypeVerdict compare_types(Schema *schema, const Decoded *decoded, GError **error)
{
  TypeVerdict verdict = TYPES_AGREE;
  for (guint i = 0; i < decoded->blocks->len; i++) {
    if (decoded_block_continues(decoded, i))
      continue;
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    for (guint k = 0; k < block->column_count; k++) {
      const DecodedColumn *column =
          &g_array_index(decoded->columns, DecodedColumn, block->first_column + k);
      int wanted = wanted_type(find_types(schema, block->device_id, column->id));
      if (wanted == 0)
        verdict = TYPES_NEW;
      if (wanted == 0 || wanted == (int)column->type)
        continue;
      fail(error, SYNCLOG_TYPE_MISMATCH, "device \"%.*s\", measurement \"%.*s\" is %s, not %s",
           (int)block->device.size, block->device.bytes, (int)column->measurement.size,
           column->measurement.bytes, data_type_name(wanted), data_type_name((int)column->type));
      return TYPES_DIFFER;
    }
  }
  return verdict;
}

/* Fixes the types of what has none. FALSE, and nothing is fixed, when the write does not even agree
 * with itself. */
static gboolean reserve_new(Schema *schema, Decoded *decoded, GError **error)
{
  g_autoptr(GPtrArray) fixed = g_ptr_array_new();
  for (guint i = 0; i < decoded->blocks->len; i++) {
    if (decoded_block_continues(decoded, i))
      continue;
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    for (guint k = 0; k < block->column_count; k++) {
      const DecodedColumn *column =
          &g_array_index(decoded->columns, DecodedColumn, block->first_column + k);
      Types *types = put_types(schema, block->device_id, column->id);
      if (wanted_type(types) != 0)
        continue;
      types->reserved = (guint8)column->type;
      g_ptr_array_add(fixed, types);
    }
  }
  if (compare_types(schema, decoded, error) != TYPES_DIFFER)
    return TRUE;
  for (guint i = 0; i < fixed->len; i++)
    ((Types *)fixed->pdata[i])->reserved = 0;
  return FALSE;
}

gboolean schema_reserve(Schema *schema, Decoded *decoded, GError **error)
{
  fair_lock_read(&schema->lock);
  TypeVerdict verdict = TYPES_NEW;
  if (match_layouts(schema, decoded, NULL))
    verdict = TYPES_AGREE;
  else if (resolve_known(schema, decoded))
    verdict = compare_types(schema, decoded, error);
  fair_lock_release(&schema->lock);
  if (verdict != TYPES_NEW)
    return verdict == TYPES_AGREE;
  fair_lock_write(&schema->lock);
  resolve_all(schema, decoded);
  /* Checked as a whole before anything is fixed: a refused write leaves no trace. */
  gboolean reserved =
      compare_types(schema, decoded, error) != TYPES_DIFFER && reserve_new(schema, decoded, error);
  fair_lock_release(&schema->lock);
  return reserved;
}

static void sink_name(Name *name, const SchemaSink *sink)
{
  if (name->on_disk)
    return;
  name->on_disk = TRUE;
  sink->name(sink->ctx, name->id, name->bytes, name->text.size);
}

static void apply_column(Schema *schema, Name *device, const DecodedColumn *column,
                         const Version *version, const SchemaSink *sink)
{
  Types *types = put_types(schema, device->id, column->id);
  guint8 bit = (guint8)(1u << column->type);
  if (types->applied & bit && version_compare(&types->oldest[column->type], version) <= 0)
    return;
  sink_name(schema->by_id->pdata[column->id], sink);
  if (types->applied == 0)
    note_device(schema, device, column->id);
  if ((types->applied & ~bit) != 0 && !(types->applied & bit))
    sink->further_type(sink->ctx, device->id, column->id, column->type);
  types->applied |= bit;
  types->oldest[column->type] = *version;
  sink->type(sink->ctx, device->id, column->id, column->type, version);
}

/* Whether all types of the write were noted with older versions: the common case, read-locked. */
static gboolean is_known(Schema *schema, const Decoded *decoded, guint64 hlc, guint32 origin)
{
  for (guint i = 0; i < decoded->blocks->len; i++) {
    if (decoded_block_continues(decoded, i))
      continue;
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    Version version = {hlc, origin, block->ordinal};
    for (guint k = 0; k < block->column_count; k++) {
      const DecodedColumn *column =
          &g_array_index(decoded->columns, DecodedColumn, block->first_column + k);
      const Types *types = find_types(schema, block->device_id, column->id);
      if (types == NULL || !(types->applied & (1u << column->type)) ||
          version_compare(&types->oldest[column->type], &version) > 0)
        return FALSE;
    }
  }
  return decoded->deletes->len == 0;
}

void schema_apply(Schema *schema, Decoded *decoded, guint64 hlc, guint32 origin,
                  const SchemaSink *sink)
{
  fair_lock_read(&schema->lock);
  gboolean known =
      decoded->deletes->len == 0 && match_layouts(schema, decoded, &(Version){hlc, origin, 0});
  if (!known) {
    known = (decoded->ids_of == schema->generation || resolve_known(schema, decoded)) &&
            is_known(schema, decoded, hlc, origin);
    if (known)
      keep_layouts(schema, decoded);
  }
  fair_lock_release(&schema->lock);
  if (known)
    return;
  fair_lock_write(&schema->lock);
  resolve_all(schema, decoded);
  for (guint i = 0; i < decoded->blocks->len; i++) {
    if (decoded_block_continues(decoded, i))
      continue;
    const DecodedBlock *block = &g_array_index(decoded->blocks, DecodedBlock, i);
    Name *device = schema->by_id->pdata[block->device_id];
    drop_layouts(device);
    sink_name(device, sink);
    Version version = {hlc, origin, block->ordinal};
    for (guint k = 0; k < block->column_count; k++)
      apply_column(schema, device,
                   &g_array_index(decoded->columns, DecodedColumn, block->first_column + k),
                   &version, sink);
  }
  /* A delete may name what nobody has written yet: it must hide what comes later. */
  for (guint i = 0; i < decoded->deletes->len; i++) {
    const DecodedDelete *delete = &g_array_index(decoded->deletes, DecodedDelete, i);
    sink_name(put_name(schema, &delete->device), sink);
    for (guint k = 0; k < delete->name_count; k++)
      sink_name(put_name(schema, &g_array_index(decoded->names, Slice, delete->first_name + k)),
                sink);
  }
  fair_lock_release(&schema->lock);
}

/* --- reads --------------------------------------------------------------------------------------
 */

guint32 schema_find(Schema *schema, const char *text)
{
  Slice slice = {text, (guint)strlen(text)};
  fair_lock_read(&schema->lock);
  const Name *name = find_name(schema, &slice);
  guint32 id = name != NULL && name->on_disk ? name->id : 0;
  fair_lock_release(&schema->lock);
  return id;
}

const char *schema_name(Schema *schema, guint32 id)
{
  fair_lock_read(&schema->lock);
  const Name *name = name_of(schema, id);
  fair_lock_release(&schema->lock);
  return name != NULL ? name->bytes : NULL;
}

static int compare_columns(gconstpointer a, gconstpointer b)
{
  const SchemaColumn *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  if (order == 0)
    order = x->conflicting - y->conflicting;
  return order != 0 ? order : (int)x->type - (int)y->type;
}

static gboolean is_wanted(const char *name, const char *const *measurements)
{
  return measurements == NULL || g_strv_contains(measurements, name);
}

/* Caller holds the lock for reading. */
static GArray *columns_of(Schema *schema, const Name *device, const char *const *measurements)
{
  GArray *columns = g_array_new(FALSE, FALSE, sizeof(SchemaColumn));
  for (guint i = 0; device->measurements != NULL && i < device->measurements->len; i++) {
    guint32 id = g_array_index(device->measurements, guint32, i);
    const Name *name = schema->by_id->pdata[id];
    if (!is_wanted(name->bytes, measurements))
      continue;
    const Types *types = find_types(schema, device->id, id);
    int valid = valid_type(types);
    for (int type = DATA_BOOLEAN; type < TYPES; type++) {
      if (!(types->applied & (1u << type)))
        continue;
      SchemaColumn column = {id, (DataType)type, type != valid, name->bytes};
      g_array_append_val(columns, column);
    }
  }
  g_array_sort(columns, compare_columns);
  return columns;
}

GArray *schema_columns(Schema *schema, guint32 device, const char *const *measurements)
{
  fair_lock_read(&schema->lock);
  GArray *columns = columns_of(schema, schema->by_id->pdata[device], measurements);
  fair_lock_release(&schema->lock);
  return columns;
}

guint schema_oldest(Schema *schema, guint32 device, guint32 measurement,
                    Version out_oldest[DATA_TEXT + 1])
{
  fair_lock_read(&schema->lock);
  const Types *types = find_types(schema, device, measurement);
  guint applied = types != NULL ? types->applied : 0;
  if (types != NULL)
    memcpy(out_oldest, types->oldest, sizeof types->oldest);
  fair_lock_release(&schema->lock);
  return applied;
}

/* Adds to *bytes what it has on the wire, about. */
static Device *describe_device(Schema *schema, const Name *name, gsize *bytes)
{
  enum { MEASUREMENT_BYTES = 32 };
  Device *device = g_new0(Device, 1);
  device->name = g_strdup(name->bytes);
  device->measurements = g_array_new(FALSE, FALSE, sizeof(Measurement));
  g_autoptr(GArray) columns = columns_of(schema, name, NULL);
  for (guint i = 0; i < columns->len; i++) {
    const SchemaColumn *column = &g_array_index(columns, SchemaColumn, i);
    Measurement measurement = {g_strdup(column->name), column->type, column->conflicting};
    g_array_append_val(device->measurements, measurement);
    *bytes += strlen(column->name) + MEASUREMENT_BYTES;
  }
  *bytes += name->text.size + MEASUREMENT_BYTES;
  return device;
}

GPtrArray *schema_devices(Schema *schema, const char *prefix, const char *after, guint limit,
                          gboolean *out_more)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  gsize bytes = 0;
  *out_more = FALSE;
  fair_lock_read(&schema->lock);
  GTreeNode *node;
  if (after != NULL && (prefix == NULL || strcmp(after, prefix) >= 0))
    node = g_tree_upper_bound(schema->devices, after);
  else
    node = prefix != NULL ? g_tree_lower_bound(schema->devices, prefix)
                          : g_tree_node_first(schema->devices);
  for (; node != NULL; node = g_tree_node_next(node)) {
    const Name *name = g_tree_node_value(node);
    if (prefix != NULL && !g_str_has_prefix(name->bytes, prefix))
      break;
    if (devices->len == limit || bytes > LIMIT_QUERY_BYTES) {
      *out_more = TRUE;
      break;
    }
    g_ptr_array_add(devices, describe_device(schema, name, &bytes));
  }
  fair_lock_release(&schema->lock);
  return devices;
}
