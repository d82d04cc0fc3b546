//! Reading and writing: as few system calls as the stream allows, and a turn's end after so many frames.

use super::*;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Writes. True if anything was written.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, LinkError> {
        let mut progress = false;
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = self.out.slices(&mut slices);
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..used]) {
                Poll::Pending => {
                    self.core.unsent.store(self.out.len(), Ordering::Relaxed);
                    return Ok(progress);
                }
                Poll::Ready(Ok(0)) => return Err(LinkError::Broken("the stream takes no bytes".to_owned())),
                Poll::Ready(Ok(written)) => {
                    self.core.counters.writes.fetch_add(1, Ordering::Relaxed);
                    self.core
                        .counters
                        .bytes_out
                        .fetch_add(written as u64, Ordering::Relaxed);
                    self.out.advance(written);
                    self.stalled = false;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(LinkError::Broken(error.to_string())),
            }
        }
        self.core.unsent.store(0, Ordering::Relaxed);
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(LinkError::Broken(error.to_string())),
            _ => Ok(progress),
        }
    }

    /// A child that does not read is not read from: its questions would pile up as answers.
    pub(super) fn paused(&self) -> bool {
        self.core.side == Side::Parent && self.out.len() > OUT_PAUSE_BYTES
    }

    /// Reads and handles frames. True if there may be more at once.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, LinkError> {
        let mut frames = 0;
        loop {
            while let Some(header) = Header::parse(&self.read)? {
                if self.read.len() < HEADER_BYTES + header.length {
                    break;
                }
                if frames == FRAMES_PER_TURN || self.paused() {
                    return Ok(!self.paused());
                }
                frames += 1;
                self.read.advance(HEADER_BYTES);
                let payload = self.read.split_to(header.length).freeze();
                self.core.counters.frames_in.fetch_add(1, Ordering::Relaxed);
                self.frame(header, payload)?;
            }
            if self.paused() {
                return Ok(false);
            }
            match self.read_some(cx)? {
                0 => return Ok(false),
                // Streams of large frames have fewer of them.
                count => frames = (frames + count / READ_FRAME_BYTES).min(FRAMES_PER_TURN),
            }
        }
    }

    /// Reads what is there, at most what there is room for. Zero bytes: nothing is there now.
    fn read_some(&mut self, cx: &mut Context<'_>) -> Result<usize, LinkError> {
        if self.read.capacity() - self.read.len() < READ_BYTES_MIN {
            self.read.reserve(READ_BYTES);
        }
        let mut buffer = ReadBuf::uninit(self.read.spare_capacity_mut());
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(0),
            Poll::Ready(Err(error)) => return Err(LinkError::Broken(error.to_string())),
            Poll::Ready(Ok(())) => {}
        }
        let count = buffer.filled().len();
        if count == 0 {
            return Err(if self.read.is_empty() {
                LinkError::Closed
            } else {
                LinkError::Broken("it ended within a frame".to_owned())
            });
        }
        // SAFETY: the stream has filled `count` bytes of the spare capacity: `ReadBuf` counts initialized bytes only.
        unsafe { self.read.set_len(self.read.len() + count) };
        self.core.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.core.counters.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
