#include "core/routing.h"

#include "support/suite.h"

START_TEST(own_logs_of_any_incarnation_go_to_all)
{
  ck_assert(routing_sends(1, 2, (LogId){1, 100}, 500));
  ck_assert(routing_sends(1, 2, (LogId){1, 500}, 500));
  ck_assert(routing_sends(1, 3, (LogId){1, 7}, 500));
}
END_TEST

START_TEST(former_logs_of_the_peer_go_back_to_it)
{
  ck_assert(routing_sends(1, 2, (LogId){2, 100}, 500));
  ck_assert(routing_sends(1, 2, (LogId){2, 900}, 500));
}
END_TEST

START_TEST(logs_of_third_nodes_are_theirs_to_send)
{
  ck_assert(!routing_sends(1, 2, (LogId){3, 100}, 500));
  ck_assert(!routing_sends(1, 2, (LogId){3, 500}, 500));
}
END_TEST

START_TEST(inv7_no_node_is_sent_the_log_it_writes)
{
  ck_assert(!routing_sends(1, 2, (LogId){2, 500}, 500));
  for (guint32 self = 1; self <= 4; self++)
    for (guint32 peer = 1; peer <= 4; peer++)
      if (self != peer)
        ck_assert(!routing_sends(self, peer, (LogId){peer, 500}, 500));
}
END_TEST

START_TEST(inv7_each_log_has_a_sender_while_its_origin_is_up)
{
  for (guint32 origin = 1; origin <= 4; origin++)
    for (guint64 incarnation = 499; incarnation <= 500; incarnation++)
      for (guint32 to = 1; to <= 4; to++) {
        guint senders = 0;
        for (guint32 from = 1; from <= 4; from++)
          if (from != to)
            senders += routing_sends(from, to, (LogId){origin, incarnation}, 500);
        if (to != origin)
          ck_assert_uint_eq(senders, 1);
        else
          ck_assert_uint_eq(senders, incarnation == 500 ? 0 : 3);
      }
}
END_TEST

static const LogId lost = {1, 100};

START_TEST(p6_nobody_is_asked_while_the_origin_serves)
{
  const SupplyOffer offers[] = {{1, TRUE, 10, 1}, {2, TRUE, 50, 1}};
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 5, 0, offers, 2), 0);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 50, 2, offers, 2), 0);
  /* A former log counts as served only as long as the origin has more of it. */
  ck_assert_uint_eq(routing_supplier(lost, FALSE, 5, 0, offers, 2), 0);
  ck_assert_uint_eq(routing_supplier(lost, FALSE, 10, 0, offers, 2), 2);
}
END_TEST

START_TEST(p6_who_has_most_is_asked)
{
  const SupplyOffer offers[] = {{1, FALSE, 99, 1}, {2, TRUE, 20, 1}, {3, TRUE, 30, 1}};
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 5, 0, offers, 3), 3);
  /* In advance, but for a former log only if there is something. */
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 30, 0, offers, 3), 3);
  ck_assert_uint_eq(routing_supplier(lost, FALSE, 30, 3, offers, 3), 0);
  ck_assert_uint_eq(routing_supplier(lost, FALSE, 29, 0, offers, 3), 3);
}
END_TEST

START_TEST(p6_a_supplier_that_serves_is_kept)
{
  const SupplyOffer offers[] = {{2, TRUE, 20, 1}, {3, TRUE, 30, 1}};
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 5, 2, offers, 2), 2);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 20, 2, offers, 2), 3);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 30, 2, offers, 2), 3);
}
END_TEST

START_TEST(p6_who_can_not_serve_is_not_asked)
{
  const SupplyOffer silent[] = {{2, FALSE, 20, 1}};
  const SupplyOffer trimmed[] = {{2, TRUE, 20, 7}};
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 5, 2, silent, 1), 0);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 5, 2, trimmed, 1), 0);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 6, 0, trimmed, 1), 2);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 21, 0, trimmed, 1), 0);
}
END_TEST

START_TEST(p6_an_origin_that_deleted_what_comes_next_does_not_serve)
{
  guint32 origin = lost.origin;
  const SupplyOffer offers[] = {{origin, TRUE, 30, 16}, {3, TRUE, 18, 1}};
  ck_assert_uint_ne(origin, 3);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 12, 0, offers, 2), 3);
  ck_assert_uint_eq(routing_supplier(lost, FALSE, 12, 0, offers, 2), 3);
  ck_assert_uint_eq(routing_supplier(lost, TRUE, 15, 3, offers, 2), 0);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {own_logs_of_any_incarnation_go_to_all,
                                former_logs_of_the_peer_go_back_to_it,
                                logs_of_third_nodes_are_theirs_to_send,
                                inv7_no_node_is_sent_the_log_it_writes,
                                inv7_each_log_has_a_sender_while_its_origin_is_up,
                                p6_nobody_is_asked_while_the_origin_serves,
                                p6_who_has_most_is_asked,
                                p6_a_supplier_that_serves_is_kept,
                                p6_who_can_not_serve_is_not_asked,
                                p6_an_origin_that_deleted_what_comes_next_does_not_serve};
  return RUN_SUITE("routing", tests);
}
