//! What the program says about itself, on standard error: silent unless asked, because `atoll dev`'s terminal belongs to
//! the developer's worker.

use tracing_subscriber::EnvFilter;

/// The variable that says what to show (`atoll_pool=debug,warn`); `RUST_LOG` serves too.
const VARIABLE: &str = "ATOLL_LOG";

/// Starts the log. A filter that cannot be read is said so and nothing is shown.
pub(crate) fn init() {
    let given = [VARIABLE, "RUST_LOG"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let Some((name, directives)) = given else { return };
    match EnvFilter::try_new(&directives) {
        Ok(filter) => {
            let log = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(std::io::stderr);
            // Only a second start can fail, and there is none.
            let _ = log.try_init();
        }
        Err(error) => eprintln!("atoll: {name}={directives}: {error}"),
    }
}
