/*
 * The rule that gives each device a group: patterns, each with its group. A pattern is the name of
 * a device, or the beginning of names followed by '*'. The whole name goes before a beginning, a
 * longer beginning before a shorter one; a device without a pattern is group 0's. Immutable once it
 * is made: any thread may ask.
 */
#pragma once

#include "base/error.h"

typedef struct GroupRule GroupRule;

GroupRule *group_rule_new(void);
GroupRule *group_rule_ref(GroupRule *rule);
void group_rule_unref(GroupRule *rule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GroupRule, group_rule_unref)

/*
 * Adds patterns, separated by commas. INVALID, the reason alone: one that is empty, too long, has a
 * '*' elsewhere, or is there already. While it is made only.
 */
gboolean group_rule_add(GroupRule *rule, guint32 group, const char *patterns, GError **error);

/* `device` need not end with a zero. Costs a few comparisons, however many patterns there are. */
guint32 group_rule_find(const GroupRule *rule, const char *device, gsize size);

/* Whether all devices are group 0's. */
gboolean group_rule_is_empty(const GroupRule *rule);

/* The same for two rules that give every device the same group in the same words, in whatever order
 * they were added; never 0, and below 2^63. Goes over the wire: it must not change. */
guint64 group_rule_hash(const GroupRule *rule);
