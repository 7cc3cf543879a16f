/*
 * Who does the log's work, of a replica that has no peer and no timer, so that nothing hides a
 * wake-up that is lost. fdatasync() is replaced here, to know who syncs and to make it last, and
 * pthread_create(), to let it fail.
 */
#include "engine/group_private.h"
#include "node/replica_private.h"
#include "rpc/loops_private.h"
#include "support/suite.h"
#include "support/write_builder.h"
#include "unit/store/tools.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

enum { OWN = 1, OTHER = 2, LONG_MS = 100 * 1000 };

static struct {
  GMutex lock;
  GCond cond;
  gboolean hanging;
  guint by_net, by_log; /* syncs that began */
} disk;

int fdatasync(int fd G_GNUC_UNUSED)
{
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  gboolean net = g_str_has_prefix(name, "net-"), log = g_str_equal(name, "log");
  g_mutex_lock(&disk.lock);
  disk.by_net += net ? 1 : 0;
  disk.by_log += log ? 1 : 0;
  g_cond_broadcast(&disk.cond);
  while (disk.hanging && (net || log))
    g_cond_wait(&disk.cond, &disk.lock);
  g_mutex_unlock(&disk.lock);
  return 0;
}

static gint no_threads;      /* atomic */
static gint threads_refused; /* … */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (g_atomic_int_get(&no_threads)) {
    g_atomic_int_inc(&threads_refused);
    return EAGAIN;
  }
  if (real == NULL)
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, start, argument);
}

static void set_hanging(gboolean hanging)
{
  g_mutex_lock(&disk.lock);
  disk.hanging = hanging;
  g_cond_broadcast(&disk.cond);
  g_mutex_unlock(&disk.lock);
}

static void wait_for(const guint *count, guint wanted)
{
  g_mutex_lock(&disk.lock);
  while (*count < wanted)
    g_cond_wait(&disk.cond, &disk.lock);
  g_mutex_unlock(&disk.lock);
}

static guint number_of(const guint *count)
{
  g_mutex_lock(&disk.lock);
  guint number = *count;
  g_mutex_unlock(&disk.lock);
  return number;
}

typedef struct Rig {
  char *directory;
  Identity *identity;
  RpcLoops *loops;
  Replica *replica;
  GByteArray *content; /* of each write */
  AckLevel ack;        /* of the next write */
  gint64 timeout_ms;   /* … */
  guint written;       /* answers; under disk.lock */
  SynclogStatus last;  /* of the last one; … */
} Rig;

/* Not started: it has no timer at all. */
static void rig_open(Rig *rig)
{
  GError *error = NULL;
  disk.by_net = disk.by_log = 0;
  *rig = (Rig){.directory = make_directory(), .ack = ACK_LOCAL, .timeout_ms = LONG_MS};
  TestWrite write = {0};
  tw_cell(&write, "root.d", 1, "m", TW_INT32(1));
  rig->content = tw_end(&write);
  rig->identity = identity_open(rig->directory, OWN, "test", "ms", &error);
  g_assert_no_error(error);
  rig->loops = rpc_loops_new(1, 1);
  g_autoptr(GArray) peers = g_array_new(FALSE, FALSE, sizeof(ReplicaPeer));
  ReplicaPeer peer = {OTHER, "127.0.0.1:1"};
  g_array_append_val(peers, peer);
  ReplicaOptions options = {.directory = rig->directory,
                            .peers = peers,
                            .wal_segment_size = 1024 * 1024,
                            .throttle_threshold = 1 << 30,
                            .partition_interval = 1000,
                            .memtable_size = 4 << 20,
                            .block_cache_size = 1 << 20,
                            .store_files = 64,
                            .conflict_journal_size = 1 << 20,
                            .request_timeout_ms = LONG_MS};
  options.group = (GroupOptions){.max_pending_batch = 5,
                                 .max_requests_per_batch = 30,
                                 .max_size_per_batch = 16 * 1024,
                                 .max_pending_requests = 600,
                                 .max_pending_bytes = 1024 * 1024,
                                 .max_queued_bytes = 1024 * 1024,
                                 .max_commit_size = 64 * 1024,
                                 .max_apply_backlog = 1024 * 1024,
                                 .basic_retry_wait_ms = LONG_MS,
                                 .max_retry_wait_ms = LONG_MS,
                                 .heartbeat_interval_ms = LONG_MS,
                                 .max_clock_skew_ms = 60 * 1000,
                                 .mirror_sync_interval_ms = LONG_MS,
                                 .retention_interval_ms = LONG_MS,
                                 .max_frame_size = LIMIT_FRAME_SIZE};
  rig->replica = replica_open(rig->identity, rig->loops, &options, &error);
  g_assert_no_error(error);
}

static void rig_free(Rig *rig)
{
  rpc_loops_free(rig->loops);
  identity_free(rig->identity);
  g_byte_array_unref(rig->content);
  remove_tree(rig->directory);
  g_free(rig->directory);
}

static void rig_close(Rig *rig)
{
  replica_stop(rig->replica);
  replica_close(rig->replica);
  rig_free(rig);
}

static void on_written(gpointer data, SynclogStatus status, const char *message G_GNUC_UNUSED,
                       const Token *token G_GNUC_UNUSED)
{
  Rig *rig = data;
  g_mutex_lock(&disk.lock);
  rig->written++;
  rig->last = status;
  g_cond_broadcast(&disk.cond);
  g_mutex_unlock(&disk.lock);
}

static void write_one(Rig *rig)
{
  g_autoptr(GBytes) content = g_bytes_new_static(rig->content->data, rig->content->len);
  GError *error = NULL;
  replica_write_bytes(rig->replica, content, rig->ack, rig->timeout_ms, on_written, rig, &error);
  g_assert_no_error(error);
}

static void nothing(gpointer data G_GNUC_UNUSED)
{
}

static void write_on_loop(gpointer data)
{
  Rig *rig = data;
  /* Where nobody stands by, a moment later somebody does. */
  if (rpc_loop_run_last(nothing, NULL))
    write_one(rig);
  else
    rpc_loop_post(rpc_loops_get(rig->loops, 0), write_on_loop, rig);
}

/* Nobody is at the log's work, so the next turn is the loop's. */
static void wait_until_idle(Rig *rig)
{
  gboolean idle = FALSE;
  while (!idle) {
    replica_lock(rig->replica);
    idle = rig->replica->log_waiting && !rig->replica->log_taken && !rig->replica->turn_asked;
    replica_unlock(rig->replica);
    g_thread_yield();
  }
}

/* The loop's thread is in its turn, at the disk, which hangs. */
static void begin_turn(Rig *rig)
{
  wait_until_idle(rig);
  guint before = number_of(&disk.by_net);
  set_hanging(TRUE);
  rpc_loop_post(rpc_loops_get(rig->loops, 0), write_on_loop, rig);
  wait_for(&disk.by_net, before + 1);
}

static void write_and_wait(Rig *rig)
{
  wait_until_idle(rig);
  guint before = number_of(&rig->written);
  rpc_loop_post(rpc_loops_get(rig->loops, 0), write_on_loop, rig);
  wait_for(&rig->written, before + 1);
}

START_TEST(what_comes_during_a_turn_is_done_behind_it)
{
  Rig rig;
  rig_open(&rig);
  for (guint i = 1; i <= 5; i++) {
    begin_turn(&rig);
    write_one(&rig);
    set_hanging(FALSE);
    wait_for(&rig.written, 2 * i);
    wait_until_idle(&rig);
    ck_assert_int_eq(rig.last, SYNCLOG_OK);
    replica_lock(rig.replica);
    rig.replica->turns_from_us = 0; /* should that have taken long */
    replica_unlock(rig.replica);
  }
  rig_close(&rig);
}
END_TEST

/* Of the log's thread, which sleeps without a limit. */
START_TEST(a_deadline_that_a_turn_makes_is_kept)
{
  Rig rig;
  rig_open(&rig);
  rig.ack = ACK_ALL;
  rig.timeout_ms = 50;
  write_and_wait(&rig);
  ck_assert_int_eq(rig.last, SYNCLOG_PENDING);
  ck_assert_uint_eq(number_of(&disk.by_net), 1);
  rig_close(&rig);
}
END_TEST

START_TEST(a_long_wait_ends_the_turns_for_some_seconds)
{
  Rig rig;
  rig_open(&rig);
  begin_turn(&rig);
  g_usleep(400 * 1000); /* so long it takes; the pause is the longest then */
  set_hanging(FALSE);
  wait_for(&rig.written, 1);
  guint by_log = number_of(&disk.by_log);
  for (guint i = 0; i < 20; i++)
    write_and_wait(&rig);
  ck_assert_uint_eq(number_of(&disk.by_net), 1);
  ck_assert_uint_eq(number_of(&disk.by_log), by_log + 20);
  /* … and not for ever. */
  replica_lock(rig.replica);
  ck_assert_int_lt(rig.replica->turns_from_us, g_get_monotonic_time() + 6 * G_USEC_PER_SEC);
  rig.replica->turns_from_us = 0;
  rig.replica->sync_us = 0; /* should these have taken long */
  replica_unlock(rig.replica);
  write_and_wait(&rig);
  ck_assert_uint_eq(number_of(&disk.by_net), 2);
  rig_close(&rig);
}
END_TEST

START_TEST(work_that_nobody_takes_is_not_alive)
{
  Rig rig;
  rig_open(&rig);
  wait_until_idle(&rig);
  ck_assert(replica_is_alive(rig.replica));
  replica_lock(rig.replica);
  rig.replica->log_taken = TRUE; /* so nobody is given what comes */
  replica_unlock(rig.replica);
  write_one(&rig);
  ck_assert(replica_is_alive(rig.replica));
  replica_lock(rig.replica);
  rig.replica->log_taken = FALSE;
  rig.replica->log_turned_us -= 61 * G_USEC_PER_SEC;
  rig.replica->log_unwanted_us -= 61 * G_USEC_PER_SEC;
  replica_unlock(rig.replica);
  ck_assert(!replica_is_alive(rig.replica));
  replica_lock(rig.replica);
  replica_give_work(rig.replica);
  replica_unlock(rig.replica);
  wait_for(&rig.written, 1);
  ck_assert(replica_is_alive(rig.replica));
  rig_close(&rig);
}
END_TEST

/* Nothing of the log's work: no thread can be had for a snapshot, which is no reason to end. */
START_TEST(p9_a_snapshot_without_a_thread_is_fetched_later)
{
  Rig rig;
  rig_open(&rig);
  Replica *replica = rig.replica;
  wait_until_idle(&rig);
  replica_lock(replica);
  replica->log_taken = TRUE; /* so the engine says nothing to … */
  /* … who could give one. */
  char address[] = "127.0.0.1:1";
  Link link = {.replica = replica, .peer = OTHER, .address = address};
  Peer *peer = replica->group->peers->pdata[0];
  PeerState before = peer->state;
  peer->state = PEER_READY;
  g_ptr_array_add(replica->links, &link);
  replica->seed.asked = TRUE;
  replica_unlock(replica);
  g_atomic_int_set(&no_threads, TRUE);
  replica_seed_tick(replica);
  replica_seed_tick(replica);
  g_atomic_int_set(&no_threads, FALSE);
  replica_lock(replica);
  ck_assert_int_eq(threads_refused, 1); /* not at once again */
  ck_assert_ptr_null(replica->seed.thread);
  ck_assert(!replica->seed.running);
  ck_assert_ptr_nonnull(strstr(replica->seed.text, "no snapshot is fetched"));
  ck_assert_int_gt(replica->seed.retry_us, g_get_monotonic_time());
  ck_assert_int_lt(replica->seed.retry_us, g_get_monotonic_time() + 60 * G_USEC_PER_SEC);
  replica->seed.retry_us = 0;
  replica_unlock(replica);
  replica_seed_tick(replica);
  replica_lock(replica);
  ck_assert_ptr_nonnull(replica->seed.thread);
  g_ptr_array_set_size(replica->links, 0);
  peer->state = before;
  replica->log_taken = FALSE;
  replica_unlock(replica);
  rig_close(&rig);
}
END_TEST

static int open_without_descriptors(gpointer ctx G_GNUC_UNUSED, const char *path G_GNUC_UNUSED,
                                    int flags G_GNUC_UNUSED, mode_t mode G_GNUC_UNUSED)
{
  errno = EMFILE;
  return -1;
}

/* The own log is found to lack its end, and there is no descriptor to write another one down. */
static void want_incarnation(Rig *rig, WalIo *io)
{
  Replica *replica = rig->replica;
  g_log_set_always_fatal(G_LOG_FATAL_MASK); /* that is told as critical */
  *io = *wal_io_system();
  io->open = open_without_descriptors;
  wait_until_idle(rig);
  replica_lock(replica);
  rig->identity->io = io;
  log_set_state(replica->group, replica->group->own, LOG_READ_ONLY, "its end was lost");
  replica->group->incarnation_wanted = TRUE;
  replica_give_work(replica);
  gint64 again_us = 0;
  while (again_us == 0) {
    replica_unlock(replica);
    g_thread_yield();
    replica_lock(replica);
    again_us = replica->incarnation_again_us;
    fast_assert(replica->fatal == NULL);
  }
  replica_unlock(replica);
}

START_TEST(p8_an_incarnation_without_descriptors_begins_later)
{
  Rig rig;
  WalIo io;
  rig_open(&rig);
  write_and_wait(&rig);
  Replica *replica = rig.replica;
  LogId before = wal_log(replica->own_wal);
  want_incarnation(&rig, &io);
  replica_lock(replica);
  rig.identity->io = wal_io_system();
  while (replica->incarnation_again_us != 0) {
    replica_unlock(replica);
    g_thread_yield();
    replica_lock(replica);
  }
  ck_assert_ptr_null(replica->fatal);
  ck_assert_uint_gt(wal_log(replica->own_wal).incarnation, before.incarnation);
  ck_assert_uint_eq(wal_log(replica->own_wal).incarnation, rig.identity->incarnation);
  ck_assert(rig.identity->clean);
  replica_unlock(replica);
  write_and_wait(&rig);
  ck_assert_int_eq(rig.last, SYNCLOG_OK);
  rig_close(&rig);
}
END_TEST

START_TEST(p4_a_log_that_could_not_be_given_up_is_at_the_next_start)
{
  Rig rig;
  WalIo io;
  rig_open(&rig);
  write_and_wait(&rig);
  want_incarnation(&rig, &io);
  replica_lock(rig.replica);
  rig.replica->incarnation_again_us = G_MAXINT64;
  rig.identity->io = wal_io_system();
  replica_unlock(rig.replica);
  replica_stop(rig.replica);
  replica_close(rig.replica);
  ck_assert(!rig.identity->clean);
  rig_free(&rig);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {what_comes_during_a_turn_is_done_behind_it,
                                a_deadline_that_a_turn_makes_is_kept,
                                a_long_wait_ends_the_turns_for_some_seconds,
                                work_that_nobody_takes_is_not_alive,
                                p9_a_snapshot_without_a_thread_is_fetched_later,
                                p8_an_incarnation_without_descriptors_begins_later,
                                p4_a_log_that_could_not_be_given_up_is_at_the_next_start};
  return RUN_SUITE("turns", tests);
}
