/*
 * The Thrift binary protocol over flat memory, for the generated structs.
 *
 * It reads one frame in place and writes into one growing buffer, without a transport. All that
 * the library's own classes believe is checked here: each length against the bytes that are left in
 * the frame before anything is allocated, container sizes against the least that their elements
 * take, nesting against LIMIT_THRIFT_DEPTH, strings for UTF-8 without NUL; a field that comes twice
 * is refused. Errors are INVALID. Keep one per thread and begin it anew for each message.
 */
#pragma once

#include <thrift/c_glib/protocol/thrift_protocol.h>

#define FLAT_TYPE_PROTOCOL (flat_protocol_get_type())
GType flat_protocol_get_type(void);
typedef struct _FlatProtocol FlatProtocol;

FlatProtocol *flat_protocol_new(void);

/* The bytes must stay until the reading is done. */
void flat_begin_read(FlatProtocol *flat, const guint8 *bytes, gsize size);

/* From now on, until the next begin, refuses lists and maps of more elements: an element can take
 * many times the memory that it takes in the frame. */
void flat_limit_elements(FlatProtocol *flat, guint32 most);

/* Bytes behind what was read. */
gsize flat_left(const FlatProtocol *flat);

/* Empties the output. */
void flat_begin_write(FlatProtocol *flat);

/* What was written, borrowed until the next begin. */
const guint8 *flat_written(const FlatProtocol *flat, gsize *out_size);

/* What was written is not needed any more: a large buffer is freed. */
void flat_end_write(FlatProtocol *flat);

/* Skips a value of that type; called by the generated code (scripts/fixgen). */
gint32 flat_skip(ThriftProtocol *protocol, ThriftType type, GError **error);

/* A protocol of the calling thread's own, for code that runs on many threads. */
FlatProtocol *flat_protocol_of_thread(void);

/* Registers every generated type; before any thread uses one. */
void flat_register_types(void);
