/*
 * The versions of a block's rows, as runs: rows behind each other that share a version cost a few
 * bytes together. README.md has the bytes. Pure functions.
 */
#pragma once

#include "store/version.h"

/* A walk over the runs. */
typedef struct VersionRuns {
  const guint8 *at, *end;
  Version last;
  gboolean damaged; /* it ended there */
} VersionRuns;

static inline VersionRuns version_runs(const guint8 *bytes, gsize size)
{
  /* A block of one version has no runs, and no bytes at all. */
  return (VersionRuns){.at = bytes, .end = size == 0 ? bytes : bytes + size};
}

/* Adds a run of `rows` rows (1 at least), which follows one of the version `before`: of the first
 * one all of it is 0. */
void version_run_put(GByteArray *out, const Version *before, const Version *version, guint rows);

/* The same, into room for VERSION_RUN_SIZE bytes; gives the end. */
enum { VERSION_RUN_SIZE = 40 };
guint8 *version_run_write(guint8 *out, const Version *before, const Version *version, guint rows);

/* The next run, its version in runs->last. Gives its rows; 0: at the end, or where it is damaged.
 */
guint version_runs_next(VersionRuns *runs);

/* Puts all rows. */
void versions_put(GByteArray *out, const Version *versions, guint rows);
