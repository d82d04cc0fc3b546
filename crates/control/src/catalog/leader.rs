//! Who may write: of several control planes over one database, the one of the newest epoch.
//!
//! Somebody else decides who tries (a lock of the database, or there is only one). To lead, a control plane counts the
//! epoch up, in a transaction; every change through the handle that it gets compares the epoch within its own transaction. So
//! a leader that was cut off and does not know it changes nothing more once another one has begun, whatever its clock says.
//!
//! An epoch is at least the second in which it began. PoPs keep the greatest that they saw and believe no smaller one, so a
//! catalog that was restored from an older copy would otherwise lead nobody until it had been started often enough.

use super::change::{Action, Changing};
use super::{Caller, Catalog, CatalogError, Result, check_text};

impl Changing<'_> {
    /// Is it still the epoch of whoever asks?
    pub(super) fn need_epoch(&mut self, own: u64) -> Result<()> {
        let row = self.first("SELECT epoch, coalesce(leader, '') FROM head WHERE one = 1", &[])?;
        let row = row.ok_or_else(|| CatalogError::Damaged("the head is missing".to_owned()))?;
        let epoch = row.unsigned(0)?;
        if epoch != own {
            return Err(CatalogError::Deposed {
                own,
                epoch,
                leader: row.text(1)?.to_owned(),
            });
        }
        Ok(())
    }
}

impl Catalog {
    /// Begins an epoch under a name that others can find this control plane by. Changes through the handle that this gives
    /// are made in that epoch or not at all.
    pub async fn lead(&self, caller: &Caller, name: String) -> Result<(Self, u64)> {
        check_text("name of a leader", &name)?;
        let action = Action {
            account: String::new(),
            name: "control.lead",
            target: name.clone(),
        };
        // Of this handle's own epoch nothing is asked: it may be an old one.
        let open = Self {
            epoch: None,
            ..self.clone()
        };
        let done = open
            .change(caller, action, move |changing| {
                let now_s = changing.now_ms / 1_000;
                let rows = changing.query(
                    "UPDATE head SET epoch = CASE WHEN epoch < $2 THEN $2 ELSE epoch + 1 END, leader = $1
                     WHERE one = 1 RETURNING epoch",
                    &[name.as_str().into(), now_s.into()],
                )?;
                let row = rows
                    .first()
                    .ok_or_else(|| CatalogError::Damaged("the head is missing".to_owned()))?;
                let epoch = row.unsigned(0)?;
                changing.note("epoch", epoch);
                Ok(epoch)
            })
            .await?;
        let epoch = Some(done.value);
        Ok((Self { epoch, ..open }, done.value))
    }

    /// Who leads, and in which epoch; epoch 0: nobody has yet.
    pub async fn leader(&self) -> Result<(String, u64)> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT coalesce(leader, ''), epoch FROM head WHERE one = 1", &[])?;
            let row = rows
                .first()
                .ok_or_else(|| CatalogError::Damaged("the head is missing".to_owned()))?;
            Ok((row.text(0)?.to_owned(), row.unsigned(1)?))
        })
        .await
    }
}
