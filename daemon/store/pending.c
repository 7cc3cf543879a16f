#include "store/pending.h"

enum { RANGES = 4 }; /* leaders per partition whose times are told apart */

/* Who wrote to a device. */
typedef struct Writers {
  guint32 origin; /* the first one; 0: nobody */
  guint32 several;
} Writers;

typedef struct Range {
  guint32 origin;
  gint64 min_time, max_time;
} Range;

typedef struct Place {
  guint32 device;
  gboolean deletes; /* the device's deletes, not a partition */
  gint64 partition;
} Place;

/* What was written to one partition. */
typedef struct Ranges {
  Place place;
  gboolean known;   /* all that was written is in here */
  gboolean crowded; /* by more leaders than fit */
  guint count;
  Range ranges[RANGES];
} Ranges;

/* The deletes of a device, taken together. */
typedef struct Hiding {
  guint32 origin; /* 0: several */
  Version newest;
  gint64 min_time, max_time;
} Hiding;

/* The checks of one place that wait. */
typedef struct Line {
  Place place;
  GQueue checks;
} Line;

struct Pending {
  GArray *writers;    /* Writers, by device id */
  GHashTable *hiding; /* device id → Hiding */
  GHashTable *young;  /* Place (inside) → Ranges */
  GHashTable *old;    /* the same, not asked for lately */
  GQueue order;       /* Check, owned; those that are done are taken out at the head */
  GHashTable *lines;  /* Place (inside) → Line */
  guint turns;        /* see pending_turns() */
  guint count;        /* checks that are not done */
  guint64 last_sequence;
};

static guint place_hash(gconstpointer key)
{
  const Place *place = key;
  guint64 partition = (guint64)place->partition;
  guint64 mixed =
      ((guint64)place->device << 32 ^ partition ^ partition >> 32) * 2 + (place->deletes ? 1 : 0);
  return (guint)(mixed * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15) >> 32);
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;
  return x->device == y->device && x->partition == y->partition && x->deletes == y->deletes;
}

static void line_free(gpointer data)
{
  Line *line = data;
  g_queue_clear(&line->checks);
  g_free(line);
}

static GHashTable *ranges_table(void)
{
  return g_hash_table_new_full(place_hash, place_equal, NULL, g_free);
}

Pending *pending_new(void)
{
  Pending *pending = g_new0(Pending, 1);
  pending->writers = g_array_new(FALSE, TRUE, sizeof(Writers));
  pending->hiding = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
  pending->young = ranges_table();
  pending->old = ranges_table();
  pending->lines = g_hash_table_new_full(place_hash, place_equal, NULL, line_free);
  g_queue_init(&pending->order);
  return pending;
}

void pending_free(Pending *pending)
{
  g_array_unref(pending->writers);
  g_hash_table_unref(pending->hiding);
  g_hash_table_unref(pending->young);
  g_hash_table_unref(pending->old);
  g_hash_table_unref(pending->lines);
  g_queue_clear_full(&pending->order, g_free);
  g_free(pending);
}

/* --- who wrote to a device ----------------------------------------------------------------------
 */

static Writers *writers_of(Pending *pending, guint32 device)
{
  if (device >= pending->writers->len)
    g_array_set_size(pending->writers, MAX(device + 1, pending->writers->len * 2));
  return &g_array_index(pending->writers, Writers, device);
}

/* TRUE when the origin is the first or the second one: more need not be known. */
static gboolean note_origin(Writers *writers, guint32 origin)
{
  if (writers->origin == origin || writers->several)
    return FALSE;
  if (writers->origin == 0)
    writers->origin = origin;
  else
    writers->several = TRUE;
  return TRUE;
}

void pending_load_origin(Pending *pending, guint32 device, guint32 origin)
{
  note_origin(writers_of(pending, device), origin);
}

void pending_load_device(Pending *pending, guint32 device)
{
  Writers *writers = writers_of(pending, device);
  if (writers->origin == 0)
    writers->several = TRUE;
}

gboolean pending_is_shared(const Pending *pending, guint32 device)
{
  return device < pending->writers->len &&
         g_array_index(pending->writers, Writers, device).several != 0;
}

static void note_hiding(Pending *pending, guint32 device, const Version *version, gint64 start_time,
                        gint64 end_time)
{
  Hiding *hiding = g_hash_table_lookup(pending->hiding, GUINT_TO_POINTER(device));
  if (hiding == NULL) {
    hiding = g_new(Hiding, 1);
    *hiding = (Hiding){version->origin, *version, start_time, end_time};
    g_hash_table_insert(pending->hiding, GUINT_TO_POINTER(device), hiding);
    return;
  }
  if (hiding->origin != version->origin)
    hiding->origin = 0;
  if (version_compare(version, &hiding->newest) > 0)
    hiding->newest = *version;
  hiding->min_time = MIN(hiding->min_time, start_time);
  hiding->max_time = MAX(hiding->max_time, end_time);
}

void pending_load_delete(Pending *pending, guint32 device, const Version *version,
                         gint64 start_time, gint64 end_time)
{
  note_hiding(pending, device, version, start_time, end_time);
}

static gboolean may_be_hidden(const Pending *pending, guint32 device, const Version *version,
                              gint64 min_time, gint64 max_time)
{
  const Hiding *hiding = g_hash_table_lookup(pending->hiding, GUINT_TO_POINTER(device));
  return hiding != NULL && hiding->origin != version->origin &&
         version_compare(version, &hiding->newest) < 0 && hiding->min_time <= max_time &&
         min_time <= hiding->max_time;
}

/* --- who wrote to a partition -------------------------------------------------------------------
 */

/* Those not asked for since half of all were new are forgotten. */
static Ranges *ranges_of(Pending *pending, guint32 device, gint64 partition)
{
  Place place = {.device = device, .partition = partition};
  Ranges *ranges = g_hash_table_lookup(pending->young, &place);
  if (ranges != NULL)
    return ranges;
  if (g_hash_table_size(pending->young) >= PENDING_PARTITIONS / 2) {
    g_hash_table_unref(pending->old);
    pending->old = pending->young;
    pending->young = ranges_table();
    pending->turns++;
  }
  ranges = g_hash_table_lookup(pending->old, &place);
  if (ranges != NULL) {
    g_hash_table_steal(pending->old, &place);
  } else {
    ranges = g_new0(Ranges, 1);
    ranges->place = place;
  }
  g_hash_table_insert(pending->young, &ranges->place, ranges);
  return ranges;
}

static void extend(Ranges *ranges, guint32 origin, gint64 min_time, gint64 max_time)
{
  for (guint i = 0; i < ranges->count; i++) {
    Range *range = &ranges->ranges[i];
    if (range->origin != origin)
      continue;
    range->min_time = MIN(range->min_time, min_time);
    range->max_time = MAX(range->max_time, max_time);
    return;
  }
  if (ranges->count < RANGES)
    ranges->ranges[ranges->count++] = (Range){origin, min_time, max_time};
  else
    ranges->crowded = TRUE;
}

static gboolean touches_others(const Ranges *ranges, guint32 origin, gint64 min_time,
                               gint64 max_time)
{
  if (!ranges->known || ranges->crowded)
    return TRUE;
  for (guint i = 0; i < ranges->count; i++) {
    const Range *range = &ranges->ranges[i];
    if (range->origin != origin && range->min_time <= max_time && min_time <= range->max_time)
      return TRUE;
  }
  return FALSE;
}

void pending_know_block(Pending *pending, guint32 device, gint64 partition, guint32 origin,
                        gint64 min_time, gint64 max_time)
{
  extend(ranges_of(pending, device, partition), origin, min_time, max_time);
}

guint pending_turns(const Pending *pending)
{
  return pending->turns;
}

void pending_know_partition(Pending *pending, guint32 device, gint64 partition)
{
  ranges_of(pending, device, partition)->known = TRUE;
}

/* --- the queue ----------------------------------------------------------------------------------
 */

static Place place_of(const Check *check)
{
  gboolean deletes = check->kind == CHECK_DELETE;
  return (Place){check->device, deletes, deletes ? 0 : check->partition};
}

static void enqueue(Pending *pending, const Check *from)
{
  Check *check = g_memdup2(from, sizeof *from);
  g_queue_push_tail(&pending->order, check);
  pending->count++;
  pending->last_sequence = check->sequence;
  if (check->kind == CHECK_TYPE)
    return;
  Place place = place_of(check);
  Line *line = g_hash_table_lookup(pending->lines, &place);
  if (line == NULL) {
    line = g_new0(Line, 1);
    line->place = place;
    g_hash_table_insert(pending->lines, &line->place, line);
  }
  g_queue_push_tail(&line->checks, check);
}

gboolean pending_load_check(Pending *pending, const Check *check)
{
  if (check->sequence <= pending->last_sequence)
    return FALSE;
  enqueue(pending, check);
  return TRUE;
}

static void add_check(Pending *pending, Check *check, Noted *noted)
{
  /* Those that are done and stand behind others take room too. */
  if (g_queue_get_length(&pending->order) >= PENDING_CHECKS) {
    noted->overflowed = TRUE;
    return;
  }
  check->sequence = pending->last_sequence + 1;
  enqueue(pending, check);
  noted->check = g_queue_peek_tail(&pending->order);
}

/* What waits is compared with what was there before it, so all that comes behind it must be told
 * apart from that. */
static gboolean follows_others(const Pending *pending, guint32 device, gint64 partition)
{
  return pending->count > 0 &&
         (g_hash_table_contains(pending->lines,
                                &(Place){.device = device, .partition = partition}) ||
          g_hash_table_contains(pending->lines, &(Place){.device = device, .deletes = TRUE}));
}

Noted pending_note_block(Pending *pending, guint32 device, gint64 partition, const Version *version,
                         gint64 min_time, gint64 max_time)
{
  Noted noted = {0};
  Writers *writers = writers_of(pending, device);
  if (writers->origin == version->origin && !writers->several)
    return noted;
  noted.new_origin = note_origin(writers, version->origin);
  if (!writers->several)
    return noted;
  Ranges *ranges = ranges_of(pending, device, partition);
  gboolean needed = touches_others(ranges, version->origin, min_time, max_time) ||
                    may_be_hidden(pending, device, version, min_time, max_time) ||
                    follows_others(pending, device, partition);
  extend(ranges, version->origin, min_time, max_time);
  if (needed) {
    Check check = {.kind = CHECK_BLOCK,
                   .device = device,
                   .partition = partition,
                   .version = *version,
                   .min_time = min_time,
                   .max_time = max_time};
    add_check(pending, &check, &noted);
  }
  return noted;
}

Noted pending_note_mended(Pending *pending, guint32 device, gint64 partition, guint32 origin,
                          gint64 min_time, gint64 max_time)
{
  Writers *writers = writers_of(pending, device);
  Noted noted = {.new_origin = note_origin(writers, origin)};
  if (writers->several)
    extend(ranges_of(pending, device, partition), origin, min_time, max_time);
  return noted;
}

Noted pending_note_delete(Pending *pending, guint32 device, gint64 first_partition,
                          const Version *version, gint64 start_time, gint64 end_time)
{
  Noted noted = {0};
  Writers *writers = writers_of(pending, device);
  noted.new_origin = note_origin(writers, version->origin);
  note_hiding(pending, device, version, start_time, end_time);
  if (writers->several) {
    Check check = {.kind = CHECK_DELETE,
                   .device = device,
                   .partition = first_partition,
                   .version = *version,
                   .min_time = start_time,
                   .max_time = end_time};
    add_check(pending, &check, &noted);
  }
  return noted;
}

Noted pending_note_type(Pending *pending, guint32 device, guint32 measurement, DataType type)
{
  Noted noted = {0};
  Check check = {.kind = CHECK_TYPE, .device = device, .measurement = measurement, .type = type};
  add_check(pending, &check, &noted);
  return noted;
}

guint pending_count(const Pending *pending)
{
  return pending->count;
}

Check *pending_first(Pending *pending)
{
  Check *first;
  while ((first = g_queue_peek_head(&pending->order)) != NULL && first->done)
    g_free(g_queue_pop_head(&pending->order));
  return first;
}

static const GQueue *line_at(const Pending *pending, const Place *place)
{
  Line *line = g_hash_table_lookup(pending->lines, place);
  return line != NULL ? &line->checks : NULL;
}

const GQueue *pending_blocks(Pending *pending, guint32 device, gint64 partition)
{
  return line_at(pending, &(Place){.device = device, .partition = partition});
}

const GQueue *pending_deletes(Pending *pending, guint32 device)
{
  return line_at(pending, &(Place){.device = device, .deletes = TRUE});
}

void pending_done(Pending *pending, Check *check)
{
  g_assert(!check->done);
  check->done = TRUE;
  pending->count--;
  if (check->kind == CHECK_TYPE)
    return;
  Place place = place_of(check);
  Line *line = g_hash_table_lookup(pending->lines, &place);
  g_assert(line != NULL && g_queue_peek_head(&line->checks) == check);
  g_queue_pop_head(&line->checks);
  if (g_queue_is_empty(&line->checks))
    g_hash_table_remove(pending->lines, &place);
}
