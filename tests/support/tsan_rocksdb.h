/*
 * For tests with threads that open a RocksDB store: include it once, in the file with main().
 * RocksDB and what it compresses with are not built with ThreadSanitizer, which does not see their
 * atomics. Only reports with one of them in the stack are left out; our own code is still checked.
 */
#pragma once

#ifdef __SANITIZE_THREAD__
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
  return "race:librocksdb.so\nrace:libzstd.so\nrace:liblz4.so\n";
}
#endif
