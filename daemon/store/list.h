/*
 * A growing array whose first room the caller gives, beside other things in one piece of memory:
 * most writes need no more. g_array_index() reads it. Elements are not initialized. One thread.
 */
#pragma once

#include <glib.h>
#include <string.h>

typedef struct List {
  guint8 *data;
  guint len;   /* elements */
  guint room;  /* elements */
  void *first; /* the caller's; when data is another one it is the list's own */
} List;

static inline List list_in(void *first, gsize room)
{
  return (List){first, 0, (guint)MIN(room, G_MAXUINT), first};
}

static inline void list_clear(List *list)
{
  if (list->data != list->first)
    g_free(list->data);
}

static inline void list_grow(List *list, gsize element, gsize needed)
{
  gsize room = MAX(needed, (gsize)list->room * 2);
  g_assert(room <= G_MAXUINT);
  guint8 *data =
      list->data == list->first ? g_malloc(room * element) : g_realloc(list->data, room * element);
  if (list->data == list->first && list->len > 0)
    memcpy(data, list->first, list->len * element);
  list->data = data;
  list->room = (guint)room;
}

/* Makes it longer by so many elements of `element` bytes, and gives their place. */
static inline void *list_extend(List *list, gsize element, gsize count)
{
  if (count > list->room - list->len)
    list_grow(list, element, list->len + count);
  guint8 *place = list->data + list->len * element;
  list->len += (guint)count;
  return place;
}

static inline void list_append(List *list, gsize element, const void *values, gsize count)
{
  if (count > 0)
    memcpy(list_extend(list, element, count), values, count * element);
}
