//! The rewriter without JavaScript: handlers are closures that are asked step by step.

use super::*;

type Handler = fn(u32, &mut Token, &Rc<Shared>) -> Result<(), TokenError>;

fn entry(selector: &str, kinds: &[u32]) -> Entry {
    let selector = (!selector.is_empty()).then(|| selector.parse().unwrap());
    (selector, Handlers(kinds.iter().fold(0, |bits, kind| bits | 1 << kind)))
}

fn utf8() -> AsciiCompatibleEncoding {
    AsciiCompatibleEncoding::utf_8()
}

/// Rewrites the pieces; `handler` is called for each step but streams, which write `<STREAM n>`.
fn rewrite(entries: Vec<Entry>, pieces: &[&str], handler: Handler) -> Result<String, Failed> {
    let mut rewriter = Rewriter::new(entries, utf8(), false)?;
    let mut output = Vec::new();
    let mut pieces = pieces.iter();
    loop {
        let mut step = match pieces.next() {
            Some(piece) => rewriter.write(piece.as_bytes())?,
            None => rewriter.end()?,
        };
        loop {
            match step {
                Step::Input => break,
                Step::Done => {
                    output.extend(rewriter.take_output());
                    return Ok(String::from_utf8(output).unwrap());
                }
                Step::Handler(number) => rewriter.token(|token, shared| handler(number, token, shared)).unwrap(),
                Step::Stream(number) => rewriter
                    .token(|token, _| token.write(format!("<STREAM {number}>").as_bytes(), true))
                    .unwrap(),
            }
            step = rewriter.resume()?;
        }
        output.extend(rewriter.take_output());
    }
}

#[test]
fn handlers_are_asked_in_the_documents_order_with_their_numbers() {
    let entries = vec![
        entry("p", &[Handlers::ELEMENT, Handlers::TEXT]),
        entry("", &[Handlers::DOCTYPE, Handlers::END]),
    ];
    let handler: Handler = |number, token, _| match number {
        0 => token.insert(Place::Prepend, "[element]", false),
        2 if token.as_text()?.last_in_text_node() => token.insert(Place::After, "[text]", false),
        2 => Ok(()),
        11 => {
            assert_eq!(token.as_doctype()?.name().as_deref(), Some("html"));
            Ok(())
        }
        12 => token.insert(Place::Append, "[end]", false),
        other => panic!("{other}"),
    };
    let found = rewrite(entries, &["<!doctype html><p>a", "b</p", ">"], handler);
    assert_eq!(found.as_deref(), Ok("<!doctype html><p>[element]ab[text]</p>[end]"));
}

#[test]
fn end_tags_and_streams_come_when_their_turn_is() {
    let entries = vec![entry("p", &[Handlers::ELEMENT])];
    let handler: Handler = |number, token, shared| match number {
        0 => {
            token.on_end_tag(shared, 76)?;
            token.on_end_tag(shared, 77)?;
            token.insert_stream(shared, Place::Append, 5)
        }
        77 => token.insert(Place::Before, "<end>", false),
        other => panic!("{other}"),
    };
    let found = rewrite(entries, &["<p>x</p>"], handler);
    assert_eq!(found.as_deref(), Ok("<p>x<STREAM 5>&lt;end&gt;</p>"));
}

#[test]
fn a_token_is_gone_with_its_handler() {
    let mut rewriter = Rewriter::new(vec![entry("p", &[Handlers::ELEMENT])], utf8(), false).unwrap();
    let gone = |rewriter: &Rewriter| rewriter.token(|token, _| token.tag_name()).unwrap_err();
    assert_eq!(gone(&rewriter), TokenError::Gone);
    assert_eq!(rewriter.write(b"<p>"), Ok(Step::Handler(0)));
    assert_eq!(rewriter.token(|token, _| token.tag_name()).as_deref(), Ok("p"));
    assert_eq!(
        rewriter.token(|token, _| token.content()),
        Err(TokenError::Gone),
        "a p is no text"
    );
    assert!(rewriter.write(b"x").is_err() && rewriter.end().is_err(), "it waits");
    assert_eq!(rewriter.resume(), Ok(Step::Input));
    assert_eq!(gone(&rewriter), TokenError::Gone);
    assert!(rewriter.resume().is_err(), "nothing waits");
    assert_eq!(rewriter.end(), Ok(Step::Done));
    assert!(rewriter.write(b"x").is_err(), "it is over");
}

/// Counts what is left of it.
struct Witness(Rc<Cell<u32>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_rewriter_that_is_given_up_releases_what_its_parser_holds() {
    let dropped = Rc::new(Cell::new(0));
    for stage in 0..4 {
        let mut rewriter = Rewriter::new(vec![entry("p", &[Handlers::ELEMENT])], utf8(), false).unwrap();
        let shared = rewriter.shared.clone();
        if stage > 0 {
            assert_eq!(rewriter.write(b"<p>x</p>"), Ok(Step::Handler(0)));
            let witness = Witness(dropped.clone());
            let hold = move |_: &mut StreamingHandlerSink<'_>| {
                let _held = &witness;
                Ok(())
            };
            let hold = OnlyHere(hold);
            let element = |token: &mut Token| {
                token
                    .as_element()?
                    .streaming_after(Box::new(move |sink: &mut StreamingHandlerSink<'_>| hold.call(sink)));
                Ok(())
            };
            rewriter.token(|token, _| element(token)).unwrap();
        }
        if stage > 1 {
            assert_eq!(rewriter.resume(), Ok(Step::Input));
        }
        if stage > 2 {
            rewriter.stop();
            assert!(rewriter.end().is_err());
        }
        drop(rewriter);
        assert_eq!(Rc::strong_count(&shared), 1, "stage {stage}");
        assert_eq!(dropped.get(), stage);
    }
}

/// What `lol_html` wants to be `Send`, on a thread that it never leaves.
struct OnlyHere<F>(F);

// SAFETY: the test has one thread.
unsafe impl<F> Send for OnlyHere<F> {}

impl<F: Fn(&mut StreamingHandlerSink<'_>) -> HandlerResult> OnlyHere<F> {
    fn call(&self, sink: &mut StreamingHandlerSink<'_>) -> HandlerResult {
        (self.0)(sink)
    }
}

#[test]
fn many_rewriters_at_once_and_one_after_the_other() {
    let mut open: Vec<Rewriter> = (0..50)
        .map(|_| Rewriter::new(vec![entry("p", &[Handlers::ELEMENT])], utf8(), false).unwrap())
        .collect();
    for rewriter in &mut open {
        assert_eq!(rewriter.write(b"<p>"), Ok(Step::Handler(0)));
    }
    for (at, mut rewriter) in open.into_iter().enumerate() {
        if at % 2 == 0 {
            assert_eq!(rewriter.resume(), Ok(Step::Input));
            assert_eq!(rewriter.end(), Ok(Step::Done));
            assert_eq!(rewriter.take_output(), b"<p>");
        }
    }
    for _ in 0..1000 {
        let found = rewrite(vec![entry("b", &[Handlers::ELEMENT])], &["<b>x</b>"], |_, token, _| {
            token.remove(true)
        });
        assert_eq!(found.as_deref(), Ok("x"));
    }
}

#[test]
fn a_tag_beyond_the_memory_limit_breaks_off() {
    let piece = "a".repeat(1024 * 1024);
    let entries = vec![entry("p", &[Handlers::ELEMENT])];
    let found = rewrite(entries, &["<p ", &piece, &piece, &piece, &piece], |_, _, _| Ok(()));
    assert_eq!(found, Err(Failed("The memory limit has been exceeded.".into())));
}

#[test]
fn deep_documents_need_no_deep_stack() {
    let deep = "<i>".repeat(5_000);
    let entries = vec![entry("b i:first-child > i", &[Handlers::TEXT])];
    let found = rewrite(entries, &[&deep, "x"], |_, _, _| Ok(()));
    assert_eq!(found.map(|text| text.len()), Ok(deep.len() + 1));
}

#[test]
fn refusals_are_told_in_the_parsers_words() {
    let mut rewriter = Rewriter::new(vec![entry("*", &[Handlers::ELEMENT])], utf8(), false).unwrap();
    assert_eq!(rewriter.write(b"<br>"), Ok(Step::Handler(0)));
    type Operation<'a> = &'a dyn Fn(&mut Token, &Rc<Shared>) -> Result<(), TokenError>;
    let refused = |operation: Operation<'_>| {
        rewriter
            .token(|token, shared| operation(token, shared))
            .unwrap_err()
            .to_string()
    };
    let forbidden = "Parser error: ` ` character is forbidden in the tag name";
    assert_eq!(refused(&|token, _| token.set_tag_name("a b")), forbidden);
    assert_eq!(
        refused(&|token, _| token.set_attribute("", "")),
        "Parser error: Attribute name can't be empty."
    );
    assert_eq!(
        refused(&|token, shared| token.on_end_tag(shared, 1)),
        "Parser error: No end tag."
    );
}
