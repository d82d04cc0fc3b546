//! Credit of one direction of a channel, as each end keeps it.
//!
//! A frame costs its payload and [`FRAME_COST_BYTES`]; the later frames of a message in pieces cost their payload alone. The
//! sender spends what the receiver has granted; to spend more is a violation. The receiver grants anew when its consumer has
//! taken so much that half a window is free: it never holds more than the window, except for one message in pieces, whose
//! whole length is granted once the link has room for it.

use crate::LinkError;
use crate::limits::{FRAME_COST_BYTES, WINDOW_FULL_BYTES, WINDOW_NARROW_BYTES, WINDOW_WIDE_BYTES};
use bytes::{Bytes, BytesMut};

/// What a channel starts with.
pub(crate) fn initial(wide: bool) -> u64 {
    if wide { WINDOW_WIDE_BYTES } else { WINDOW_NARROW_BYTES }
}

/// A message of which only some pieces have arrived.
#[derive(Debug)]
pub(crate) struct Partial {
    pub bytes: BytesMut,
    pub total: usize,
    /// Its whole length is granted.
    pub admitted: bool,
}

impl Partial {
    /// From the payload of the first frame.
    pub(crate) fn begin(payload: &[u8], limit: usize) -> Result<Self, LinkError> {
        let Some((length, first)) = payload.split_first_chunk::<4>() else {
            return Err(LinkError::violation("a message in pieces without its length"));
        };
        let total = u32::from_le_bytes(*length) as usize;
        if total > limit {
            let text = format!("a message of {total} bytes, the limit is {limit}");
            return Err(LinkError::violation(text));
        }
        if first.len() >= total {
            return Err(LinkError::violation("a message in pieces that is none"));
        }
        Ok(Self {
            bytes: BytesMut::from(first),
            total,
            admitted: false,
        })
    }

    pub(crate) fn left(&self) -> usize {
        self.total - self.bytes.len()
    }

    /// Adds a piece; the whole once it is complete.
    pub(crate) fn add(&mut self, piece: &[u8], more: bool) -> Result<Option<Bytes>, LinkError> {
        let left = self.left();
        if piece.len() > left || (piece.len() == left) == more {
            return Err(LinkError::violation(
                "pieces that do not make the message that was announced",
            ));
        }
        if self.bytes.capacity() - self.bytes.len() < piece.len() && self.admitted {
            // The room is reserved: one allocation for all that comes.
            self.bytes.reserve(left);
        }
        self.bytes.extend_from_slice(piece);
        Ok((!more).then(|| std::mem::take(&mut self.bytes).freeze()))
    }
}

/// The receiving side's account.
#[derive(Debug)]
pub(crate) struct Inflow {
    received: u64,
    granted: u64,
    pub window: u64,
    pub partial: Option<Partial>,
    /// Bytes of large messages that the link's account holds for this channel.
    pub reserved: usize,
}

impl Inflow {
    pub(crate) fn new(wide: bool) -> Self {
        Self {
            received: 0,
            granted: initial(wide),
            window: initial(wide),
            partial: None,
            reserved: 0,
        }
    }

    /// A frame of `bytes` has arrived.
    pub(crate) fn receive(&mut self, bytes: usize, later_piece: bool) -> Result<(), LinkError> {
        let cost = bytes as u64 + if later_piece { 0 } else { FRAME_COST_BYTES };
        if cost > self.granted - self.received {
            let text = format!("{cost} bytes where {} were granted", self.granted - self.received);
            return Err(LinkError::violation(text));
        }
        self.received += cost;
        Ok(())
    }

    fn target(&self, unread: u64) -> u64 {
        let mut held = unread;
        let mut large = 0;
        match &self.partial {
            Some(partial) if partial.admitted => large = partial.left() as u64,
            Some(partial) => held += partial.bytes.len() as u64,
            None => {}
        }
        self.received + self.window.saturating_sub(held) + large
    }

    /// What may be granted now, while `unread` waits for the consumer; 0 if it is too little to be worth a frame.
    pub(crate) fn grant(&mut self, unread: usize) -> u64 {
        let more = self.target(unread as u64).saturating_sub(self.granted);
        let worth = more >= self.window / 2
            || self
                .partial
                .as_ref()
                .is_some_and(|partial| partial.admitted && more > 0);
        if !worth {
            return 0;
        }
        self.granted += more;
        more
    }

    /// The consumer must get below this before a grant is due; 0 if none is needed.
    pub(crate) fn due_below(&self) -> usize {
        let open = self.granted - self.received;
        let half = self.window / 2;
        if open >= half { 0 } else { (half - open).max(1) as usize }
    }

    /// The stream is used in earnest: more room, if the link's account, which is returned changed, has it.
    pub(crate) fn widen(&mut self, total: u64, limit: u64) -> u64 {
        let more = WINDOW_FULL_BYTES.saturating_sub(self.window);
        if more == 0 || total + more > limit {
            return total;
        }
        self.window += more;
        total + more
    }

    /// What [`Inflow::widen`] took.
    pub(crate) fn widened(&self, wide: bool) -> u64 {
        self.window - initial(wide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::SplitMix64;

    /// A sender that uses all its credit and a consumer that reads now and then: neither ever waits for the other forever,
    /// and what is unread stays within the window.
    #[test]
    fn credit_never_runs_dry_for_good() {
        for seed in 0..200 {
            let mut rng = SplitMix64::new(seed);
            let wide = rng.below(2) == 0;
            let mut flow = Inflow::new(wide);
            let mut credit = initial(wide);
            let mut unread = std::collections::VecDeque::new();
            let mut sent = 0u64;
            let frame_max = 1 + rng.below(8_000);
            for _ in 0..2_000 {
                if rng.below(2) == 0 && credit > FRAME_COST_BYTES {
                    let bytes = (1 + rng.below(frame_max)).min(credit - FRAME_COST_BYTES);
                    credit -= bytes + FRAME_COST_BYTES;
                    flow.receive(bytes as usize, false).unwrap();
                    unread.push_back(bytes + FRAME_COST_BYTES);
                    sent += bytes;
                }
                if rng.below(3) == 0 {
                    unread.pop_front();
                }
                let waiting: u64 = unread.iter().sum();
                assert!(waiting <= flow.window);
                credit += flow.grant(waiting as usize);
            }
            unread.clear();
            credit += flow.grant(0);
            assert!(credit >= flow.window / 2, "seed {seed}: {credit} of {}", flow.window);
            assert!(sent > 0);
        }
    }

    #[test]
    fn more_than_was_granted_is_a_violation() {
        let mut flow = Inflow::new(false);
        flow.receive(4_000, false).unwrap();
        assert!(flow.receive(0, false).is_err());
        assert_eq!(flow.grant(0), 4_064);
        flow.receive(4_096 - 64, false).unwrap();
    }

    #[test]
    fn pieces_make_what_was_announced() {
        let begin = |bytes: &[u8]| Partial::begin(bytes, 100).map(|partial| partial.left());
        assert_eq!(begin(&[5, 0, 0, 0, 1, 2]).unwrap(), 3);
        for bad in [&[5, 0, 0][..], &[101, 0, 0, 0, 1], &[1, 0, 0, 0, 1], &[0, 0, 0, 0]] {
            assert!(begin(bad).is_err(), "{bad:?}");
        }
        let mut partial = Partial::begin(&[3, 0, 0, 0, 1], 100).unwrap();
        assert!(partial.add(&[2, 3, 4], false).is_err());
        assert!(partial.add(&[2], false).is_err());
        assert!(partial.add(&[2, 3], true).is_err());
        assert_eq!(partial.add(&[2], true), Ok(None));
        assert_eq!(partial.add(&[3], false), Ok(Some(Bytes::from_static(&[1, 2, 3]))));
    }
}
