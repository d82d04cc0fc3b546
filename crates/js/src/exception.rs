//! From V8's exceptions to the waist's: names, messages, and stacks in the developer's own files.

use atoll_worker::fault::Frame;
use atoll_worker::{BindingError, BindingErrorKind, JsException};
use deno_core::error::{CoreError, CoreErrorKind, JsError, JsStackFrame};
use deno_error::JsErrorBox;
use std::fmt::Write;

/// The scheme under which a worker's modules are known to V8; taken off again wherever a name is shown.
pub(crate) const MODULE_URL_PREFIX: &str = "file:///";

/// How many causes of causes are shown.
const CAUSES_MAX: usize = 8;

/// The exception as the developer should see it.
pub(crate) fn from_js_error(error: &JsError) -> JsException {
    let name = error.name.clone().unwrap_or_default();
    let message = match &error.message {
        Some(message) => message.clone(),
        // A thrown value that is no error: V8's text is "Uncaught <value>".
        None => error
            .exception_message
            .strip_prefix("Uncaught ")
            .unwrap_or(&error.exception_message)
            .to_owned(),
    };
    let frames: Vec<Frame> = error.frames.iter().filter_map(frame).collect();
    let mut exception = JsException {
        name,
        message,
        stack: String::new(),
        frames,
    };
    exception.stack = stack(error, &exception, 0);
    exception
}

/// The exception behind an engine error, where there is one.
pub(crate) fn from_core_error(error: &CoreError) -> JsException {
    from_kind(error.as_kind())
}

fn from_kind(error: &CoreErrorKind) -> JsException {
    match error {
        CoreErrorKind::Js(error) => from_js_error(error),
        CoreErrorKind::CouldNotExecute { error, .. } => from_kind(error),
        _ => {
            let message = error.to_string();
            let message = message.replace(MODULE_URL_PREFIX, "");
            JsException {
                name: "Error".to_owned(),
                stack: format!("Error: {message}"),
                message,
                frames: Vec::new(),
            }
        }
    }
}

fn frame(frame: &JsStackFrame) -> Option<Frame> {
    let file = frame.file_name.as_deref().or(frame.eval_origin.as_deref())?;
    if file.starts_with("ext:") || file.starts_with("[") {
        return None;
    }
    let function = match (&frame.type_name, &frame.function_name) {
        (Some(kind), Some(function)) if !frame.is_top_level.unwrap_or(true) && !function.starts_with(kind.as_str()) => {
            format!("{kind}.{function}")
        }
        (_, Some(function)) => function.clone(),
        _ => String::new(),
    };
    let mut name = String::new();
    if frame.is_async {
        name.push_str("async ");
    }
    if frame.is_constructor {
        name.push_str("new ");
    }
    name.push_str(&function);
    Some(Frame {
        function: name,
        file: file.strip_prefix(MODULE_URL_PREFIX).unwrap_or(file).to_owned(),
        line: frame.line_number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        column: frame.column_number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    })
}

/// The text of a stack: the first line, then a line for each frame.
pub(crate) fn format_stack(exception: &JsException) -> String {
    let mut text = match (exception.name.is_empty(), exception.message.is_empty()) {
        (true, _) => format!("Uncaught {}", exception.message),
        (false, true) => exception.name.clone(),
        (false, false) => format!("{}: {}", exception.name, exception.message),
    };
    for frame in &exception.frames {
        let Frame {
            function,
            file,
            line,
            column,
        } = frame;
        // Writing to a String cannot fail.
        let _ = if function.is_empty() {
            write!(text, "\n    at {file}:{line}:{column}")
        } else {
            write!(text, "\n    at {function} ({file}:{line}:{column})")
        };
    }
    text
}

fn stack(error: &JsError, exception: &JsException, depth: usize) -> String {
    let mut text = format_stack(exception);
    if let Some(cause) = &error.cause
        && depth < CAUSES_MAX
    {
        let exception = JsException {
            name: cause.name.clone().unwrap_or_default(),
            message: cause.message.clone().unwrap_or_else(|| cause.exception_message.clone()),
            stack: String::new(),
            frames: cause.frames.iter().filter_map(frame).collect(),
        };
        let _ = write!(text, "\n  [cause]: {}", self::stack(cause, &exception, depth + 1));
    }
    text
}

/// A binding's failure as JavaScript sees it.
pub(crate) fn binding_error(error: BindingError) -> JsErrorBox {
    match error.kind {
        BindingErrorKind::InvalidArgument => JsErrorBox::type_error(error.message),
        BindingErrorKind::Rejected | BindingErrorKind::Unavailable | BindingErrorKind::Network(_) => {
            JsErrorBox::generic(error.message)
        }
        BindingErrorKind::Canceled => JsErrorBox::new("DOMExceptionAbortError", error.message),
    }
}
