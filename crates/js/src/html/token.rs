//! The token that a handler sees: an element, an end tag, text, a comment, the doctype, the end, or where streamed content
//! goes. It stands on the parser's stack, which waits; so it is reached through a pointer, valid until the parser goes on.

use super::{Shared, Step};
use lol_html::html_content::{Comment, ContentType, EndTag, StreamingHandler, StreamingHandlerSink, TextChunk};
use std::ptr::NonNull;
use std::rc::Rc;

pub(super) use lol_html::html_content::{Doctype, DocumentEnd, Element};

/// Why an operation on a token failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Its handler has ended.
    #[error(
        "This content token is no longer valid. Content tokens are only valid during the execution of the relevant content \
         handler."
    )]
    Gone,
    /// `lol_html` refuses; its words.
    #[error("Parser error: {0}")]
    Refused(String),
}

fn refused(error: impl ToString) -> TokenError {
    TokenError::Refused(error.to_string())
}

/// Where content goes, relative to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Before,
    After,
    Prepend,
    Append,
    Replace,
    Inner,
}

/// The current token. The lifetimes are erased: whoever holds one got it from [`Shared`], where it stands only while the
/// parser waits in the very call that lent it.
#[derive(Clone, Copy)]
pub(crate) enum Token {
    Element(NonNull<Element<'static, 'static>>),
    EndTag(NonNull<EndTag<'static>>),
    Comment(NonNull<Comment<'static>>),
    Text(NonNull<TextChunk<'static>>),
    Doctype(NonNull<Doctype<'static>>),
    DocumentEnd(NonNull<DocumentEnd<'static>>),
    Sink(NonNull<StreamingHandlerSink<'static>>),
}

macro_rules! lend {
    ($name:ident, $variant:ident, $kind:ident) => {
        pub(super) fn $name(token: &mut $kind<'_>) -> Self {
            Self::$variant(NonNull::from(token).cast())
        }
    };
}

macro_rules! reach {
    ($name:ident, $variant:ident, $kind:ty) => {
        /// The token, if it is one of these.
        pub fn $name(&mut self) -> Result<&mut $kind, TokenError> {
            match self {
                // SAFETY: see the type: the parser waits with this token lent out, nothing else uses it, and the reference
                // ends with the operation, before the parser goes on.
                Self::$variant(token) => Ok(unsafe { token.as_mut() }),
                _ => Err(TokenError::Gone),
            }
        }
    };
}

impl Token {
    lend!(end_tag_of, EndTag, EndTag);
    lend!(comment, Comment, Comment);
    lend!(text, Text, TextChunk);
    lend!(doctype, Doctype, Doctype);
    lend!(document_end, DocumentEnd, DocumentEnd);
    lend!(sink, Sink, StreamingHandlerSink);

    pub(super) fn element(token: &mut Element<'_, '_>) -> Self {
        Self::Element(NonNull::from(token).cast())
    }

    reach!(as_element, Element, Element<'static, 'static>);
    reach!(as_end_tag, EndTag, EndTag<'static>);
    reach!(as_comment, Comment, Comment<'static>);
    reach!(as_text, Text, TextChunk<'static>);
    reach!(as_doctype, Doctype, Doctype<'static>);
    reach!(as_sink, Sink, StreamingHandlerSink<'static>);

    /// Puts text or HTML at a place.
    pub fn insert(&mut self, place: Place, content: &str, html: bool) -> Result<(), TokenError> {
        let kind = kind(html);
        match self {
            Self::Element(_) => {
                let element = self.as_element()?;
                match place {
                    Place::Before => element.before(content, kind),
                    Place::After => element.after(content, kind),
                    Place::Prepend => element.prepend(content, kind),
                    Place::Append => element.append(content, kind),
                    Place::Replace => element.replace(content, kind),
                    Place::Inner => element.set_inner_content(content, kind),
                }
            }
            Self::EndTag(_) => match place {
                Place::Before => self.as_end_tag()?.before(content, kind),
                Place::After => self.as_end_tag()?.after(content, kind),
                _ => return Err(TokenError::Gone),
            },
            Self::Comment(_) => match place {
                Place::Before => self.as_comment()?.before(content, kind),
                Place::After => self.as_comment()?.after(content, kind),
                Place::Replace => self.as_comment()?.replace(content, kind),
                _ => return Err(TokenError::Gone),
            },
            Self::Text(_) => match place {
                Place::Before => self.as_text()?.before(content, kind),
                Place::After => self.as_text()?.after(content, kind),
                Place::Replace => self.as_text()?.replace(content, kind),
                _ => return Err(TokenError::Gone),
            },
            // SAFETY: as in `reach`.
            Self::DocumentEnd(end) => unsafe { end.as_mut() }.append(content, kind),
            Self::Doctype(_) | Self::Sink(_) => return Err(TokenError::Gone),
        }
        Ok(())
    }

    /// Puts what stream number `stream` will give at a place.
    pub fn insert_stream(&mut self, shared: &Rc<Shared>, place: Place, stream: u32) -> Result<(), TokenError> {
        let shared = super::OnThisThread(shared.clone());
        let content: Box<dyn StreamingHandler + Send> =
            Box::new(move |sink: &mut StreamingHandlerSink<'_>| shared.write(stream, sink));
        match self {
            Self::Element(_) => {
                let element = self.as_element()?;
                match place {
                    Place::Before => element.streaming_before(content),
                    Place::After => element.streaming_after(content),
                    Place::Prepend => element.streaming_prepend(content),
                    Place::Append => element.streaming_append(content),
                    Place::Replace => element.streaming_replace(content),
                    Place::Inner => element.streaming_set_inner_content(content),
                }
            }
            Self::EndTag(_) => match place {
                Place::Before => self.as_end_tag()?.streaming_before(content),
                Place::After => self.as_end_tag()?.streaming_after(content),
                _ => return Err(TokenError::Gone),
            },
            Self::Comment(_) => match place {
                Place::Before => self.as_comment()?.streaming_before(content),
                Place::After => self.as_comment()?.streaming_after(content),
                Place::Replace => self.as_comment()?.streaming_replace(content),
                _ => return Err(TokenError::Gone),
            },
            Self::Text(_) => match place {
                Place::Before => self.as_text()?.streaming_before(content),
                Place::After => self.as_text()?.streaming_after(content),
                Place::Replace => self.as_text()?.streaming_replace(content),
                _ => return Err(TokenError::Gone),
            },
            Self::DocumentEnd(_) | Self::Doctype(_) | Self::Sink(_) => return Err(TokenError::Gone),
        }
        Ok(())
    }

    /// Streamed content: the next bytes, UTF-8, which may end within a character.
    pub fn write(&mut self, bytes: &[u8], html: bool) -> Result<(), TokenError> {
        self.as_sink()?
            .write_utf8_chunk(bytes, kind(html))
            .map_err(|_| TokenError::Refused("Invalid UTF-8".to_owned()))
    }

    /// Takes the token out of the document.
    pub fn remove(&mut self, keep_content: bool) -> Result<(), TokenError> {
        match self {
            Self::Element(_) if keep_content => self.as_element()?.remove_and_keep_content(),
            Self::Element(_) => self.as_element()?.remove(),
            Self::EndTag(_) => self.as_end_tag()?.remove(),
            Self::Comment(_) => self.as_comment()?.remove(),
            Self::Text(_) => self.as_text()?.remove(),
            Self::Doctype(_) | Self::DocumentEnd(_) | Self::Sink(_) => return Err(TokenError::Gone),
        }
        Ok(())
    }

    /// Is it taken out, or replaced?
    pub fn removed(&mut self) -> Result<bool, TokenError> {
        match self {
            Self::Element(_) => Ok(self.as_element()?.removed()),
            Self::Comment(_) => Ok(self.as_comment()?.removed()),
            Self::Text(_) => Ok(self.as_text()?.removed()),
            Self::EndTag(_) | Self::Doctype(_) | Self::DocumentEnd(_) | Self::Sink(_) => Err(TokenError::Gone),
        }
    }

    /// The element's or end tag's name, lower case.
    pub fn tag_name(&mut self) -> Result<String, TokenError> {
        match self {
            Self::EndTag(_) => Ok(self.as_end_tag()?.name()),
            _ => Ok(self.as_element()?.tag_name()),
        }
    }

    /// Gives the element (both its tags) or the end tag another name.
    pub fn set_tag_name(&mut self, name: &str) -> Result<(), TokenError> {
        match self {
            Self::EndTag(_) => {
                self.as_end_tag()?.set_name_str(name.to_owned());
                Ok(())
            }
            _ => self.as_element()?.set_tag_name(name).map_err(refused),
        }
    }

    /// Sets an attribute.
    pub fn set_attribute(&mut self, name: &str, value: &str) -> Result<(), TokenError> {
        self.as_element()?.set_attribute(name, value).map_err(refused)
    }

    /// The comment's or text's content.
    pub fn content(&mut self) -> Result<String, TokenError> {
        match self {
            Self::Text(_) => Ok(self.as_text()?.as_str().to_owned()),
            _ => Ok(self.as_comment()?.text()),
        }
    }

    /// Sets the comment's content.
    pub fn set_comment(&mut self, text: &str) -> Result<(), TokenError> {
        self.as_comment()?.set_text(text).map_err(refused)
    }

    /// Has `handler` called at the element's end tag, in the place of one that was set before.
    pub fn on_end_tag(&mut self, shared: &Rc<Shared>, handler: u32) -> Result<(), TokenError> {
        let element = self.as_element()?;
        let Some(handlers) = element.end_tag_handlers() else {
            return Err(refused("No end tag."));
        };
        handlers.clear();
        let shared = shared.clone();
        element
            .on_end_tag(Box::new(move |end: &mut EndTag<'_>| {
                shared.call(Step::Handler(handler), Token::end_tag_of(end))
            }))
            .map_err(refused)
    }
}

fn kind(html: bool) -> ContentType {
    if html { ContentType::Html } else { ContentType::Text }
}
