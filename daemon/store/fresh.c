#include "store/fresh.h"

#include <string.h>

enum {
  PILES_TRIED = 8, /* newest ones of a device, when a block comes */
  ALIGNMENT = 8,   /* of what is in a pile's memory */
};

/* In front of each block of a pile. */
typedef struct PileEntry {
  Version version;
  guint64 size; /* of the block, behind which the next entry stands, aligned */
  guint8 bytes[];
} PileEntry;

struct Pile {
  guint32 device;
  guint count; /* of entries */
  gint64 partition;
  guint8 *entries; /* PileEntry */
  gsize used, room;
  GList order, of_device; /* its places */
};

struct Fresh {
  GQueue order;       /* Pile, by its first block */
  GPtrArray *devices; /* GList of Pile by id of the device, newest first; NULL: none */
  gsize bytes;
};

Fresh *fresh_new(void)
{
  Fresh *fresh = g_new0(Fresh, 1);
  fresh->devices = g_ptr_array_new();
  g_queue_init(&fresh->order);
  return fresh;
}

void fresh_free(Fresh *fresh)
{
  Pile *pile;
  while ((pile = fresh_oldest(fresh)) != NULL)
    fresh_remove(fresh, pile);
  g_ptr_array_unref(fresh->devices);
  g_free(fresh);
}

/* --- adding -------------------------------------------------------------------------------------
 */

static gsize entry_size(gsize block_size)
{
  return (sizeof(PileEntry) + block_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static const PileEntry *entry_at(const Pile *pile, gsize at)
{
  return (const PileEntry *)(const void *)(pile->entries + at);
}

static GList *piles_of(const Fresh *fresh, guint32 device)
{
  return device < fresh->devices->len ? fresh->devices->pdata[device] : NULL;
}

/* The pile that the block goes to; NULL: it begins one. */
static Pile *find_pile(const Fresh *fresh, const FreshBlock *block, gsize needed)
{
  guint tried = 0;
  for (GList *link = piles_of(fresh, block->device); link != NULL && tried < PILES_TRIED;
       link = link->next, tried++) {
    Pile *pile = link->data;
    if (pile->partition == block->partition && pile->used + needed <= PILE_SIZE &&
        block_same_columns(entry_at(pile, 0)->bytes, block->part.bytes))
      return pile;
  }
  return NULL;
}

static Pile *begin_pile(Fresh *fresh, const FreshBlock *block)
{
  Pile *pile = g_new0(Pile, 1);
  pile->device = block->device;
  pile->partition = block->partition;
  pile->order.data = pile->of_device.data = pile;
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

void fresh_add(Fresh *fresh, const FreshBlock *block)
{
  const MergePart *part = &block->part;
  g_assert(part->size <= FRESH_MAX_BLOCK_SIZE);
  gsize needed = entry_size(part->size);
  Pile *pile = find_pile(fresh, block, needed);
  if (pile == NULL)
    pile = begin_pile(fresh, block);
  make_room(fresh, pile, needed);
  PileEntry *entry = (PileEntry *)(void *)(pile->entries + pile->used);
  entry->version = part->version;
  entry->size = part->size;
  memcpy(entry->bytes, part->bytes, part->size);
  pile->used += needed;
  pile->count++;
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

void fresh_remove(Fresh *fresh, Pile *pile)
{
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
  g_autofree MergePart *parts = parts_of(pile);
  MergedBlock merged;
  g_byte_array_set_size(scratch, 0);
  block_merge(parts, pile->count, scratch, &merged);
  key_block(out->key, pile->device, pile->partition, &merged.version, merged.min_time,
            merged.max_time);
  out->value = merged.bytes;
  out->size = merged.size;
}
