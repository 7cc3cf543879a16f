/*
 * Named points at which a test makes the process die, stop, wait or fail. They are compiled in by
 * `make FAILPOINTS=1` only; in the ordinary build nothing is left of them, not even a name.
 *
 *   FAILPOINT("name");                                      an action may happen here
 *   if (FAILPOINT_FAILS("name") || fsync (fd) < 0) …        and so may an error, with errno set
 *
 * What happens is said by the environment or by a file, which is looked at again while the process
 * runs, at each point that is passed:
 *
 *   SYNCLOG_FAILPOINTS=name=action[@count][+] …
 *   SYNCLOG_FAILPOINTS_FILE=PATH
 *   SYNCLOG_FAILPOINTS=list       prints the names, those that can fail with " fails", and exits
 *
 * Actions: kill (SIGKILL), stop (SIGSTOP), delay:MS, EIO, ENOSPC. It happens the count-th time that
 * the point is passed after it was said (1 if not given), and with a "+" each time from then on.
 * Each is told on standard error as "failpoint NAME ACTION". Several are separated by spaces or
 * ends of lines; a word that is not understood ends the process.
 *
 * Thread-safe. The points are in wal/, store/, rpc/, node/ and base/snapshot_copy.c: core/ and
 * engine/ do no I/O.
 */
#pragma once

#ifdef SYNCLOG_FAILPOINTS

#include <glib.h>

typedef struct Failpoint {
  const char *name;
  gboolean can_fail;
} Failpoint;

/* TRUE when the caller is to fail with what is in errno. */
gboolean failpoint_pass(const Failpoint *point);

/* The section holds pointers, since the linker may leave room between larger things. */
#define FAILPOINT_PASS(text, fails)                                                                \
  __extension__({                                                                                  \
    static const Failpoint failpoint_ = {text, fails};                                             \
    static const Failpoint *const failpoint_entry_ __attribute__((section("failpoints"), used)) =  \
        &failpoint_;                                                                               \
    failpoint_pass(&failpoint_);                                                                   \
  })
#define FAILPOINT(text) ((void)FAILPOINT_PASS(text, FALSE))
#define FAILPOINT_FAILS(text) FAILPOINT_PASS(text, TRUE)

#else

#define FAILPOINT(text) ((void)0)
#define FAILPOINT_FAILS(text) 0

#endif
