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
//! - the parent never reads `taken`: it clears bits, of which only the child makes use;
//! - what lies in a slot may change at any time. The parent has it as [`Foreign`] bytes: copied once, or read by the kernel;
//! - in the parent nothing but the kernel touches the slots: bytes are copied by `pread`. So it does not matter whether there is
//!   memory behind a slot: where there is none the kernel reads zeros, or refuses a write, and no signal comes. The head, whose bits the parent
//!   touches itself, is there from the beginning; the file's size is sealed, and a child's filter has no call that makes holes;
//! - slot and length of each piece are checked; credit bounds how many the parent holds, and when the child's process is over
//!   ([`SegmentReader::child_is_gone`]) the memory of all others is given back, that of those with their last piece.

use atoll_worker::{Foreign, Place};
use bytes::Bytes;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
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
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The most bytes of one piece.
pub const SLOT_BYTES: usize = crate::frame::QUANTUM_BYTES;
/// Pieces that may lie there at a time: 16 MiB, of which those pages exist that were ever used.
pub const SLOTS: usize = 512;
/// What comes before the slots.
const HEAD_BYTES: usize = 4096;
/// Bytes of a segment.
pub const BYTES: usize = HEAD_BYTES + SLOTS * SLOT_BYTES;
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
    file: OwnedFd,
    head: Mapping,
    /// For the kernel to read, when it is told to write what lies there.
    slots: Mapping,
    /// Pieces that are held, for each slot. An honest child has one at most.
    held: [AtomicU32; SLOTS],
    gone: AtomicBool,
}

impl Read {
    /// The memory behind a slot goes back to the system.
    fn give_back(&self, slot: usize) {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // What it keeps if that fails goes with the mapping.
        let _ = rustix::fs::fallocate(&self.file, how, place(slot) as u64, SLOT_BYTES as u64);
    }
}

/// Where a slot begins in the file.
const fn place(slot: usize) -> usize {
    HEAD_BYTES + slot * SLOT_BYTES
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SegmentReader")
    }
}

/// A piece in a slot that the parent reads.
struct Lease {
    segment: Arc<Read>,
    slot: usize,
}

impl Place for Lease {
    fn read(&self, from: usize, to: &mut [u8]) {
        let mut at = place(self.slot) + from;
        let mut rest = to;
        // A file in memory is read in one go, but for signals.
        while !rest.is_empty() {
            match rustix::io::pread(&self.segment.file, &mut *rest, at as u64) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    at += read;
                    rest = &mut rest[read..];
                }
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // All that was read of it was read before.
        self.segment.head.taken()[self.slot / 64].fetch_and(!(1 << (self.slot % 64)), Ordering::Release);
        // Whichever of this and `child_is_gone` comes second sees what the other did.
        let last = self.segment.held[self.slot].fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.segment.gone.load(Ordering::SeqCst) {
            self.segment.give_back(self.slot);
        }
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
        // The one page that this process touches itself.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, HEAD_BYTES as u64)?;
        let head = Mapping::new(file.as_fd(), 0, HEAD_BYTES, ProtFlags::READ | ProtFlags::WRITE)?;
        let slots = Mapping::new(file.as_fd(), HEAD_BYTES, SLOTS * SLOT_BYTES, ProtFlags::READ)?;
        let theirs = file.try_clone()?;
        let read = Read {
            file,
            head,
            slots,
            held: [const { AtomicU32::new(0) }; SLOTS],
            gone: AtomicBool::new(false),
        };
        Ok((Self(Arc::new(read)), theirs))
    }

    /// The child's process is over, and all that it sent has been read: gives back the memory of what nobody holds, now and
    /// as pieces are dropped. Without this a single piece would keep all of it.
    pub fn child_is_gone(&self) {
        self.0.gone.store(true, Ordering::SeqCst);
        for (slot, held) in self.0.held.iter().enumerate() {
            if held.load(Ordering::SeqCst) == 0 {
                self.0.give_back(slot);
            }
        }
    }

    /// What a frame says is there; `None` if it cannot be.
    pub(crate) fn piece(&self, slot: u32, length: u32) -> Option<Foreign> {
        let (slot, length) = (slot as usize, length as usize);
        if slot >= SLOTS || length == 0 || length > SLOT_BYTES {
            return None;
        }
        let segment = self.0.clone();
        segment.held[slot].fetch_add(1, Ordering::SeqCst);
        // SAFETY: within the mapping, as was just checked.
        let start = unsafe { segment.slots.start.cast::<u8>().add(slot * SLOT_BYTES) };
        // SAFETY: the lease keeps the mapping.
        Some(unsafe { Foreign::new(start, length, Box::new(Lease { segment, slot })) })
    }
}

/// The child's side.
pub struct SegmentWriter {
    mapping: Mapping,
    /// Bytes ever put.
    bytes: u64,
}

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
        let mapping = Mapping::new(file.as_fd(), 0, BYTES, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { mapping, bytes: 0 })
    }

    /// Bytes that were ever put there.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies `pieces`, which are at most [`SLOT_BYTES`] together, into a free slot; returns which, `None` if there is none.
    pub(crate) fn put(&mut self, pieces: &[Bytes]) -> Option<u32> {
        let taken = self.mapping.taken();
        // The lowest: what is used again soon is still in the processor's caches, and pages that are never needed never exist.
        // Acquire: the parent has done with what it frees.
        let (at, bit) = taken.iter().enumerate().find_map(|(at, word)| {
            let free = !word.load(Ordering::Acquire);
            (free != 0).then(|| (at, free.trailing_zeros()))
        })?;
        let slot = at * 64 + bit as usize;
        // SAFETY: within the mapping.
        let mut to = unsafe { self.mapping.start.cast::<u8>().add(place(slot)) };
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
        self.bytes += (SLOT_BYTES - room) as u64;
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

    /// Memory behind the file, bytes.
    fn memory(reader: &SegmentReader) -> u64 {
        rustix::fs::fstat(&reader.0.file).unwrap().st_blocks as u64 * 512
    }

    /// What a child leaves behind is what is held of it, however much it had.
    #[test]
    fn a_child_that_is_gone_leaves_what_is_held() {
        let (reader, mut writer) = both();
        let piece = [Bytes::from(vec![7; SLOT_BYTES])];
        while writer.put(&piece).is_some() {}
        assert_eq!(memory(&reader), BYTES as u64);
        let (one, again) = (
            reader.piece(9, 100).unwrap(),
            reader.piece(9, SLOT_BYTES as u32).unwrap(),
        );
        let other = reader.piece(511, SLOT_BYTES as u32).unwrap();
        drop(writer);
        reader.child_is_gone();
        assert_eq!(memory(&reader), (HEAD_BYTES + 2 * SLOT_BYTES) as u64);
        assert_eq!(other.copy(), piece[0]);
        drop((one, other));
        assert_eq!(memory(&reader), (HEAD_BYTES + SLOT_BYTES) as u64);
        assert_eq!(again.copy(), piece[0]);
        drop(again);
        assert_eq!(memory(&reader), HEAD_BYTES as u64);
    }

    /// A slot without memory behind it reads as zeros, and takes none.
    #[test]
    fn holes_are_read_without_memory() {
        let (reader, mut writer) = both();
        assert_eq!(writer.put(&[Bytes::from_static(b"here")]), Some(0));
        let before = memory(&reader);
        let (first, hole) = (reader.piece(0, 5).unwrap(), reader.piece(7, 5_000).unwrap());
        reader.0.give_back(0);
        assert_eq!(first.copy(), &[0; 5][..]);
        assert_eq!(hole.copy(), vec![0; 5_000]);
        assert!(memory(&reader) < before);
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
