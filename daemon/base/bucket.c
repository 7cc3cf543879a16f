#include "base/bucket.h"

int cell_version_compare(const CellVersion *a, const CellVersion *b)
{
  if (a->hlc != b->hlc)
    return a->hlc < b->hlc ? -1 : 1;
  if (a->origin != b->origin)
    return a->origin < b->origin ? -1 : 1;
  return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

BucketPart *bucket_part_new(const CellVersion *version, Table *table)
{
  BucketPart *part = g_new(BucketPart, 1);
  *part = (BucketPart){*version, table};
  return part;
}

void bucket_part_free(BucketPart *part)
{
  table_free(part->table);
  g_free(part);
}

BucketPage *bucket_page_new(void)
{
  BucketPage *page = g_new0(BucketPage, 1);
  page->parts = g_ptr_array_new_with_free_func((GDestroyNotify)bucket_part_free);
  return page;
}

void bucket_page_free(BucketPage *page)
{
  g_ptr_array_unref(page->parts);
  g_free(page);
}
