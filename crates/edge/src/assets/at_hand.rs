//! Files that the kernel has in memory, read on the calling thread without a wait: no other thread is woken for them.
//!
//! The kernel is asked for what it has and says when it would have to look elsewhere (`RESOLVE_CACHED`, Linux 5.12;
//! `RWF_NOWAIT`, Linux 4.14, on most file systems). Then, and wherever it does not know these words, the answer is `None` and
//! the caller reads on a thread that may wait.

use super::read::ReadError;
use super::scan::Stamp;
use bytes::Bytes;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A file that still is what `stamp` says, and `length` bytes of it from `start` on. `whole`: these are the last ones, so the
/// stamp is compared again after them.
pub(super) fn read(
    path: &Path,
    stamp: Stamp,
    start: u64,
    length: u64,
    whole: bool,
) -> Option<Result<(File, Bytes), ReadError>> {
    let mut file = open(path)?;
    let checked = |file: &File| match file.metadata() {
        Ok(metadata) => metadata.is_file() && Stamp::of(&metadata) == stamp,
        Err(_) => false,
    };
    if !checked(&file) {
        return Some(Err(ReadError::Changed));
    }
    let bytes = bytes(&file, start, usize::try_from(length).ok()?)?;
    if whole && !checked(&file) {
        return Some(Err(ReadError::Changed));
    }
    if !whole && std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start + length)).is_err() {
        return None;
    }
    Some(Ok((file, bytes)))
}

fn open(path: &Path) -> Option<File> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: plain numbers, of which all may be zero.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK).unsigned_abs());
    how.resolve = libc::RESOLVE_CACHED;
    // SAFETY: the path ends with a zero, `how` is of the size that is told, and both live during the call.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the call has just made this descriptor, for nobody else.
    Some(unsafe { File::from_raw_fd(descriptor) })
}

fn bytes(file: &File, start: u64, length: usize) -> Option<Bytes> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).ok()?;
    while bytes.len() < length {
        let room = bytes.spare_capacity_mut();
        let piece = libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            iov_len: room.len().min(length - bytes.len()),
        };
        let offset = i64::try_from(start)
            .ok()?
            .checked_add(i64::try_from(bytes.len()).ok()?)?;
        // SAFETY: the piece is writable room of `bytes` that nobody else sees during the call.
        let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const piece, 1, offset, libc::RWF_NOWAIT) };
        let read = usize::try_from(read).ok().filter(|read| *read > 0)?;
        let filled = bytes.len() + read;
        // SAFETY: the kernel has written `read` bytes into the room, which begins at the length.
        unsafe { bytes.set_len(filled) };
    }
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_was_just_written_is_at_hand_unless_it_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        File::create(&path).unwrap().write_all(b"0123456789").unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&path).unwrap());
        let check = |start, length, whole, expected: &[u8], rest: &str| {
            // A file system that cannot say is no failure: then nothing is shown here.
            let Some(read) = read(&path, stamp, start, length, whole) else {
                return;
            };
            let (mut file, bytes) = read.unwrap();
            assert_eq!(bytes, expected);
            if !whole {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text, rest);
            }
        };
        check(0, 10, true, b"0123456789", "");
        check(2, 3, true, b"234", "");
        check(2, 3, false, b"234", "56789");
        // It is shorter than somebody thought.
        assert!(read(&path, stamp, 5, 10, true).is_none());
        File::create(&path).unwrap().write_all(b"other bytes").unwrap();
        assert!(matches!(
            read(&path, stamp, 0, 10, true),
            None | Some(Err(ReadError::Changed))
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, stamp, 0, 10, true).is_none());
    }
}
