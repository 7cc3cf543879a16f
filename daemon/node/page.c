#include "node/page.h"

/* The path is that of the project's top folder, where everything is compiled. */
__asm__(".pushsection .rodata\n"
        "page_html_begin:\n"
        ".incbin \"daemon/node/page.html\"\n"
        "page_html_end:\n"
        ".balign 8\n"
        "page_html_size:\n"
        ".quad page_html_end - page_html_begin\n"
        ".popsection\n");

extern const char page_html_begin[];
extern const guint64 page_html_size;

void page_answer(gpointer ctx, HttpRequest *request)
{
  (void)ctx;
  GString *headers =
      g_string_new("Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                   "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
                   "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n");
  GString *body = g_string_new_len(page_html_begin, (gssize)page_html_size);
  http_reply(request, &(HttpAnswer){200, "text/html; charset=utf-8", body, headers});
}
