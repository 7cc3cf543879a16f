#include "base/conflict.h"

const char *conflict_kind_name(int kind)
{
  static const char *const names[] = {NULL, "overwrite", "same-value", "delete", "type"};
  return kind >= CONFLICT_OVERWRITE && kind <= CONFLICT_TYPE ? names[kind] : NULL;
}

static void side_clear(ConflictSide *side)
{
  if (side->has_value)
    value_clear(&side->value);
}

void conflict_free(Conflict *conflict)
{
  g_free(conflict->device);
  g_free(conflict->measurement);
  side_clear(&conflict->winner);
  side_clear(&conflict->loser);
  g_free(conflict);
}

guint64 conflict_counts_total(const ConflictCounts *counts)
{
  guint64 total = 0;
  for (guint kind = 1; kind <= CONFLICT_KINDS; kind++)
    total += counts->by_kind[kind];
  return total;
}

ConflictPage *conflict_page_new(void)
{
  ConflictPage *page = g_new0(ConflictPage, 1);
  page->conflicts = g_ptr_array_new_with_free_func((GDestroyNotify)conflict_free);
  return page;
}

void conflict_page_free(ConflictPage *page)
{
  g_ptr_array_unref(page->conflicts);
  g_free(page);
}
