/*
 * From merged cells to answers: what both stores share of reading. One thread per answer.
 */
#pragma once

#include "store/partition.h"
#include "store/schema.h"

/* --- rows ---------------------------------------------------------------------------------------
 */

typedef struct Answer Answer;

/* Narrows the range by the query's page. INVALID when that is none of ours. */
gboolean answer_resume(const Query *query, gint64 *start_time, gint64 *end_time, GError **error);

/* columns: SchemaColumn; `table` gets a Column for each. All must live as long as the answer. */
Answer *answer_new(const Query *query, const GArray *columns, Table *table);
void answer_free(Answer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Answer, answer_free)

/* Whether the page has all the rows that it may have. */
gboolean answer_is_full(const Answer *answer);

/* Where the cells (Cell, ascending) of the i-th column go, before answer_take_rows. */
GArray *answer_cells(Answer *answer, guint i);

/* Joins the cells of all columns to rows, up to the limits. Batches of cells come in the query's
 * order. */
void answer_take_rows(Answer *answer);

/* Takes rows as they stand, up to the limits; of an ascending query. */
void answer_take_plain(Answer *answer, const PlainRows *plain);

/*
 * Rows that are put straight into the table, of an ascending query without TEXT: room for `rows` of
 * them, and then which of them are taken, as far as the page's limits go. Gives the place of the
 * times; that of a column's packed values is open until the rows are closed.
 */
gint64 *answer_open_rows(Answer *answer, guint rows);
guint8 *answer_open_values(Answer *answer, guint column);
void answer_close_rows(Answer *answer, guint first, guint count);

/* Completes the table, with a next page if there is more. TOO_LARGE when not even one row fits. */
gboolean answer_finish(Answer *answer, GError **error);

/* --- aggregates ---------------------------------------------------------------------------------
 */

/*
 * Adds ascending cells to their windows, window k being [start + k × length, start + (k + 1) ×
 * length). Values are added to the sum in the order of time; sum and avg are NaN when a value is.
 * min and max leave NaN out unless there is nothing else; of 0 and -0 the first holds. Sets `more`
 * when another window would pass the limit, or the windows' texts LIMIT_QUERY_BYTES.
 */
void answer_aggregate(const AggregateQuery *query, const GArray *cells, Aggregate *aggregate);
/* The same with packed values (not TEXT), in a row. */
void answer_aggregate_packed(const AggregateQuery *query, const gint64 *times, const guint8 *values,
                             guint rows, Aggregate *aggregate);
void answer_aggregate_finish(Aggregate *aggregate);

/* --- digest -------------------------------------------------------------------------------------
 */

/* Adds each cell's hash to the sum. It covers names, type, time and value, nothing of the layout.
 */
void answer_digest(const char *device, const char *measurement, DataType type, const GArray *cells,
                   StateDigest *digest);
