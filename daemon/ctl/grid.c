#include "ctl/grid.h"

#include "ctl/csv.h"
#include "ctl/values.h"

#include <string.h>

typedef enum { CELL_MISSING, CELL_VALUE, CELL_UINT, CELL_SHOWN_INT } CellKind;

typedef struct Cell {
  CellKind kind;
  char *shown; /* in text */
  Value value; /* CELL_UINT: its bits in int64 */
} Cell;

typedef struct GridColumn {
  char *title, *key;
  gboolean align_right;
  guint width;
} GridColumn;

struct Grid {
  OutputFormat format;
  FILE *out;
  JsonWriter *json; /* of the caller or own */
  gboolean own_json, began;
  char *json_key;
  GArray *columns; /* GridColumn */
  GArray *cells;   /* Cell, row by row */
};

static void clear_cell(gpointer data)
{
  Cell *cell = data;
  g_free(cell->shown);
  value_clear(&cell->value);
}

static void clear_column(gpointer data)
{
  GridColumn *column = data;
  g_free(column->title);
  g_free(column->key);
}

Grid *grid_new(OutputFormat format, FILE *out)
{
  Grid *grid = g_new0(Grid, 1);
  grid->format = format;
  grid->out = out;
  grid->columns = g_array_new(FALSE, FALSE, sizeof(GridColumn));
  g_array_set_clear_func(grid->columns, clear_column);
  grid->cells = g_array_new(FALSE, TRUE, sizeof(Cell));
  g_array_set_clear_func(grid->cells, clear_cell);
  if (format == FORMAT_JSON) {
    grid->json = json_writer_new(out);
    grid->own_json = TRUE;
  }
  return grid;
}

Grid *grid_new_json(JsonWriter *json, const char *key)
{
  Grid *grid = grid_new(FORMAT_TEXT, NULL);
  grid->format = FORMAT_JSON;
  grid->json = json;
  grid->json_key = g_strdup(key);
  return grid;
}

void grid_free(Grid *grid)
{
  if (grid == NULL)
    return;
  grid_flush(grid);
  if (grid->format == FORMAT_JSON)
    json_end_array(grid->json);
  if (grid->own_json)
    json_writer_free(grid->json);
  g_array_unref(grid->columns);
  g_array_unref(grid->cells);
  g_free(grid->json_key);
  g_free(grid);
}

void grid_column(Grid *grid, const char *title, const char *key, gboolean align_right)
{
  g_assert(grid->cells->len == 0 && !grid->began);
  g_autofree char *shown = text_printable(title, -1);
  GridColumn column = {
      .key = g_strdup(key), .align_right = align_right, .width = text_width(shown)};
  column.title = g_steal_pointer(&shown);
  g_array_append_val(grid->columns, column);
}

char *text_printable(const char *text, gssize size)
{
  g_autofree char *valid = g_utf8_make_valid(text, size);
  GString *out = g_string_new(NULL);
  for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);
    if (c == '\n')
      g_string_append(out, "\\n");
    else if (c == '\t')
      g_string_append(out, "\\t");
    else if (g_unichar_iscntrl(c))
      g_string_append_printf(out, "\\x%02x", c);
    else
      g_string_append_unichar(out, c);
  }
  return g_string_free(out, FALSE);
}

guint text_width(const char *text)
{
  guint width = 0;
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);
    if (!g_unichar_iszerowidth(c))
      width += g_unichar_iswide(c) ? 2 : 1;
  }
  return width;
}

static void add_cell(Grid *grid, Cell cell)
{
  guint column = grid->cells->len % grid->columns->len;
  if (grid->format == FORMAT_TEXT) {
    GridColumn *head = &g_array_index(grid->columns, GridColumn, column);
    head->width = MAX(head->width, text_width(cell.shown));
  }
  g_array_append_val(grid->cells, cell);
}

void grid_missing(Grid *grid)
{
  add_cell(grid, (Cell){.kind = CELL_MISSING, .shown = g_strdup("-")});
}

void grid_value(Grid *grid, const Value *value)
{
  if (value == NULL) {
    grid_missing(grid);
    return;
  }
  Cell cell = {.kind = CELL_VALUE};
  value_copy(value, &cell.value);
  if (grid->format == FORMAT_TEXT) {
    g_autoptr(GString) text = g_string_new(NULL);
    value_append_text(text, value);
    cell.shown = text_printable(text->str, (gssize)text->len);
  }
  add_cell(grid, cell);
}

void grid_text(Grid *grid, const char *text)
{
  if (text == NULL) {
    grid_missing(grid);
    return;
  }
  Value value = {.type = DATA_TEXT};
  value.text.bytes = (char *)text;
  value.text.size = strlen(text);
  grid_value(grid, &value);
}

void grid_int(Grid *grid, gint64 number)
{
  grid_value(grid, &(Value){.type = DATA_INT64, .int64 = number});
}

void grid_uint(Grid *grid, guint64 number)
{
  Cell cell = {.kind = CELL_UINT, .value = {.type = DATA_INT64, .int64 = (gint64)number}};
  cell.shown = g_strdup_printf("%" G_GUINT64_FORMAT, number);
  add_cell(grid, cell);
}

void grid_bool(Grid *grid, gboolean truth)
{
  Cell cell = {.kind = CELL_VALUE, .value = {.type = DATA_BOOLEAN, .boolean = truth}};
  cell.shown = g_strdup(truth ? "yes" : "no");
  add_cell(grid, cell);
}

void grid_int_as(Grid *grid, const char *text, gint64 number)
{
  Cell cell = {.kind = CELL_SHOWN_INT, .value = {.type = DATA_INT64, .int64 = number}};
  cell.shown = text_printable(text, -1);
  add_cell(grid, cell);
}

static void pad(FILE *out, guint count)
{
  for (; count > 0; count--)
    fputc(' ', out);
}

static void print_text_cell(Grid *grid, guint column, const char *text)
{
  const GridColumn *head = &g_array_index(grid->columns, GridColumn, column);
  guint room = head->width - MIN(head->width, text_width(text));
  if (column > 0)
    fputs("  ", grid->out);
  if (head->align_right)
    pad(grid->out, room);
  fputs(text, grid->out);
  gboolean last = column + 1 == grid->columns->len;
  if (!head->align_right && !last)
    pad(grid->out, room);
  if (last)
    fputc('\n', grid->out);
}

static void print_csv_cell(Grid *grid, guint column, const Cell *cell)
{
  g_autoptr(GString) line = g_string_new(column > 0 ? "," : "");
  if (cell->kind == CELL_UINT) {
    g_string_append(line, cell->shown);
  } else if (cell->kind != CELL_MISSING && cell->value.type == DATA_TEXT) {
    const Value *value = &cell->value;
    csv_append(line, ',', value->text.bytes, value->text.size, value->text.size == 0);
  } else if (cell->kind != CELL_MISSING) {
    value_append_text(line, &cell->value);
  }
  if (column + 1 == grid->columns->len)
    g_string_append_c(line, '\n');
  fwrite(line->str, 1, line->len, grid->out);
}

static void print_json_cell(Grid *grid, guint column, const Cell *cell)
{
  const char *key = g_array_index(grid->columns, GridColumn, column).key;
  if (column == 0)
    json_begin_object(grid->json, NULL, TRUE);
  if (cell->kind == CELL_UINT)
    json_put_uint(grid->json, key, (guint64)cell->value.int64);
  else if (cell->kind != CELL_MISSING)
    json_put_value(grid->json, key, &cell->value);
  if (column + 1 == grid->columns->len)
    json_end_object(grid->json);
}

static void print_head(Grid *grid)
{
  if (grid->format == FORMAT_JSON) {
    json_begin_array(grid->json, grid->json_key, FALSE);
    return;
  }
  for (guint i = 0; i < grid->columns->len; i++) {
    const GridColumn *column = &g_array_index(grid->columns, GridColumn, i);
    if (grid->format == FORMAT_TEXT) {
      print_text_cell(grid, i, column->title);
      continue;
    }
    g_autoptr(GString) line = g_string_new(i > 0 ? "," : "");
    csv_append(line, ',', column->key, strlen(column->key), FALSE);
    if (i + 1 == grid->columns->len)
      g_string_append_c(line, '\n');
    fwrite(line->str, 1, line->len, grid->out);
  }
}

void grid_flush(Grid *grid)
{
  if (!grid->began)
    print_head(grid);
  grid->began = TRUE;
  if (grid->cells->len == 0)
    return;
  g_assert(grid->cells->len % grid->columns->len == 0);
  for (guint i = 0; i < grid->cells->len; i++) {
    const Cell *cell = &g_array_index(grid->cells, Cell, i);
    guint column = i % grid->columns->len;
    if (grid->format == FORMAT_TEXT)
      print_text_cell(grid, column, cell->shown);
    else if (grid->format == FORMAT_CSV)
      print_csv_cell(grid, column, cell);
    else
      print_json_cell(grid, column, cell);
  }
  g_array_set_size(grid->cells, 0);
}
