//! The error page a developer's browser shows: one self-contained document, no script, nothing loaded, everything
//! escaped.

use atoll_model::RequestId;
use atoll_worker::{JsException, StackFrame};
use http::StatusCode;
use std::fmt::Write;

pub(crate) struct Page<'a> {
    pub(crate) status: StatusCode,
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
    pub(crate) exception: Option<&'a JsException>,
    /// Preformatted text instead of a stack.
    pub(crate) detail: Option<&'a str>,
    pub(crate) note: Option<&'a str>,
    pub(crate) request_id: Option<RequestId>,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b2733;--dim:#5d6b78;--paper:#f6f8f9;--card:#fff;--line:#dde4e8;--coral:#d6453d;\
--lagoon:#0b7a83}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf1;--dim:#93a3af;--paper:#0f1a21;--card:#16252e;--line:#26394544;\
--coral:#ff7a6e;--lagoon:#5fd0d3}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);\
font:16px/1.55 system-ui,-apple-system,\"Segoe UI\",sans-serif}\
main{max-width:60rem;margin:0 auto;padding:clamp(1.5rem,6vw,5rem) 1.25rem}\
.kind{color:var(--coral);font-weight:600;margin:0 0 .5rem}\
h1{font-size:clamp(1.4rem,3.4vw,2.1rem);line-height:1.25;margin:0 0 1.5rem;overflow-wrap:anywhere;white-space:pre-wrap;\
font-weight:650}\
code,pre,.frames{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.875rem}\
.frames,pre{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:0 0 1.5rem}\
.frames{list-style:none;padding:.4rem 0;counter-reset:f}.frames li{padding:.45rem 1.1rem;border-left:3px solid transparent;\
overflow-wrap:anywhere}.frames li.top{border-left-color:var(--coral)}\
.fn{font-weight:600}.at{color:var(--lagoon)}.dim,.dim .at{color:var(--dim);font-weight:400}\
pre{padding:1rem 1.1rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}\
details{margin:0 0 1.5rem}summary{cursor:pointer;color:var(--dim);margin-bottom:.6rem}\
.note{border-left:3px solid var(--lagoon);padding:.2rem 0 .2rem 1rem}footer{color:var(--dim);font-size:.875rem}";

pub(crate) fn render(page: &Page<'_>) -> String {
    let mut html = String::with_capacity(6 * 1024);
    let named = page.exception.filter(|exception| !exception.name.is_empty());
    let (kind, headline) = match named {
        Some(exception) if !exception.message.is_empty() => (exception.name.as_str(), exception.message.as_str()),
        _ if page.message.is_empty() => ("", page.title),
        _ => (page.title, page.message),
    };
    html.push_str(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\"><title>",
    );
    escape(&mut html, if kind.is_empty() { headline } else { kind });
    html.push_str("</title><style>");
    html.push_str(STYLE);
    html.push_str("</style></head><body><main>");
    if !kind.is_empty() {
        html.push_str("<p class=\"kind\">");
        escape(&mut html, kind);
        html.push_str("</p>");
    }
    html.push_str("<h1>");
    escape(&mut html, headline);
    html.push_str("</h1>");
    if let Some(exception) = page.exception {
        frames(&mut html, &exception.frames);
        if !exception.stack.is_empty() {
            // With frames shown the text is for copying; without them it is all there is.
            let open = if exception.frames.is_empty() { " open" } else { "" };
            let _ = write!(html, "<details{open}><summary>Stack as text</summary><pre>");
            escape(&mut html, &exception.stack);
            html.push_str("</pre></details>");
        }
    }
    if let Some(detail) = page.detail.filter(|detail| !detail.is_empty()) {
        html.push_str("<pre>");
        escape(&mut html, detail);
        html.push_str("</pre>");
    }
    if let Some(note) = page.note {
        html.push_str("<p class=\"note\">");
        escape(&mut html, note);
        html.push_str("</p>");
    }
    html.push_str("<footer>");
    if named.is_some() {
        escape(&mut html, page.title);
        html.push_str(" · ");
    }
    let _ = write!(html, "HTTP {}", page.status.as_u16());
    if let Some(id) = page.request_id {
        let _ = write!(html, " · request <code>{id}</code>");
    }
    html.push_str("</footer></main></body></html>\n");
    html
}

fn frames(html: &mut String, frames: &[StackFrame]) {
    if frames.is_empty() {
        return;
    }
    // The first frame of the developer's own sources is what they look for.
    let own = |frame: &StackFrame| !frame.file.is_empty() && !frame.file.contains("node_modules/") && frame.line > 0;
    let top = frames.iter().position(own);
    html.push_str("<ol class=\"frames\">");
    for (index, frame) in frames.iter().enumerate() {
        let class = match top {
            Some(top) if top == index => " class=\"top\"",
            _ if own(frame) => "",
            _ => " class=\"dim\"",
        };
        let _ = write!(html, "<li{class}><span class=\"fn\">");
        escape(
            html,
            if frame.function.is_empty() {
                "(top level)"
            } else {
                &frame.function
            },
        );
        html.push_str("</span> <span class=\"at\">");
        escape(html, &frame.file);
        if frame.line > 0 {
            let _ = write!(html, ":{}", frame.line);
            if frame.column > 0 {
                let _ = write!(html, ":{}", frame.column);
            }
        }
        html.push_str("</span></li>");
    }
    html.push_str("</ol>");
}

/// Text in HTML, attribute values included. Control characters that no document may hold become U+FFFD.
fn escape(html: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(char),
            char if char.is_control() => html.push('\u{fffd}'),
            char => html.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_says_cannot_become_markup() {
        let check = |text: &str, expected: &str| {
            let mut html = String::new();
            escape(&mut html, text);
            assert_eq!(html, expected);
        };
        check("<script>", "&lt;script&gt;");
        check("a&b", "a&amp;b");
        check("\"'", "&quot;&#39;");
        check("a\n\tb\u{1b}[31m\0", "a\n\tb\u{fffd}[31m\u{fffd}");
        let hostile = "</title></pre><img src=x onerror=alert(1)>";
        let exception = JsException {
            name: hostile.into(),
            message: hostile.into(),
            stack: hostile.into(),
            frames: vec![StackFrame {
                function: hostile.into(),
                file: hostile.into(),
                line: 1,
                column: 2,
            }],
        };
        let html = render(&Page {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            title: hostile,
            message: hostile,
            exception: Some(&exception),
            detail: Some(hostile),
            note: Some(hostile),
            request_id: Some(RequestId(1)),
        });
        assert!(!html.contains("<img"), "{html}");
        assert_eq!(html.matches("</title>").count(), 1);
        for outside in ["src=\"", "href=", "<script", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
