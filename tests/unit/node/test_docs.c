/* The documents of the configuration are what the program says. Runs in the project's folder. */
#include "node/config.h"
#include "support/suite.h"

#include <string.h>

#define ADVICE "; scripts/update-docs writes it anew"

static char *read_file(const char *path)
{
  char *text = NULL;
  g_autoptr(GError) error = NULL;
  ck_assert_msg(g_file_get_contents(path, &text, NULL, &error), "%s", error->message);
  return text;
}

START_TEST(shipped_configuration_is_the_template)
{
  g_autofree char *shipped = read_file("conf/synclogd.ini");
  g_autofree char *template = config_template();
  ck_assert_msg(strcmp(shipped, template) == 0, "conf/synclogd.ini differs" ADVICE);
}
END_TEST

START_TEST(readme_has_the_reference)
{
  static const char begin[] = "<!-- config:begin -->\n", end[] = "<!-- config:end -->";
  g_autofree char *readme = read_file("README.md");
  char *from = strstr(readme, begin);
  ck_assert_msg(from != NULL, "README.md has no %s", begin);
  from += strlen(begin);
  char *to = strstr(from, end);
  ck_assert_msg(to != NULL, "README.md has no %s", end);
  *to = '\0';
  g_autofree char *reference = config_markdown();
  ck_assert_msg(strcmp(from, reference) == 0, "the reference in README.md differs" ADVICE);
}
END_TEST

/* Every file of conf/docker is one that the daemon takes, and all agree on the cluster. */
START_TEST(docker_configurations_fit_together)
{
  guint64 seen = 0;
  for (guint id = 1; id <= 4; id++) {
    g_autofree char *path = g_strdup_printf("conf/docker/n%u.ini", id);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_load(path, &error);
    ck_assert_msg(config != NULL, "%s", error == NULL ? path : error->message);
    ck_assert_uint_eq(config->node_id, id);
    /* The fourth one learns of the others from the first. */
    gboolean joins = config->join == CONFIG_JOIN_YES;
    ck_assert_int_eq(joins, id == 4);
    ck_assert_uint_eq(config->peers->len, joins ? 1 : 2);
    for (guint i = 0; i < config->peers->len; i++) {
      const ConfigPeer *peer = &g_array_index(config->peers, ConfigPeer, i);
      g_autofree char *address = g_strdup_printf("n%u:7671", peer->node_id);
      ck_assert_str_eq(peer->address, address);
      seen |= 1u << peer->node_id;
    }
  }
  ck_assert_uint_eq(seen, 0xe);
}
END_TEST

int main(void)
{
  const TTest *const tests[] = {shipped_configuration_is_the_template, readme_has_the_reference,
                                docker_configurations_fit_together};
  return RUN_SUITE("docs", tests);
}
