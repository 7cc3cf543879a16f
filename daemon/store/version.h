/* What orders the values of a cell: see README.md, «Which value holds». */
#pragma once

#include <glib.h>

typedef struct Version {
  guint64 hlc;
  guint32 origin;
  guint32 ordinal;
} Version;

static inline int version_compare(const Version *a, const Version *b)
{
  if (a->hlc != b->hlc)
    return a->hlc < b->hlc ? -1 : 1;
  if (a->origin != b->origin)
    return a->origin < b->origin ? -1 : 1;
  return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}
