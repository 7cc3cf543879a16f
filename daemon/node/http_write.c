/* Line protocol over HTTP: POST /write and /api/v2/write, and what clients ask beforehand. */
#include "base/bytes.h"
#include "base/limits.h"
#include "http/gunzip.h"
#include "http/line_protocol.h"
#include "node/http_data.h"
#include "node/line_batch.h"

#include <jansson.h>
#include <string.h>

#define INFLUX_VERSION "1.8.0-synclogd-" SYNCLOG_VERSION

enum {
  SLICE_SIZE = 1024 * 1024, /* of the points that become one entry */
  MOST_TOLD = 20,           /* bad lines that an answer names */
  EXCERPT_SIZE = 200,       /* bytes of a bad line in it */
  KEY_SIZE = 255,           /* of Idempotency-Key */
  CHECK_TRIES = 3,          /* of the types, when others write new ones at the same time */
};

/*
 * A body on its way. The worker that reads it uses all of it; the engine's answers come on other
 * threads, and share with it only what stands under `lock`. Whoever ends the last part answers.
 */
typedef struct WriteJob {
  Groups *groups;
  guint32 group; /* that was asked for, or GROUP_BY_RULE */
  GroupRule *rule;
  HttpRequest *request;
  gboolean v2; /* how errors are told */
  gint64 unit_ns, per_second, now, timeout_ms;
  guint64 share; /* of the memory for requests, of each group; 0: any */
  AckLevel ack;
  char *key;          /* of the request, NULL: none */
  GPtrArray *batches; /* GroupBatch */
  GString *wrong;     /* what is wrong with lines, a line of text for each */
  guint told, left_out, dropped;
  guint64 taken; /* lines */

  gint parts; /* atomic: entries not answered yet, and the worker itself */
  GMutex lock;
  SynclogStatus status; /* the worst; OK so far */
  gint32 retry_after_ms;
  char *message;
} WriteJob;

/* The lines of a body that are one group's. */
typedef struct GroupBatch {
  WriteJob *job;
  guint32 group;
  Replica *replica; /* held; NULL: it can't be written to, and the rest of its lines is left out */
  Replica *home;    /* the same, borrowed: for what it answers, while it is there */
  guint slices;     /* that were cut off so far */
  gsize charged;    /* bytes of parts that are not answered yet; under the job's lock */
  LineBatch *lines;
  GArray *tokens; /* Token, the last of each log that has an entry of it; under the job's lock */
} GroupBatch;

/* An entry that is not answered yet. */
typedef struct Part {
  GroupBatch *batch;
  gsize charged; /* bytes that count in its group's share */
} Part;

/* --- answers ------------------------------------------------------------------------------------
 */

static const char *v2_code(guint status)
{
  switch (status) {
  case 400:
    return "invalid";
  case 413:
    return "request too large";
  case 415:
    return "unsupported media type";
  case 429:
    return "too many requests";
  case 503:
    return "unavailable";
  default:
    return "internal error";
  }
}

static void reply_error(HttpRequest *request, gboolean v2, guint status, const char *message,
                        GString *headers)
{
  json_t *object = json_object();
  if (v2)
    json_object_set_new(object, "code", json_string(v2_code(status)));
  json_object_set_new(object, v2 ? "message" : "error", json_string(message));
  GString *body = http_json(object);
  json_decref(object);
  http_reply(request, &(HttpAnswer){status, "application/json", body, headers});
}

static void batch_free(gpointer data)
{
  GroupBatch *batch = data;
  g_clear_pointer(&batch->replica, replica_release);
  line_batch_free(batch->lines);
  g_array_unref(batch->tokens);
  g_free(batch);
}

static void job_free(WriteJob *job)
{
  g_ptr_array_unref(job->batches);
  group_rule_unref(job->rule);
  g_string_free(job->wrong, TRUE);
  g_free(job->message);
  g_free(job->key);
  g_mutex_clear(&job->lock);
  g_free(job);
}

static GString *token_header(const WriteJob *job)
{
  GString *headers = g_string_new("X-Influxdb-Version: " INFLUX_VERSION "\r\n");
  const char *before = "X-Synclog-Token: ";
  for (guint i = 0; i < job->batches->len; i++) {
    const GroupBatch *batch = job->batches->pdata[i];
    for (guint k = 0; k < batch->tokens->len; k++) {
      char text[TOKEN_TEXT_SIZE];
      g_string_append_printf(headers, "%s%s", before,
                             token_format(&g_array_index(batch->tokens, Token, k), text));
      before = ",";
    }
  }
  if (before[0] == ',')
    g_string_append(headers, "\r\n");
  return headers;
}

/* As InfluxDB says it: what was written is written. */
static void reply_partial(WriteJob *job)
{
  if (job->left_out > 0)
    g_string_append_printf(job->wrong, "\nand %u more", job->left_out);
  if (job->taken == 0 && job->dropped == 0) {
    reply_error(job->request, job->v2, 400, job->wrong->str, NULL);
    return;
  }
  g_string_prepend(job->wrong, "partial write: ");
  g_string_append_printf(job->wrong, " dropped=%u", job->dropped);
  reply_error(job->request, job->v2, 400, job->wrong->str, token_header(job));
}

static void answer(WriteJob *job)
{
  if (job->status != SYNCLOG_OK) {
    const char *message =
        job->message != NULL ? job->message : synclog_status_text((int)job->status);
    reply_error(job->request, job->v2, http_status_of((int)job->status), message,
                http_retry_header((int)job->status, job->retry_after_ms));
  } else if (job->wrong->len > 0) {
    reply_partial(job);
  } else {
    http_reply(job->request, &(HttpAnswer){.status = 204, .headers = token_header(job)});
  }
  job_free(job);
}

static void end_part(WriteJob *job)
{
  if (g_atomic_int_dec_and_test(&job->parts))
    answer(job);
}

/* `replica`: that of the lines; NULL: none. */
static void note_failure(WriteJob *job, Replica *replica, SynclogStatus status, const char *message)
{
  g_mutex_lock(&job->lock);
  /* PENDING is the mildest: the write is there, but not everywhere. */
  if (job->status == SYNCLOG_OK || job->status == SYNCLOG_PENDING) {
    job->status = status;
    job->retry_after_ms = replica != NULL ? replica_retry_after_ms(replica, status) : 0;
    g_free(job->message);
    job->message = g_strdup(message);
  }
  g_mutex_unlock(&job->lock);
}

/* With a key an entry may be one of another node's log, or of an older one of its own. */
static void note_token(GroupBatch *batch, const Token *token)
{
  for (guint i = 0; i < batch->tokens->len; i++) {
    Token *one = &g_array_index(batch->tokens, Token, i);
    if (log_id_compare(&one->log, &token->log) == 0) {
      one->index = MAX(one->index, token->index);
      return;
    }
  }
  g_array_append_val(batch->tokens, *token);
}

static void discharge(Part *part)
{
  GroupBatch *batch = part->batch;
  replica_discharge(batch->home, part->charged);
  g_mutex_lock(&batch->job->lock);
  batch->charged -= part->charged;
  g_mutex_unlock(&batch->job->lock);
}

/* Whether there is room in the group's share. A body is one request: what it holds itself is no
 * reason to refuse the rest of it, which would only come again from its first line on. */
static gboolean charge(GroupBatch *batch, gsize size)
{
  WriteJob *job = batch->job;
  g_mutex_lock(&job->lock);
  gboolean good = replica_admit_bytes(batch->replica, size, batch->charged, job->share);
  batch->charged += good ? size : 0;
  g_mutex_unlock(&job->lock);
  return good;
}

/* Under the replica's lock. */
static void on_written(gpointer data, SynclogStatus status, const char *message, const Token *token)
{
  g_autofree Part *part = data;
  GroupBatch *batch = part->batch;
  WriteJob *job = batch->job;
  if (status != SYNCLOG_OK)
    note_failure(job, batch->home, status, message);
  discharge(part);
  g_mutex_lock(&job->lock);
  if (token != NULL)
    note_token(batch, token);
  g_mutex_unlock(&job->lock);
  end_part(job);
}

/* --- what is wrong with lines -------------------------------------------------------------------
 */

static void note_wrong(WriteJob *job, const char *what, const char *line, gsize size,
                       const char *why)
{
  if (job->told >= MOST_TOLD) {
    job->left_out++;
    return;
  }
  g_autofree char *text = g_utf8_make_valid(line, (gssize)MIN(size, (gsize)EXCERPT_SIZE));
  g_string_append_printf(job->wrong, "%s%s '%s%s': %s", job->told > 0 ? "\n" : "", what, text,
                         size > EXCERPT_SIZE ? "…" : "", why);
  job->told++;
}

static void drop_run(GroupBatch *batch, guint run, const char *what, const char *why)
{
  WriteJob *job = batch->job;
  for (guint i = 0; i < line_batch_run_lines(batch->lines, run); i++) {
    gsize size;
    const char *line = line_batch_line(batch->lines, run, i, &size);
    note_wrong(job, what, line, size, why);
    job->dropped++;
    job->taken--;
  }
  line_batch_drop(batch->lines, run);
}

/* Finds the lines whose types are others than those that were there first. */
static void drop_conflicts(GroupBatch *batch)
{
  g_autoptr(WriteBuilder) builder = write_builder_new();
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  for (guint run = 0; run < line_batch_runs(batch->lines); run++) {
    g_autoptr(GError) error = NULL;
    write_builder_clear(builder);
    g_byte_array_set_size(bytes, 0);
    if (line_batch_is_dropped(batch->lines, run))
      continue;
    line_batch_put_run(batch->lines, run, builder);
    write_builder_encode(builder, bytes);
    if (replica_check_write(batch->replica, bytes->data, bytes->len, &error) ||
        !g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TYPE_MISMATCH))
      continue;
    g_autofree char *why = g_strdup_printf("field type conflict: %s", error->message);
    drop_run(batch, run, "unable to write", why);
  }
}

/* --- entries ------------------------------------------------------------------------------------
 */

/*
 * A body may become several entries. The key of each stands for the very lines that are in it, as
 * they were sent, without the time that a node gives: to know the key is to have the lines. Another
 * node may leave out others for their types. Transfer full.
 */
static char *key_of_slice(const GroupBatch *batch)
{
  const LineBatch *lines = batch->lines;
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  g_autofree char *head = g_strdup_printf("%s\n%u %u %" G_GINT64_FORMAT "\n", batch->job->key,
                                          batch->group, batch->slices, batch->job->unit_ns);
  g_checksum_update(sum, (const guchar *)head, -1);
  for (guint run = 0; run < line_batch_runs(lines); run++) {
    for (guint i = 0; !line_batch_is_dropped(lines, run) && i < line_batch_run_lines(lines, run);
         i++) {
      gsize size;
      const char *line = line_batch_line(lines, run, i, &size);
      guint8 length[8];
      store_le64(length, size);
      g_checksum_update(sum, length, sizeof length);
      g_checksum_update(sum, (const guchar *)line, (gssize)size);
    }
  }
  return g_strdup(g_checksum_get_string(sum));
}

/* Under its share, as writes that came by Thrift. */
static gboolean send_part(GroupBatch *batch, GBytes *content, GError **error)
{
  WriteJob *job = batch->job;
  gsize charged = job->share > 0 ? g_bytes_get_size(content) : 0;
  if (charged > 0 && !charge(batch, charged))
    return fail(error, SYNCLOG_OVERLOADED, "group %u holds as many unanswered requests as it may",
                batch->group);
  Part *part = g_new(Part, 1);
  *part = (Part){batch, charged};
  g_atomic_int_inc(&job->parts);
  if (replica_write_bytes(batch->replica, content, job->ack, job->timeout_ms, on_written, part,
                          error))
    return TRUE;
  g_atomic_int_add(&job->parts, -1); /* not the last: the worker's own is there */
  discharge(part);
  g_free(part);
  return FALSE;
}

static gboolean try_slice(GroupBatch *batch, GError **error)
{
  const WriteJob *job = batch->job;
  g_autoptr(WriteBuilder) builder = write_builder_new();
  if (!line_batch_put(batch->lines, builder))
    return TRUE;
  if (job->key != NULL) {
    g_autofree char *key = key_of_slice(batch);
    write_builder_key(builder, key);
  }
  GByteArray *bytes = g_byte_array_new();
  write_builder_encode(builder, bytes);
  g_autoptr(GBytes) content = g_byte_array_free_to_bytes(bytes);
  if (g_bytes_get_size(content) > LIMIT_ENTRY_SIZE)
    return fail(error, SYNCLOG_TOO_LARGE, "the line has more than %d bytes", LIMIT_ENTRY_SIZE);
  return send_part(batch, content, error);
}

/* Writes what was collected. When it makes no sense to go on, the group's other lines are left. */
static void write_slice(GroupBatch *batch)
{
  WriteJob *job = batch->job;
  g_autoptr(GError) error = NULL;
  line_batch_sort(batch->lines);
  for (guint tries = 0; !try_slice(batch, &error); tries++) {
    gboolean conflict = g_error_matches(error, SYNCLOG_ERROR, SYNCLOG_TYPE_MISMATCH);
    gboolean one_line =
        line_batch_runs(batch->lines) == 1 && line_batch_run_lines(batch->lines, 0) == 1;
    if (one_line && error->code == SYNCLOG_TOO_LARGE) {
      drop_run(batch, 0, "unable to write", error->message);
      break;
    }
    if (!conflict || tries >= CHECK_TRIES) {
      note_failure(job, batch->replica, (SynclogStatus)error->code, error->message);
      g_clear_pointer(&batch->replica, replica_release);
      break;
    }
    g_clear_error(&error);
    drop_conflicts(batch);
  }
  line_batch_clear(batch->lines);
  batch->slices++; /* also one of which nothing is left, so that each has its number anywhere */
}

static GroupBatch *batch_of(WriteJob *job, guint32 group)
{
  for (guint i = 0; i < job->batches->len; i++)
    if (((GroupBatch *)job->batches->pdata[i])->group == group)
      return job->batches->pdata[i];
  g_autoptr(GError) error = NULL;
  GroupBatch *batch = g_new0(GroupBatch, 1);
  batch->job = job;
  batch->group = group;
  batch->lines = line_batch_new();
  batch->tokens = g_array_new(FALSE, FALSE, sizeof(Token));
  batch->replica = groups_hold(job->groups, group, &error);
  batch->home = batch->replica;
  if (batch->replica == NULL)
    note_failure(job, NULL, (SynclogStatus)error->code, error->message);
  g_ptr_array_add(job->batches, batch);
  return batch;
}

static void take_point(WriteJob *job, const LinePoint *point, const char *line, gsize size)
{
  gint64 time = job->now;
  if (point->has_time && !line_time_convert(point->time, job->unit_ns, job->per_second, &time)) {
    note_wrong(job, "unable to parse", line, size, "time outside range");
    return;
  }
  gsize device_size = strlen(point->device);
  guint32 ruled = group_rule_find(job->rule, point->device, device_size);
  if (job->group != GROUP_BY_RULE && job->group != ruled) {
    g_autofree char *why = g_strdup_printf("the device belongs to group %u", ruled);
    note_wrong(job, "unable to write", line, size, why);
    job->dropped++;
    return;
  }
  GroupBatch *batch = batch_of(job, ruled);
  /* A line as large as that is alone in its entry, so that its size is its own fault. */
  gsize held = line_batch_size(batch->lines);
  if (held > 0 && held + size > SLICE_SIZE)
    write_slice(batch);
  if (batch->replica == NULL)
    return;
  line_batch_add(batch->lines, point, time, line, size);
  job->taken++;
}

static void take_lines(WriteJob *job, const char *text, gsize size)
{
  g_autoptr(LineReader) reader = line_reader_new(text, size);
  for (;;) {
    g_autoptr(GError) error = NULL;
    LinePoint point;
    LineResult result = line_reader_next(reader, &point, &error);
    if (result == LINE_END)
      break;
    gsize line_size;
    const char *line = line_reader_text(reader, &line_size);
    if (result == LINE_BAD)
      note_wrong(job, "unable to parse", line, line_size, error->message);
    else
      take_point(job, &point, line, line_size);
  }
  for (guint i = 0; i < job->batches->len; i++) {
    GroupBatch *batch = job->batches->pdata[i];
    if (batch->replica != NULL)
      write_slice(batch);
  }
}

static void read_body(gpointer data)
{
  WriteJob *job = data;
  gsize size;
  const guint8 *body = http_request_body(job->request, &size);
  const char *encoding = http_request_header(job->request, "Content-Encoding");
  if (encoding == NULL || g_ascii_strcasecmp(encoding, "identity") == 0) {
    take_lines(job, (const char *)body, size);
    end_part(job);
    return;
  }
  g_autoptr(GError) error = NULL;
  GString *text = gunzip(body, size, HTTP_WRITE_SIZE, &error);
  if (text == NULL) {
    note_failure(job, NULL, (SynclogStatus)error->code, error->message);
  } else {
    take_lines(job, text->str, text->len);
    g_string_free(text, TRUE);
  }
  end_part(job);
}

/* --- requests -----------------------------------------------------------------------------------
 */

static gboolean read_ack(HttpRequest *request, AckLevel fallback, AckLevel *out_ack, GError **error)
{
  static const struct {
    const char *name;
    AckLevel ack;
  } levels[] = {{"any", ACK_LOCAL},       {"one", ACK_LOCAL},         {"local", ACK_LOCAL},
                {"quorum", ACK_MAJORITY}, {"majority", ACK_MAJORITY}, {"all", ACK_ALL}};
  const char *name = http_request_param(request, "consistency");
  if (name == NULL)
    name = http_request_param(request, "ack");
  *out_ack = fallback;
  if (name == NULL || *name == '\0')
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS(levels); i++)
    if (g_ascii_strcasecmp(levels[i].name, name) == 0) {
      *out_ack = levels[i].ack;
      return TRUE;
    }
  return fail(error, SYNCLOG_INVALID,
              "invalid consistency level \"%.40s\": any, one, quorum or all", name);
}

static gboolean read_unit(HttpRequest *request, gint64 *out_ns, GError **error)
{
  const char *name = http_request_param(request, "precision");
  *out_ns = name == NULL || *name == '\0' ? 1 : line_unit_ns(name);
  return *out_ns != 0 || fail(error, SYNCLOG_INVALID,
                              "invalid precision \"%.40s\" (use ns, us, ms, s, m or h)", name);
}

static gboolean read_timeout(HttpRequest *request, gint64 limit_ms, gint64 *out_ms, GError **error)
{
  const char *text = http_request_param(request, "timeout_ms");
  guint64 ms = (guint64)limit_ms;
  if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT32, &ms, NULL))
    return fail(error, SYNCLOG_INVALID, "invalid timeout_ms \"%.40s\"", text);
  *out_ms = MIN((gint64)ms, limit_ms);
  return TRUE;
}

static gboolean read_key(HttpRequest *request, char **out_key, GError **error)
{
  const char *key = http_request_header(request, "Idempotency-Key");
  if (key == NULL)
    return TRUE;
  if (*key == '\0' || strlen(key) > KEY_SIZE)
    return fail(error, SYNCLOG_INVALID, "Idempotency-Key has 1 to %d bytes", KEY_SIZE);
  *out_key = g_strdup(key);
  return TRUE;
}

static gboolean check_encoding(HttpRequest *request, gboolean v2)
{
  const char *encoding = http_request_header(request, "Content-Encoding");
  if (encoding == NULL || g_ascii_strcasecmp(encoding, "identity") == 0 ||
      g_ascii_strcasecmp(encoding, "gzip") == 0 || g_ascii_strcasecmp(encoding, "deflate") == 0)
    return TRUE;
  reply_error(request, v2, 415, "bodies are taken plain, or packed by gzip", NULL);
  return FALSE;
}

static void take_write(gpointer ctx, HttpRequest *request, gboolean v2)
{
  ServiceLimits limits;
  if (!http_data_begin(ctx, request, &limits) || !check_encoding(request, v2))
    return;
  g_autoptr(GError) error = NULL;
  WriteJob start = {.v2 = v2};
  if (!read_ack(request, limits.http_ack, &start.ack, &error) ||
      !read_unit(request, &start.unit_ns, &error) ||
      !read_timeout(request, limits.write_timeout_ms, &start.timeout_ms, &error) ||
      !http_group(request, &start.group, &error) || !read_key(request, &start.key, &error)) {
    reply_error(request, v2, 400, error->message, NULL);
    return;
  }
  WriteJob *job = g_memdup2(&start, sizeof start);
  job->groups = service_groups(ctx);
  job->rule = groups_hold_rule(job->groups);
  job->request = request;
  job->per_second = limits.per_second;
  job->share = limits.group_share;
  job->now = (gint64)clock_wall_ms(clock_system()) * (limits.per_second / 1000);
  job->batches = g_ptr_array_new_with_free_func(batch_free);
  job->wrong = g_string_new(NULL);
  job->parts = 1;
  g_mutex_init(&job->lock);
  groups_work(job->groups, read_body, job);
}

void http_take_write(gpointer ctx, HttpRequest *request)
{
  take_write(ctx, request, FALSE);
}

void http_take_write_v2(gpointer ctx, HttpRequest *request)
{
  take_write(ctx, request, TRUE);
}

void http_answer_ping(gpointer ctx, HttpRequest *request)
{
  ServiceLimits limits;
  if (!http_data_begin(ctx, request, &limits))
    return;
  HttpAnswer answer = {.status = 204,
                       .headers = g_string_new("X-Influxdb-Version: " INFLUX_VERSION "\r\n")};
  const char *verbose = http_request_param(request, "verbose");
  if (verbose != NULL && strcmp(verbose, "false") != 0 && strcmp(verbose, "0") != 0) {
    json_t *object = json_pack("{s:s}", "version", INFLUX_VERSION);
    answer.status = 200;
    answer.type = "application/json";
    answer.body = http_json(object);
    json_decref(object);
  }
  http_reply(request, &answer);
}

void http_answer_health(gpointer ctx, HttpRequest *request)
{
  ServiceLimits limits;
  if (!http_data_begin(ctx, request, &limits))
    return;
  g_autoptr(NodeStatus) status = service_status(ctx, 0, NULL);
  gboolean serving = strcmp(status->state, "serving") == 0;
  json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:[]}", "name", "synclogd", "status",
                             serving ? "pass" : "fail", "message",
                             serving                   ? "ready for queries and writes"
                             : status->message != NULL ? status->message
                                                       : status->state,
                             "version", SYNCLOG_VERSION, "checks");
  GString *body = http_json(object);
  json_decref(object);
  http_reply(request, &(HttpAnswer){serving ? 200 : 503, "application/json", body, NULL});
}
