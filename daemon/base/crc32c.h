/*
 * CRC-32C (Castagnoli), the checksum of WAL records and segment headers. Uses the CPU's instruction
 * where there is one. Pure, any thread.
 */
#pragma once

#include <glib.h>

/*
 * Continues a checksum over `size` more bytes. Start with crc = 0; the result of one call is the
 * `crc` of the next. crc32c(0, "123456789", 9) is 0xE3069283 (RFC 3720, B.4 has more vectors).
 */
guint32 crc32c(guint32 crc, const void *bytes, gsize size);

/* The same by tables only, for tests and CPUs without the instruction. */
guint32 crc32c_portable(guint32 crc, const void *bytes, gsize size);
