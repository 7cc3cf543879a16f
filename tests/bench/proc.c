#include "proc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *read_file(pid_t pid, const char *name)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);
  char *text = NULL;
  return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static guint64 number_behind(const char *text, const char *label)
{
  const char *found = text == NULL ? NULL : strstr(text, label);
  return found == NULL ? 0 : g_ascii_strtoull(found + strlen(label), NULL, 10);
}

static void add_usage(ProcUsage *usage, pid_t pid)
{
  g_autofree char *stat = read_file(pid, "stat");
  g_autofree char *status = read_file(pid, "status");
  g_autofree char *io = read_file(pid, "io");
  unsigned long user = 0, kernel = 0;
  /* The name in brackets may hold anything, so counting begins behind it. */
  const char *rest = stat == NULL ? NULL : strrchr(stat, ')');
  if (rest != NULL &&
      sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) == 2)
    usage->cpu_s += (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
  usage->written_bytes += number_behind(io, "\nwrite_bytes:");
  usage->peak_rss_bytes = MAX(usage->peak_rss_bytes, number_behind(status, "\nVmHWM:") * 1024);
  usage->rss_bytes = MAX(usage->rss_bytes, number_behind(status, "\nVmRSS:") * 1024);
}

ProcUsage proc_usage(const GArray *pids)
{
  ProcUsage usage = {0};
  for (guint i = 0; i < pids->len; i++)
    add_usage(&usage, g_array_index(pids, pid_t, i));
  return usage;
}
