//! Namespaces, the identity in them, and the empty root.
//!
//! Root gives itself up first: it becomes `nobody` outside, and keeps for the next lines what creating namespaces takes.
//! So neither the user inside nor the user outside has any right to any file of the machine.

use crate::error::SandboxError;
use crate::options::Policy;
use crate::report::{Layer, LayerState, Report};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::ffi::CStr;
use std::fs;

/// The user and group outside, for a process that root started. The kernel's own number for "nobody".
const NOBODY: u32 = 65_534;
/// The user and group inside: any number but 0, which old interfaces take for all-powerful.
const INSIDE: u32 = 1_000;
/// The machine's name inside.
const HOST_NAME: &[u8] = b"worker";
/// Where the new root is mounted before it becomes the root: a directory that must be there anyway, for the id maps.
const STAGE: &CStr = c"/proc";

/// Namespaces besides the user's, with the layer that each is.
const NAMESPACES: [(UnshareFlags, Layer); 6] = [
    (UnshareFlags::NEWNS, Layer::EmptyRoot),
    (UnshareFlags::NEWIPC, Layer::IpcNamespace),
    (UnshareFlags::NEWUTS, Layer::UtsNamespace),
    (UnshareFlags::NEWCGROUP, Layer::CgroupNamespace),
    (UnshareFlags::NEWNET, Layer::NetNamespace),
    (UnshareFlags::NEWPID, Layer::PidNamespace),
];

/// Notes what a layer's step said; an error if the policy requires the layer.
pub(crate) fn settle(report: &mut Report, policy: Policy, layer: Layer, state: LayerState) -> Result<(), SandboxError> {
    if let LayerState::Off(reason) = &state
        && policy == Policy::Require
        && layer.is_essential()
    {
        return Err(SandboxError::Missing {
            layer,
            reason: reason.clone(),
        });
    }
    report.note(layer, state);
    Ok(())
}

/// Gives root up, if this is root, but for the capabilities that the next steps take.
///
/// Root of a container that knows no other user stays what it is, and the report says so: there, that is nobody special.
pub(crate) fn give_up_root(report: &mut Report) -> Result<(), SandboxError> {
    if !rustix::process::geteuid().is_root() {
        report.note(Layer::Identity, LayerState::On);
        return Ok(());
    }
    let step = |error: Errno| SandboxError::step("give root up", error);
    rustix::thread::set_keep_capabilities(true).map_err(step)?;
    let state = match become_nobody() {
        Ok(()) => LayerState::On,
        Err(error) => LayerState::Reduced(format!("it stays root, there is no other user: {error}")),
    };
    let had = rustix::thread::capabilities(None).map_err(step)?.permitted;
    let kept = had & (CapabilitySet::SYS_ADMIN | CapabilitySet::SETPCAP);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).map_err(step)?;
    // A change of user makes /proc/self root's, and with it the id maps that are written next.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(step)?;
    report.note(Layer::Identity, state);
    Ok(())
}

fn become_nobody() -> Result<(), Errno> {
    let user = rustix::process::Uid::from_raw(NOBODY);
    let group = rustix::process::Gid::from_raw(NOBODY);
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// Enters all namespaces that this kernel gives, and empties the root.
pub(crate) fn enter(report: &mut Report, policy: Policy) -> Result<(), SandboxError> {
    // Inside, before the maps are written, nobody has a number.
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    // SAFETY: there is one thread, so nobody is left behind in the old namespace.
    let state = match unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) } {
        Ok(()) => {
            write_id_maps(user, group)?;
            LayerState::On
        }
        Err(error) => LayerState::Off(format!("unshare: {error}")),
    };
    settle(report, policy, Layer::UserNamespace, state)?;
    for (flag, layer) in NAMESPACES {
        // SAFETY: as above.
        let state = match unsafe { rustix::thread::unshare_unsafe(flag) } {
            Err(error) => LayerState::Off(format!("unshare: {error}")),
            Ok(()) => match layer {
                Layer::EmptyRoot => match empty_root() {
                    Ok(()) => LayerState::On,
                    Err((step, error)) => LayerState::Off(format!("{step}: {error}")),
                },
                Layer::UtsNamespace => match rustix::system::sethostname(HOST_NAME) {
                    Ok(()) => LayerState::On,
                    Err(error) => LayerState::Reduced(format!("sethostname: {error}")),
                },
                _ => LayerState::On,
            },
        };
        settle(report, policy, layer, state)?;
    }
    Ok(())
}

/// One user and one group are known inside, neither of them root: those which the process has outside.
fn write_id_maps(user: u32, group: u32) -> Result<(), SandboxError> {
    let write = |file: &str, text: String| {
        fs::write(file, text).map_err(|error| SandboxError::step("write the id maps of the user namespace", error))
    };
    // Without it an unprivileged process may not map a group.
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/gid_map", format!("{INSIDE} {group} 1\n"))?;
    write("/proc/self/uid_map", format!("{INSIDE} {user} 1\n"))
}

/// Puts an empty file system in the place of the root and lets the old one go.
fn empty_root() -> Result<(), (&'static str, Errno)> {
    let at = |step: &'static str| move |error: Errno| (step, error);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Otherwise what is mounted here would be seen outside.
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(at("make mounts private"))?;
    rustix::mount::mount(c"none", STAGE, c"tmpfs", flags, c"size=4k,nr_inodes=1,mode=555").map_err(at("mount"))?;
    rustix::process::chdir(STAGE).map_err(at("chdir"))?;
    // The old root lands on top of the new one, in the same place, and is taken away from there.
    match rustix::process::pivot_root(c".", c".") {
        Ok(()) => rustix::mount::unmount(c".", UnmountFlags::DETACH).map_err(at("unmount the old root"))?,
        // The first root of a machine that booted into a RAM disk cannot be pivoted.
        Err(Errno::INVAL) => {
            rustix::mount::mount_move(c".", c"/").map_err(at("move the root"))?;
            rustix::process::chroot(c".").map_err(at("chroot"))?;
        }
        Err(error) => return Err(("pivot_root", error)),
    }
    rustix::process::chdir(c"/").map_err(at("chdir"))?;
    rustix::mount::mount_remount(c"/", flags | MountFlags::RDONLY, c"").map_err(at("make the root read-only"))
}
