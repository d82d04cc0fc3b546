//! A group of batches that become durable together: which of them apply, and what they come to.
//!
//! The engine gives one sequence number to everything in one of its batches, so a key may stand in it only once: the group
//! keeps the last change of each key. Expectations are judged in order, against what the batches before have changed.

use crate::StoreError;
use crate::keyspace::{Batch, Op};
use bytes::Bytes;
use std::collections::HashMap;

/// The net changes of a group: for each key its value, or `None` where it is removed.
#[derive(Debug, Default)]
pub(crate) struct Group {
    changes: HashMap<Bytes, Option<Bytes>>,
}

impl Group {
    /// Adds a batch if the keys it names have the values it expects; `stored` reads what is durable.
    pub(crate) fn add(
        &mut self,
        batch: Batch,
        stored: impl Fn(&[u8]) -> Result<Option<Bytes>, StoreError>,
    ) -> Result<(), StoreError> {
        for (key, expected) in &batch.expected {
            let holds = match self.changes.get(key) {
                Some(changed) => changed == expected,
                None => stored(key)? == *expected,
            };
            if !holds {
                return Err(StoreError::Conflict);
            }
        }
        for op in batch.ops {
            match op {
                Op::Put(key, value) => self.changes.insert(key, Some(value)),
                Op::Delete(key) => self.changes.insert(key, None),
            };
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn changes(&self) -> &HashMap<Bytes, Option<Bytes>> {
        &self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_key_wins_and_expectations_see_the_batches_before() {
        let stored = |key: &[u8]| Ok((key == b"old").then(|| Bytes::from("1")));
        let mut group = Group::default();
        let mut check = |build: fn(&mut Batch), applies: bool, expected: &[(&str, Option<&str>)]| {
            let mut batch = Batch::new();
            build(&mut batch);
            assert_eq!(group.add(batch, stored).is_ok(), applies);
            let mut got: Vec<_> = group.changes().clone().into_iter().collect();
            got.sort();
            let expected: Vec<_> = expected
                .iter()
                .map(|(key, value)| {
                    (
                        Bytes::from(key.to_string()),
                        value.map(|value| Bytes::from(value.to_owned())),
                    )
                })
                .collect();
            assert_eq!(got, expected);
        };
        check(
            |b| {
                b.put("a", "1").put("a", "2");
            },
            true,
            &[("a", Some("2"))],
        );
        check(
            |b| {
                b.delete("a");
            },
            true,
            &[("a", None)],
        );
        check(
            |b| {
                b.expect("a", Some("2".into())).put("z", "9");
            },
            false,
            &[("a", None)],
        );
        check(
            |b| {
                b.expect("a", None).put("b", "3");
            },
            true,
            &[("a", None), ("b", Some("3"))],
        );
        check(
            |b| {
                b.expect("old", None).put("b", "4");
            },
            false,
            &[("a", None), ("b", Some("3"))],
        );
        check(
            |b| {
                b.expect("old", Some("1".into())).delete("old");
            },
            true,
            &[("a", None), ("b", Some("3")), ("old", None)],
        );
        check(
            |b| {
                b.expect("old", Some("1".into())).put("old", "5");
            },
            false,
            &[("a", None), ("b", Some("3")), ("old", None)],
        );
    }
}
