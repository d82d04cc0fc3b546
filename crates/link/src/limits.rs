//! What may be under way on a link. The parent holds the child to all of it: what a child opens or sends beyond is a
//! violation and ends the link; what it leaves unread or unanswered in the parent's memory is bounded by the sum:
//! [`CHANNELS_MAX`] times [`WINDOW_NARROW_BYTES`], [`WIDE_MAX`] times [`WINDOW_WIDE_BYTES`], and each of
//! [`WINDOWS_TOTAL_BYTES`], [`ASSEMBLY_BYTES_MAX`], [`SERVED_BYTES_MAX`], [`ANSWERS_BYTES_MAX`], [`OUT_PAUSE_BYTES`].

use std::time::Duration;

/// Channels (calls, streams, sockets, sessions, services) that one side may have open at a time.
pub const CHANNELS_MAX: usize = 16 * 1024;
/// Streams that may begin with a wide window.
pub const WIDE_MAX: usize = 512;
/// What a stream may send before its receiver says more, if it begins wide.
pub const WINDOW_WIDE_BYTES: u64 = 128 * 1024;
/// The same for all others.
pub const WINDOW_NARROW_BYTES: u64 = 4 * 1024;
/// The window of a stream in use, while there is room for such: as much as a body has in memory.
pub const WINDOW_FULL_BYTES: u64 = atoll_worker::body::CREDIT_DEFAULT as u64;
/// All windows beyond the first together.
pub const WINDOWS_TOTAL_BYTES: u64 = 64 * 1024 * 1024;
/// The largest message: the code of a dynamic worker, an RPC message or a KV value, with what goes around it.
pub const MESSAGE_BYTES_MAX: usize = atoll_worker::loader::CODE_BYTES_MAX + 2 * 1024 * 1024;
/// Dynamic workers whose code the parent waits for.
pub const CODES_MAX: usize = 1024;
/// The largest message that the parent may send: a version with all its modules.
pub const MESSAGE_FROM_PARENT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Messages that arrive in pieces, together. One alone may always be under way.
pub const ASSEMBLY_BYTES_MAX: usize = 128 * 1024 * 1024;
/// The arguments of calls that are being served, together; more are refused.
pub const SERVED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Large answers that wait for the caller to take them, together; more are refused.
pub const ANSWERS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// While so much waits to be written, the parent reads nothing from the child.
pub const OUT_PAUSE_BYTES: usize = 32 * 1024 * 1024;
/// Records and data points that wait to leave the child; more are dropped and counted.
pub const NOTICES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one record: four for each of the characters that the console leaves of one. A longer one is cut, and says so.
pub const NOTICE_BYTES_MAX: usize = 768 * 1024;
/// Bytes of a body's trailers.
pub const TRAILERS_BYTES_MAX: usize = 8 * 1024;
/// How long the other side may take to say hello.
pub const HELLO_MAX: Duration = Duration::from_secs(10);
/// How long bytes may wait without one being read by the other side.
pub const STALL_MAX: Duration = Duration::from_secs(30);

/// What a frame of a stream costs beside its bytes.
pub(crate) const FRAME_COST_BYTES: u64 = 64;
/// Streams are asked for bytes while less than this waits to be written.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;
/// The same for bytes that are copied into the shared segment: some 0.2 ms of copying. With less both processes wake up for every third answer of
/// 100 KB.
pub(crate) const SHARED_BATCH_BYTES: u64 = 2 * 1024 * 1024;
/// Room for one read.
pub(crate) const READ_BYTES: usize = 128 * 1024;
/// With less room than this in the last one's memory, new memory is taken.
pub(crate) const READ_BYTES_MIN: usize = 32 * 1024;
/// Frames that are handled before others on the driver's thread get a turn.
pub(crate) const FRAMES_PER_TURN: usize = 512;
/// So many bytes count as a frame there.
pub(crate) const READ_FRAME_BYTES: usize = 2 * 1024;
/// Turns with nothing but what frames brought about, before others get one.
pub(crate) const ROUNDS_PER_TURN: usize = 4;
/// Pieces of at least this size are kept as parts of what was read; smaller ones are copied, so that they do not hold it.
pub(crate) const KEEP_BYTES: usize = 16 * 1024;
