#include "base/failpoint.h"

#ifdef SYNCLOG_FAILPOINTS

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_ORDERS = 16 };

typedef enum { ACTION_KILL, ACTION_STOP, ACTION_DELAY, ACTION_EIO, ACTION_ENOSPC } Action;

static const char *const action_names[] = {"kill", "stop", "delay", "EIO", "ENOSPC"};

typedef struct Order {
  char name[64];
  Action action;
  int delay_ms;
  guint64 count; /* passes that are left before it happens; 0: it has happened */
  gboolean again;
} Order;

static GMutex mutex; /* guards what follows, but for order_count, which is also read without it */
static Order orders[MAX_ORDERS];
static gint order_count;
static struct stat seen;
static const char *path; /* set before there are threads */

extern const Failpoint *const __start_failpoints[];
extern const Failpoint *const __stop_failpoints[];

static G_GNUC_NORETURN void refuse(const char *word)
{
  fprintf(stderr, "failpoints: \"%s\" is not understood\n", word);
  _exit(2);
}

static void parse_order(const char *word, Order *order)
{
  *order = (Order){.count = 1};
  char action[16] = "", plus[2] = "", *at;
  char text[128];
  g_strlcpy(text, word, sizeof text);
  if (g_str_has_suffix(text, "+")) {
    order->again = TRUE;
    text[strlen(text) - 1] = '\0';
  }
  at = strchr(text, '@');
  if (at != NULL) {
    *at = '\0';
    order->count = g_ascii_strtoull(at + 1, NULL, 10);
  }
  if (order->count == 0 ||
      sscanf(text, "%63[a-z_0-9]=%15[a-zA-Z]:%d%1s", order->name, action, &order->delay_ms, plus) <
          2 ||
      plus[0] != '\0')
    refuse(word);
  for (guint i = 0; i < G_N_ELEMENTS(action_names); i++)
    if (strcmp(action, action_names[i]) == 0) {
      order->action = (Action)i;
      return;
    }
  refuse(word);
}

/* Caller holds the mutex, or is alone. */
static void parse_orders(const char *text)
{
  g_auto(GStrv) words = g_strsplit_set(text, " \n", -1);
  int count = 0;
  for (guint i = 0; words[i] != NULL; i++) {
    if (words[i][0] == '\0')
      continue;
    if (count == MAX_ORDERS)
      refuse(words[i]);
    parse_order(words[i], &orders[count++]);
  }
  g_atomic_int_set(&order_count, count);
}

static void look(void)
{
  struct stat now;
  if (stat(path, &now) != 0 ||
      (now.st_ino == seen.st_ino && now.st_mtim.tv_sec == seen.st_mtim.tv_sec &&
       now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec))
    return;
  g_autofree char *text = NULL;
  if (!g_file_get_contents(path, &text, NULL, NULL))
    return;
  seen = now;
  parse_orders(text);
}

static int compare_names(const void *a, const void *b)
{
  return strcmp((*(const Failpoint *const *)a)->name, (*(const Failpoint *const *)b)->name);
}

static G_GNUC_NORETURN void print_names(void)
{
  gsize count = (gsize)(__stop_failpoints - __start_failpoints);
  g_autofree const Failpoint **sorted =
      g_memdup2(__start_failpoints, count * sizeof(const Failpoint *));
  qsort(sorted, count, sizeof *sorted, compare_names);
  for (gsize i = 0; i < count; i++)
    if (i == 0 || strcmp(sorted[i]->name, sorted[i - 1]->name) != 0)
      printf("%s%s\n", sorted[i]->name, sorted[i]->can_fail ? " fails" : "");
  exit(0);
}

__attribute__((constructor)) static void start(void)
{
  const char *text = getenv("SYNCLOG_FAILPOINTS");
  if (text != NULL && strcmp(text, "list") == 0)
    print_names();
  if (text != NULL)
    parse_orders(text);
  path = getenv("SYNCLOG_FAILPOINTS_FILE");
  if (path != NULL)
    look();
}

/* Takes one pass off the orders of this point; TRUE with the one that is due. */
static gboolean take_order(const char *name, Order *out_order)
{
  g_mutex_lock(&mutex);
  if (path != NULL)
    look();
  gboolean due = FALSE;
  for (int i = 0; i < order_count && !due; i++) {
    Order *order = &orders[i];
    if (order->count == 0 || strcmp(order->name, name) != 0)
      continue;
    order->count--;
    due = order->count == 0;
    if (due)
      *out_order = *order;
    if (due && order->again)
      order->count = 1;
  }
  g_mutex_unlock(&mutex);
  return due;
}

static void tell(const Order *order)
{
  char line[128];
  int size =
      g_snprintf(line, sizeof line, "failpoint %s %s\n", order->name, action_names[order->action]);
  if (write(STDERR_FILENO, line, (gsize)size) < 0)
    return;
}

gboolean failpoint_pass(const Failpoint *point)
{
  int errno_value = errno;
  if (path == NULL && g_atomic_int_get(&order_count) == 0)
    return FALSE;
  Order order;
  gboolean due = take_order(point->name, &order);
  errno = errno_value;
  if (!due)
    return FALSE;
  tell(&order);
  switch (order.action) {
  case ACTION_KILL:
    raise(SIGKILL);
    break;
  case ACTION_STOP:
    raise(SIGSTOP);
    break;
  case ACTION_DELAY:
    poll(NULL, 0, order.delay_ms);
    break;
  case ACTION_EIO:
  case ACTION_ENOSPC:
    errno = order.action == ACTION_EIO ? EIO : ENOSPC;
    return point->can_fail;
  }
  errno = errno_value;
  return FALSE;
}

#endif
