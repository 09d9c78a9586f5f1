/* HTML pages; see page.h. */
#include "ar_error.h"
#include "page.h"
#include <stdarg.h>
#include <stdio.h>

void ar__page_put(ar__page *p, const char *format, ...) {
    char text[1024];
    va_list args;
    if (p->status != AR_OK) return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = ar_writer_write(p->w, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void ar__page_text(ar__page *p, const char *text) {
    for (; *text; text++) {
        const char *name = *text == '<'   ? "&lt;"
                           : *text == '>' ? "&gt;"
                           : *text == '&' ? "&amp;"
                           : *text == '"' ? "&quot;"
                                          : NULL;
        if (name)
            ar__page_put(p, "%s", name);
        else
            ar__page_put(p, "%c", *text);
    }
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;"
    "background:#fff}h1{overflow-wrap:anywhere;line-height:1.2;margin-bottom:0}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid "
    "#d5dae0;text-align:right;vertical-align:top}th:first-child,td:first-child{text-align:left}"
    ".lines td{text-align:left;overflow-wrap:anywhere}.lines td:first-child{min-width:7rem;color:#5a6470}"
    ".blocks{font-variant-numeric:tabular-nums;margin:0}.blocks "
    "td{white-space:nowrap}.scroll{overflow-x:auto}.note,.by{color:#5a6470}.by{margin:0}"
    ".verdict{font-size:1.1rem}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:1rem}"
    "figure{margin:0}svg{width:100%;display:block}"
    "circle{fill:#0b62c4;fill-opacity:.55}.frame{fill:#f5f7f9;stroke:#c9d0d8}polyline{fill:none;stroke:#"
    "0b62c4;stroke-width:1.5}"
    "@media(max-width:600px){.wide{display:none}body{margin:1rem auto}td,th{padding:.25rem .4rem}"
    ".blocks{font-size:13px;width:100%}}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14171a}.frame{fill:#1d2226;stroke:#"
    "3a424a}polyline{stroke:#6bb1ff}td,th{border-color:#333a41}"
    ".note,.by,.lines td:first-child{color:#9aa5b1}}";

void ar__page_begin(ar__page *p, const char *title, const char *subtitle) {
    ar__page_put(p, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                    "content=\"width=device-width,initial-scale=1\"><title>");
    ar__page_text(p, title);
    ar__page_put(p, "</title><style>");
    p->status = p->status == AR_OK ? ar_writer_write(p->w, style, sizeof style - 1) : p->status;
    ar__page_put(p, "</style></head><body><h1>");
    ar__page_text(p, title);
    ar__page_put(p, "</h1>\n<p class=\"by\">");
    ar__page_text(p, subtitle);
    ar__page_put(p, "</p>\n");
}
