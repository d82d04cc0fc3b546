//! The Node.js modules that a worker with `nodejs_compat` can import: their JavaScript (`js/`) and the ops beneath.
//!
//! Nothing here runs, and nothing of it is compiled, until a worker imports a module: the sources are static text, a module
//! is compiled at its first `require` in an isolate, and V8's code cache of it is shared by all isolates of the process.
//!
//! Each file of `js/` is the body of a function `(exports, require, module, internal)`. `require` knows these modules only,
//! with or without `node:`; files under `js/internal/` can be required by the others and never by a worker. A public
//! module's first lines name its exports (`// exports: a, b`): that is what `import { a } from "node:..."` finds, and a
//! test holds the list against the module. `internal` gives access to the engine, see `crates/js/js/27_node.js`.
//!
//! A module that cannot be compiled or throws is a defect of this crate and reaches the worker as that exception.

#![warn(missing_docs)]

mod compile;
mod crypto;
mod ops;
mod source;
mod zlib;

pub use source::{exports, is_public, public_modules, texts};

deno_core::extension!(
    atoll_node,
    ops = [
        compile::op_node_cache,
        compile::op_node_compile,
        ops::buffer::op_node_buffer_compare,
        ops::buffer::op_node_buffer_decode,
        ops::buffer::op_node_buffer_encode,
        ops::buffer::op_node_buffer_fill,
        ops::buffer::op_node_buffer_index_of,
        ops::buffer::op_node_buffer_is_ascii,
        ops::buffer::op_node_buffer_is_utf8,
        ops::buffer::op_node_buffer_swap,
        ops::buffer::op_node_buffer_utf8_length,
        ops::buffer::op_node_buffer_write,
        ops::domain::op_node_domain,
        zlib::op_brotli_new,
        zlib::op_zlib_close,
        zlib::op_zlib_crc32,
        zlib::op_zlib_failure,
        zlib::op_zlib_new,
        zlib::op_zlib_params,
        zlib::op_zlib_reset,
        zlib::op_zlib_write,
        zlib::op_zstd_new,
    ],
);

/// The ops. They must stand in the startup snapshot, so the extension is always there; its JavaScript is not.
pub fn extension() -> deno_core::Extension {
    atoll_node::init()
}

/// The ops of `node:crypto`, in the snapshot for the same reason.
pub fn crypto_extension() -> deno_core::Extension {
    ops::crypto::extension()
}
