//! Workers run by the engine alone: a fake environment, one thread, no HTTP.
//!
//! Each case is a worker's source and what it answers. What needs the real edge, stores or network stands in the
//! end-to-end specs.

#[global_allocator]
static ALLOCATOR: atoll_js::CountingAllocator = atoll_js::CountingAllocator;

mod apis;
mod clock;
mod code;
mod driver;
mod failures;
mod image;
mod limits;
mod modules;
mod names;
mod native;
mod node;
mod ready;
mod reference;
mod streams;
mod wasm;
