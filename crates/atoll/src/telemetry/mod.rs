//! What the program says about itself. `atoll dev` is silent unless asked, because its terminal belongs to the developer's
//! worker; `atoll serve` tells warnings and errors among its records.

pub(crate) mod otlp;

use crate::serve::{Journal, ProgramLayer};
use std::sync::Arc;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// The variable that says what to show (`atoll_pool=debug,warn`); `RUST_LOG` serves too.
const VARIABLE: &str = "ATOLL_LOG";

/// What a server says of itself unless told otherwise.
const SERVER_FILTER: &str = "warn";

/// Starts the log on standard error, if it is asked for. A filter that cannot be read is said so and nothing is shown.
pub(crate) fn init() {
    if let Some(filter) = asked() {
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        // Only a second start can fail, and there is none.
        let _ = log.try_init();
    }
}

/// Starts the log of a server: its own events are records of its journal.
pub(crate) fn init_server(journal: Arc<Journal>) {
    let filter = asked().unwrap_or_else(|| EnvFilter::new(SERVER_FILTER));
    let log = tracing_subscriber::registry().with(ProgramLayer(journal).with_filter(filter));
    // Only a second start can fail, and there is none.
    let _ = log.try_init();
}

/// The filter that the environment asks for, if it does and it can be read.
fn asked() -> Option<EnvFilter> {
    let (name, directives) = [VARIABLE, "RUST_LOG"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    })?;
    EnvFilter::try_new(&directives)
        .inspect_err(|error| eprintln!("atoll: {name}={directives}: {error}"))
        .ok()
}
