//! Memory that parent and child share: large pieces of bodies that the child sends lie there, and the link's stream says where.
//!
//! Over the stream such bytes are copied into the kernel and out of it, and its buffers are small: a large body takes several
//! turns of both processes. Here the child copies them once, and the parent's write into the client's socket reads them.
//!
//! ```text
//!  0        64        4096
//!  | taken  |  unused  | slot 0 (32 KiB) | slot 1 | ... | slot 511 |
//! ```
//!
//! A slot's bit in `taken` is set by the child when it puts a piece there and cleared by the parent when it has done with it; the
//! child puts nothing into a slot whose bit is set. Where no slot is free, pieces go over the stream as ever.
//!
//! Invariants, whatever the child does:
//! - the parent maps the slots for reading alone, and never reads `taken`: it clears bits, of which only the child makes use;
//! - the file's size is sealed, so that what is mapped is there: no access of the parent faults;
//! - what lies in a slot may change at any time. The parent has it as [`Foreign`] bytes: copied once, or read by the kernel;
//! - slot and length of each piece are checked; credit bounds how many the parent holds.

use atoll_worker::Foreign;
use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::ffi::c_void;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes of one piece.
pub const SLOT_BYTES: usize = crate::frame::QUANTUM_BYTES;
/// Pieces that may lie there at a time: 16 MiB, of which those pages exist that were ever used.
pub const SLOTS: usize = 512;
/// What comes before the slots.
const HEAD_BYTES: usize = 4096;
const BYTES: usize = HEAD_BYTES + SLOTS * SLOT_BYTES;
/// Pieces of fewer bytes go over the stream.
pub(crate) const SHARED_BYTES_MIN: usize = 4 * 1024;

/// A part of the file in this process's memory, until it is dropped.
struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: memory of the process, not of a thread. Who reads and writes it, and how, see the module.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, from: usize, bytes: usize, how: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new mapping, at a place that the kernel chooses, touches nothing that is there.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, how, MapFlags::SHARED, file, from as u64)? };
        let start = NonNull::new(start).ok_or_else(|| io::Error::other("the system maps memory at address zero"))?;
        Ok(Self { start, bytes })
    }

    /// The words of `taken`, if the mapping begins with them.
    fn taken(&self) -> &[AtomicU64] {
        // SAFETY: both who call it mapped the head, which is on a page's start; bits are atomic in both processes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<AtomicU64>(), SLOTS / 64) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and whoever points into it keeps it alive. The only error is that it is not mapped.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.bytes) };
    }
}

/// The parent's side.
#[derive(Clone)]
pub struct SegmentReader(Arc<Read>);

struct Read {
    head: Mapping,
    slots: Mapping,
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SegmentReader")
    }
}

/// A slot that the parent reads. Free again when this is dropped.
struct Lease {
    segment: Arc<Read>,
    slot: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // All that was read of it was read before.
        self.segment.head.taken()[self.slot / 64].fetch_and(!(1 << (self.slot % 64)), Ordering::Release);
    }
}

impl SegmentReader {
    /// A new segment, and the file by which the other side takes part in it.
    ///
    /// # Errors
    ///
    /// The system refuses a file in memory, or memory for it.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let name = "atoll-link";
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Linux before 6.3.
            Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
            other => other?,
        };
        rustix::fs::ftruncate(&file, BYTES as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let head = Mapping::new(file.as_fd(), 0, HEAD_BYTES, ProtFlags::READ | ProtFlags::WRITE)?;
        let slots = Mapping::new(file.as_fd(), HEAD_BYTES, SLOTS * SLOT_BYTES, ProtFlags::READ)?;
        Ok((Self(Arc::new(Read { head, slots })), file))
    }

    /// What a frame says is there; `None` if it cannot be.
    pub(crate) fn piece(&self, slot: u32, length: u32) -> Option<Foreign> {
        let (slot, length) = (slot as usize, length as usize);
        if slot >= SLOTS || length == 0 || length > SLOT_BYTES {
            return None;
        }
        let segment = self.0.clone();
        // SAFETY: within the mapping, as was just checked.
        let start = unsafe { segment.slots.start.cast::<u8>().add(slot * SLOT_BYTES) };
        // SAFETY: the lease keeps the mapping, whose file cannot shrink.
        Some(unsafe { Foreign::new(start, length, Box::new(Lease { segment, slot })) })
    }
}

/// The child's side.
pub struct SegmentWriter(Mapping);

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SegmentWriter")
    }
}

impl SegmentWriter {
    /// Takes part in the segment of `file`, which need not stay open.
    ///
    /// # Errors
    ///
    /// The file is not one of [`SegmentReader::new`], or the system refuses.
    pub fn new(file: OwnedFd) -> io::Result<Self> {
        let bytes = rustix::fs::fstat(&file)?.st_size;
        if usize::try_from(bytes) != Ok(BYTES) {
            return Err(io::Error::other(format!(
                "a shared segment of {bytes} bytes, not {BYTES}"
            )));
        }
        Mapping::new(file.as_fd(), 0, BYTES, ProtFlags::READ | ProtFlags::WRITE).map(Self)
    }

    /// Copies `pieces`, which are at most [`SLOT_BYTES`] together, into a free slot; returns which, `None` if there is none.
    pub(crate) fn put(&mut self, pieces: &[Bytes]) -> Option<u32> {
        let taken = self.0.taken();
        // The lowest: what is used again soon is still in the processor's caches, and pages that are never needed never exist.
        // Acquire: the parent has done with what it frees.
        let (at, bit) = taken.iter().enumerate().find_map(|(at, word)| {
            let free = !word.load(Ordering::Acquire);
            (free != 0).then(|| (at, free.trailing_zeros()))
        })?;
        let slot = at * 64 + bit as usize;
        // SAFETY: within the mapping.
        let mut to = unsafe { self.0.start.cast::<u8>().add(HEAD_BYTES + slot * SLOT_BYTES) };
        let mut room = SLOT_BYTES;
        for piece in pieces {
            room = room.checked_sub(piece.len())?;
            // SAFETY: there is room in the slot, which is free: the parent reads it no more, and no other thread has `self`.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), to.as_ptr(), piece.len());
                to = to.add(piece.len());
            }
        }
        // The frame that tells the parent of it goes through the kernel, after this.
        taken[at].fetch_or(1 << bit, Ordering::Relaxed);
        Some(slot as u32)
    }
}

/// What the byte says that comes with a segment's file, or without one.
const WITH: u8 = b'S';
const WITHOUT: u8 = b'-';

/// Sends the file, or that there is none, ahead of everything else on the link's socket.
///
/// # Errors
///
/// The socket takes no descriptors.
pub fn send(socket: impl AsFd, file: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let borrowed = file.map(|file| [file.as_fd()]);
    if let Some(files) = &borrowed
        && !with.push(SendAncillaryMessage::ScmRights(files))
    {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let byte = [if file.is_some() { WITH } else { WITHOUT }];
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &[IoSlice::new(&byte)], &mut with, flags))?;
    Ok(())
}

/// Takes what [`send`] has sent. Waits for it.
///
/// # Errors
///
/// Something else has come, or the other side is gone.
pub fn receive(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let read = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut with, flags)
    })?;
    let file = with.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    match (read.bytes, byte[0], file) {
        (1, WITH, Some(file)) => Ok(Some(file)),
        (1, WITHOUT, None) => Ok(None),
        _ => Err(io::Error::other("the link does not begin with its shared segment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn both() -> (SegmentReader, SegmentWriter) {
        let (reader, file) = SegmentReader::new().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, Some(&file)).unwrap();
        let file = receive(&theirs).unwrap().unwrap();
        (reader, SegmentWriter::new(file).unwrap())
    }

    #[test]
    fn pieces_arrive_and_their_slots_are_free_again() {
        let (reader, mut writer) = both();
        let slot = writer
            .put(&[Bytes::from_static(b"one "), Bytes::from_static(b"two")])
            .unwrap();
        let piece = reader.piece(slot, 7).unwrap();
        assert_eq!(piece.copy(), "one two");
        // Taken until it is dropped.
        let second = writer.put(&[Bytes::from_static(b"three")]).unwrap();
        assert_ne!(second, slot);
        assert_eq!(piece.copy(), "one two");
        drop(piece);
        assert_eq!(writer.put(&[Bytes::from_static(b"four")]), Some(slot));
        assert_eq!(reader.piece(slot, 4).unwrap().copy(), "four");
    }

    #[test]
    fn a_full_segment_takes_no_more_until_one_is_done_with() {
        let (reader, mut writer) = both();
        let piece = [Bytes::from(vec![7; SLOT_BYTES])];
        let slots: Vec<_> = (0..SLOTS).map(|_| writer.put(&piece).unwrap()).collect();
        assert_eq!(slots, (0..SLOTS as u32).collect::<Vec<_>>());
        assert_eq!(writer.put(&piece), None);
        drop(reader.piece(300, 1));
        assert_eq!(writer.put(&piece), Some(300));
        assert_eq!(writer.put(&piece), None);
        // The pieces outlive both ends' hold on the segment.
        let last = reader.piece(511, SLOT_BYTES as u32).unwrap();
        drop((reader, writer));
        assert_eq!(last.copy(), vec![7; SLOT_BYTES]);
    }

    #[test]
    fn what_cannot_be_there_is_not() {
        let (reader, mut writer) = both();
        for (slot, length) in [
            (SLOTS as u32, 1),
            (u32::MAX, 1),
            (0, 0),
            (0, SLOT_BYTES as u32 + 1),
            (511, u32::MAX),
        ] {
            assert!(reader.piece(slot, length).is_none(), "{slot} {length}");
        }
        assert_eq!(writer.put(&[Bytes::from(vec![0; SLOT_BYTES + 1])]), None);
        // A slot that nobody has written to, twice at once: nothing that the parent minds.
        let (one, two) = (reader.piece(5, 3).unwrap(), reader.piece(5, 3).unwrap());
        assert_eq!(
            (one.copy(), two.copy()),
            (Bytes::from_static(&[0; 3]), Bytes::from_static(&[0; 3]))
        );
    }

    /// The other side cannot take from under the parent what it has mapped.
    #[test]
    fn the_size_is_sealed() {
        let (_reader, file) = SegmentReader::new().unwrap();
        assert_eq!(rustix::fs::ftruncate(&file, 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, BYTES as u64 * 2), Err(Errno::PERM));
        assert_eq!(rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE), Err(Errno::PERM));
    }

    #[test]
    fn a_link_without_a_segment_says_so() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, None).unwrap();
        assert!(receive(&theirs).unwrap().is_none());
        rustix::io::write(&ours, b"x").unwrap();
        assert!(receive(&theirs).is_err());
        drop(ours);
        assert!(receive(&theirs).is_err());
        // And a file of another size is none.
        let file = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        assert!(SegmentWriter::new(file).is_err());
    }
}
