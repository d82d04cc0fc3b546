//! The HTML rewriter behind `HTMLRewriter`: `lol_html`, stopped wherever a handler is to be called and gone on with later.
//!
//! `lol_html` calls handlers from the depth of its parser and wants them done when they return; a worker's handler may
//! await. So the parser runs on a small stack of its own (a coroutine), and a handler's call switches back to the caller
//! with the handler's number. JavaScript runs on the thread's own stack, as V8 needs it, for as long as it likes, reaches
//! the current token through [`Rewriter`], and then lets the parser go on. A switch costs some nanoseconds, so handlers
//! that do not wait pay next to nothing; no thread is made, and a rewriter that nobody drives is just memory.
//!
//! Invariants:
//! - no V8 handle and no JavaScript ever is on the parser's stack;
//! - a token is reachable only while its handler has not ended: [`Rewriter::resume`] takes it away before it switches;
//! - a rewriter that is dropped or stopped half-way unwinds its parser by making the waiting handler fail, so that
//!   everything on its stack is released; the stack goes back to the thread's spare ones.

mod stack;
mod token;

pub(crate) use token::{Place, Token, TokenError};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use lol_html::html_content::StreamingHandlerSink;
use lol_html::{
    AsciiCompatibleEncoding, DocumentContentHandlers, ElementContentHandlers, HandlerResult, HtmlRewriter,
    MemorySettings, OutputSink, Selector, Settings,
};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;

/// The most that the parser buffers of a document, bytes, as on the Workers platform: a start tag that does not end within
/// it breaks the rewriting off.
pub(crate) const MEMORY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// What the parser allocates for that at once, bytes.
const BUFFER_BYTES: usize = 1024;

/// Which handlers a selector, or the document, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handlers(pub u32);

impl Handlers {
    pub const ELEMENT: u32 = 0;
    pub const COMMENTS: u32 = 1;
    pub const TEXT: u32 = 2;
    pub const DOCTYPE: u32 = 3;
    pub const END: u32 = 4;
    /// Numbers between the handlers of one entry and those of the next.
    pub const STRIDE: u32 = 8;

    fn has(self, which: u32) -> bool {
        self.0 & (1 << which) != 0
    }
}

/// A selector (`None`: the document) and its handlers, in the order in which they were added.
pub(crate) type Entry = (Option<Selector>, Handlers);

/// Where the rewriter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has taken the input and waits for more.
    Input,
    /// A handler is to be called: its entry's index times [`Handlers::STRIDE`] plus its kind, or the number that was given
    /// for an end tag.
    Handler(u32),
    /// Content that was given as a stream is to be written now.
    Stream(u32),
    /// The document is complete.
    Done,
}

/// Why rewriting broke off, in `lol_html`'s words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub String);

#[derive(Debug)]
enum Command {
    Write(Vec<u8>),
    End,
    Continue,
    Stop,
}

type Parser = Coroutine<Command, Step, Result<(), Failed>, DefaultStack>;

/// What the parser's stack and the caller share.
pub(crate) struct Shared {
    output: RefCell<Vec<u8>>,
    /// Of the running parser; valid from its first step to its last.
    yielder: Cell<Option<NonNull<Yielder<Command, Step>>>>,
    token: Cell<Option<Token>>,
    stopped: Cell<bool>,
}

/// What a handler returns when the rewriter was stopped. Nobody sees it.
#[derive(Debug, thiserror::Error)]
#[error("the rewriter was stopped")]
struct Stopped;

impl Shared {
    /// On the parser's stack: hands `token` out, waits until the caller goes on.
    fn call(&self, step: Step, token: Token) -> HandlerResult {
        let yielder = self.yielder.get().filter(|_| !self.stopped.get()).ok_or(Stopped)?;
        self.token.set(Some(token));
        // SAFETY: handlers run only within the parser's coroutine, whose yielder lives as long as it runs.
        let command = unsafe { yielder.as_ref() }.suspend(step);
        self.token.set(None);
        match command {
            Command::Continue => Ok(()),
            Command::Write(_) | Command::End | Command::Stop => {
                self.stopped.set(true);
                Err(Stopped.into())
            }
        }
    }
}

struct Output(Rc<Shared>);

impl OutputSink for Output {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.output.borrow_mut().extend_from_slice(chunk);
    }
}

/// `lol_html` asks content streams to be `Send`, for rewriters that are; this one never leaves its thread.
struct OnThisThread(Rc<Shared>);

// SAFETY: `HtmlRewriter` with local handlers is not `Send`, and it keeps what it is given to itself: it is used and dropped
// on the thread that made it.
unsafe impl Send for OnThisThread {}

impl OnThisThread {
    fn write(&self, stream: u32, sink: &mut StreamingHandlerSink<'_>) -> HandlerResult {
        self.0.call(Step::Stream(stream), Token::sink(sink))
    }
}

/// A document on its way through.
pub(crate) struct Rewriter {
    shared: Rc<Shared>,
    /// `None` once it has ended, in whatever way.
    parser: Option<Parser>,
    /// A handler has been called and not answered.
    waits: bool,
}

impl Rewriter {
    /// A rewriter for a document in `encoding`. `esi`: `<esi:include>` has no content.
    /// Fails when the system has no memory for its stack.
    pub fn new(entries: Vec<Entry>, encoding: AsciiCompatibleEncoding, esi: bool) -> Result<Self, Failed> {
        let stack = stack::take().map_err(|error| Failed(format!("no memory for the rewriter: {error}")))?;
        let shared = Rc::new(Shared {
            output: RefCell::default(),
            yielder: Cell::new(None),
            token: Cell::new(None),
            stopped: Cell::new(false),
        });
        let inner = shared.clone();
        let parser = Coroutine::with_stack(stack, move |yielder: &Yielder<Command, Step>, first| {
            inner.yielder.set(Some(NonNull::from(yielder)));
            let run = || parse(&inner, settings(&inner, entries, encoding, esi), yielder, first);
            // A panic of the parser is the document's misfortune, not the process's.
            let result =
                catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(Failed("the parser failed".to_owned())));
            inner.yielder.set(None);
            result
        });
        Ok(Self {
            shared,
            parser: Some(parser),
            waits: false,
        })
    }

    /// Takes a piece of the document. Only when [`Step::Input`] was the last answer, or at first.
    pub fn write(&mut self, piece: &[u8]) -> Result<Step, Failed> {
        if self.waits {
            return Err(Failed("the rewriter waits for a handler".to_owned()));
        }
        self.step(Command::Write(piece.to_vec()))
    }

    /// The document ends. Only when [`Step::Input`] was the last answer, or at first.
    pub fn end(&mut self) -> Result<Step, Failed> {
        if self.waits {
            return Err(Failed("the rewriter waits for a handler".to_owned()));
        }
        self.step(Command::End)
    }

    /// Goes on after [`Step::Handler`] or [`Step::Stream`]; the token is gone.
    pub fn resume(&mut self) -> Result<Step, Failed> {
        if !self.waits {
            return Err(Failed("the rewriter waits for no handler".to_owned()));
        }
        self.step(Command::Continue)
    }

    /// What was written since the last call.
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut *self.shared.output.borrow_mut())
    }

    /// Gives everything up. What is called afterwards fails.
    pub fn stop(&mut self) {
        self.shared.token.set(None);
        self.shared.stopped.set(true);
        if let Some(mut parser) = self.parser.take() {
            if parser.started() && !parser.done() {
                // A parser between two pieces ends at once; one within a handler once that has failed. Handlers that
                // would follow fail without being asked.
                while let CoroutineResult::Yield(_) = parser.resume(Command::Stop) {}
            }
            reuse(parser);
        }
        self.waits = false;
    }

    /// The current token, for as long as `with` takes.
    pub fn token<T>(
        &self,
        with: impl FnOnce(&mut Token, &Rc<Shared>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let mut token = self.shared.token.get().ok_or(TokenError::Gone)?;
        with(&mut token, &self.shared)
    }

    fn step(&mut self, command: Command) -> Result<Step, Failed> {
        let Some(parser) = self.parser.as_mut() else {
            return Err(Failed("the rewriter has ended".to_owned()));
        };
        self.waits = false;
        match parser.resume(command) {
            CoroutineResult::Yield(step) => {
                self.waits = step != Step::Input;
                Ok(step)
            }
            CoroutineResult::Return(result) => {
                if let Some(parser) = self.parser.take() {
                    reuse(parser);
                }
                result.map(|()| Step::Done)
            }
        }
    }
}

impl Drop for Rewriter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Keeps the stack for the next rewriter. One that never started is unused.
fn reuse(parser: Parser) {
    if parser.done() {
        stack::give_back(parser.into_stack());
    }
}

/// On the parser's stack, until the document ends.
fn parse(
    shared: &Rc<Shared>,
    settings: Settings<'static, 'static>,
    yielder: &Yielder<Command, Step>,
    first: Command,
) -> Result<(), Failed> {
    let mut rewriter = HtmlRewriter::new(settings, Output(shared.clone()));
    let failed = |error: lol_html::errors::RewritingError| Failed(error.to_string());
    let mut command = first;
    loop {
        match command {
            Command::Write(piece) => rewriter.write(&piece).map_err(failed)?,
            Command::End => return rewriter.end().map_err(failed),
            Command::Continue | Command::Stop => return Err(Failed(Stopped.to_string())),
        }
        command = yielder.suspend(Step::Input);
    }
}

fn settings(
    shared: &Rc<Shared>,
    entries: Vec<Entry>,
    encoding: AsciiCompatibleEncoding,
    esi: bool,
) -> Settings<'static, 'static> {
    let memory = MemorySettings::new()
        .with_preallocated_parsing_buffer_size(BUFFER_BYTES)
        .with_max_allowed_memory_usage(MEMORY_BYTES_MAX);
    let mut settings = Settings::new()
        .with_encoding(encoding)
        .with_memory_settings(memory)
        .with_strict(true)
        .with_enable_esi_tags(esi);
    let mut base = 0;
    for (selector, handlers) in entries {
        let called = |which: u32| handlers.has(which).then(|| (shared.clone(), base + which));
        let comments = called(Handlers::COMMENTS);
        let text = called(Handlers::TEXT);
        settings = match selector {
            Some(selector) => {
                let element = called(Handlers::ELEMENT);
                settings.append_element_content_handler((
                    Cow::Owned(selector),
                    ElementContentHandlers {
                        element: element.map(|(shared, at)| {
                            Box::new(move |element: &mut token::Element<'_, '_>| {
                                shared.call(Step::Handler(at), Token::element(element))
                            }) as _
                        }),
                        comments: comments.map(comment_handler),
                        text: text.map(text_handler),
                    },
                ))
            }
            None => {
                let (doctype, end) = (called(Handlers::DOCTYPE), called(Handlers::END));
                settings.append_document_content_handler(DocumentContentHandlers {
                    doctype: doctype.map(|(shared, at)| {
                        Box::new(move |doctype: &mut token::Doctype<'_>| {
                            shared.call(Step::Handler(at), Token::doctype(doctype))
                        }) as _
                    }),
                    comments: comments.map(comment_handler),
                    text: text.map(text_handler),
                    end: end.map(|(shared, at)| {
                        Box::new(move |end: &mut token::DocumentEnd<'_>| {
                            shared.call(Step::Handler(at), Token::document_end(end))
                        }) as _
                    }),
                })
            }
        };
        base += Handlers::STRIDE;
    }
    settings
}

fn comment_handler((shared, at): (Rc<Shared>, u32)) -> lol_html::CommentHandler<'static> {
    Box::new(move |comment| shared.call(Step::Handler(at), Token::comment(comment)))
}

fn text_handler((shared, at): (Rc<Shared>, u32)) -> lol_html::TextHandler<'static> {
    Box::new(move |text| shared.call(Step::Handler(at), Token::text(text)))
}

#[cfg(test)]
mod tests;
