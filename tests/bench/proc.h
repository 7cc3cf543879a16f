/* What the kernel counts of a process. Linux only. */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct ProcUsage {
  double cpu_s;                      /* user and system */
  guint64 written_bytes;             /* that went, or will go, to a disk */
  guint64 peak_rss_bytes, rss_bytes; /* of the largest process */
} ProcUsage;

/* Of all processes together; one that has ended counts nothing. */
ProcUsage proc_usage(const GArray *pids);
