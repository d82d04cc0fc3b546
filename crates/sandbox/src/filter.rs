//! The system call filter: [`crate::calls`] as programs that the kernel runs before each call.
//!
//! Of the answers of several programs the kernel takes the hardest. The first ends the process for a call that is fatal,
//! the second refuses what is always refused; the third allows what is on the list and refuses the rest, which from then on
//! includes installing programs.
//! Calls of another architecture's table end the process (the library checks it first thing in each program).

use crate::calls::{ALLOWED, Argument, Call, FATAL, REFUSED, Rule};
use crate::error::SandboxError;
use crate::options::Unlisted;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Puts the filter on every thread of the process.
pub(crate) fn install(unlisted: Unlisted) -> Result<(), SandboxError> {
    let programs = programs(unlisted, std::process::id()).map_err(seccompiler::Error::from)?;
    if unlisted == Unlisted::Report {
        crate::refusals::listen()?;
    }
    for program in &programs {
        seccompiler::apply_filter_all_threads(program)?;
    }
    Ok(())
}

/// The programs, in the order in which they go on.
fn programs(unlisted: Unlisted, own: u32) -> Result<[BpfProgram; 3], BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let numbers = |calls: &[(&str, i64)]| calls.iter().map(|(_, number)| (*number, Vec::new())).collect();
    let none = SeccompAction::Errno(libc::ENOSYS as u32);
    let fatal = SeccompFilter::new(numbers(FATAL), SeccompAction::Allow, SeccompAction::KillProcess, arch)?;
    let refused = SeccompFilter::new(numbers(REFUSED), SeccompAction::Allow, none.clone(), arch)?;
    let otherwise = match unlisted {
        Unlisted::Refuse => none,
        Unlisted::Report => SeccompAction::Trap,
        Unlisted::Kill => SeccompAction::KillProcess,
    };
    // What the program before this one refuses is not this one's to judge.
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = numbers(REFUSED);
    for call in ALLOWED {
        rules.insert(call.number, rules_of(call, own)?);
    }
    let allowed = SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch)?;
    Ok([fatal.try_into()?, refused.try_into()?, allowed.try_into()?])
}

fn rules_of(call: &Call, own: u32) -> Result<Vec<SeccompRule>, BackendError> {
    let Rule::AnyOf(rules) = call.rule else {
        return Ok(Vec::new());
    };
    rules
        .iter()
        .map(|arguments| {
            let conditions = arguments.iter().map(|argument| condition(*argument, own));
            SeccompRule::new(conditions.collect::<Result<_, _>>()?)
        })
        .collect()
}

fn condition(argument: Argument, own: u32) -> Result<SeccompCondition, BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let (index, width, compared, value) = match argument {
        Argument::Int(index, value) => (index, Dword, SeccompCmpOp::Eq, u64::from(value)),
        Argument::Long(index, value) => (index, Qword, SeccompCmpOp::Eq, value),
        Argument::Bits(index, mask, value) => (index, Qword, SeccompCmpOp::MaskedEq(mask), value),
        Argument::OwnProcess(index) => (index, Dword, SeccompCmpOp::Eq, u64::from(own)),
    };
    SeccompCondition::new(index, width, compared, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_way_to_refuse_compiles() {
        for unlisted in [Unlisted::Refuse, Unlisted::Report, Unlisted::Kill] {
            let programs = programs(unlisted, 1).unwrap();
            assert!(programs.iter().all(|program| !program.is_empty()));
        }
    }

    #[test]
    fn no_call_stands_twice_or_on_both_lists() {
        let mut seen = HashSet::new();
        for call in ALLOWED {
            assert!(seen.insert(call.number), "{} twice", call.name);
        }
        for (name, number) in FATAL.iter().chain(REFUSED) {
            assert!(seen.insert(*number), "{name} twice");
        }
    }
}
