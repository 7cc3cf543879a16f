/*
 * Real daemons in a folder of their own, for a run. They die with the process that started them.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct Cluster {
  char *dir;
  char *program;
  guint count;
  GPtrArray *addresses; /* "host:port" for clients */
  GPtrArray *peers;     /* … for peers */
  GArray *pids;         /* pid_t, 0: stopped */
  char **settings;      /* "section.key=value", for all */
} Cluster;

/*
 * Starts `count` daemons of `build` and waits until each is connected to all others. What there is
 * in `dir` is kept.
 */
Cluster *cluster_start(const char *build, const char *dir, guint count, char *const *settings,
                       GError **error);
gboolean cluster_start_node(Cluster *cluster, guint i, GError **error);
/* Waits until it answers and is connected to all others. */
gboolean cluster_wait_node(Cluster *cluster, guint i, GError **error);
/* SIGTERM; fails when the daemon does not end well. */
gboolean cluster_stop_node(Cluster *cluster, guint i, GError **error);
/* Stops what runs. */
gboolean cluster_stop(Cluster *cluster, GError **error);
/* Kills what still runs. */
void cluster_free(Cluster *cluster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cluster, cluster_free)

/* A free folder below `parent` (NULL: the system's for temporary files). */
char *scratch_dir(const char *parent, GError **error);
/* Removes a folder with all that is in it. */
void remove_dir(const char *path);
