//! Faults in the words of the terminal and the error page.

use atoll_cli::target::Failure;
use atoll_host::DeployError;
use atoll_worker::{Fault, FaultKind};

/// A version that did not start.
pub(crate) fn of_deploy(error: &DeployError) -> Failure {
    match error {
        DeployError::Start(fault) => of_fault(fault),
        DeployError::Binding { .. }
        | DeployError::Limit { .. }
        | DeployError::NoEntrypoint { .. }
        | DeployError::Superseded { .. } => Failure {
            title: "The worker was not started".to_owned(),
            detail: error.to_string(),
            fatal: false,
        },
    }
}

/// An event or start that got no outcome.
pub(crate) fn of_fault(fault: &Fault) -> Failure {
    let title = match fault.kind {
        FaultKind::Startup => "The worker did not start",
        FaultKind::Exception => "The worker threw an exception",
        FaultKind::NoHandler => "The worker has no handler for this event",
        FaultKind::ExceededCpu => "The worker exceeded its CPU limit",
        FaultKind::ExceededMemory => "The worker exceeded its memory limit",
        FaultKind::ExceededWall => "The worker exceeded its time limit",
        FaultKind::BadResponse | FaultKind::NeverSettles => "The worker gave no response",
        FaultKind::Overloaded | FaultKind::TooDeep | FaultKind::Draining | FaultKind::Canceled => {
            "The event was not run"
        }
        FaultKind::NotFound => "There is no such worker",
        FaultKind::Crashed => "The worker's process ended",
        FaultKind::Internal => "Atoll failed",
    };
    let stack = fault.exception.as_ref().map(|exception| exception.stack.as_str());
    let detail = match stack.filter(|stack| !stack.is_empty()) {
        // The stack begins with the exception; the message may say more than that.
        Some(stack) if stack.starts_with(&fault.message) => stack.to_owned(),
        Some(stack) => format!("{}\n{stack}", fault.message),
        None => fault.message.clone(),
    };
    Failure {
        title: title.to_owned(),
        detail,
        fatal: false,
    }
}

/// The line that tells a fault without an exception; nothing for those that are nobody's mistake.
pub(crate) fn told(fault: &Fault) -> Option<(&'static str, String)> {
    match fault.kind {
        FaultKind::Canceled | FaultKind::Draining => None,
        FaultKind::Overloaded => Some(("warn", fault.message.clone())),
        _ => Some(("error", fault.message.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_worker::JsException;

    #[test]
    fn a_failure_says_everything_once() {
        let check = |message: &str, stack: &str, expected: &str| {
            let exception = JsException {
                stack: stack.into(),
                ..JsException::default()
            };
            let fault = Fault {
                message: message.into(),
                ..Fault::exception(FaultKind::Startup, exception)
            };
            assert_eq!(of_fault(&fault).detail, expected);
        };
        check("Error: no", "Error: no\n    at a.ts:1:2", "Error: no\n    at a.ts:1:2");
        check(
            "cannot load",
            "Error: no\n    at a.ts:1:2",
            "cannot load\nError: no\n    at a.ts:1:2",
        );
        check("no such module", "", "no such module");
    }
}
