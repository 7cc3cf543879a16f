#include "http/promql.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

enum { DEEPEST = 32, MOST_MATCHERS = 64, LONGEST_REGEX = 1024 };

typedef struct Parser {
  const char *text, *at;
  guint depth;
  GError *error;
} Parser;

/* --- memory -------------------------------------------------------------------------------------
 */

static void clear_matcher(gpointer data)
{
  PromMatcher *matcher = data;
  g_free(matcher->label);
  g_free(matcher->value);
  g_clear_pointer(&matcher->regex, g_regex_unref);
}

static PromSelector *selector_new(void)
{
  PromSelector *selector = g_new0(PromSelector, 1);
  selector->matchers = g_array_new(FALSE, FALSE, sizeof(PromMatcher));
  g_array_set_clear_func(selector->matchers, clear_matcher);
  return selector;
}

void prom_selector_free(PromSelector *selector)
{
  if (selector == NULL)
    return;
  g_array_unref(selector->matchers);
  g_free(selector);
}

static PromExpr *expr_new(PromKind kind)
{
  PromExpr *expr = g_new0(PromExpr, 1);
  expr->kind = kind;
  return expr;
}

void prom_expr_free(PromExpr *expr)
{
  if (expr == NULL)
    return;
  prom_selector_free(expr->selector);
  g_strfreev(expr->labels);
  prom_expr_free(expr->left);
  prom_expr_free(expr->right);
  g_free(expr);
}

/* --- words --------------------------------------------------------------------------------------
 */

/* Keeps the first failure. */
static gboolean wrong(Parser *p, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean wrong(Parser *p, const char *format, ...)
{
  if (p->error != NULL)
    return FALSE;
  va_list args;
  va_start(args, format);
  g_autofree char *why = g_strdup_vprintf(format, args);
  va_end(args);
  guint line = 1, column = 1;
  for (const char *c = p->text; c < p->at; c++) {
    column = *c == '\n' ? 1 : column + 1;
    line += *c == '\n';
  }
  return fail(&p->error, SYNCLOG_INVALID, "%u:%u: parse error: %s", line, column, why);
}

static void skip_blank(Parser *p)
{
  for (;;) {
    p->at += strspn(p->at, " \t\r\n");
    if (*p->at != '#')
      return;
    p->at += strcspn(p->at, "\n");
  }
}

static gboolean take(Parser *p, char c)
{
  skip_blank(p);
  if (*p->at != c)
    return FALSE;
  p->at++;
  return TRUE;
}

static gboolean expect(Parser *p, char c)
{
  if (take(p, c))
    return TRUE;
  if (*p->at == '\0')
    return wrong(p, "unexpected end of input, expected \"%c\"", c);
  return wrong(p, "unexpected character, expected \"%c\"", c);
}

/* A name: [a-zA-Z_:][a-zA-Z0-9_:]*, or NULL. Transfer full. */
static char *take_name(Parser *p)
{
  skip_blank(p);
  const char *begin = p->at, *end = begin;
  if (g_ascii_isdigit(*end))
    return NULL;
  while (g_ascii_isalnum(*end) || *end == '_' || *end == ':')
    end++;
  p->at = end;
  return end > begin ? g_strndup(begin, (gsize)(end - begin)) : NULL;
}

/* Whether this word comes next; takes it then. */
static gboolean take_word(Parser *p, const char *word)
{
  const char *before = p->at;
  g_autofree char *name = take_name(p);
  if (name != NULL && g_ascii_strcasecmp(name, word) == 0)
    return TRUE;
  p->at = before;
  return FALSE;
}

/* One escape behind the backslash; FALSE when it is none that is known here. */
static gboolean put_escape(Parser *p, GString *out)
{
  static const char letters[] = "abfnrtv\\'\"", bytes[] = "\a\b\f\n\r\t\v\\'\"";
  const char *found = *p->at != '\0' ? strchr(letters, *p->at) : NULL;
  if (found == NULL)
    return wrong(p, "unknown escape sequence");
  g_string_append_c(out, bytes[found - letters]);
  p->at++;
  return TRUE;
}

/* A string in any of the three kinds of quotes; NULL with an error. */
static char *take_string(Parser *p)
{
  skip_blank(p);
  char quote = *p->at;
  if (quote == '\0' || strchr("\"'`", quote) == NULL) {
    wrong(p, "expected a string");
    return NULL;
  }
  p->at++;
  g_autoptr(GString) out = g_string_new(NULL);
  while (*p->at != quote) {
    if (*p->at == '\0' || (*p->at == '\n' && quote != '`')) {
      wrong(p, "unterminated quoted string");
      return NULL;
    }
    if (*p->at == '\\' && quote != '`') {
      p->at++;
      if (!put_escape(p, out))
        return NULL;
    } else {
      g_string_append_c(out, *p->at++);
    }
  }
  p->at++;
  return g_string_free(g_steal_pointer(&out), FALSE);
}

/* --- durations ----------------------------------------------------------------------------------
 */

static gboolean take_duration(const char **at, gint64 *out_ms)
{
  static const struct {
    const char *name;
    gint64 ms;
  } units[] = {{"ms", 1},
               {"s", 1000},
               {"m", 60000},
               {"h", 3600000},
               {"d", 86400000},
               {"w", 604800000},
               {"y", G_GINT64_CONSTANT(31536000000)}};
  gint64 total = 0;
  const char *c = *at;
  while (g_ascii_isdigit(*c)) {
    guint64 number = g_ascii_strtoull(c, (char **)&c, 10);
    gsize size = 0;
    while (g_ascii_isalpha(c[size]))
      size++;
    gint64 unit = 0, part;
    for (guint i = 0; i < G_N_ELEMENTS(units) && unit == 0; i++)
      if (strlen(units[i].name) == size && strncmp(c, units[i].name, size) == 0)
        unit = units[i].ms;
    if (unit == 0 || number > G_MAXINT64 || __builtin_mul_overflow((gint64)number, unit, &part) ||
        __builtin_add_overflow(total, part, &total))
      return FALSE;
    c += size;
    /* "1h30m" is one word; what stands behind it is another. */
  }
  if (total == 0)
    return FALSE;
  *at = c;
  *out_ms = total;
  return TRUE;
}

gboolean prom_parse_duration(const char *text, gint64 *out_ms)
{
  gint64 ms;
  if (!take_duration(&text, &ms) || *text != '\0')
    return FALSE;
  *out_ms = ms;
  return TRUE;
}

static gboolean parse_duration(Parser *p, gint64 *out_ms)
{
  skip_blank(p);
  return take_duration(&p->at, out_ms) || wrong(p, "not a valid duration");
}

/* --- selectors ----------------------------------------------------------------------------------
 */

static gboolean compile_regex(Parser *p, PromMatcher *matcher)
{
  if (strlen(matcher->value) > LONGEST_REGEX)
    return wrong(p, "a regular expression of more than %d bytes", LONGEST_REGEX);
  if (g_str_has_prefix(matcher->value, "(*"))
    return wrong(p, "a regular expression may not begin with \"(*\"");
  /* Whole by itself, so that it can't close the group around it. */
  g_autoptr(GRegex) alone = g_regex_new(matcher->value, G_REGEX_DOTALL, 0, NULL);
  if (alone == NULL)
    return wrong(p, "bad regular expression \"%s\"", matcher->value);
  /* The bounds keep an unlucky expression from trying for minutes. */
  g_autofree char *anchored =
      g_strdup_printf("(*LIMIT_MATCH=100000)(*LIMIT_DEPTH=5000)\\A(?:%s)\\z", matcher->value);
  g_autoptr(GError) error = NULL;
  matcher->regex = g_regex_new(anchored, G_REGEX_DOTALL | G_REGEX_NO_AUTO_CAPTURE, 0, &error);
  return matcher->regex != NULL || wrong(p, "bad regular expression \"%s\"", matcher->value);
}

static gboolean parse_match_kind(Parser *p, PromMatchKind *out_kind)
{
  static const char *const signs[] = {"=~", "!=", "!~", "="};
  static const PromMatchKind kinds[] = {PROM_REGEX, PROM_NOT_EQUAL, PROM_NOT_REGEX, PROM_EQUAL};
  skip_blank(p);
  for (guint i = 0; i < G_N_ELEMENTS(signs); i++)
    if (g_str_has_prefix(p->at, signs[i])) {
      p->at += strlen(signs[i]);
      *out_kind = kinds[i];
      return TRUE;
    }
  return wrong(p, "expected =, !=, =~ or !~");
}

/* label="value", or a string alone, which is a name that is no word. */
static gboolean parse_matcher(Parser *p, PromMatcher *matcher)
{
  skip_blank(p);
  if (*p->at == '"' || *p->at == '\'' || *p->at == '`') {
    matcher->label = g_strdup(PROM_NAME);
    matcher->value = take_string(p);
    return matcher->value != NULL;
  }
  matcher->label = take_name(p);
  if (matcher->label == NULL || strchr(matcher->label, ':') != NULL)
    return wrong(p, "expected the name of a label");
  if (!parse_match_kind(p, &matcher->kind))
    return FALSE;
  matcher->value = take_string(p);
  if (matcher->value == NULL)
    return FALSE;
  gboolean regex = matcher->kind == PROM_REGEX || matcher->kind == PROM_NOT_REGEX;
  return !regex || compile_regex(p, matcher);
}

static gboolean parse_matchers(Parser *p, PromSelector *selector)
{
  while (!take(p, '}')) {
    if (selector->matchers->len >= MOST_MATCHERS)
      return wrong(p, "more than %d matchers", MOST_MATCHERS);
    PromMatcher matcher = {.kind = PROM_EQUAL};
    gboolean good = parse_matcher(p, &matcher);
    g_array_append_val(selector->matchers, matcher);
    if (!good)
      return FALSE;
    if (!take(p, ','))
      return expect(p, '}');
  }
  return TRUE;
}

gboolean prom_matches(const PromMatcher *matcher, const char *value, gboolean *out_failed)
{
  if (matcher->regex == NULL)
    return (strcmp(matcher->value, value) == 0) == (matcher->kind == PROM_EQUAL);
  g_autoptr(GError) error = NULL;
  gboolean found = g_regex_match_full(matcher->regex, value, -1, 0, 0, NULL, &error);
  if (error != NULL)
    *out_failed = TRUE;
  return found == (matcher->kind == PROM_REGEX);
}

static gboolean check_selector(Parser *p, const PromSelector *selector)
{
  gboolean failed = FALSE;
  for (guint i = 0; i < selector->matchers->len; i++)
    if (!prom_matches(&g_array_index(selector->matchers, PromMatcher, i), "", &failed))
      return TRUE;
  return wrong(p, "vector selector must contain at least one non-empty matcher");
}

/* What follows a metric's name (which may be NULL), the name included in the result. */
static PromSelector *parse_selector(Parser *p, const char *name)
{
  g_autoptr(PromSelector) selector = selector_new();
  if (name != NULL) {
    PromMatcher matcher = {g_strdup(PROM_NAME), PROM_EQUAL, g_strdup(name), NULL};
    g_array_append_val(selector->matchers, matcher);
  }
  if (take(p, '{')) {
    if (!parse_matchers(p, selector))
      return NULL;
  } else if (name == NULL) {
    wrong(p, "expected a selector");
    return NULL;
  }
  return check_selector(p, selector) ? g_steal_pointer(&selector) : NULL;
}

/* --- expressions --------------------------------------------------------------------------------
 */

static PromExpr *parse_expr(Parser *p);

static gboolean parse_offset(Parser *p, gint64 *out_ms)
{
  if (!take_word(p, "offset"))
    return TRUE;
  gboolean negative = take(p, '-');
  if (!parse_duration(p, out_ms))
    return FALSE;
  *out_ms = negative ? -*out_ms : *out_ms;
  return TRUE;
}

static PromExpr *parse_select(Parser *p, const char *name)
{
  g_autoptr(PromExpr) expr = expr_new(PROM_SELECT);
  expr->selector = parse_selector(p, name);
  if (expr->selector == NULL)
    return NULL;
  skip_blank(p);
  if (*p->at == '[') {
    wrong(p, "a range stands only in a function over time, such as avg_over_time");
    return NULL;
  }
  return parse_offset(p, &expr->offset_ms) ? g_steal_pointer(&expr) : NULL;
}

static PromExpr *parse_over_time(Parser *p, PromFunction function)
{
  g_autoptr(PromExpr) expr = expr_new(PROM_OVER_TIME);
  expr->function = function;
  if (!expect(p, '('))
    return NULL;
  g_autofree char *name = take_name(p);
  expr->selector = parse_selector(p, name);
  if (expr->selector == NULL || !expect(p, '[') || !parse_duration(p, &expr->range_ms) ||
      !expect(p, ']') || !parse_offset(p, &expr->offset_ms) || !expect(p, ')'))
    return NULL;
  return g_steal_pointer(&expr);
}

/* "by (a, b)" or "without (a)", where there is one and none was yet. */
static gboolean parse_grouping(Parser *p, PromExpr *expr)
{
  gboolean by = take_word(p, "by"), without = !by && take_word(p, "without");
  if (!by && !without)
    return TRUE;
  if (expr->labels != NULL)
    return wrong(p, "a second grouping");
  g_autoptr(GPtrArray) labels = g_ptr_array_new_with_free_func(g_free);
  gboolean good = expect(p, '(');
  while (good && !take(p, ')')) {
    char *label = take_name(p);
    if (label == NULL || labels->len >= MOST_MATCHERS) {
      g_free(label);
      return wrong(p, "expected the name of a label");
    }
    g_ptr_array_add(labels, label);
    if (take(p, ','))
      continue;
    good = expect(p, ')');
    break;
  }
  g_ptr_array_add(labels, NULL);
  expr->labels = (GStrv)g_ptr_array_free(g_steal_pointer(&labels), FALSE);
  expr->without = without;
  return good;
}

static PromExpr *parse_aggregate(Parser *p, PromFunction function)
{
  g_autoptr(PromExpr) expr = expr_new(PROM_AGGREGATE);
  expr->function = function;
  if (!parse_grouping(p, expr) || !expect(p, '('))
    return NULL;
  expr->left = parse_expr(p);
  if (expr->left == NULL || !expect(p, ')') || !parse_grouping(p, expr))
    return NULL;
  if (expr->left->kind == PROM_NUMBER) {
    wrong(p, "expected an instant vector in an aggregation, got a scalar");
    return NULL;
  }
  return g_steal_pointer(&expr);
}

static PromExpr *number_expr(double number)
{
  PromExpr *expr = expr_new(PROM_NUMBER);
  expr->number = number;
  return expr;
}

static PromExpr *parse_named(Parser *p)
{
  static const char *const functions[] = {"avg", "min", "max", "sum", "count", "last", NULL};
  const char *before = p->at;
  g_autofree char *name = take_name(p);
  if (g_ascii_strcasecmp(name, "inf") == 0 || g_ascii_strcasecmp(name, "nan") == 0)
    return number_expr(g_ascii_toupper(*name) == 'I' ? INFINITY : NAN);
  skip_blank(p);
  gboolean call = *p->at == '(';
  for (guint i = 0; functions[i] != NULL; i++) {
    g_autofree char *over_time = g_strconcat(functions[i], "_over_time", NULL);
    if (call && strcmp(name, over_time) == 0)
      return parse_over_time(p, (PromFunction)i);
    const char *here = p->at;
    gboolean grouped = take_word(p, "by") || take_word(p, "without");
    p->at = here;
    if (i != PROM_LAST && (call || grouped) && g_ascii_strcasecmp(name, functions[i]) == 0)
      return parse_aggregate(p, (PromFunction)i);
  }
  if (call) {
    p->at = before;
    wrong(p, "the function \"%.64s\" is not supported here", name);
    return NULL;
  }
  return parse_select(p, name);
}

static PromExpr *parse_primary(Parser *p)
{
  skip_blank(p);
  char c = *p->at;
  if (take(p, '(')) {
    g_autoptr(PromExpr) expr = parse_expr(p);
    return expr != NULL && expect(p, ')') ? g_steal_pointer(&expr) : NULL;
  }
  if (g_ascii_isdigit(c) || (c == '.' && g_ascii_isdigit(p->at[1]))) {
    double number = g_ascii_strtod(p->at, (char **)&p->at);
    if (!g_ascii_isalnum(*p->at) && *p->at != '_')
      return number_expr(number);
    wrong(p, "bad number or duration");
    return NULL;
  }
  if (c == '{')
    return parse_select(p, NULL);
  if (g_ascii_isalpha(c) || c == '_' || c == ':')
    return parse_named(p);
  if (c == '\0')
    wrong(p, "no expression found in input");
  else
    wrong(p, "unexpected character");
  return NULL;
}

double prom_compute(char sign, double left, double right)
{
  switch (sign) {
  case '+':
    return left + right;
  case '-':
    return left - right;
  case '*':
    return left * right;
  default:
    return left / right;
  }
}

/* Takes both over. */
static PromExpr *binary_expr(Parser *p, char sign, PromExpr *left, PromExpr *right)
{
  g_autoptr(PromExpr) expr = expr_new(PROM_BINARY);
  expr->sign = sign;
  expr->left = left;
  expr->right = right;
  gboolean left_number = left->kind == PROM_NUMBER, right_number = right->kind == PROM_NUMBER;
  if (left_number && right_number)
    return number_expr(prom_compute(sign, left->number, right->number));
  if (left_number || right_number)
    return g_steal_pointer(&expr);
  wrong(p, "operators between two vectors are not supported here");
  return NULL;
}

static PromExpr *parse_unary(Parser *p)
{
  if (++p->depth > DEEPEST) {
    wrong(p, "nested deeper than %d levels", DEEPEST);
    return NULL;
  }
  gboolean negative = take(p, '-');
  gboolean signed_one = negative || take(p, '+');
  PromExpr *expr = signed_one ? parse_unary(p) : parse_primary(p);
  p->depth--;
  if (!negative || expr == NULL)
    return expr;
  return binary_expr(p, '*', number_expr(-1), expr);
}

/* A chain of operators of one rank, from the left. */
static PromExpr *parse_chain(Parser *p, const char *operators, PromExpr *(*parse_part)(Parser *))
{
  g_autoptr(PromExpr) left = parse_part(p);
  for (guint links = 0; left != NULL; links++) {
    skip_blank(p);
    char sign = *p->at;
    if (sign == '\0' || strchr(operators, sign) == NULL)
      return g_steal_pointer(&left);
    p->at++;
    if (links >= DEEPEST) {
      wrong(p, "more than %d operators in a row", DEEPEST);
      return NULL;
    }
    g_autoptr(PromExpr) right = parse_part(p);
    if (right == NULL)
      return NULL;
    left = binary_expr(p, sign, g_steal_pointer(&left), g_steal_pointer(&right));
  }
  return NULL;
}

static PromExpr *parse_product(Parser *p)
{
  return parse_chain(p, "*/", parse_unary);
}

static PromExpr *parse_expr(Parser *p)
{
  return parse_chain(p, "+-", parse_product);
}

/* --- whole texts --------------------------------------------------------------------------------
 */

static gboolean begin(Parser *p, const char *text)
{
  *p = (Parser){.text = text, .at = text};
  if (strlen(text) > PROM_QUERY_SIZE)
    return wrong(p, "a query of more than %d bytes", PROM_QUERY_SIZE);
  return g_utf8_validate(text, -1, NULL) || wrong(p, "invalid UTF-8");
}

static gboolean end(Parser *p, GError **error)
{
  skip_blank(p);
  if (p->error == NULL && *p->at != '\0')
    wrong(p, "unexpected character, or something that is not supported here");
  if (p->error == NULL)
    return TRUE;
  g_propagate_error(error, p->error);
  return FALSE;
}

PromExpr *prom_parse(const char *text, GError **error)
{
  Parser p;
  g_autoptr(PromExpr) expr = begin(&p, text) ? parse_expr(&p) : NULL;
  return end(&p, error) ? g_steal_pointer(&expr) : NULL;
}

PromSelector *prom_parse_selector(const char *text, GError **error)
{
  Parser p;
  g_autoptr(PromSelector) selector = NULL;
  if (begin(&p, text)) {
    g_autofree char *name = take_name(&p);
    selector = parse_selector(&p, name);
  }
  return end(&p, error) ? g_steal_pointer(&selector) : NULL;
}

/* --- numbers ------------------------------------------------------------------------------------
 */

static void put_zeros(GString *out, int count)
{
  for (int i = 0; i < count; i++)
    g_string_append_c(out, '0');
}

/* "1.25e-07" without its exponent. */
static void put_expanded(GString *out, const char *text)
{
  int exponent = (int)g_ascii_strtoll(strchr(text, 'e') + 1, NULL, 10);
  char digits[NUMBER_TEXT_SIZE];
  int count = 0;
  if (*text == '-')
    g_string_append_c(out, *text++);
  for (; *text != 'e'; text++)
    if (*text != '.')
      digits[count++] = *text;
  int point = exponent + 1; /* digits before it */
  if (point <= 0) {
    g_string_append(out, "0.");
    put_zeros(out, -point);
    g_string_append_len(out, digits, count);
  } else if (point >= count) {
    g_string_append_len(out, digits, count);
    put_zeros(out, point - count);
  } else {
    g_string_append_len(out, digits, point);
    g_string_append_c(out, '.');
    g_string_append_len(out, digits + point, count - point);
  }
}

void prom_put_number(GString *out, double number)
{
  char text[NUMBER_TEXT_SIZE];
  if (isnan(number)) {
    g_string_append(out, "NaN");
  } else if (isinf(number)) {
    g_string_append(out, number > 0 ? "+Inf" : "-Inf");
  } else if (strchr(double_format(number, text), 'e') != NULL) {
    put_expanded(out, text);
  } else {
    gsize size = strlen(text);
    gboolean whole = size > 2 && strcmp(text + size - 2, ".0") == 0;
    g_string_append_len(out, text, (gssize)(whole ? size - 2 : size));
  }
}
