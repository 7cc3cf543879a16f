/*
 * A grid: rows under titled columns, printed in the form that the user asked for.
 *
 *   text   aligned columns; control characters are shown escaped, so that stored text can't drive
 * the terminal; a missing value is "-" CSV    a line of keys, then rows; missing is empty, an empty
 * text is "" JSON   an array of objects by key; what is missing is left out
 *
 * Rows may be flushed any number of times: columns then only grow wider, and the head is printed
 * once. Not thread-safe.
 */
#pragma once

#include "base/table.h"
#include "ctl/json.h"

#include <stdio.h>

typedef enum { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV } OutputFormat;

typedef struct Grid Grid;

Grid *grid_new(OutputFormat format, FILE *out);

/* As a member of a JSON document that the caller writes: an array under `key`. */
Grid *grid_new_json(JsonWriter *json, const char *key);

/* Prints what is left and the end. */
void grid_free(Grid *grid);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Grid, grid_free)

/* All columns come before the first cell. `title` heads the column in text, `key` elsewhere. */
void grid_column(Grid *grid, const char *title, const char *key, gboolean align_right);

/* Cells are given row by row, from left to right; a full row ends by itself. */
void grid_text(Grid *grid, const char *text); /* NULL: missing */
void grid_int(Grid *grid, gint64 number);
void grid_uint(Grid *grid, guint64 number);
void grid_bool(Grid *grid, gboolean truth);
void grid_value(Grid *grid, const Value *value); /* NULL: missing */
void grid_missing(Grid *grid);
/* A text for people, and the number that stands for it elsewhere. */
void grid_int_as(Grid *grid, const char *text, gint64 number);

/* Prints the rows so far. */
void grid_flush(Grid *grid);

/* `text` with control characters as \n, \t, \xHH and broken UTF-8 replaced. Transfer full. */
char *text_printable(const char *text, gssize size);

/* Columns of a terminal that the text takes. */
guint text_width(const char *text);
