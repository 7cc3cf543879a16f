/*
 * The screen of top, by ncurses. The main thread alone draws and reads keys; another one looks at
 * the servers. They share a mailbox with the newest look, and an eventfd that says it is there.
 */
#include "ctl/grid.h"
#include "ctl/top.h"

#include <errno.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termcap.h>
#include <unistd.h>

enum { GAP = 2, LEAST_ROWS = 4, LEAST_COLUMNS = 20, TEXT_SIZE = 128 };

typedef struct Screen {
  TopWatch *watch;
  gint64 interval_ms;
  gint rounds;

  gint group; /* to be shown, or TOP_ALL_GROUPS */

  GThread *looker;
  GMutex mutex; /* guards what follows, to `looks` */
  GCond changed;
  TopLook *newest; /* not taken yet */
  gboolean stop, hurry;
  gint looks;
  int wake_fd;

  TopLook *look; /* shown */
  SCREEN *terminal;
  guint sorted_by; /* column of the links */
  gboolean descending, help;
  guint first; /* row of the links that is shown first */
  guint shown; /* columns of the links that have room, as bits */
} Screen;

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
  (void)number;
  ended = 1;
}

/* --- looking ------------------------------------------------------------------------------------
 */

static gpointer keep_looking(gpointer data)
{
  Screen *screen = data;
  const guint64 one = 1;
  g_mutex_lock(&screen->mutex);
  while (!screen->stop && (screen->rounds == 0 || screen->looks < screen->rounds)) {
    screen->hurry = FALSE;
    g_mutex_unlock(&screen->mutex);
    TopLook *look = top_watch_look(screen->watch);
    g_mutex_lock(&screen->mutex);
    g_clear_pointer(&screen->newest, top_look_free);
    screen->newest = look;
    screen->looks++;
    if (write(screen->wake_fd, &one, sizeof one) < 0)
      break; /* an eventfd takes it */
    gint64 until_us = g_get_monotonic_time() + screen->interval_ms * 1000;
    while (!screen->stop && !screen->hurry &&
           g_cond_wait_until(&screen->changed, &screen->mutex, until_us))
      ;
  }
  g_mutex_unlock(&screen->mutex);
  return NULL;
}

/* TRUE when that was the last look. */
static gboolean take_newest(Screen *screen)
{
  guint64 count;
  if (read(screen->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
    return TRUE;
  g_mutex_lock(&screen->mutex);
  if (screen->newest != NULL) {
    g_clear_pointer(&screen->look, top_look_free);
    screen->look = g_steal_pointer(&screen->newest);
  }
  gboolean last = screen->rounds > 0 && screen->looks >= screen->rounds;
  g_mutex_unlock(&screen->mutex);
  return last;
}

static void tell_looker(Screen *screen, gboolean stop)
{
  g_mutex_lock(&screen->mutex);
  screen->stop = stop;
  screen->hurry = TRUE;
  g_cond_signal(&screen->changed);
  g_mutex_unlock(&screen->mutex);
}

/* --- drawing ------------------------------------------------------------------------------------
 */

/* Without start_color() there are no pairs. */
static attr_t attribute_of(TopMood mood)
{
  attr_t strength = mood == MOOD_BAD ? A_BOLD : A_NORMAL;
  return COLOR_PAIRS > 0 ? strength | (attr_t)COLOR_PAIR(mood) : strength;
}

/* As much of the text as fits into `width` columns, and the columns that it takes. */
static guint put_cut(int row, int column, guint width, const char *text)
{
  const char *end = text;
  guint taken = 0;
  while (*end != '\0') {
    gunichar letter = g_utf8_get_char(end);
    guint more = g_unichar_iszerowidth(letter) ? 0 : g_unichar_iswide(letter) ? 2 : 1;
    if (taken + more > width)
      break;
    taken += more;
    end = g_utf8_next_char(end);
  }
  mvaddnstr(row, column, text, (int)(end - text));
  return taken;
}

static guint cell_width(const TopCell *cell)
{
  return cell->text != NULL ? text_width(cell->text) : 1;
}

/* How wide each column is; 0 for those that have no room. The last one that is left-aligned may be
 * cut, so it asks for its title only. */
static void fit_columns(const TopTable *table, guint room, guint *widths)
{
  guint needed = 0;
  for (guint i = 0; i < table->n_columns; i++) {
    gboolean open = i + 1 == table->n_columns && !table->columns[i].right;
    widths[i] = text_width(table->columns[i].title);
    for (guint row = 0; !open && row < top_table_rows(table); row++)
      widths[i] = MAX(widths[i], cell_width(top_table_cell(table, row, i)));
    needed += widths[i] + (i > 0 ? GAP : 0);
  }
  while (needed > room) {
    guint worst = 0;
    for (guint i = 1; i < table->n_columns; i++)
      if (widths[i] > 0 &&
          (widths[worst] == 0 || table->columns[i].rank > table->columns[worst].rank))
        worst = i;
    if (table->columns[worst].rank == 0)
      break;
    needed -= widths[worst] + GAP;
    widths[worst] = 0;
  }
  guint last = table->n_columns - 1;
  if (!table->columns[last].right && widths[last] > 0 && needed < room)
    widths[last] += room - needed;
}

/* `cells`: one row; NULL: the titles, of which `marked` is the one that rows are sorted by. */
static void draw_row(const TopTable *table, const guint *widths, int y, gint row, guint marked)
{
  guint x = 0;
  for (guint i = 0; i < table->n_columns; i++) {
    if (widths[i] == 0)
      continue;
    const TopCell *cell = row >= 0 ? top_table_cell(table, (guint)row, i) : NULL;
    const char *text = cell == NULL         ? table->columns[i].title
                       : cell->text != NULL ? cell->text
                                            : "-";
    guint width = MIN(text_width(text), widths[i]);
    guint indent = table->columns[i].right ? widths[i] - width : 0;
    attr_t attribute = cell != NULL  ? attribute_of(cell->mood)
                       : i == marked ? A_BOLD | A_UNDERLINE
                                     : A_BOLD;
    if (x + indent >= (guint)COLS)
      return;
    attron(attribute);
    put_cut(y, (int)(x + indent), MIN(widths[i], (guint)COLS - x - indent), text);
    attroff(attribute);
    x += widths[i] + GAP;
  }
}

typedef struct Order {
  const TopTable *table;
  guint column;
  gboolean descending;
} Order;

static gint compare_rows(gconstpointer a, gconstpointer b, gpointer data)
{
  const Order *order = data;
  const TopCell *one = top_table_cell(order->table, *(const guint *)a, order->column);
  const TopCell *other = top_table_cell(order->table, *(const guint *)b, order->column);
  gint result = one->number < other->number ? -1 : one->number > other->number;
  if (result == 0)
    result = g_strcmp0(one->text, other->text);
  /* What is equal keeps the order of the links. */
  if (result == 0 || order->column == 0)
    return result != 0 ? (order->descending ? -result : result)
                       : (gint)(*(const guint *)a) - (gint)(*(const guint *)b);
  return order->descending ? -result : result;
}

/* A table that is neither sorted nor moved through. */
static int draw_table(const TopTable *table, int y, int end)
{
  g_autofree guint *widths = g_new(guint, table->n_columns);
  if (y >= end)
    return y;
  fit_columns(table, (guint)COLS, widths);
  draw_row(table, widths, y++, -1, table->n_columns);
  for (guint row = 0; row < top_table_rows(table) && y < end; row++)
    draw_row(table, widths, y++, (gint)row, 0);
  return y;
}

static void draw_links(Screen *screen, int y, int end)
{
  const TopTable *table = &screen->look->links;
  guint count = top_table_rows(table), room = end > y + 1 ? (guint)(end - y - 1) : 0;
  g_autofree guint *widths = g_new(guint, table->n_columns);
  g_autofree guint *rows = g_new(guint, count + 1);
  if (room == 0)
    return;
  for (guint i = 0; i < count; i++)
    rows[i] = i;
  Order order = {table, screen->sorted_by, screen->descending};
  g_qsort_with_data(rows, (gint)count, sizeof *rows, compare_rows, &order);
  screen->first = MIN(screen->first, count > room ? count - room : 0);
  fit_columns(table, (guint)COLS, widths);
  screen->shown = 0;
  for (guint i = 0; i < table->n_columns; i++)
    screen->shown |= (guint)(widths[i] > 0) << i;
  draw_row(table, widths, y++, -1, screen->sorted_by);
  for (guint i = screen->first; i < count && y < end; i++)
    draw_row(table, widths, y++, (gint)rows[i], 0);
}

static int draw_trouble(const Screen *screen, int y, int end)
{
  guint count = screen->look->trouble->len;
  for (guint i = 0; i < count && y < end; i++) {
    const TopCell *cell = &g_array_index(screen->look->trouble, TopCell, i);
    char more[TEXT_SIZE];
    g_snprintf(more, sizeof more, "… and %u more", count - i);
    gboolean is_last = y + 1 == end && i + 1 < count;
    attron(attribute_of(cell->mood));
    put_cut(y, 0, (guint)COLS, "! ");
    if (COLS > 2)
      put_cut(y, 2, (guint)COLS - 2, is_last ? more : cell->text);
    attroff(attribute_of(cell->mood));
    y++;
  }
  return count > 0 ? y + 1 : y;
}

static const char *const help_lines[] = {
    "q, Esc      end",
    "s, S        sort the links by the next column, the one before",
    "r           turn the order round",
    "↑ ↓ PgUp PgDn Home End   move through the links",
    "g, G        show the next group, the one before; behind the last one all",
    "space       look now",
    "h, ?        this help; any other key leaves it",
    "",
    "WRITE, SYNC, APPLY ms: what 99 of 100 took since the last look.",
    "LAG, BYTES, TIME: what the peer has not confirmed of this node's own log.",
    "SILENT: since the peer's last answer.",
};

static void draw_help(void)
{
  attron(A_BOLD);
  put_cut(0, 0, (guint)COLS, "synclogctl top");
  attroff(A_BOLD);
  for (guint i = 0; i < G_N_ELEMENTS(help_lines) && (int)i + 2 < LINES; i++)
    put_cut((int)i + 2, 0, (guint)COLS, help_lines[i]);
}

static void draw_head(const Screen *screen)
{
  g_autoptr(GDateTime) now = g_date_time_new_now_local();
  g_autofree char *clock = g_date_time_format(now, "%H:%M:%S");
  char text[TEXT_SIZE];
  const TopLook *look = screen->look;
  g_autofree char *groups = look != NULL ? top_look_groups(look) : NULL;
  if (look == NULL)
    g_snprintf(text, sizeof text, "synclogctl top  %s  asking …", clock);
  else
    g_snprintf(text, sizeof text, "synclogctl top  %s  %u of %u serve%s", clock, look->serving,
               look->servers, groups);
  attron(A_BOLD);
  guint taken = put_cut(0, 0, (guint)COLS, text);
  attroff(A_BOLD);
  static const char keys[] = "q: end  s: sort  h: help";
  if (taken + GAP + strlen(keys) <= (guint)COLS)
    mvaddstr(0, COLS - (int)strlen(keys), keys);
}

static void draw(Screen *screen)
{
  erase();
  if (screen->help) {
    draw_help();
  } else {
    draw_head(screen);
    /* Trouble takes at most a third, so that it hides nothing; a very low terminal has it alone. */
    int y = 2, end = LINES;
    if (screen->look != NULL && LINES >= LEAST_ROWS && COLS >= LEAST_COLUMNS) {
      y = draw_trouble(screen, y, MIN(end, 2 + MAX(1, LINES / 3)));
      y = draw_table(&screen->look->nodes, y, end);
      if (top_table_rows(&screen->look->groups) > 0)
        y = draw_table(&screen->look->groups, y + 1, end);
      draw_links(screen, y + 1, end);
    }
  }
  refresh();
}

/* --- keys ---------------------------------------------------------------------------------------
 */

static void sort_by_next(Screen *screen, guint step)
{
  guint count = screen->look != NULL ? screen->look->links.n_columns : 1;
  do
    screen->sorted_by = (screen->sorted_by + step) % count;
  while (screen->sorted_by != 0 && (screen->shown >> screen->sorted_by & 1) == 0);
  /* The greatest lag first is what one looks for. */
  screen->descending = screen->look != NULL && screen->look->links.columns[screen->sorted_by].right;
}

/* All, then each by its number, then all again. */
static void show_next_group(Screen *screen, guint step)
{
  if (screen->look == NULL || screen->look->group_ids->len < 2)
    return;
  const GArray *ids = screen->look->group_ids;
  guint at = 0; /* of all; a group is one behind its place */
  while (at < ids->len && screen->group != TOP_ALL_GROUPS &&
         g_array_index(ids, guint32, at) != (guint32)screen->group)
    at++;
  at = screen->group == TOP_ALL_GROUPS ? 0 : (at + 1) % (ids->len + 1);
  at = (at + step) % (ids->len + 1);
  screen->group = at == 0 ? TOP_ALL_GROUPS : (gint)g_array_index(ids, guint32, at - 1);
  top_watch_set_group(screen->watch, screen->group);
  screen->sorted_by = screen->first = 0;
  screen->descending = FALSE;
  tell_looker(screen, FALSE);
}

static void scroll_by(Screen *screen, gint rows)
{
  screen->first = (guint)MAX(0, (gint64)screen->first + rows);
}

/* FALSE: it ends. */
static gboolean take_key(Screen *screen, int key)
{
  guint columns = screen->look != NULL ? screen->look->links.n_columns : 1;
  if (screen->help && key != KEY_RESIZE && key != 'q') {
    screen->help = FALSE;
    return TRUE;
  }
  switch (key) {
  case 'q':
  case 'Q':
  case '\x1b':
    return FALSE;
  case 'h':
  case '?':
    screen->help = TRUE;
    break;
  case 's':
    sort_by_next(screen, 1);
    break;
  case 'S':
    sort_by_next(screen, columns - 1);
    break;
  case 'g':
    show_next_group(screen, 1);
    break;
  case 'G':
    show_next_group(screen, screen->look != NULL ? screen->look->group_ids->len : 0);
    break;
  case 'r':
    screen->descending = !screen->descending;
    break;
  case ' ':
    tell_looker(screen, FALSE);
    break;
  case KEY_DOWN:
    scroll_by(screen, 1);
    break;
  case KEY_UP:
    scroll_by(screen, -1);
    break;
  case KEY_NPAGE:
    scroll_by(screen, LINES / 2);
    break;
  case KEY_PPAGE:
    scroll_by(screen, -LINES / 2);
    break;
  case KEY_HOME:
    screen->first = 0;
    break;
  case KEY_END:
    screen->first = G_MAXINT32;
    break;
  }
  return TRUE;
}

/* --- the terminal -------------------------------------------------------------------------------
 */

static void begin_colours(void)
{
  const char *no_colour = g_getenv("NO_COLOR");
  if ((no_colour != NULL && *no_colour != '\0') || !has_colors())
    return;
  start_color();
  use_default_colors();
  init_pair(MOOD_GOOD, COLOR_GREEN, -1);
  init_pair(MOOD_WARN, COLOR_YELLOW, -1);
  init_pair(MOOD_BAD, COLOR_RED, -1);
}

static gboolean begin_screen(Screen *screen, GError **error)
{
  const char *term = g_getenv("TERM");
  /* Asked first: newterm() loses memory when it does not know the terminal. */
  if (term != NULL && tgetent(NULL, term) == 1)
    screen->terminal = newterm(NULL, stdout, stdin);
  if (screen->terminal == NULL)
    return fail(error, SYNCLOG_INVALID,
                "the terminal (TERM is \"%s\") can't be drawn on; there is --batch",
                term != NULL ? term : "");
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
  cbreak();
  noecho();
  nodelay(stdscr, TRUE);
  keypad(stdscr, TRUE);
  set_escdelay(50);
  curs_set(0);
  begin_colours();
  return TRUE;
}

static void end_screen(const Screen *screen)
{
  endwin();
  delscreen(screen->terminal);
}

/* FALSE when the terminal is gone or a key ended it. */
static gboolean take_keys(Screen *screen)
{
  int key;
  while ((key = getch()) != ERR)
    if (!take_key(screen, key))
      return FALSE;
  return TRUE;
}

static void show_looks(Screen *screen)
{
  struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                         {.fd = screen->wake_fd, .events = POLLIN}};
  for (;;) {
    draw(screen);
    /* A change of the terminal's size interrupts it, and is a key afterwards. */
    int ready = poll(fds, G_N_ELEMENTS(fds), -1);
    if (ended || (ready < 0 && errno != EINTR) ||
        (ready > 0 && (fds[0].revents & (POLLHUP | POLLERR)) != 0))
      return;
    if (!take_keys(screen))
      return;
    if (take_newest(screen)) {
      draw(screen);
      return;
    }
  }
}

gboolean top_screen_run(TopWatch *watch, gint64 interval_ms, gint rounds, GError **error)
{
  Screen screen = {.watch = watch,
                   .interval_ms = interval_ms,
                   .rounds = rounds,
                   .group = top_watch_group(watch)};
  screen.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (screen.wake_fd < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "eventfd");
  if (!begin_screen(&screen, error)) {
    close(screen.wake_fd);
    return FALSE;
  }
  g_mutex_init(&screen.mutex);
  g_cond_init(&screen.changed);
  screen.looker = g_thread_new("look", keep_looking, &screen);
  show_looks(&screen);
  /* The terminal is given back at once; a server that does not answer holds up the rest. */
  end_screen(&screen);
  tell_looker(&screen, TRUE);
  g_thread_join(screen.looker);
  g_clear_pointer(&screen.newest, top_look_free);
  g_clear_pointer(&screen.look, top_look_free);
  g_mutex_clear(&screen.mutex);
  g_cond_clear(&screen.changed);
  close(screen.wake_fd);
  return TRUE;
}
