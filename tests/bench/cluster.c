#include "cluster.h"

#include "base/error.h"
#include "rpc/client.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  START_WAIT_S = 30,
  STOP_WAIT_S = 60,
  CALL_TIMEOUT_MS = 2000,
  POLL_US = 2000,
};

/* A port below the range of outgoing connections, so that a node can be started again on it. */
static guint16 free_port(void)
{
  for (;;) {
    guint16 port = (guint16)g_random_int_range(10000, 32000);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gboolean good = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
      close(fd);
    if (good)
      return port;
  }
}

static const char *text_at(const GPtrArray *texts, guint i)
{
  return g_ptr_array_index(texts, i);
}

static gboolean write_config(const Cluster *cluster, guint i, GError **error)
{
  g_autofree char *folder = g_strdup_printf("%s/n%u", cluster->dir, i + 1);
  g_autofree char *path = g_build_filename(folder, "synclogd.ini", NULL);
  if (g_mkdir_with_parents(folder, 0700) < 0)
    return fail_errno(error, SYNCLOG_INTERNAL, errno, "mkdir %s", folder);
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autofree char *data = g_build_filename(folder, "data", NULL);
  g_key_file_set_integer(file, "node", "id", (int)i + 1);
  g_key_file_set_string(file, "node", "data_dir", data);
  g_key_file_set_string(file, "cluster", "id", "bench");
  g_key_file_set_string(file, "client", "listen", text_at(cluster->addresses, i));
  g_key_file_set_string(file, "replication", "listen", text_at(cluster->peers, i));
  for (guint j = 0; j < cluster->count; j++) {
    g_autofree char *section = g_strdup_printf("peer.%u", j + 1);
    if (j != i)
      g_key_file_set_string(file, section, "address", text_at(cluster->peers, j));
  }
  for (guint j = 0; cluster->settings != NULL && cluster->settings[j] != NULL; j++) {
    g_auto(GStrv) parts = g_strsplit(cluster->settings[j], "=", 2);
    char *dot = strrchr(parts[0], '.');
    if (dot == NULL || parts[1] == NULL)
      return fail(error, SYNCLOG_INVALID, "%s is not section.key=value", cluster->settings[j]);
    *dot = '\0';
    g_key_file_set_string(file, parts[0], dot + 1, parts[1]);
  }
  return g_key_file_save_to_file(file, path, error);
}

static void in_child(gpointer data G_GNUC_UNUSED)
{
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

gboolean cluster_start_node(Cluster *cluster, guint i, GError **error)
{
  g_autofree char *config = g_strdup_printf("%s/n%u/synclogd.ini", cluster->dir, i + 1);
  g_autofree char *log = g_strdup_printf("%s/n%u/log", cluster->dir, i + 1);
  const char *arguments[] = {
      "/bin/sh", "-c", "exec \"$0\" -c \"$1\" 2>>\"$2\"", cluster->program, config, log, NULL};
  GPid pid = 0;
  if (!g_spawn_async(NULL, (char **)arguments, NULL,
                     G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, in_child, NULL, &pid,
                     error))
    return FALSE;
  g_array_index(cluster->pids, pid_t, i) = pid;
  return TRUE;
}

static gboolean is_connected(RpcClient *client, guint peers)
{
  g_autoptr(NodeStatus) status = rpc_client_status(client, 0, NULL);
  if (status == NULL)
    return FALSE;
  guint connected = 0;
  for (guint i = 0; i < status->peers->len; i++)
    connected += strcmp(g_array_index(status->peers, PeerStatus, i).state, "connected") == 0;
  return connected == peers;
}

gboolean cluster_wait_node(Cluster *cluster, guint i, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)START_WAIT_S * G_USEC_PER_SEC;
  g_autoptr(RpcClient) client = rpc_client_new(text_at(cluster->addresses, i), CALL_TIMEOUT_MS);
  while (!is_connected(client, cluster->count - 1)) {
    int code = 0;
    pid_t *pid = &g_array_index(cluster->pids, pid_t, i);
    if (waitpid(*pid, &code, WNOHANG) != 0) {
      *pid = 0;
      return fail(error, SYNCLOG_NOT_READY, "node %u ended; see %s/n%u/log", i + 1, cluster->dir,
                  i + 1);
    }
    if (g_get_monotonic_time() > deadline)
      return fail(error, SYNCLOG_NOT_READY, "node %u does not reach its peers; see %s/n%u/log",
                  i + 1, cluster->dir, i + 1);
    g_usleep(POLL_US);
  }
  return TRUE;
}

Cluster *cluster_start(const char *build, const char *dir, guint count, char *const *settings,
                       GError **error)
{
  g_autoptr(Cluster) cluster = g_new0(Cluster, 1);
  cluster->dir = g_strdup(dir);
  cluster->program = g_build_filename(build, "synclogd", NULL);
  cluster->count = count;
  cluster->settings = g_strdupv((char **)settings);
  cluster->addresses = g_ptr_array_new_with_free_func(g_free);
  cluster->peers = g_ptr_array_new_with_free_func(g_free);
  cluster->pids = g_array_new(FALSE, TRUE, sizeof(pid_t));
  g_array_set_size(cluster->pids, count);
  if (!g_file_test(cluster->program, G_FILE_TEST_IS_EXECUTABLE)) {
    fail(error, SYNCLOG_INVALID, "%s is not there; run make", cluster->program);
    return NULL;
  }
  for (guint i = 0; i < count; i++) {
    g_ptr_array_add(cluster->addresses, g_strdup_printf("127.0.0.1:%u", free_port()));
    g_ptr_array_add(cluster->peers, g_strdup_printf("127.0.0.1:%u", free_port()));
  }
  for (guint i = 0; i < count; i++) {
    if (!write_config(cluster, i, error) || !cluster_start_node(cluster, i, error))
      return NULL;
  }
  for (guint i = 0; i < count; i++) {
    if (!cluster_wait_node(cluster, i, error))
      return NULL;
  }
  return g_steal_pointer(&cluster);
}

/* Waits for the end that was asked for by SIGTERM. */
static gboolean reap(Cluster *cluster, guint i, GError **error)
{
  pid_t *pid = &g_array_index(cluster->pids, pid_t, i);
  gint64 deadline = g_get_monotonic_time() + (gint64)STOP_WAIT_S * G_USEC_PER_SEC;
  int code = 0;
  pid_t found = 0;
  while ((found = waitpid(*pid, &code, WNOHANG)) == 0) {
    if (g_get_monotonic_time() > deadline)
      return fail(error, SYNCLOG_TIMEOUT, "node %u does not stop", i + 1);
    g_usleep(POLL_US);
  }
  *pid = 0;
  if (found < 0 || !WIFEXITED(code) || WEXITSTATUS(code) != 0)
    return fail(error, SYNCLOG_INTERNAL, "node %u ended with wait status %d; see %s/n%u/log", i + 1,
                code, cluster->dir, i + 1);
  return TRUE;
}

gboolean cluster_stop_node(Cluster *cluster, guint i, GError **error)
{
  kill(g_array_index(cluster->pids, pid_t, i), SIGTERM);
  return reap(cluster, i, error);
}

gboolean cluster_stop(Cluster *cluster, GError **error)
{
  for (guint i = 0; i < cluster->count; i++) {
    if (g_array_index(cluster->pids, pid_t, i) > 0)
      kill(g_array_index(cluster->pids, pid_t, i), SIGTERM);
  }
  for (guint i = 0; i < cluster->count; i++) {
    if (g_array_index(cluster->pids, pid_t, i) > 0 && !reap(cluster, i, error))
      return FALSE;
  }
  return TRUE;
}

void cluster_free(Cluster *cluster)
{
  if (cluster == NULL)
    return;
  for (guint i = 0; i < cluster->pids->len; i++) {
    pid_t pid = g_array_index(cluster->pids, pid_t, i);
    if (pid > 0) {
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
    }
  }
  g_free(cluster->dir);
  g_free(cluster->program);
  g_strfreev(cluster->settings);
  g_ptr_array_unref(cluster->addresses);
  g_ptr_array_unref(cluster->peers);
  g_array_free(cluster->pids, TRUE);
  g_free(cluster);
}

char *scratch_dir(const char *parent, GError **error)
{
  g_autofree char *path =
      g_build_filename(parent != NULL ? parent : g_get_tmp_dir(), "synclog-bench-XXXXXX", NULL);
  if (parent != NULL && g_mkdir_with_parents(parent, 0700) < 0) {
    fail_errno(error, SYNCLOG_INTERNAL, errno, "mkdir %s", parent);
    return NULL;
  }
  if (g_mkdtemp(path) == NULL) {
    fail_errno(error, SYNCLOG_INTERNAL, errno, "mkdtemp %s", path);
    return NULL;
  }
  return g_canonicalize_filename(path, NULL);
}

void remove_dir(const char *path)
{
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *child = g_build_filename(path, name, NULL);
    if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
      remove_dir(child);
    else
      g_unlink(child);
  }
  g_rmdir(path);
}
