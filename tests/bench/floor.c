#include "floor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  FILE_SIZE = 64 * 1024 * 1024,
  READ_SIZE = 256 * 1024,
  COPIES = FLOOR_PROCESSES - 1,
  CLIENTS_MAX = 4096,
  BACKLOG_MAX = 64 * 1024 * 1024, /* bytes not yet sent to a copy; with more nothing is read */
  ANSWER_SIZE = 78,               /* as that of synclogd to a write */
  ANSWERS_MAX = 4096,             /* owed to one client */
  EVENTS = 256,
  START_WAIT_S = 30,
  POLL_US = 500,
};

/* Shared by the processes. */
typedef struct Counters {
  guint64 taken, copied[COPIES];
  guint ready; /* processes whose file is filled */
} Counters;

struct Floor {
  GArray *pids;
  char *address;
  Counters *counters;
};

typedef struct Client {
  int fd;
  guint8 *in;
  gsize have, room;
  guint answers; /* owed after the next sync */
} Client;

typedef struct Receiver {
  int epoll, listener, file;
  goffset at;
  int copies[COPIES];
  GByteArray *backlog[COPIES]; /* not yet sent; from backlog_at on */
  gsize backlog_at[COPIES];
  GByteArray *batch;
  Client *clients[CLIENTS_MAX]; /* by descriptor */
  GArray *owed;                 /* descriptors of clients with answers > 0 */
  Counters *counters;
} Receiver;

/* In a child nothing can be reported but that it is gone. */
static void need(gboolean good, const char *what)
{
  if (good)
    return;
  g_printerr("floor: %s: %s\n", what, g_strerror(errno));
  _exit(1);
}

static int create_file(const char *dir, guint number)
{
  g_autofree char *path = g_strdup_printf("%s/floor-%u", dir, number);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_autofree guint8 *zeros = g_malloc0(READ_SIZE);
  for (goffset at = 0; fd >= 0 && at < FILE_SIZE; at += READ_SIZE)
    need(pwrite(fd, zeros, READ_SIZE, at) == READ_SIZE, path);
  need(fd >= 0 && fdatasync(fd) == 0, path);
  return fd;
}

static void append(int file, goffset *at, const guint8 *bytes, gsize size)
{
  while (size > 0) {
    gsize n = MIN(size, (gsize)(FILE_SIZE - *at));
    ssize_t written = pwrite(file, bytes, n, *at);
    need(written > 0, "pwrite");
    bytes += written;
    size -= (gsize)written;
    *at = (*at + written) % FILE_SIZE;
  }
}

static int listen_loopback(guint16 *out_port)
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 512) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &size) < 0)
    return -1;
  *out_port = ntohs(address.sin_port);
  return fd;
}

/* --- a copy -------------------------------------------------------------------------------------
 */

static void run_copy(int listener, const char *dir, guint number, Counters *counters)
{
  int file = create_file(dir, number);
  __atomic_add_fetch(&counters->ready, 1, __ATOMIC_RELEASE);
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  need(fd >= 0, "accept");
  g_autofree guint8 *bytes = g_malloc(READ_SIZE);
  goffset at = 0;
  for (;;) {
    ssize_t n = recv(fd, bytes, READ_SIZE, 0);
    need(n >= 0, "recv");
    if (n == 0)
      _exit(0);
    append(file, &at, bytes, (gsize)n);
    __atomic_add_fetch(&counters->copied[number - 1], (guint64)n, __ATOMIC_RELEASE);
  }
}

/* --- the receiver -------------------------------------------------------------------------------
 */

static void watch(Receiver *receiver, int fd, guint32 events, int operation)
{
  struct epoll_event event = {.events = events, .data.fd = fd};
  need(epoll_ctl(receiver->epoll, operation, fd, &event) == 0, "epoll_ctl");
}

static void accept_clients(Receiver *receiver)
{
  for (;;) {
    int fd = accept4(receiver->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
      return;
    need(fd < CLIENTS_MAX, "too many connections");
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Client *client = g_new0(Client, 1);
    *client = (Client){.fd = fd, .room = READ_SIZE, .in = g_malloc(READ_SIZE)};
    receiver->clients[fd] = client;
    watch(receiver, fd, EPOLLIN, EPOLL_CTL_ADD);
  }
}

static void drop_client(Receiver *receiver, Client *client)
{
  receiver->clients[client->fd] = NULL;
  close(client->fd);
  g_free(client->in);
  g_free(client);
}

static void read_client(Receiver *receiver, Client *client)
{
  ssize_t n = recv(client->fd, client->in + client->have, client->room - client->have, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    drop_client(receiver, client);
    return;
  }
  client->have += (gsize)n;
  gsize at = 0;
  guint before = client->answers;
  while (client->have - at >= 4) {
    gsize size = (gsize)load_be32(client->in + at) + 4;
    need(size <= LIMIT_FRAME_SIZE, "a frame is too long");
    if (size > client->have - at) {
      if (size > client->room) {
        client->room = size;
        client->in = g_realloc(client->in, client->room);
      }
      break;
    }
    at += size;
    client->answers++;
  }
  g_byte_array_append(receiver->batch, client->in, (guint)at);
  memmove(client->in, client->in + at, client->have - at);
  client->have -= at;
  if (before == 0 && client->answers > 0)
    g_array_append_val(receiver->owed, client->fd);
}

/* Sends what it can; returns how much. */
static gsize send_some(Receiver *receiver, guint i, const guint8 *bytes, gsize size)
{
  gsize done = 0;
  while (done < size) {
    ssize_t n = send(receiver->copies[i], bytes + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN)
      break;
    need(n > 0, "send to a copy");
    done += (gsize)n;
  }
  return done;
}

static void send_backlog(Receiver *receiver, guint i)
{
  GByteArray *backlog = receiver->backlog[i];
  gsize *at = &receiver->backlog_at[i];
  *at += send_some(receiver, i, backlog->data + *at, backlog->len - *at);
  if (*at == backlog->len) {
    g_byte_array_set_size(backlog, 0);
    *at = 0;
    watch(receiver, receiver->copies[i], 0, EPOLL_CTL_MOD);
  } else if (*at > backlog->len / 2) {
    g_byte_array_remove_range(backlog, 0, (guint)*at);
    *at = 0;
  }
}

static void send_copy(Receiver *receiver, guint i, const GByteArray *batch)
{
  gboolean was_empty = receiver->backlog[i]->len == 0;
  gsize done = was_empty ? send_some(receiver, i, batch->data, batch->len) : 0;
  if (done == batch->len)
    return;
  g_byte_array_append(receiver->backlog[i], batch->data + done, (guint)(batch->len - done));
  if (was_empty)
    watch(receiver, receiver->copies[i], EPOLLOUT, EPOLL_CTL_MOD);
}

static void answer(Receiver *receiver)
{
  static guint8 answers[ANSWERS_MAX * ANSWER_SIZE];
  for (guint i = 0; i < receiver->owed->len; i++) {
    Client *client = receiver->clients[g_array_index(receiver->owed, int, i)];
    if (client == NULL)
      continue;
    need(client->answers <= ANSWERS_MAX, "too many requests in flight");
    for (guint j = 0; j < client->answers; j++)
      store_be32(answers + (gsize)j * ANSWER_SIZE, ANSWER_SIZE - 4);
    gsize size = (gsize)client->answers * ANSWER_SIZE;
    client->answers = 0;
    ssize_t n = send(client->fd, answers, size, MSG_NOSIGNAL);
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
      drop_client(receiver, client);
    else
      need(n == (ssize_t)size, "send to a client");
  }
  g_array_set_size(receiver->owed, 0);
}

/* What came in is synced once, copied and answered. */
static void commit(Receiver *receiver)
{
  GByteArray *batch = receiver->batch;
  append(receiver->file, &receiver->at, batch->data, batch->len);
  need(fdatasync(receiver->file) == 0, "fdatasync");
  for (guint i = 0; i < COPIES; i++)
    send_copy(receiver, i, batch);
  __atomic_add_fetch(&receiver->counters->taken, batch->len, __ATOMIC_RELEASE);
  answer(receiver);
  g_byte_array_set_size(batch, 0);
}

static void wait_for_copies(Receiver *receiver)
{
  for (guint i = 0; i < COPIES; i++) {
    struct pollfd poll_fd = {.fd = receiver->copies[i], .events = POLLOUT};
    while (receiver->backlog[i]->len - receiver->backlog_at[i] > BACKLOG_MAX) {
      poll(&poll_fd, 1, -1);
      send_backlog(receiver, i);
    }
  }
}

static void on_event(Receiver *receiver, int fd)
{
  if (fd == receiver->listener) {
    accept_clients(receiver);
    return;
  }
  for (guint i = 0; i < COPIES; i++) {
    if (fd == receiver->copies[i]) {
      send_backlog(receiver, i);
      return;
    }
  }
  if (receiver->clients[fd] != NULL)
    read_client(receiver, receiver->clients[fd]);
}

static void run_receiver(int listener, const guint16 *copy_ports, const char *dir,
                         Counters *counters)
{
  Receiver receiver = {.epoll = epoll_create1(EPOLL_CLOEXEC),
                       .listener = listener,
                       .file = create_file(dir, 0),
                       .batch = g_byte_array_new(),
                       .owed = g_array_new(FALSE, FALSE, sizeof(int)),
                       .counters = counters};
  __atomic_add_fetch(&counters->ready, 1, __ATOMIC_RELEASE);
  for (guint i = 0; i < COPIES; i++) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(copy_ports[i]),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    receiver.copies[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(connect(receiver.copies[i], (struct sockaddr *)&address, sizeof address) == 0,
         "connect to a copy");
    int on = 1;
    setsockopt(receiver.copies[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    receiver.backlog[i] = g_byte_array_new();
    watch(&receiver, receiver.copies[i], 0, EPOLL_CTL_ADD);
  }
  fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
  watch(&receiver, listener, EPOLLIN, EPOLL_CTL_ADD);
  for (;;) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(receiver.epoll, events, EVENTS, -1);
    need(n >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < n; i++)
      on_event(&receiver, events[i].data.fd);
    if (receiver.batch->len > 0)
      commit(&receiver);
    wait_for_copies(&receiver);
  }
}

/* --- the caller's side --------------------------------------------------------------------------
 */

static pid_t fork_child(void)
{
  pid_t parent = getpid(), pid = fork();
  if (pid != 0)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  need(getppid() == parent, "the parent is gone");
  return 0;
}

static gboolean wait_ready(const Floor *floor)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)START_WAIT_S * G_USEC_PER_SEC;
  while (__atomic_load_n(&floor->counters->ready, __ATOMIC_ACQUIRE) < FLOOR_PROCESSES) {
    if (g_get_monotonic_time() > deadline)
      return FALSE;
    g_usleep(POLL_US);
  }
  return TRUE;
}

Floor *floor_start(const char *dir, GError **error)
{
  Floor *floor = g_new0(Floor, 1);
  floor->pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
  floor->counters =
      mmap(NULL, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert(floor->counters != MAP_FAILED);
  int listeners[FLOOR_PROCESSES];
  guint16 ports[FLOOR_PROCESSES];
  gboolean good = TRUE;
  for (guint i = 0; i < FLOOR_PROCESSES; i++) {
    listeners[i] = listen_loopback(&ports[i]);
    good = good && listeners[i] >= 0;
  }
  /* The copies first, so that the receiver finds them. */
  for (guint i = FLOOR_PROCESSES; good && i-- > 0;) {
    pid_t pid = fork_child();
    if (pid == 0 && i > 0)
      run_copy(listeners[i], dir, i, floor->counters);
    if (pid == 0)
      run_receiver(listeners[0], ports + 1, dir, floor->counters);
    good = pid > 0;
    if (good)
      g_array_append_val(floor->pids, pid);
  }
  for (guint i = 0; i < FLOOR_PROCESSES; i++) {
    if (listeners[i] >= 0)
      close(listeners[i]);
  }
  floor->address = g_strdup_printf("127.0.0.1:%u", ports[0]);
  if (good && wait_ready(floor))
    return floor;
  fail_errno(error, SYNCLOG_INTERNAL, errno, "start of the floor");
  floor_stop(floor);
  return NULL;
}

void floor_stop(Floor *floor)
{
  if (floor == NULL)
    return;
  for (guint i = 0; i < floor->pids->len; i++)
    kill(g_array_index(floor->pids, pid_t, i), SIGKILL);
  for (guint i = 0; i < floor->pids->len; i++)
    waitpid(g_array_index(floor->pids, pid_t, i), NULL, 0);
  g_array_free(floor->pids, TRUE);
  munmap(floor->counters, sizeof(Counters));
  g_free(floor->address);
  g_free(floor);
}

const char *floor_address(const Floor *floor)
{
  return floor->address;
}

const GArray *floor_pids(const Floor *floor)
{
  return floor->pids;
}

gboolean floor_drain(const Floor *floor, gint64 timeout_ms)
{
  gint64 deadline = g_get_monotonic_time() + timeout_ms * 1000;
  guint64 taken = __atomic_load_n(&floor->counters->taken, __ATOMIC_ACQUIRE);
  for (guint i = 0; i < COPIES; i++) {
    while (__atomic_load_n(&floor->counters->copied[i], __ATOMIC_ACQUIRE) < taken) {
      if (g_get_monotonic_time() > deadline)
        return FALSE;
      g_usleep(POLL_US);
    }
  }
  return TRUE;
}
