/* Values of every kind that a node answers with, for the targets of rpc. Transfer full. */
#pragma once

#include "base/table.h"
#include "core/messages.h"

static inline Progress *some_progress(void)
{
  Progress *progress = progress_new();
  for (guint origin = 1; origin <= 3; origin++) {
    LogProgress *log = progress_put(progress, (LogId){origin, 1700000000000000 + origin});
    log->received = 9;
    log->durable = log->applied = 8;
    log->digest = 0x1234;
    log->digest_index = origin < 3 ? 7 : 0;
  }
  const LogId wanted = {2, 1700000000000002};
  const guint32 forgotten = 4;
  progress->promised_hlc = 50;
  progress->wall_ms = 1700000000000;
  progress->horizon = 40;
  progress->wanted = g_array_new(FALSE, FALSE, sizeof wanted);
  g_array_append_val(progress->wanted, wanted);
  progress->forgotten = g_array_new(FALSE, FALSE, sizeof forgotten);
  g_array_append_val(progress->forgotten, forgotten);
  return progress;
}

static inline Table *some_table(void)
{
  Table *table = table_new();
  Column *number = column_new("number", DATA_DOUBLE);
  Column *text = column_new("text", DATA_TEXT);
  for (gint64 time = -1; time <= 1; time++) {
    double value = 0.5;
    g_array_append_val(table->timestamps, time);
    column_append(number, (const guint8 *)&value, sizeof value);
    if (time == 0)
      column_append_null(text);
    else
      column_append(text, "hello", 5);
  }
  column_finish(number);
  column_finish(text);
  g_ptr_array_add(table->columns, number);
  g_ptr_array_add(table->columns, text);
  table->next_page = g_bytes_new("0123456789", 10);
  return table;
}

static inline GPtrArray *some_last(void)
{
  GPtrArray *values = g_ptr_array_new_with_free_func((GDestroyNotify)last_value_free);
  for (int type = DATA_BOOLEAN; type <= DATA_TEXT; type++) {
    LastValue *last = g_new0(LastValue, 1);
    guint8 packed[8] = {1};
    last->measurement = g_strdup_printf("m%d", type);
    last->timestamp = type;
    value_unpack((DataType)type, packed, type == DATA_TEXT ? 1 : data_type_size((DataType)type),
                 &last->value);
    g_ptr_array_add(values, last);
  }
  return values;
}

static inline Aggregate *some_aggregate(DataType type)
{
  Aggregate *aggregate = aggregate_new();
  guint8 packed[8] = {1};
  gsize size = type == DATA_TEXT ? 1 : data_type_size(type);
  aggregate->type = type;
  for (gint64 start = 0; start < 20; start += 10) {
    Window window = {.start_time = start, .count = 2, .sum = 2, .avg = 1};
    value_unpack(type, packed, size, &window.first);
    value_unpack(type, packed, size, &window.last);
    if (type != DATA_TEXT) {
      value_unpack(type, packed, size, &window.min);
      value_unpack(type, packed, size, &window.max);
    }
    g_array_append_val(aggregate->windows, window);
  }
  aggregate->more = TRUE;
  aggregate->next_start_time = 20;
  return aggregate;
}

static inline GPtrArray *some_devices(void)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
  Device *device = g_new0(Device, 1);
  Measurement one = {g_strdup("m"), DATA_INT32, FALSE}, other = {g_strdup("m"), DATA_TEXT, TRUE};
  device->name = g_strdup("device");
  device->measurements = g_array_new(FALSE, FALSE, sizeof(Measurement));
  g_array_append_val(device->measurements, one);
  g_array_append_val(device->measurements, other);
  g_ptr_array_add(devices, device);
  return devices;
}

static inline NodeInfo some_info(void)
{
  NodeInfo info = {1, g_strdup("cluster"), g_strdup("0.1"), g_strdup("ms"), NULL, NULL};
  guint32 group = 0;
  info.groups = g_array_new(FALSE, FALSE, sizeof group);
  g_array_append_val(info.groups, group);
  info.configured = g_array_copy(info.groups);
  return info;
}

static inline NodeStatus *some_status(void)
{
  NodeStatus *status = node_status_new();
  LogStatus log = {.own = TRUE, .state = "open", .wal_bytes = 4096, .wal_segments = 1};
  PeerStatus peer = {.node_id = 2,
                     .address = g_strdup("host:1"),
                     .state = "connected",
                     .silent_ms = 5,
                     .progress = some_progress(),
                     .batches_sent = 3};
  status->node_id = 1;
  status->cluster_id = g_strdup("cluster");
  status->version = g_strdup("0.1");
  status->incarnation = 1700000000000000;
  status->state = "ready";
  log.progress.log = (LogId){1, 1700000000000000};
  g_array_append_val(status->logs, log);
  g_array_append_val(status->peers, peer);
  return status;
}

static inline GPtrArray *some_config(void)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)config_entry_free);
  ConfigEntry *entry = g_new0(ConfigEntry, 1);
  *entry = (ConfigEntry){g_strdup("node"), g_strdup("id"), g_strdup("1"), FALSE, TRUE};
  g_ptr_array_add(entries, entry);
  return entries;
}
