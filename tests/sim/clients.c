/* Who writes: single cells, some of them the same ones again and again, and deletes of ranges. */
#include "sim/check.h"

#include "support/write_builder.h"

enum { SLOTS = 64, DEVICES = 3 };

void write_free(SimWrite *write)
{
  g_clear_pointer(&write->write.decoded, store_decoded_free);
  g_free(write->data);
  g_free(write);
}

static GByteArray *make_cell(Sim *sim, guint64 number, const char *device)
{
  TestWrite builder = {0};
  g_autofree char *padding = g_strnfill(sim_random(sim, sim->config.write_size_max + 1), 'x');
  const char *names[] = {"number", "padding"};
  Value values[] = {TW_INT64((gint64)number), TW_TEXT(padding)};
  tw_row(&builder, device, sim_random(sim, SLOTS), *padding != '\0' ? 2 : 1, names, values);
  return tw_end(&builder);
}

static GByteArray *make_delete(Sim *sim, const char *device)
{
  TestWrite builder = {0};
  gint64 first = sim_random(sim, SLOTS);
  tw_delete(&builder, device, NULL, first, first + sim_random(sim, SLOTS / 4));
  return tw_end(&builder);
}

SimWrite *clients_make_write(Sim *sim, guint node, AckLevel ack, gint64 timeout_us)
{
  SimWrite *write = g_new0(SimWrite, 1);
  char device[] = "d0";
  write->number = sim->next_write++;
  device[1] = (char)('0' + write->number % DEVICES);
  GByteArray *bytes = sim_percent(sim, sim->config.delete_percent)
                          ? make_delete(sim, device)
                          : make_cell(sim, write->number, device);
  write->node = node;
  write->write.size = bytes->len;
  write->write.data = write->data = g_byte_array_free(bytes, FALSE);
  write->write.ack = ack;
  write->write.deadline_us = sim->now_us + timeout_us;
  return write;
}

static AckLevel choose_ack(Sim *sim)
{
  guint at = sim_random(sim, 100);
  if (at < sim->config.ack_percent[ACK_LOCAL])
    return ACK_LOCAL;
  return at < sim->config.ack_percent[ACK_LOCAL] + sim->config.ack_percent[ACK_MAJORITY]
             ? ACK_MAJORITY
             : ACK_ALL;
}

static void on_client(Sim *sim, Event *event)
{
  (void)event;
  if (sim->calm)
    return;
  SimNode *node = &sim->nodes[1 + sim_random(sim, sim->config.nodes)];
  guint burst = sim_percent(sim, 10) ? 1 + sim_random(sim, 20) : 1;
  for (guint i = 0; i < burst && node_is_up(node); i++)
    node_write(node, clients_make_write(sim, node->id, choose_ack(sim),
                                        sim_around_us(sim, sim->config.request_timeout_us)));
  sim_add_event(sim, (gint64)burst * sim_around_us(sim, sim->config.write_every_us),
                (Event){.run = on_client});
}

void clients_start(Sim *sim)
{
  sim_add_event(sim, sim->config.write_every_us, (Event){.run = on_client});
}
