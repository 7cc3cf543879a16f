/*
 * For tests of the blocking client: a server that plays a script, and what its steps need to decode
 * requests and to encode replies.
 */
#pragma once

#include "base/bytes.h"
#include "base/limits.h"
#include "rpc/client.h"
#include "rpc/convert.h"
#include "rpc/flat.h"
#include "rpc/frame.h"
#include "rpc/wire.h"
#include "rpc/write_builder.h"
#include "support/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A server that plays a script: step i gets the i-th request, whatever connection it comes by, and
 * writes what it likes. FALSE from a step closes the connection.
 */
typedef struct Fake Fake;

typedef struct Request {
  Fake *fake;
  int fd;
  const guint8 *bytes; /* the frame's content */
  gsize size;
  FrameHeader header;
} Request;

typedef gboolean (*Step)(const Request *request);

struct Fake {
  int listen_fd;
  guint16 port;
  GThread *thread;
  const Step *steps;
  guint step_count;
  gint at;          /* atomic: steps played */
  gint connections; /* atomic */
  gpointer data;    /* of the steps */
};

static inline gboolean read_fully(int fd, guint8 *bytes, gsize size)
{
  for (gsize at = 0; at < size;) {
    ssize_t n = recv(fd, bytes + at, size - at, 0);
    if (n <= 0)
      return FALSE;
    at += (gsize)n;
  }
  return TRUE;
}

/* Plays steps on one connection until one of them or the client ends it. */
static inline void serve(Fake *fake, int fd)
{
  guint8 head[4];
  while ((guint)fake->at < fake->step_count && read_fully(fd, head, sizeof head)) {
    gsize size = load_be32(head);
    g_autofree guint8 *bytes = g_malloc(size);
    if (!read_fully(fd, bytes, size))
      break;
    Request request = {.fake = fake, .fd = fd, .bytes = bytes, .size = size};
    if (frame_header_parse(bytes, size, &request.header) != HEADER_VALID)
      break;
    Step step = fake->steps[fake->at];
    g_atomic_int_inc(&fake->at);
    if (!step(&request))
      break;
  }
  close(fd);
}

static inline gpointer run_fake(gpointer data)
{
  Fake *fake = data;
  for (;;) {
    int fd = accept(fake->listen_fd, NULL, NULL);
    if (fd < 0)
      return NULL;
    g_atomic_int_inc(&fake->connections);
    serve(fake, fd);
  }
}

static inline void fake_begin(Fake *fake, const Step *steps, guint count)
{
  *fake = (Fake){.steps = steps, .step_count = count};
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  fake->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq(bind(fake->listen_fd, (struct sockaddr *)&address, size), 0);
  ck_assert_int_eq(listen(fake->listen_fd, 8), 0);
  ck_assert_int_eq(getsockname(fake->listen_fd, (struct sockaddr *)&address, &size), 0);
  fake->port = ntohs(address.sin_port);
  fake->thread = g_thread_new("fake", run_fake, fake);
}

/* The client must be gone before. */
static inline void fake_end(Fake *fake)
{
  shutdown(fake->listen_fd, SHUT_RDWR);
  g_thread_join(fake->thread);
  close(fake->listen_fd);
  ck_assert_int_eq(fake->at, fake->step_count);
}

static inline RpcClient *client_of(const Fake *fake, gint64 timeout_ms)
{
  g_autofree char *address = g_strdup_printf("127.0.0.1:%u", fake->port);
  return rpc_client_new(address, timeout_ms);
}

/* --- what steps send ----------------------------------------------------------------------------
 */

static inline void send_bytes(int fd, const void *bytes, gsize size)
{
  ck_assert_int_eq(send(fd, bytes, size, MSG_NOSIGNAL), (gssize)size);
}

static inline void send_message(const Request *request, guint8 type, const char *method,
                                gint32 seqid, const void *body, gsize size)
{
  guint8 head[128];
  ByteWriter w = byte_writer(head, sizeof head);
  byte_writer_be32(&w, 0);
  wire_put_message(&w, type, method, strlen(method), seqid);
  store_be32(head, (guint32)(w.at - 4 + size));
  send_bytes(request->fd, head, w.at);
  send_bytes(request->fd, body, size);
}

static inline void send_body(const Request *request, const void *body, gsize size)
{
  g_autofree char *method = g_strndup(request->header.name, request->header.name_size);
  send_message(request, THRIFT_REPLY, method, request->header.seqid, body, size);
}

/* The body of a reply: field 0 of a struct. Transfer full. */
static inline GByteArray *encode(gpointer reply)
{
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_write(flat);
  ck_assert_int_ge(thrift_struct_write(THRIFT_STRUCT(reply), THRIFT_PROTOCOL(flat), NULL), 0);
  gsize size;
  const guint8 *written = flat_written(flat, &size);
  GByteArray *body = g_byte_array_new();
  g_byte_array_append(body, (const guint8 *)"\x0c\x00\x00", 3);
  g_byte_array_append(body, written, (guint)size);
  g_byte_array_append(body, (const guint8 *)"", 1);
  return body;
}

static inline gboolean answer(const Request *request, gpointer reply)
{
  g_autoptr(GByteArray) body = encode(reply);
  send_body(request, body->data, body->len);
  g_object_unref(reply);
  return TRUE;
}

/* Decodes the request's argument. Transfer full. */
static inline gpointer argument(const Request *request, GType type)
{
  gsize at = request->header.size;
  ck_assert_uint_ge(request->size, at + 4);
  ck_assert(memcmp(request->bytes + at, "\x0c\x00\x01", 3) == 0);
  FlatProtocol *flat = flat_protocol_of_thread();
  flat_begin_read(flat, request->bytes + at + 3, request->size - at - 3);
  gpointer req = g_object_new(type, NULL);
  ck_assert_int_ge(thrift_struct_read(THRIFT_STRUCT(req), THRIFT_PROTOCOL(flat), NULL), 0);
  ck_assert_uint_eq(flat_left(flat), 1);
  return req;
}

static inline gboolean is_method(const Request *request, const char *name)
{
  return frame_header_is(&request->header, name);
}

static inline NodeInfo sample_info(void)
{
  NodeInfo info = {.node_id = 3,
                   .cluster_id = (char *)"c",
                   .version = (char *)"9.9",
                   .time_precision = (char *)"us"};
  return info;
}
