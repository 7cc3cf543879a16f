#include "store/fresh.h"

#include "base/bytes.h"

#include <string.h>

enum {
  PILES_TRIED = 8, /* newest ones of a device, when a block comes */
  ALIGNMENT = 8,   /* of what is in a pile's memory */
};

/* In front of each block of a pile, unless they are plain rows. */
typedef struct PileEntry {
  Version version;
  guint64 size; /* of the block, behind which the next entry stands, aligned */
  guint8 bytes[];
} PileEntry;

struct Pile {
  GList of_device; /* its place */
  gint64 partition;
  guint64 layout; /* of its columns, see FreshBlock */
  guint32 device;
  guint count;      /* of entries */
  guint plain_size; /* of each block when all are plain rows; else 0 */
  guint stride;     /* from one of these to the next */
  gsize used, room;
  guint8 *entries; /* PileEntry; or the head of all, and PlainRow from `rows_at` on */
  gsize rows_at;
  guint64 untold_rows, untold_blocks, untold_newest; /* see fresh_take_notes() */
  GList order, untold;                               /* its places; the latter while it has some */
};

struct Fresh {
  GQueue order;       /* Pile, by its first block */
  GPtrArray *devices; /* GList of Pile by id of the device, newest first; NULL: none */
  GQueue untold;      /* Pile */
  guint64 untold_blocks;
  GArray *notes; /* FreshNote, of piles that left; NULL: none */
  gsize bytes;
};

Fresh *fresh_new(void)
{
  Fresh *fresh = g_new0(Fresh, 1);
  fresh->devices = g_ptr_array_new();
  g_queue_init(&fresh->order);
  g_queue_init(&fresh->untold);
  return fresh;
}

void fresh_free(Fresh *fresh)
{
  Pile *pile;
  while ((pile = fresh_oldest(fresh)) != NULL)
    fresh_remove(fresh, pile);
  g_ptr_array_unref(fresh->devices);
  g_clear_pointer(&fresh->notes, g_array_unref);
  g_free(fresh);
}

/* --- adding -------------------------------------------------------------------------------------
 */

static gsize align(gsize size)
{
  return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static gsize entry_size(gsize block_size)
{
  return align(sizeof(PileEntry) + block_size);
}

static const PileEntry *entry_at(const Pile *pile, gsize at)
{
  return (const PileEntry *)(const void *)(pile->entries + at);
}

/* The head of a block with the pile's columns. */
static const guint8 *head_of(const Pile *pile)
{
  return pile->plain_size > 0 ? pile->entries : entry_at(pile, 0)->bytes;
}

static GList *piles_of(const Fresh *fresh, guint32 device)
{
  return device < fresh->devices->len ? fresh->devices->pdata[device] : NULL;
}

static gboolean has_columns(const Pile *pile, const FreshBlock *block)
{
  return (pile->layout == block->layout && pile->layout != 0) ||
         block_same_columns(head_of(pile), block->part.bytes);
}

/* What the block takes in the pile; 0: it does not go there. */
static gsize room_for(const Pile *pile, const FreshBlock *block)
{
  const MergePart *part = &block->part;
  if (pile->partition != block->partition || !has_columns(pile, block))
    return 0;
  gsize needed = entry_size(part->size);
  if (pile->plain_size > 0) {
    /* Of one size with the same columns: a missing value would have made it larger. */
    if (part->size != pile->plain_size || load_le32(part->bytes + 4) != 1)
      return 0;
    needed = pile->stride;
  }
  return pile->used + needed <= PILE_SIZE ? needed : 0;
}

/* The pile that the block goes to; NULL: it begins one. */
static Pile *find_pile(const Fresh *fresh, const FreshBlock *block, gsize *out_needed)
{
  guint tried = 0;
  for (GList *link = piles_of(fresh, block->device); link != NULL && tried < PILES_TRIED;
       link = link->next, tried++) {
    *out_needed = room_for(link->data, block);
    if (*out_needed > 0)
      return link->data;
  }
  return NULL;
}

static Pile *begin_pile(Fresh *fresh, const FreshBlock *block)
{
  Pile *pile = g_new0(Pile, 1);
  pile->device = block->device;
  pile->partition = block->partition;
  pile->order.data = pile->of_device.data = pile->untold.data = pile;
  g_queue_push_tail_link(&fresh->order, &pile->order);
  if (block->device >= fresh->devices->len)
    g_ptr_array_set_size(fresh->devices, (gint)MAX(block->device + 1, fresh->devices->len * 2));
  GList *before = fresh->devices->pdata[block->device];
  pile->of_device.next = before;
  if (before != NULL)
    before->prev = &pile->of_device;
  fresh->devices->pdata[block->device] = &pile->of_device;
  fresh->bytes += sizeof *pile;
  return pile;
}

static void make_room(Fresh *fresh, Pile *pile, gsize needed)
{
  if (pile->used + needed <= pile->room)
    return;
  gsize room = MIN(MAX(pile->room * 2, pile->used + needed), (gsize)PILE_SIZE);
  pile->entries = g_realloc(pile->entries, room);
  fresh->bytes += room - pile->room;
  pile->room = room;
}

/* The first block decides what the pile holds. */
static gsize begin_entries(Fresh *fresh, Pile *pile, const FreshBlock *block)
{
  const MergePart *part = &block->part;
  gsize head = block_plain_head(part->bytes, part->size);
  pile->layout = block->layout;
  if (head == 0)
    return entry_size(part->size);
  pile->plain_size = (guint)part->size;
  pile->stride = (guint)align(sizeof(PlainRow) + part->size - head);
  pile->rows_at = align(head);
  make_room(fresh, pile, pile->rows_at + pile->stride);
  memcpy(pile->entries, part->bytes, head);
  pile->used = pile->rows_at;
  return pile->stride;
}

static void put_entry(Pile *pile, const MergePart *part)
{
  guint8 *place = pile->entries + pile->used;
  if (pile->plain_size > 0) {
    PlainRow *row = (PlainRow *)(void *)place;
    gsize head = block_head_size(part->bytes);
    row->version = part->version;
    memcpy(row->bytes, part->bytes + head, part->size - head);
    return;
  }
  PileEntry *entry = (PileEntry *)(void *)place;
  entry->version = part->version;
  entry->size = part->size;
  memcpy(entry->bytes, part->bytes, part->size);
}

static void count_untold(Fresh *fresh, Pile *pile, const MergePart *part)
{
  if (pile->untold_blocks == 0)
    g_queue_push_tail_link(&fresh->untold, &pile->untold);
  pile->untold_blocks++;
  fresh->untold_blocks++;
  pile->untold_rows += load_le32(part->bytes + 4);
  pile->untold_newest = MAX(pile->untold_newest, part->version.hlc);
}

void fresh_add(Fresh *fresh, const FreshBlock *block)
{
  g_assert(block->part.size <= FRESH_MAX_BLOCK_SIZE);
  gsize needed;
  Pile *pile = find_pile(fresh, block, &needed);
  if (pile == NULL) {
    pile = begin_pile(fresh, block);
    needed = begin_entries(fresh, pile, block);
  }
  make_room(fresh, pile, needed);
  put_entry(pile, &block->part);
  count_untold(fresh, pile, &block->part);
  pile->used += needed;
  pile->count++;
}

/* Where the next row of a device goes is mostly in no cache: two blocks ahead its newest pile is
 * fetched, one ahead that one's end. */
static void fetch_ahead(const Fresh *fresh, const FreshBlock *next, const FreshBlock *after)
{
  const GList *first = next != NULL ? piles_of(fresh, next->device) : NULL;
  if (first != NULL) {
    const Pile *pile = first->data;
    __builtin_prefetch(pile->entries + pile->used, 1);
    __builtin_prefetch(pile->entries + pile->used + 64, 1);
  }
  const GList *second = after != NULL ? piles_of(fresh, after->device) : NULL;
  if (second != NULL) {
    __builtin_prefetch(second);
    __builtin_prefetch((const guint8 *)second + 64);
  }
}

void fresh_add_all(Fresh *fresh, const FreshBlock *blocks, guint count)
{
  for (guint i = 0; i < count; i++) {
    fetch_ahead(fresh, i + 1 < count ? &blocks[i + 1] : NULL,
                i + 2 < count ? &blocks[i + 2] : NULL);
    fresh_add(fresh, &blocks[i]);
  }
}

/* --- taking out ---------------------------------------------------------------------------------
 */

gsize fresh_bytes(const Fresh *fresh)
{
  return fresh->bytes;
}

Pile *fresh_oldest(const Fresh *fresh)
{
  return fresh->order.head != NULL ? fresh->order.head->data : NULL;
}

Pile *fresh_of_device(const Fresh *fresh, guint32 device)
{
  GList *piles = piles_of(fresh, device);
  return piles != NULL ? piles->data : NULL;
}

static void tell(Fresh *fresh, Pile *pile)
{
  if (pile->untold_blocks == 0)
    return;
  if (fresh->notes == NULL)
    fresh->notes = g_array_new(FALSE, FALSE, sizeof(FreshNote));
  FreshNote note = {pile->device, pile->partition, pile->untold_blocks, pile->untold_rows,
                    pile->untold_newest};
  g_array_append_val(fresh->notes, note);
  g_queue_unlink(&fresh->untold, &pile->untold);
  pile->untold_blocks = pile->untold_rows = pile->untold_newest = 0;
}

GArray *fresh_take_notes(Fresh *fresh, gboolean all)
{
  while (all && !g_queue_is_empty(&fresh->untold))
    tell(fresh, g_queue_peek_head(&fresh->untold));
  for (guint i = 0; fresh->notes != NULL && i < fresh->notes->len; i++)
    fresh->untold_blocks -= g_array_index(fresh->notes, FreshNote, i).blocks;
  return g_steal_pointer(&fresh->notes);
}

guint64 fresh_untold(const Fresh *fresh)
{
  return fresh->untold_blocks;
}

void fresh_remove(Fresh *fresh, Pile *pile)
{
  tell(fresh, pile);
  g_queue_unlink(&fresh->order, &pile->order);
  fresh->devices->pdata[pile->device] =
      g_list_remove_link(fresh->devices->pdata[pile->device], &pile->of_device);
  fresh->bytes -= sizeof *pile + pile->room;
  g_free(pile->entries);
  g_free(pile);
}

static MergePart *parts_of(const Pile *pile)
{
  MergePart *parts = g_new(MergePart, pile->count);
  gsize at = 0;
  for (guint i = 0; i < pile->count; i++) {
    const PileEntry *entry = entry_at(pile, at);
    parts[i] = (MergePart){entry->version, entry->bytes, (gsize)entry->size};
    at += entry_size((gsize)entry->size);
  }
  return parts;
}

void pile_block(const Pile *pile, GByteArray *scratch, PileBlock *out)
{
  MergedBlock merged;
  g_byte_array_set_size(scratch, 0);
  if (pile->plain_size > 0) {
    block_merge_plain(pile->entries, pile->entries + pile->rows_at, pile->stride, pile->count,
                      scratch, &merged);
  } else {
    g_autofree MergePart *parts = parts_of(pile);
    block_merge(parts, pile->count, scratch, &merged);
  }
  key_block(out->key, pile->device, pile->partition, &merged.version, merged.min_time,
            merged.max_time);
  out->value = merged.bytes;
  out->size = merged.size;
}
