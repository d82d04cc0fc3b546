//! The startup snapshot: V8's heap after the extensions' scripts ran, made once per build.

use crate::extension::extensions;
use deno_core::snapshot::{CreateSnapshotOptions, create_snapshot};

/// Makes the startup snapshot. A process that made one cannot run workers: call it from a build script.
///
/// # Errors
/// The message of the script that failed; that is a defect of this crate.
pub fn create_startup_snapshot(cargo_manifest_dir: &'static str) -> Result<Box<[u8]>, String> {
    let options = CreateSnapshotOptions {
        cargo_manifest_dir,
        startup_snapshot: None,
        skip_op_registration: false,
        extensions: extensions(),
        extension_transpiler: None,
        with_runtime_cb: None,
    };
    create_snapshot(options, None)
        .map(|snapshot| snapshot.output)
        .map_err(|error| error.to_string())
}
