/*
 * Conflicts between leaders as plain data: the store finds and keeps them, rpc carries them,
 * synclogctl prints them. Not thread-safe; whoever holds one owns it.
 */
#pragma once

#include "base/table.h"

typedef enum {
  CONFLICT_OVERWRITE = 1,  /* two leaders wrote different values to one cell */
  CONFLICT_SAME_VALUE = 2, /* … the same value: counted, not journalled */
  CONFLICT_DELETE = 3,     /* a delete of one leader hides a value of another */
  CONFLICT_TYPE = 4,       /* two leaders fixed different types of one measurement */
} ConflictKind;

enum { CONFLICT_KINDS = 4 };

/* "overwrite", "same-value", "delete", "type"; NULL for a number that is no kind. */
const char *conflict_kind_name(int kind);

/* One of the two that met. */
typedef struct ConflictSide {
  guint32 origin; /* node id of the leader */
  guint64 hlc;
  gboolean is_delete;
  DataType type; /* not of a delete */
  gboolean has_value;
  Value value;        /* if has_value; a TEXT may be cut to LIMIT_CONFLICT_TEXT bytes */
  guint64 value_size; /* bytes that the whole TEXT has */
} ConflictSide;

typedef struct Conflict {
  guint64 sequence; /* in this node's journal: 1, 2, 3, … */
  guint64 found_ms; /* wall clock of this node */
  ConflictKind kind;
  char *device, *measurement;
  gint64 time;   /* of the cell, of the first one if there are several; 0 of a type */
  guint64 cells; /* more than one only for deletes */
  ConflictSide winner, loser;
} Conflict;

void conflict_free(Conflict *conflict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Conflict, conflict_free)

/* What a node has seen since its store was created. */
typedef struct ConflictCounts {
  guint64 by_kind[CONFLICT_KINDS + 1]; /* by ConflictKind: cells; of types, measurements */
  guint64 overflowed; /* blocks and deletes that were never looked at: too many were waiting */
  guint64 pending;    /* blocks and deletes that wait for being looked at */
  guint64 first_sequence, last_sequence; /* of the journal; last < first: it is empty */
  guint64 bytes;                         /* of the journal */
} ConflictCounts;

/* All kinds together. */
guint64 conflict_counts_total(const ConflictCounts *counts);

typedef struct ConflictQuery {
  guint64 after;      /* entries behind this sequence number */
  guint limit;        /* entries per page, at least 1 */
  const char *device; /* only of this one; NULL: of all */
} ConflictQuery;

typedef struct ConflictPage {
  ConflictCounts counts;
  GPtrArray *conflicts; /* Conflict, ascending */
  gboolean more;
  guint64 next_after; /* where the next page, or a later look, goes on */
  guint64 unreadable; /* entries on the way that are not as they were written */
} ConflictPage;

ConflictPage *conflict_page_new(void);
void conflict_page_free(ConflictPage *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConflictPage, conflict_page_free)
