//! Landlock: no file access, no TCP, no signals or abstract sockets to the outside.
//!
//! Kernels before ABI 8 put it on the calling thread alone, and on those that it makes later: so it goes on before there
//! are threads, and not with the filter.

use crate::report::LayerState;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest version that the rules below are written for.
const NEWEST: ABI = ABI::V9;

/// Asks for the version instead of making a rule set.
const VERSION: libc::c_uint = 1;

/// The version that this kernel has; `None` if it has none or has it switched off.
pub(crate) fn version() -> Option<i32> {
    // SAFETY: with this flag the kernel takes no memory from the process.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    i32::try_from(answer).ok().filter(|version| *version > 0)
}

/// Puts the calling thread, and those it will make, under rules that allow nothing.
pub(crate) fn restrict() -> LayerState {
    match try_restrict() {
        Ok(RulesetStatus::FullyEnforced) => LayerState::On,
        Ok(RulesetStatus::NotEnforced) => LayerState::Off("the kernel has no Landlock, or has it switched off".into()),
        Ok(_) => match version() {
            Some(version) => LayerState::Reduced(format!("version {version} of {}", NEWEST as i32)),
            None => LayerState::Reduced("an old version".into()),
        },
        Err(error) => LayerState::Off(error.to_string()),
    }
}

fn try_restrict() -> Result<RulesetStatus, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset)
}
