//! The loop of `atoll serve`: start, signals, reload, stop.

use super::args::ServeArgs;
use super::routing;
use super::target::{Deployment, Listening, Phase, ServeListen, ServeTarget};
use crate::args::{Isolation, PORT_DEFAULT};
use crate::bundle::{self, Bundler};
use crate::config::{Files, LoadOptions, LocalFiles, Project, normal_path};
use crate::listen;
use crate::project::{self, Stop};
use crate::report::{Reporter, human, milliseconds};
use crate::target::{AssetDirectory, BuiltProject, Failure, Listen};
use crate::terminal::{Input, Inputs};
use crate::{Surroundings, introduce};
use atoll_model::RoutePattern;
use atoll_stdx::Clock;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// Exit statuses. Those of signals are what shells give for a program that one ended.
const OK: u8 = 0;
const FAILED: u8 = 1;
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Serves until told to stop. Returns the exit status: 0 after a graceful stop, 1 if it could not start, 130 or 143 if told
/// to stop twice.
pub async fn run(args: ServeArgs, around: Surroundings, target: Arc<dyn ServeTarget>) -> u8 {
    let started = Instant::now();
    let Surroundings {
        cwd,
        process_env,
        clock,
        terminal,
        mut inputs,
        bundler,
        ..
    } = around;
    let json = args.log_format == Some(super::LogFormat::Json);
    let reporter = Reporter {
        colour: terminal.is_terminal() && !json && !crate::forbids_colour(&process_env),
        terminal: Arc::clone(&terminal),
        json,
        level: args.log_level,
        clock: Arc::clone(&clock),
    };
    let cwd = std::fs::canonicalize(&cwd).unwrap_or(cwd);
    let session = Session {
        cwd,
        process_env,
        clock,
        bundler,
        files: Arc::new(LocalFiles),
        reporter,
        target,
        args,
    };
    let starting = session.start(started);
    tokio::pin!(starting);
    let outcome = loop {
        tokio::select! {
            outcome = &mut starting => break outcome,
            input = inputs.recv() => match input {
                // What is being read now is what a reload would read.
                Some(Input::Reload | Input::Restart | Input::Key(_)) => {}
                Some(Input::Interrupt | Input::Terminate) | None => {
                    session.reporter.stopping("signal");
                    session.target.shutdown(std::time::Duration::ZERO, std::time::Duration::ZERO).await;
                    return OK;
                }
            },
        }
    };
    match outcome {
        Ok(persist_to) => session.serve(&mut inputs, &persist_to).await,
        Err(stop) => {
            session.reporter.failure(&stop.failure, stop.build.as_ref());
            session
                .target
                .shutdown(std::time::Duration::ZERO, std::time::Duration::ZERO)
                .await;
            FAILED
        }
    }
}

struct Session {
    args: ServeArgs,
    cwd: PathBuf,
    process_env: Vec<(String, String)>,
    clock: Arc<dyn Clock>,
    bundler: Arc<dyn Bundler>,
    files: Arc<dyn Files>,
    reporter: Reporter,
    target: Arc<dyn ServeTarget>,
}

impl Session {
    /// Reads, binds, builds, deploys. Gives back where state is kept.
    async fn start(&self, started: Instant) -> Result<PathBuf, Stop> {
        let projects = self.read().await?;
        // `places` gives at least one.
        let persist_to = projects
            .first()
            .map(|first| project::persist_to(self.args.persist_to.as_deref(), first, &self.cwd))
            .unwrap_or_default();
        let routes = routing::routes(&projects, &self.args.routes)?;
        let isolation = self.isolation(&projects);
        if isolation == Isolation::Alone && projects.len() > 1 {
            return Err(several_alone(&projects).into());
        }
        self.target.isolate(isolation).await?;
        let listen = self.listen();
        let listening = self.target.listen(&listen).await.map_err(|error| {
            let (title, detail) = listen::explain(&error, "serve");
            Failure {
                title,
                detail,
                fatal: true,
            }
        })?;
        self.introduce(&projects);
        let built = self.build(&projects, &persist_to).await?;
        let deployment = Deployment {
            projects: built,
            routes: routes.clone(),
        };
        self.target.deploy(deployment).await?;
        self.target.phase(Phase::Ready);
        self.ready(&projects, &routes, &listen, listening, started);
        Ok(persist_to)
    }

    /// Follows signals until one ends it.
    async fn serve(&self, inputs: &mut Inputs, persist_to: &Path) -> u8 {
        loop {
            let stop = match inputs.recv().await {
                Some(Input::Key(_)) => continue,
                Some(Input::Reload) => tokio::select! {
                    () = self.reload(persist_to) => continue,
                    // A reload in progress is given up.
                    stop = next_stop(inputs) => stop,
                },
                Some(Input::Restart) => tokio::select! {
                    () = self.restart_children() => continue,
                    stop = next_stop(inputs) => stop,
                },
                Some(Input::Interrupt) => "interrupt",
                Some(Input::Terminate) | None => "terminate",
            };
            return self.stop(stop, inputs).await;
        }
    }

    async fn stop(&self, reason: &'static str, inputs: &mut Inputs) -> u8 {
        self.target.phase(Phase::Stopping);
        self.reporter.stopping(reason);
        let shutdown = self.target.shutdown(self.args.drain_delay, self.args.grace);
        tokio::pin!(shutdown);
        tokio::select! {
            cut = &mut shutdown => {
                if cut > 0 {
                    self.reporter
                        .warning(&format!("{cut} connections were cut off: they took longer than --grace"));
                }
                OK
            }
            reason = next_stop(inputs) => if reason == "interrupt" { INTERRUPTED } else { TERMINATED },
        }
    }

    /// Reads and builds everything again and lets it take over. What fails is told, and changes nothing.
    async fn reload(&self, persist_to: &Path) {
        let started = Instant::now();
        self.target.phase(Phase::Reloading);
        let outcome = self.replace(persist_to).await;
        self.target.phase(Phase::Ready);
        let ok = outcome.is_ok();
        if let Err(stop) = &outcome {
            self.reporter.failure(&stop.failure, stop.build.as_ref());
        }
        let elapsed = started.elapsed();
        let fields = json!({"reason": "hangup", "ok": ok, "total_ms": milliseconds(elapsed)});
        if !self.reporter.emit("reload", fields) {
            self.reporter.say(&match ok {
                true => format!("reloaded in {}", human(elapsed)),
                false => "nothing was reloaded: what was served goes on".to_owned(),
            });
        }
    }

    /// Replaces the child processes one after the other; what each has in flight finishes there.
    async fn restart_children(&self) {
        let started = Instant::now();
        let outcome = self.target.restart_children().await;
        if let Err(failure) = &outcome {
            self.reporter.failure(failure, None);
        }
        let (ok, count) = (outcome.is_ok(), outcome.unwrap_or_default());
        let elapsed = started.elapsed();
        let fields = json!({"ok": ok, "children": count, "total_ms": milliseconds(elapsed)});
        if !self.reporter.emit("rolling", fields) && ok {
            self.reporter
                .say(&format!("{count} child processes were replaced in {}", human(elapsed)));
        }
    }

    async fn replace(&self, persist_to: &Path) -> Result<(), Stop> {
        let projects = self.read().await?;
        let routes = routing::routes(&projects, &self.args.routes)?;
        let (asked, mode) = (self.isolation(&projects), self.target.isolated().mode);
        if asked != mode {
            let (asked, mode) = (asked.word(), mode.word());
            self.reporter.warning(&format!(
                "isolation \"{asked}\" is asked for and \"{mode}\" goes on: it changes when the server is started again"
            ));
        }
        let projects = self.build(&projects, persist_to).await?;
        self.target.renew_certificate().await?;
        Ok(self.target.deploy(Deployment { projects, routes }).await?)
    }

    /// The projects' configurations, the flags laid over them.
    async fn read(&self) -> Result<Vec<Arc<Project>>, Stop> {
        let mut projects: Vec<Arc<Project>> = Vec::new();
        for (directory, config) in project::places(&self.args.directories, &self.args.configs) {
            let real = |path: &Path| {
                let path = self.cwd.join(path);
                std::fs::canonicalize(&path).unwrap_or(path)
            };
            let load = LoadOptions {
                directory: real(&directory),
                config: config.as_deref().map(real),
                cwd: self.cwd.clone(),
                environment: self.args.build.env.clone(),
                vars: self.args.build.vars.clone(),
                env_files: self.args.build.env_files.clone(),
                process_env: self.process_env.clone(),
            };
            let project = project::read(load, &self.args.build, &self.files).await?;
            if projects.iter().any(|known| known.name == project.name) {
                return Err(project::same_name(&project.name).into());
            }
            for warning in &project.warnings {
                self.reporter.warning(&warning.to_string());
            }
            projects.push(Arc::new(project));
        }
        Ok(projects)
    }

    async fn build(&self, projects: &[Arc<Project>], persist_to: &Path) -> Result<Vec<BuiltProject>, Stop> {
        let mut built = Vec::with_capacity(projects.len());
        for project in projects {
            built.push(self.build_one(project, persist_to).await?);
        }
        Ok(built)
    }

    async fn build_one(&self, project: &Project, persist_to: &Path) -> Result<BuiltProject, Stop> {
        if let Some(command) = &project.build.command {
            let directory = project.build.cwd.as_ref().unwrap_or(&project.root);
            let print = |line: &str| self.reporter.command_line(line);
            bundle::command::run(command, directory, &print).await?;
            project.check_files(&*self.files)?;
        }
        let excluded = [persist_to.to_owned()];
        let worker = match bundle::BuildInput::of(project, &excluded) {
            None => None,
            Some(input) => {
                let input = bundle::BuildInput {
                    development: false,
                    ..input
                };
                let built = bundle::build(&input, &*self.bundler).await?;
                for warning in &built.warnings {
                    self.reporter.warning(warning);
                }
                Some(project::version(project, &built, &*self.clock))
            }
        };
        let assets = project.assets.clone();
        Ok(BuiltProject {
            worker,
            assets: assets.map(|(directory, config)| AssetDirectory { directory, config }),
            root: project.root.clone(),
            persist_to: persist_to.to_owned(),
        })
    }

    /// What the flag or its variable says, else the strictest that a project asks for.
    fn isolation(&self, projects: &[Arc<Project>]) -> Isolation {
        let asked = projects.iter().filter_map(|project| project.isolation);
        self.args.isolation.or(asked.max()).unwrap_or(Isolation::Cordon)
    }

    fn listen(&self) -> ServeListen {
        let absolute = |path: &PathBuf| normal_path(&self.cwd.join(path));
        let certificate = self.args.tls_cert.as_ref().zip(self.args.tls_key.as_ref());
        ServeListen {
            public: Listen {
                host: self.args.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                port: self.args.port.unwrap_or(PORT_DEFAULT),
                https: certificate.is_some(),
                certificate: certificate.map(|(chain, key)| (absolute(chain), absolute(key))),
                geo: self.args.geo_db.iter().map(absolute).collect(),
            },
            admin: self.args.admin,
            reuse_port: self.args.reuse_port,
        }
    }

    fn introduce(&self, projects: &[Arc<Project>]) {
        if self.reporter.json {
            return;
        }
        introduce::program(&self.reporter);
        for project in projects {
            introduce::outbound(&self.reporter, project, false);
            introduce::bindings(&self.reporter, project);
        }
    }

    fn ready(
        &self,
        projects: &[Arc<Project>],
        routes: &[(RoutePattern, usize)],
        listen: &ServeListen,
        listening: Listening,
        started: Instant,
    ) {
        let urls = listen::urls(listening.public, listen.public.https);
        let admin = listening.admin.map(|address| format!("http://{address}"));
        let isolated = self.target.isolated();
        let of = |place: usize| routes.iter().filter(move |(_, of)| *of == place);
        let workers: Vec<_> = projects
            .iter()
            .enumerate()
            .map(|(place, project)| {
                let routes: Vec<String> = of(place).map(|(pattern, _)| pattern.to_string()).collect();
                json!({"name": project.name, "routes": routes, "bindings": introduce::json(project)})
            })
            .collect();
        let fields = json!({
            "url": urls.first(),
            "urls": urls,
            "admin": admin,
            "workers": workers,
            "inherited": listening.inherited,
            "isolation": isolated.mode.word(),
            "isolated": isolated.told,
            "elapsed_ms": milliseconds(started.elapsed()),
        });
        if self.reporter.emit("ready", fields) {
            return;
        }
        self.reporter.ready_on(&urls, started.elapsed());
        self.reporter.say(&format!("workers run {}", isolated.told));
        if projects.len() > 1 {
            for (pattern, place) in routes {
                self.reporter
                    .say(&format!("  {pattern} is {}'s", projects[*place].name));
            }
        }
        match admin {
            Some(admin) => self
                .reporter
                .say(&format!("health and metrics on {admin}/healthz, /readyz, /metrics")),
            None => self
                .reporter
                .say("health and metrics are off: --admin 127.0.0.1:9000 serves them"),
        }
    }
}

/// The next signal that asks for the end, and which.
async fn next_stop(inputs: &mut Inputs) -> &'static str {
    loop {
        match inputs.recv().await {
            Some(Input::Interrupt) => return "interrupt",
            Some(Input::Terminate) | None => return "terminate",
            Some(Input::Reload | Input::Restart | Input::Key(_)) => {}
        }
    }
}

/// Two workers on one thread would wait for each other.
fn several_alone(projects: &[Arc<Project>]) -> Failure {
    let names: Vec<String> = projects.iter().map(|project| format!("\"{}\"", project.name)).collect();
    Failure {
        title: "Isolation \"alone\" is for one worker".to_owned(),
        detail: format!(
            "Here are {}: {}. Serve each with an `atoll serve` of its own, or all of them with --isolation shared, cordon or dedicated.",
            projects.len(),
            names.join(", ")
        ),
        fatal: true,
    }
}
