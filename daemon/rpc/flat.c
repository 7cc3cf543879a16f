#include "rpc/flat.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "rpc/wire.h"

#include "sl_admin_types.h"
#include "sl_client_types.h"
#include "sl_peer_types.h"

enum {
  VERSION_1 = 0x8001,
  KEPT_SIZE = 64 * 1024, /* of a buffer for writing */
  TRACKED_FIELDS = 64,   /* field ids below it are watched for repetition; ours all are */
};

struct _FlatProtocol {
  ThriftProtocol parent;
  ByteReader in;
  GByteArray *out;
  guint32 most_elements;
  guint depth;
  guint64 seen[LIMIT_THRIFT_DEPTH + 1]; /* field ids of the open structs, a bit each */
};

typedef struct {
  ThriftProtocolClass parent;
} FlatProtocolClass;

static inline FlatProtocol *flat_of(gpointer object)
{
  return object; /* only ever called as a method of this class */
}

G_DEFINE_TYPE(FlatProtocol, flat_protocol, THRIFT_TYPE_PROTOCOL)

/* --- reading ------------------------------------------------------------------------------------
 */

static gint32 refuse(GError **error, const char *what)
{
  fail(error, SYNCLOG_INVALID, "malformed Thrift: %s", what);
  return -1;
}

static gint32 check(FlatProtocol *flat, gint32 size, GError **error)
{
  return flat->in.failed ? refuse(error, "it ends too early") : size;
}

/* The least that a value takes on the wire; 0: no such type. */
static guint least_size(guint8 type)
{
  switch (type) {
  case T_BOOL:
  case T_BYTE:
  case T_STRUCT:
    return 1;
  case T_I16:
    return 2;
  case T_I32:
  case T_STRING:
    return 4;
  case T_LIST:
  case T_SET:
    return 5;
  case T_MAP:
    return 6;
  case T_I64:
  case T_DOUBLE:
    return 8;
  }
  return 0;
}

static gboolean enter(FlatProtocol *flat, GError **error)
{
  if (flat->depth >= LIMIT_THRIFT_DEPTH) {
    refuse(error, "nested too deeply");
    return FALSE;
  }
  flat->seen[++flat->depth] = 0;
  return TRUE;
}

static gint32 leave(ThriftProtocol *protocol, GError **error)
{
  (void)error;
  FlatProtocol *flat = flat_of(protocol);
  g_assert(flat->depth > 0);
  flat->depth--;
  return 0;
}

static gint32 read_message_begin(ThriftProtocol *protocol, gchar **name, ThriftMessageType *type,
                                 gint32 *seqid, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  guint32 head = byte_reader_be32(&flat->in);
  guint32 size = byte_reader_be32(&flat->in);
  const guint8 *text = byte_reader_take(&flat->in, size);
  guint32 id = byte_reader_be32(&flat->in);
  if (flat->in.failed)
    return refuse(error, "no whole message header");
  if (head >> 16 != VERSION_1)
    return refuse(error, "no strict binary protocol");
  if (size > LIMIT_METHOD_NAME_SIZE || memchr(text, 0, size) != NULL)
    return refuse(error, "method name");
  *name = g_strndup((const char *)text, size);
  *type = (ThriftMessageType)(head & 0xFF);
  *seqid = (gint32)id;
  return 12 + (gint32)size;
}

static gint32 read_nothing(ThriftProtocol *protocol, GError **error)
{
  (void)protocol;
  (void)error;
  return 0;
}

static gint32 read_struct_begin(ThriftProtocol *protocol, gchar **name, GError **error)
{
  *name = NULL;
  return enter(flat_of(protocol), error) ? 0 : -1;
}

static gint32 read_field_begin(ThriftProtocol *protocol, gchar **name, ThriftType *type, gint16 *id,
                               GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *name = NULL;
  guint8 wire_type = byte_reader_u8(&flat->in);
  *type = (ThriftType)wire_type;
  *id = 0;
  if (flat->in.failed || wire_type == T_STOP)
    return check(flat, 1, error);
  *id = (gint16)byte_reader_be16(&flat->in);
  if (least_size(wire_type) == 0)
    return refuse(error, "unknown type of a field");
  if (*id >= 0 && *id < TRACKED_FIELDS) {
    guint64 bit = G_GUINT64_CONSTANT(1) << *id;
    if (flat->seen[flat->depth] & bit)
      return refuse(error, "a field comes twice");
    flat->seen[flat->depth] |= bit;
  }
  return check(flat, 3, error);
}

static gint32 begin_elements(FlatProtocol *flat, guint least, guint32 count, gint32 taken,
                             GError **error)
{
  if (flat->in.failed)
    return refuse(error, "it ends too early");
  if (least == 0 || count > flat->most_elements ||
      (guint64)count * least > byte_reader_left(&flat->in))
    return refuse(error, "size of a container");
  return enter(flat, error) ? taken : -1;
}

static gint32 read_list_begin(ThriftProtocol *protocol, ThriftType *element_type, guint32 *size,
                              GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  guint8 type = byte_reader_u8(&flat->in);
  *element_type = (ThriftType)type;
  *size = byte_reader_be32(&flat->in);
  return begin_elements(flat, least_size(type), *size, 5, error);
}

static gint32 read_map_begin(ThriftProtocol *protocol, ThriftType *key_type, ThriftType *value_type,
                             guint32 *size, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  guint8 key = byte_reader_u8(&flat->in), value = byte_reader_u8(&flat->in);
  *key_type = (ThriftType)key;
  *value_type = (ThriftType)value;
  *size = byte_reader_be32(&flat->in);
  /* An empty map may leave its types out. */
  guint least = *size == 0                             ? 1
                : least_size(key) && least_size(value) ? least_size(key) + least_size(value)
                                                       : 0;
  return begin_elements(flat, least, *size, 6, error);
}

static gint32 read_bool(ThriftProtocol *protocol, gboolean *value, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *value = byte_reader_u8(&flat->in) != 0;
  return check(flat, 1, error);
}

static gint32 read_byte(ThriftProtocol *protocol, gint8 *value, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *value = (gint8)byte_reader_u8(&flat->in);
  return check(flat, 1, error);
}

static gint32 read_i16(ThriftProtocol *protocol, gint16 *value, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *value = (gint16)byte_reader_be16(&flat->in);
  return check(flat, 2, error);
}

static gint32 read_i32(ThriftProtocol *protocol, gint32 *value, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *value = (gint32)byte_reader_be32(&flat->in);
  return check(flat, 4, error);
}

static gint32 read_i64(ThriftProtocol *protocol, gint64 *value, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *value = (gint64)byte_reader_be64(&flat->in);
  return check(flat, 8, error);
}

static gint32 read_double(ThriftProtocol *protocol, gdouble *value, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  guint64 bits = byte_reader_be64(&flat->in);
  memcpy(value, &bits, sizeof bits);
  return check(flat, 8, error);
}

static gint32 read_string(ThriftProtocol *protocol, gchar **text, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  guint32 size = byte_reader_be32(&flat->in);
  const guint8 *bytes = byte_reader_take(&flat->in, size);
  *text = NULL;
  if (flat->in.failed)
    return refuse(error, "size of a string");
  if (!g_utf8_validate_len((const char *)bytes, size, NULL))
    return refuse(error, "a string is no UTF-8, or has a NUL in it");
  *text = g_strndup((const char *)bytes, size);
  return 4 + (gint32)size;
}

static gint32 read_binary(ThriftProtocol *protocol, gpointer *data, guint32 *size, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  *size = byte_reader_be32(&flat->in);
  const guint8 *bytes = byte_reader_take(&flat->in, *size);
  *data = NULL;
  if (flat->in.failed)
    return refuse(error, "size of a binary");
  *data = g_memdup2(bytes, *size);
  return 4 + (gint32)*size;
}

gint32 flat_skip(ThriftProtocol *protocol, ThriftType type, GError **error)
{
  FlatProtocol *flat = flat_of(protocol);
  gsize before = flat->in.at;
  wire_skip(&flat->in, (guint8)type, flat->depth);
  return flat->in.failed ? refuse(error, "an unknown field") : (gint32)(flat->in.at - before);
}

static gint least_size_of(ThriftProtocol *protocol, ThriftType type, GError **error)
{
  (void)protocol;
  (void)error;
  return (gint)least_size((guint8)type);
}

/* --- writing ------------------------------------------------------------------------------------
 */

static gint32 put(ThriftProtocol *protocol, const void *bytes, gsize size)
{
  g_byte_array_append(flat_of(protocol)->out, bytes, (guint)size);
  return (gint32)size;
}

static gint32 put_be16(ThriftProtocol *protocol, guint16 value)
{
  value = GUINT16_TO_BE(value);
  return put(protocol, &value, 2);
}

static gint32 put_be32(ThriftProtocol *protocol, guint32 value)
{
  value = GUINT32_TO_BE(value);
  return put(protocol, &value, 4);
}

static gint32 put_be64(ThriftProtocol *protocol, guint64 value)
{
  value = GUINT64_TO_BE(value);
  return put(protocol, &value, 8);
}

static gint32 put_type(ThriftProtocol *protocol, ThriftType type)
{
  guint8 byte = (guint8)type;
  return put(protocol, &byte, 1);
}

static gint32 write_binary(ThriftProtocol *protocol, const gpointer bytes, const guint32 size,
                           GError **error)
{
  (void)error;
  return put_be32(protocol, size) + put(protocol, bytes, size);
}

static gint32 write_string(ThriftProtocol *protocol, const gchar *text, GError **error)
{
  return write_binary(protocol, (gpointer)text, text != NULL ? (guint32)strlen(text) : 0, error);
}

static gint32 write_message_begin(ThriftProtocol *protocol, const gchar *name,
                                  const ThriftMessageType type, const gint32 seqid, GError **error)
{
  gint32 size = put_be32(protocol, (guint32)VERSION_1 << 16 | (guint32)type);
  size += write_string(protocol, name, error);
  return size + put_be32(protocol, (guint32)seqid);
}

static gint32 write_nothing(ThriftProtocol *protocol, GError **error)
{
  (void)protocol;
  (void)error;
  return 0;
}

static gint32 write_struct_begin(ThriftProtocol *protocol, const gchar *name, GError **error)
{
  (void)protocol;
  (void)name;
  (void)error;
  return 0;
}

static gint32 write_field_begin(ThriftProtocol *protocol, const gchar *name, const ThriftType type,
                                const gint16 id, GError **error)
{
  (void)name;
  (void)error;
  return put_type(protocol, type) + put_be16(protocol, (guint16)id);
}

static gint32 write_field_stop(ThriftProtocol *protocol, GError **error)
{
  (void)error;
  return put_type(protocol, T_STOP);
}

static gint32 write_list_begin(ThriftProtocol *protocol, const ThriftType element_type,
                               const guint32 size, GError **error)
{
  (void)error;
  return put_type(protocol, element_type) + put_be32(protocol, size);
}

static gint32 write_map_begin(ThriftProtocol *protocol, const ThriftType key_type,
                              const ThriftType value_type, const guint32 size, GError **error)
{
  (void)error;
  return put_type(protocol, key_type) + put_type(protocol, value_type) + put_be32(protocol, size);
}

static gint32 write_bool(ThriftProtocol *protocol, const gboolean value, GError **error)
{
  (void)error;
  guint8 byte = value ? 1 : 0;
  return put(protocol, &byte, 1);
}

static gint32 write_byte(ThriftProtocol *protocol, const gint8 value, GError **error)
{
  (void)error;
  return put(protocol, &value, 1);
}

static gint32 write_i16(ThriftProtocol *protocol, const gint16 value, GError **error)
{
  (void)error;
  return put_be16(protocol, (guint16)value);
}

static gint32 write_i32(ThriftProtocol *protocol, const gint32 value, GError **error)
{
  (void)error;
  return put_be32(protocol, (guint32)value);
}

static gint32 write_i64(ThriftProtocol *protocol, const gint64 value, GError **error)
{
  (void)error;
  return put_be64(protocol, (guint64)value);
}

static gint32 write_double(ThriftProtocol *protocol, const gdouble value, GError **error)
{
  (void)error;
  guint64 bits;
  memcpy(&bits, &value, sizeof bits);
  return put_be64(protocol, bits);
}

/* --- the object ---------------------------------------------------------------------------------
 */

static void flat_protocol_init(FlatProtocol *flat)
{
  flat->out = g_byte_array_new();
}

static void finalize(GObject *object)
{
  g_byte_array_unref(flat_of(object)->out);
  G_OBJECT_CLASS(flat_protocol_parent_class)->finalize(object);
}

static void flat_protocol_class_init(FlatProtocolClass *class)
{
  G_OBJECT_CLASS(class)->finalize = finalize;
  ThriftProtocolClass *p = THRIFT_PROTOCOL_CLASS(class);
  p->read_message_begin = read_message_begin;
  p->read_message_end = read_nothing;
  p->read_struct_begin = read_struct_begin;
  p->read_struct_end = leave;
  p->read_field_begin = read_field_begin;
  p->read_field_end = read_nothing;
  p->read_list_begin = read_list_begin;
  p->read_list_end = leave;
  p->read_set_begin = read_list_begin;
  p->read_set_end = leave;
  p->read_map_begin = read_map_begin;
  p->read_map_end = leave;
  p->read_bool = read_bool;
  p->read_byte = read_byte;
  p->read_i16 = read_i16;
  p->read_i32 = read_i32;
  p->read_i64 = read_i64;
  p->read_double = read_double;
  p->read_string = read_string;
  p->read_binary = read_binary;
  p->get_min_serialized_size = least_size_of;
  p->write_message_begin = write_message_begin;
  p->write_message_end = write_nothing;
  p->write_struct_begin = write_struct_begin;
  p->write_struct_end = write_nothing;
  p->write_field_begin = write_field_begin;
  p->write_field_end = write_nothing;
  p->write_field_stop = write_field_stop;
  p->write_list_begin = write_list_begin;
  p->write_list_end = write_nothing;
  p->write_set_begin = write_list_begin;
  p->write_set_end = write_nothing;
  p->write_map_begin = write_map_begin;
  p->write_map_end = write_nothing;
  p->write_bool = write_bool;
  p->write_byte = write_byte;
  p->write_i16 = write_i16;
  p->write_i32 = write_i32;
  p->write_i64 = write_i64;
  p->write_double = write_double;
  p->write_string = write_string;
  p->write_binary = write_binary;
}

FlatProtocol *flat_protocol_new(void)
{
  return g_object_new(FLAT_TYPE_PROTOCOL, NULL);
}

void flat_begin_read(FlatProtocol *flat, const guint8 *bytes, gsize size)
{
  flat->in = byte_reader(bytes, size);
  flat->most_elements = G_MAXINT32;
  flat->depth = 0;
  flat->seen[0] = 0;
}

void flat_limit_elements(FlatProtocol *flat, guint32 most)
{
  flat->most_elements = most;
}

gsize flat_left(const FlatProtocol *flat)
{
  return byte_reader_left(&flat->in);
}

void flat_begin_write(FlatProtocol *flat)
{
  g_byte_array_set_size(flat->out, 0);
}

void flat_end_write(FlatProtocol *flat)
{
  if (flat->out->len <= KEPT_SIZE)
    return;
  g_byte_array_unref(flat->out);
  flat->out = g_byte_array_new();
}

const guint8 *flat_written(const FlatProtocol *flat, gsize *out_size)
{
  *out_size = flat->out->len;
  return flat->out->data;
}

FlatProtocol *flat_protocol_of_thread(void)
{
  static GPrivate own = G_PRIVATE_INIT(g_object_unref);
  FlatProtocol *flat = g_private_get(&own);
  if (flat == NULL) {
    flat = flat_protocol_new();
    g_private_set(&own, flat);
  }
  return flat;
}

void flat_register_types(void)
{
  /* The once-guards of scripts/fixgen make registering safe; holding a class keeps it from being
   * built and torn down with the first and last object. */
  GType types[] = {FLAT_TYPE_PROTOCOL,        SL_TYPE_T_STATUS,          SL_TYPE_T_LOG_ID,
                   SL_TYPE_T_TOKEN,           SL_TYPE_T_LOG_PROGRESS,    SL_TYPE_T_GROUP_PROGRESS,
                   SL_TYPE_T_VALUE,           SL_TYPE_T_COLUMN,          SL_TYPE_T_QUERY_REQ,
                   SL_TYPE_T_QUERY_REPLY,     SL_TYPE_T_LAST_REQ,        SL_TYPE_T_LAST_VALUE,
                   SL_TYPE_T_LAST_REPLY,      SL_TYPE_T_AGGREGATE_REQ,   SL_TYPE_T_WINDOW,
                   SL_TYPE_T_AGGREGATE_REPLY, SL_TYPE_T_SERIES_REQ,      SL_TYPE_T_MEASUREMENT,
                   SL_TYPE_T_DEVICE,          SL_TYPE_T_SERIES_REPLY,    SL_TYPE_T_INFO_REPLY,
                   SL_TYPE_T_HANDSHAKE_REQ,   SL_TYPE_T_HANDSHAKE_REPLY, SL_TYPE_T_HEARTBEAT_REQ,
                   SL_TYPE_T_HEARTBEAT_REPLY, SL_TYPE_T_LOG_STATUS,      SL_TYPE_T_PEER_STATUS,
                   SL_TYPE_T_NODE_STATUS,     SL_TYPE_T_STATUS_REQ,      SL_TYPE_T_STATUS_REPLY,
                   SL_TYPE_T_DIGEST_REQ,      SL_TYPE_T_DIGEST_REPLY,    SL_TYPE_T_CONFIG_ENTRY,
                   SL_TYPE_T_CONFIG_REPLY};
  static gsize done = 0;
  if (!g_once_init_enter(&done))
    return;
  for (guint i = 0; i < G_N_ELEMENTS(types); i++)
    g_type_class_ref(types[i]);
  g_once_init_leave(&done, 1);
}
