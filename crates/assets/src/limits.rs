//! The limits of static assets, as the Workers platform has them.

/// Files of one worker's assets.
pub const FILES_MAX: usize = 100_000;
/// Bytes of one file: 25 MiB.
pub const FILE_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Rules of `_redirects` without `*` or placeholders that stand before the first rule with one.
pub const STATIC_REDIRECTS_MAX: usize = 2000;
/// Rules of `_redirects` with `*` or placeholders, and all rules after the first such.
pub const DYNAMIC_REDIRECTS_MAX: usize = 100;
/// Rules (paths) of `_headers`.
pub const HEADER_RULES_MAX: usize = 100;
/// Characters of a line of `_redirects` or `_headers`; a longer line is ignored with a warning.
pub const LINE_CHARS_MAX: usize = 2000;
/// Bytes of `_redirects`, `_headers` or `.assetsignore`. Above what the other limits of a full file allow.
pub const RULE_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Patterns of `run_worker_first`.
pub const WORKER_FIRST_PATTERNS_MAX: usize = 100;
/// Characters of one pattern of `run_worker_first`, `!` included.
pub const WORKER_FIRST_PATTERN_CHARS_MAX: usize = 100;
/// Lines of `.assetsignore` that count; more are ignored with a warning.
pub const IGNORE_PATTERNS_MAX: usize = 2000;
