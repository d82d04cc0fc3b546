//! One round from files to a serving worker: configuration, build command, bundle, apply. Each part runs only if what it depends
//! on has changed; each failure is shown, given to the target, and leaves the session running.

use super::changes::Changes;
use crate::args::DevArgs;
use crate::bundle::{self, BuildFailure, BuildInput, Built, Bundler};
use crate::config::{ConfigError, Files, LoadOptions, Project};
use crate::project::{self, Stop};
use crate::report::{Reporter, Split};
use crate::target::{AssetDirectory, BuiltProject, DevTarget};
use crate::types;
use atoll_stdx::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What a session holds from one round to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The configuration that was last read without error.
    pub project: Option<Arc<Project>>,
    /// The modules that were last built without error.
    pub built: Option<Arc<Built>>,
    /// The files to wait for: those of the last build, and of the last that succeeded.
    pub inputs: Vec<PathBuf>,
    /// Where the last round failed, if it did before there was something to serve.
    pub failed: Option<Stage>,
    /// What is served: the version's id, and how assets are.
    pub applied: Option<String>,
}

/// The parts of a round that a project can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reading the configuration.
    Config,
    /// The project's own build command, or what it should have made.
    Command,
    /// Bundling.
    Build,
}

/// What every round of a session uses.
pub(super) struct Round {
    pub args: Arc<DevArgs>,
    pub load: LoadOptions,
    pub persist_to: PathBuf,
    pub files: Arc<dyn Files>,
    pub bundler: Arc<dyn Bundler>,
    pub target: Arc<dyn DevTarget>,
    pub reporter: Arc<Reporter>,
    pub clock: Arc<dyn Clock>,
}

/// How a round ended.
pub(super) struct Finished {
    pub state: State,
    pub ok: bool,
    /// It failed, and no change of the project's files mends that.
    pub fatal: bool,
    /// What was written at this time or later may not have been read.
    pub read_from: SystemTime,
}

impl Round {
    /// Reads the configuration, the flags laid over it.
    pub(super) async fn read_config(&self) -> Result<Project, ConfigError> {
        project::read(self.load.clone(), &self.args.build, &self.files).await
    }

    /// Does what `changes` make necessary.
    pub(super) async fn run(self: Arc<Self>, mut state: State, changes: Changes, first: bool) -> Finished {
        let mut split = Split {
            debounce: changes.since.map_or(Duration::ZERO, |since| since.elapsed()),
            ..Split::default()
        };
        let mut read_from = SystemTime::now();
        let result = self
            .steps(&mut state, &changes, first, &mut split, &mut read_from)
            .await;
        split.total = changes.since.map_or(Duration::ZERO, |since| since.elapsed());
        let mut fatal = false;
        let ok = match result {
            Ok(false) => true,
            Ok(true) => {
                if !first {
                    self.reporter.reloaded(&changes.reason, true, &split);
                }
                true
            }
            Err(stop) => {
                fatal = stop.failure.fatal;
                self.reporter.failure(&stop.failure, stop.build.as_ref());
                // A worker that failed to start has told the target by itself.
                if state.failed.is_some() {
                    self.target.fail(stop.failure).await;
                    state.applied = None;
                }
                if !first {
                    self.reporter.reloaded(&changes.reason, false, &split);
                }
                false
            }
        };
        Finished {
            state,
            ok,
            fatal,
            read_from,
        }
    }

    /// Returns whether something new is served.
    async fn steps(
        &self,
        state: &mut State,
        changes: &Changes,
        first: bool,
        split: &mut Split,
        read_from: &mut SystemTime,
    ) -> Result<bool, Stop> {
        // What failed is done again if what changed may have mended it. A build command may write assets: were it run again for
        // those alone, it could go on for ever.
        let failed = state.failed;
        let read = changes.config || changes.all || failed == Some(Stage::Config);
        let project = match &state.project {
            Some(project) if first || !read => Arc::clone(project),
            _ => {
                let started = Instant::now();
                state.failed = Some(Stage::Config);
                let project = Arc::new(self.read_config().await?);
                split.config = started.elapsed();
                self.warn_of_config(&project, state.project.as_deref());
                state.project = Some(Arc::clone(&project));
                project
            }
        };
        if read {
            self.write_types(&project).await;
        }
        let mut build = read || changes.command || changes.source;
        if let Some(command) = &project.build.command {
            if read || changes.command || (failed == Some(Stage::Command) && changes.source) {
                let started = Instant::now();
                state.failed = Some(Stage::Command);
                let directory = project.build.cwd.as_ref().unwrap_or(&project.root);
                let print = |line: &str| self.reporter.command_line(line);
                bundle::command::run(command, directory, &print).await?;
                project.check_files(&*self.files)?;
                split.command = started.elapsed();
                *read_from = SystemTime::now();
                build = true;
            } else if failed == Some(Stage::Command) {
                return Ok(false);
            }
        }
        if build {
            let started = Instant::now();
            state.failed = Some(Stage::Build);
            match BuildInput::of(&project, std::slice::from_ref(&self.persist_to)) {
                None => state.built = None,
                Some(input) => self.build(&input, state).await?,
            }
            split.build = started.elapsed();
            if let Some(built) = &state.built {
                let bytes = built.modules.iter().map(|module| module.content.len()).sum();
                self.reporter
                    .built(built.modules.len(), bytes, built.warnings.len(), split);
                for warning in &built.warnings {
                    self.reporter.warning(warning);
                }
            }
        } else if failed == Some(Stage::Build) {
            return Ok(false);
        }
        state.failed = None;

        let version = state
            .built
            .as_ref()
            .map(|built| project::version(&project, built, &*self.clock));
        let id = version.as_ref().map_or(String::new(), |version| version.id.clone());
        let assets = project.assets.clone();
        let applied = format!("{id} {assets:?}");
        if state.applied.as_ref() == Some(&applied) && !changes.assets && !changes.all {
            return Ok(false);
        }
        let started = Instant::now();
        let dev = BuiltProject {
            worker: version,
            assets: assets.map(|(directory, config)| AssetDirectory { directory, config }),
            root: project.root.clone(),
            persist_to: self.persist_to.clone(),
        };
        state.applied = None;
        self.target
            .apply(dev)
            .await
            .map_err(|failure| Stop { failure, build: None })?;
        split.apply = started.elapsed();
        state.applied = Some(applied);
        Ok(true)
    }

    async fn build(&self, input: &BuildInput, state: &mut State) -> Result<(), BuildFailure> {
        match bundle::build(input, &*self.bundler).await {
            Ok(built) => {
                state.inputs.clone_from(&built.inputs);
                state.built = Some(Arc::new(built));
                Ok(())
            }
            Err(failure) => {
                // The old ones too: the error may be in one that this build did not come to.
                state.inputs.extend(failure.inputs.iter().cloned());
                state.inputs.sort();
                state.inputs.dedup();
                Err(failure)
            }
        }
    }

    /// Says what is odd in a configuration, once, and what of it needs a restart.
    pub(super) fn warn_of_config(&self, project: &Project, before: Option<&Project>) {
        for warning in &project.warnings {
            if !before.is_some_and(|before| before.warnings.contains(warning)) {
                self.reporter.warning(&warning.to_string());
            }
        }
        if before.is_some_and(|before| before.dev != project.dev) {
            self.reporter
                .warning("the \"dev\" section changed: restart atoll dev for it to count");
        }
    }

    /// With `dev.generate_types`, writes the types of the bindings. They are for the editor: a failure stops nothing.
    async fn write_types(&self, project: &Project) {
        if !project.dev.generate_types {
            return;
        }
        let (load, files) = (self.load.clone(), Arc::clone(&self.files));
        let written = tokio::task::spawn_blocking(move || types::run(&load, &*files)).await;
        match written {
            Ok(Ok((written, _))) if written.changed => {
                let file = bundle::relative(&written.path, &project.root);
                self.reporter.say(&format!("wrote {file}"));
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.reporter.warning(&format!("the types were not written: {error}")),
            Err(error) => self.reporter.warning(&format!("the types were not written: {error}")),
        }
    }
}
