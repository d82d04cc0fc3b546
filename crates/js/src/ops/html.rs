//! HTMLRewriter's operations. `js/41_html.js` drives them: it feeds the document, calls the handlers that a step asks for
//! and takes the output.

use crate::html::{Entry, Failed, Handlers, Place, Rewriter, Step, Token, TokenError};
use crate::ops::isolate;
use atoll_model::CompatDate;
use deno_core::convert::{OptionNull, Uint8Array};
use deno_core::{GarbageCollected, OpState, op2, v8};
use deno_error::JsErrorBox;
use encoding_rs::Encoding;
use lol_html::{AsciiCompatibleEncoding, Selector};
use std::cell::RefCell;

/// From this date `<esi:include>` has no content (the platform's flag `html_rewriter_treats_esi_include_as_void_tag`).
const ESI_VOID_SINCE: CompatDate = CompatDate::new(2024, 4, 29);

/// What a step says when it wants no handler; `js/41_html.js` has the same numbers.
const INPUT: i32 = -1;
const DONE: i32 = -2;
/// Stream number n is this minus n.
const STREAM: i32 = -3;

/// A document that is being rewritten, owned by the garbage collector.
pub(crate) struct Document {
    rewriter: RefCell<Rewriter>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Document {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Document"
    }
}

fn parser_error(message: impl std::fmt::Display) -> JsErrorBox {
    JsErrorBox::type_error(format!("Parser error: {message}"))
}

fn token_error(error: TokenError) -> JsErrorBox {
    JsErrorBox::type_error(error.to_string())
}

fn selector(text: &str) -> Result<Selector, JsErrorBox> {
    text.parse().map_err(parser_error)
}

/// Throws if the selector is none.
#[op2(fast)]
pub(crate) fn op_html_check_selector(#[string] text: String) -> Result<(), JsErrorBox> {
    selector(&text).map(drop)
}

/// A document in the encoding of that label. Entry i has `selectors[i]`, the empty one standing for the document, and the
/// handlers whose bits are set in `handlers[i]`.
#[op2]
#[cppgc]
pub(crate) fn op_html_new(
    state: &OpState,
    #[string] label: String,
    #[scoped] selectors: Vec<String>,
    #[scoped] handlers: Vec<u32>,
) -> Result<Document, JsErrorBox> {
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| parser_error("Unknown character encoding has been provided."))?;
    let encoding =
        AsciiCompatibleEncoding::new(encoding).ok_or_else(|| parser_error("Expected ASCII-compatible encoding."))?;
    let entry = |(text, handlers): (String, u32)| -> Result<Entry, JsErrorBox> {
        let selector = if text.is_empty() { None } else { Some(selector(&text)?) };
        Ok((selector, Handlers(handlers)))
    };
    let entries = selectors
        .into_iter()
        .zip(handlers)
        .map(entry)
        .collect::<Result<_, _>>()?;
    let esi = isolate(state).version.compat_date >= ESI_VOID_SINCE;
    let rewriter = Rewriter::new(entries, encoding, esi).map_err(parser_error)?;
    Ok(Document {
        rewriter: RefCell::new(rewriter),
    })
}

fn step(result: Result<Step, Failed>) -> Result<i32, JsErrorBox> {
    // Numbers of handlers and streams are far below 2^31: each took memory.
    Ok(match result.map_err(parser_error)? {
        Step::Input => INPUT,
        Step::Done => DONE,
        Step::Handler(handler) => handler as i32,
        Step::Stream(stream) => STREAM - stream as i32,
    })
}

/// Feeds a piece. Returns the step.
#[op2(fast)]
#[smi]
pub(crate) fn op_html_write(#[cppgc] document: &Document, #[buffer] piece: &[u8]) -> Result<i32, JsErrorBox> {
    step(document.rewriter.borrow_mut().write(piece))
}

/// The document ends. Returns the step.
#[op2(fast)]
#[smi]
pub(crate) fn op_html_end(#[cppgc] document: &Document) -> Result<i32, JsErrorBox> {
    step(document.rewriter.borrow_mut().end())
}

/// Goes on after a handler. Returns the step.
#[op2(fast)]
#[smi]
pub(crate) fn op_html_resume(#[cppgc] document: &Document) -> Result<i32, JsErrorBox> {
    step(document.rewriter.borrow_mut().resume())
}

/// Gives the document up.
#[op2(fast)]
pub(crate) fn op_html_stop(#[cppgc] document: &Document) {
    document.rewriter.borrow_mut().stop();
}

/// What was written since the last call, or null.
#[op2]
pub(crate) fn op_html_output(#[cppgc] document: &Document) -> Option<Uint8Array> {
    let output = document.rewriter.borrow().take_output();
    (!output.is_empty()).then(|| output.into())
}

fn with<T>(document: &Document, operation: impl FnOnce(&mut Token) -> Result<T, TokenError>) -> Result<T, JsErrorBox> {
    let rewriter = document.rewriter.borrow();
    rewriter.token(|token, _| operation(token)).map_err(token_error)
}

fn place(number: u8) -> Place {
    match number {
        0 => Place::Before,
        1 => Place::After,
        2 => Place::Prepend,
        3 => Place::Append,
        4 => Place::Replace,
        _ => Place::Inner,
    }
}

/// The element's or end tag's name.
#[op2]
#[string]
pub(crate) fn op_html_tag_name(#[cppgc] document: &Document) -> Result<String, JsErrorBox> {
    with(document, Token::tag_name)
}

/// Renames the element or end tag.
#[op2(fast)]
pub(crate) fn op_html_set_tag_name(#[cppgc] document: &Document, #[string] name: String) -> Result<(), JsErrorBox> {
    with(document, |token| token.set_tag_name(&name))
}

/// The element's namespace.
#[op2]
#[string]
pub(crate) fn op_html_namespace(#[cppgc] document: &Document) -> Result<String, JsErrorBox> {
    with(document, |token| Ok(token.as_element()?.namespace_uri().to_owned()))
}

/// The element's attributes: name, value, name, value ...
#[op2]
#[serde]
pub(crate) fn op_html_attributes(#[cppgc] document: &Document) -> Result<Vec<String>, JsErrorBox> {
    with(document, |token| {
        let attributes = token.as_element()?.attributes();
        Ok(attributes
            .iter()
            .flat_map(|attribute| [attribute.name(), attribute.value()])
            .collect())
    })
}

/// An attribute's value, or null.
#[op2]
pub(crate) fn op_html_attribute(
    #[cppgc] document: &Document,
    #[string] name: String,
) -> Result<OptionNull<String>, JsErrorBox> {
    with(document, |token| Ok(token.as_element()?.get_attribute(&name).into()))
}

/// Is there such an attribute?
#[op2(fast)]
pub(crate) fn op_html_has_attribute(#[cppgc] document: &Document, #[string] name: String) -> Result<bool, JsErrorBox> {
    with(document, |token| Ok(token.as_element()?.has_attribute(&name)))
}

/// Sets an attribute.
#[op2(fast)]
pub(crate) fn op_html_set_attribute(
    #[cppgc] document: &Document,
    #[string] name: String,
    #[string] value: String,
) -> Result<(), JsErrorBox> {
    with(document, |token| token.set_attribute(&name, &value))
}

/// Takes an attribute away.
#[op2(fast)]
pub(crate) fn op_html_remove_attribute(#[cppgc] document: &Document, #[string] name: String) -> Result<(), JsErrorBox> {
    with(document, |token| {
        token.as_element()?.remove_attribute(&name);
        Ok(())
    })
}

/// Puts text or HTML beside, into or in the place of the token.
#[op2(fast)]
pub(crate) fn op_html_insert(
    #[cppgc] document: &Document,
    #[smi] at: u8,
    #[string] content: String,
    html: bool,
) -> Result<(), JsErrorBox> {
    with(document, |token| token.insert(place(at), &content, html))
}

/// Likewise, what stream number `stream` will give when its turn comes.
#[op2(fast)]
pub(crate) fn op_html_insert_stream(
    #[cppgc] document: &Document,
    #[smi] at: u8,
    #[smi] stream: u32,
) -> Result<(), JsErrorBox> {
    let rewriter = document.rewriter.borrow();
    rewriter
        .token(|token, shared| token.insert_stream(shared, place(at), stream))
        .map_err(token_error)
}

/// The next bytes of the stream whose turn it is.
#[op2(fast)]
pub(crate) fn op_html_stream_write(
    #[cppgc] document: &Document,
    #[buffer] bytes: &[u8],
    html: bool,
) -> Result<(), JsErrorBox> {
    with(document, |token| token.write(bytes, html))
}

/// Removes the token, for an element with or without what is in it.
#[op2(fast)]
pub(crate) fn op_html_remove(#[cppgc] document: &Document, keep_content: bool) -> Result<(), JsErrorBox> {
    with(document, |token| token.remove(keep_content))
}

/// Was it removed or replaced?
#[op2(fast)]
pub(crate) fn op_html_removed(#[cppgc] document: &Document) -> Result<bool, JsErrorBox> {
    with(document, Token::removed)
}

/// The text of a comment or text chunk.
#[op2]
#[string]
pub(crate) fn op_html_content(#[cppgc] document: &Document) -> Result<String, JsErrorBox> {
    with(document, Token::content)
}

/// Sets a comment's text.
#[op2(fast)]
pub(crate) fn op_html_set_comment(#[cppgc] document: &Document, #[string] text: String) -> Result<(), JsErrorBox> {
    with(document, |token| token.set_comment(&text))
}

/// Is this text chunk the last of its text?
#[op2(fast)]
pub(crate) fn op_html_last_in_text_node(#[cppgc] document: &Document) -> Result<bool, JsErrorBox> {
    with(document, |token| Ok(token.as_text()?.last_in_text_node()))
}

/// The doctype's name, public and system identifier.
#[op2]
#[serde]
pub(crate) fn op_html_doctype(#[cppgc] document: &Document) -> Result<Vec<Option<String>>, JsErrorBox> {
    with(document, |token| {
        let doctype = token.as_doctype()?;
        Ok(vec![doctype.name(), doctype.public_id(), doctype.system_id()])
    })
}

/// Asks for handler number `handler` at the element's end tag.
#[op2(fast)]
pub(crate) fn op_html_on_end_tag(#[cppgc] document: &Document, #[smi] handler: u32) -> Result<(), JsErrorBox> {
    let rewriter = document.rewriter.borrow();
    rewriter
        .token(|token, shared| token.on_end_tag(shared, handler))
        .map_err(token_error)
}
