//! Which layers are on: made while the process locks itself in, and sent to whoever started it, who logs it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One layer of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Layer {
    /// A user namespace: identities and capabilities that mean nothing outside.
    UserNamespace,
    /// A mount namespace with an empty, read-only root.
    EmptyRoot,
    /// A pid namespace: no other process can be named.
    PidNamespace,
    /// A network namespace without a configured device.
    NetNamespace,
    /// An IPC namespace: no System V objects or message queues of others.
    IpcNamespace,
    /// A UTS namespace: the machine's name is not told.
    UtsNamespace,
    /// A cgroup namespace: the machine's groups are not told.
    CgroupNamespace,
    /// An identity without rights: `nobody` where the process was started by root.
    Identity,
    /// No capability, none to gain, and no program that gives any.
    Privileges,
    /// Resource limits: no core files, no files at all, bounded descriptors.
    ResourceLimits,
    /// All descriptors closed but the given ones.
    Descriptors,
    /// Landlock's rules: no file, no TCP, no signal or abstract socket to the outside.
    Landlock,
    /// The system call filter.
    SystemCalls,
}

impl Layer {
    /// Whether [`Policy::Require`](crate::Policy::Require) refuses a machine without it. The others hide what is good to
    /// hide, but give no way out by their absence.
    pub fn is_essential(self) -> bool {
        !matches!(self, Self::UtsNamespace | Self::CgroupNamespace)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserNamespace => "user namespace",
            Self::EmptyRoot => "empty root",
            Self::PidNamespace => "pid namespace",
            Self::NetNamespace => "network namespace",
            Self::IpcNamespace => "ipc namespace",
            Self::UtsNamespace => "uts namespace",
            Self::CgroupNamespace => "cgroup namespace",
            Self::Identity => "identity",
            Self::Privileges => "no privileges",
            Self::ResourceLimits => "resource limits",
            Self::Descriptors => "descriptors",
            Self::Landlock => "Landlock",
            Self::SystemCalls => "system call filter",
        })
    }
}

/// Whether a layer is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerState {
    /// Wholly on.
    On,
    /// On, as far as this kernel goes: what it lacks.
    Reduced(String),
    /// Not on, and why.
    Off(String),
}

/// Which layers are on, in the order in which they were tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    layers: Vec<(Layer, LayerState)>,
}

impl Report {
    /// Notes a layer.
    pub(crate) fn note(&mut self, layer: Layer, state: LayerState) {
        self.layers.push((layer, state));
    }

    /// All layers that were tried.
    pub fn layers(&self) -> &[(Layer, LayerState)] {
        &self.layers
    }

    /// The state of one layer, if it was tried.
    pub fn state(&self, layer: Layer) -> Option<&LayerState> {
        self.layers
            .iter()
            .find(|(tried, _)| *tried == layer)
            .map(|(_, state)| state)
    }

    /// Whether a layer is on, reduced or not.
    pub fn is_on(&self, layer: Layer) -> bool {
        matches!(self.state(layer), Some(LayerState::On | LayerState::Reduced(_)))
    }

    /// The layers that are off or reduced, with the reason: what a downgrade's log record says.
    pub fn downgrades(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.layers.iter().filter_map(|(layer, state)| match state {
            LayerState::On => None,
            LayerState::Reduced(reason) | LayerState::Off(reason) => Some((*layer, reason.as_str())),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (layer, state)) in self.layers.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match state {
                LayerState::On => write!(f, "{layer}")?,
                LayerState::Reduced(lacks) => write!(f, "{layer} (reduced: {lacks})")?,
                LayerState::Off(reason) => write!(f, "no {layer} ({reason})")?,
            }
        }
        Ok(())
    }
}
