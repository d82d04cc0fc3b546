//! From the values that count to a typed [`Project`]. Pure: files are looked at by the caller.

use super::bindings;
use super::diagnostic::{Findings, Position};
use super::environment::Effective;
use super::find::normal;
use super::keys;
use super::project::{Build, DevSettings, ModuleRule, Places, Project};
use super::routes;
use super::rules;
use super::scope::{self, Fields};
use super::tree::Value;
use atoll_model::compat::{FlagFinding, check_flags, flags as flags_known};
use atoll_model::{AssetsConfig, BindingSpec, CompatDate, HtmlHandling, Limits, NotFoundHandling, RunWorkerFirst};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// The most patterns that `assets.run_worker_first` may have.
const RUN_WORKER_FIRST_MAX: usize = 100;

/// The longest name of a worker, characters: it is part of host names.
const NAME_LENGTH_MAX: usize = 255;

/// Reads everything but the secrets. `root` is where relative paths stand; `main` is an entry named on the command line;
/// `fallback_name` names a worker whose configuration does not.
pub(crate) fn project(
    effective: &Effective,
    root: &Path,
    main: Option<PathBuf>,
    fallback_name: &str,
    findings: &mut Findings,
) -> Project {
    let path = |text: String| normal(&root.join(text));
    let name = name(effective, findings).unwrap_or_else(|| fallback_name.to_owned());
    let main = main.or_else(|| entry(effective, root, findings));
    let assets = assets(effective, root, main.is_some(), findings);
    if main.is_none() && assets.is_none() && findings.errors.is_empty() {
        let message =
            "there is neither \"main\" (the worker's entry module) nor \"assets\" (a directory to serve): set one";
        findings.error(None, "", message);
    }
    let declared = bindings::declared(effective, &name, findings);
    bindings::unique(&declared, findings);
    let no_bundle = effective.flag("no_bundle").unwrap_or(false);
    let base_dir = effective.text("base_dir", findings).map(path);
    let base_dir = base_dir
        .or_else(|| main.as_ref()?.parent().map(Path::to_path_buf))
        .unwrap_or_else(|| root.to_owned());
    let compat_date = compat_date(effective, main.is_some(), findings);
    Project {
        root: root.to_owned(),
        config_path: None,
        user_config_path: None,
        redirected_by: None,
        watch: Vec::new(),
        environment: effective.named.clone(),
        environments: effective.environments.clone(),
        rules: module_rules(effective, findings),
        find_additional_modules: effective.flag("find_additional_modules").unwrap_or(no_bundle),
        base_dir,
        no_bundle,
        preserve_file_names: effective.flag("preserve_file_names").unwrap_or(false),
        define: text_pairs(effective, "define", findings),
        alias: text_pairs(effective, "alias", findings),
        minify: effective.flag("minify").unwrap_or(false),
        keep_names: effective.flag("keep_names").unwrap_or(true),
        tsconfig: effective.text("tsconfig", findings).map(path),
        jsx_factory: effective.text("jsx_factory", findings),
        jsx_fragment: effective.text("jsx_fragment", findings),
        build: build(effective, root, findings),
        assets,
        unbuilt_types: declared
            .iter()
            .filter_map(|binding| Some((binding.name.clone(), binding.ts.clone()?)))
            .collect(),
        bindings: declared
            .into_iter()
            .map(|binding| (binding.name, binding.spec))
            .collect(),
        crons: crons(effective, findings),
        tail_consumers: tail_consumers(effective, findings),
        compat_date,
        compat_flags: compat_flags(effective, compat_date, findings),
        dev: dev(effective, findings),
        limits: limits(effective, findings),
        routes: routes::routes(effective, findings),
        outbound: super::atoll::outbound(effective, findings),
        isolation: super::atoll::isolation(effective, findings),
        deploy: super::deploy::keys(effective),
        required_secrets: required_secrets(effective, findings),
        secret_files: Vec::new(),
        warnings: Vec::new(),
        places: Places {
            file: findings.file.clone(),
            main: effective.at("main"),
            assets: effective
                .fields("assets", &mut Findings::new(""))
                .and_then(|fields| fields.node("directory").map(|node| node.at)),
        },
        name,
        main,
    }
}

fn name(effective: &Effective, findings: &mut Findings) -> Option<String> {
    let found = effective.get("name")?;
    let name = scope::text(&found.entry.node, || found.path.clone(), findings)?;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.starts_with('-') || !name.chars().all(legal) || name.len() > NAME_LENGTH_MAX {
        let message = format!("expected lower-case letters, digits, dashes and underscores, found \"{name}\"");
        findings.error(found.entry.node.at, found.path.clone(), message);
        return None;
    }
    match &effective.named {
        // Each environment is a worker of its own.
        Some(environment) if found.inherited && !name.is_empty() => Some(format!("{name}-{environment}")),
        _ if name.is_empty() => None,
        _ => Some(name),
    }
}

fn entry(effective: &Effective, root: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let main = effective.text("main", findings)?;
    let at = effective.at("main");
    let key = effective
        .get("main")
        .map(|found| found.path.clone())
        .unwrap_or_default();
    if main.is_empty() {
        findings.error(at, key, "must not be empty");
        return None;
    }
    if main.ends_with(".py") {
        findings.error(
            at,
            key,
            "Python workers are not supported: the entry must be JavaScript or TypeScript",
        );
        return None;
    }
    Some(normal(&root.join(main)))
}

fn assets(
    effective: &Effective,
    root: &Path,
    has_main: bool,
    findings: &mut Findings,
) -> Option<(PathBuf, AssetsConfig)> {
    let fields = effective.fields("assets", findings)?;
    fields.known(
        &[
            "directory",
            "binding",
            "html_handling",
            "not_found_handling",
            "base_path",
            "run_worker_first",
        ],
        findings,
    );
    let html = [
        ("auto-trailing-slash", HtmlHandling::AutoTrailingSlash),
        ("force-trailing-slash", HtmlHandling::ForceTrailingSlash),
        ("drop-trailing-slash", HtmlHandling::DropTrailingSlash),
        ("none", HtmlHandling::None),
    ];
    let not_found = [
        ("none", NotFoundHandling::None),
        ("404-page", NotFoundHandling::NotFoundPage),
        ("single-page-application", NotFoundHandling::SinglePageApplication),
    ];
    let config = AssetsConfig {
        binding: fields.text("binding", findings),
        html_handling: fields.choice("html_handling", &html, findings).unwrap_or_default(),
        not_found_handling: fields
            .choice("not_found_handling", &not_found, findings)
            .unwrap_or_default(),
        run_worker_first: run_worker_first(&fields, findings).unwrap_or_default(),
    };
    if fields
        .text("base_path", findings)
        .is_some_and(|base| !matches!(base.as_str(), "" | "/"))
    {
        let at = fields.node("base_path").map(|node| node.at);
        findings.warn(
            at,
            fields.key("base_path"),
            "is not supported yet: the assets are served from /",
        );
    }
    let at = |name: &str| fields.node(name).map(|node| node.at);
    let runs_first = !matches!(config.run_worker_first, RunWorkerFirst::All(false));
    if !has_main {
        if config.binding.is_some() {
            let message = "a binding needs a worker that uses it: set \"main\", or remove the binding";
            findings.error(at("binding"), fields.key("binding"), message);
        }
        if runs_first {
            let message = "there is no worker to run first: set \"main\", or remove this";
            findings.error(at("run_worker_first"), fields.key("run_worker_first"), message);
        }
    } else if config.run_worker_first == RunWorkerFirst::All(true) && config.binding.is_none() {
        let message = "the worker runs first for every path, but has no \"assets.binding\" by which to serve an asset";
        findings.warn(at("run_worker_first"), fields.key("run_worker_first"), message);
    }
    let directory = fields.required_text("directory", findings)?;
    Some((normal(&root.join(directory)), config))
}

fn run_worker_first(fields: &Fields<'_>, findings: &mut Findings) -> Option<RunWorkerFirst> {
    const NAME: &str = "run_worker_first";
    let node = fields.node(NAME)?;
    match &node.value {
        Value::Bool(flag) => Some(RunWorkerFirst::All(*flag)),
        Value::List(items) => {
            let patterns = scope::texts(items, &fields.key(NAME), findings);
            if patterns.len() > RUN_WORKER_FIRST_MAX {
                let message = format!(
                    "has {} patterns, more than the limit of {RUN_WORKER_FIRST_MAX}",
                    patterns.len()
                );
                findings.error(node.at, fields.key(NAME), message);
            }
            for (at, pattern) in &patterns {
                if !pattern.starts_with('/') && !pattern.starts_with("!/") {
                    let message = format!("a pattern begins with \"/\" or \"!/\", found \"{pattern}\"");
                    findings.error(*at, fields.key(NAME), message);
                }
            }
            if !patterns.is_empty() && patterns.iter().all(|(_, pattern)| pattern.starts_with('!')) {
                findings.error(
                    node.at,
                    fields.key(NAME),
                    "has only exceptions: add a pattern that begins with \"/\"",
                );
            }
            Some(RunWorkerFirst::Patterns(
                patterns.into_iter().map(|(_, pattern)| pattern).collect(),
            ))
        }
        _ => {
            findings.error(
                node.at,
                fields.key(NAME),
                format!("expected true, false or a list of patterns, found {node}"),
            );
            None
        }
    }
}

fn module_rules(effective: &Effective, findings: &mut Findings) -> Vec<ModuleRule> {
    let configured = match effective.list("rules", findings) {
        Some((items, path)) => rules::read(items, path, findings),
        None => Vec::new(),
    };
    rules::complete(configured, findings)
}

fn text_pairs(effective: &Effective, key: &str, findings: &mut Findings) -> Vec<(String, String)> {
    let Some(fields) = effective.fields(key, findings) else {
        return Vec::new();
    };
    let mut pairs = Vec::with_capacity(fields.table.len());
    for (name, entry) in fields.table {
        if let Some(value) = scope::text(&entry.node, || fields.key(name), findings) {
            pairs.push((name.clone(), value));
        }
    }
    pairs
}

fn build(effective: &Effective, root: &Path, findings: &mut Findings) -> Build {
    let Some(fields) = effective.fields("build", findings) else {
        return Build::default();
    };
    fields.known(&["command", "cwd", "watch_dir"], findings);
    let command = fields
        .text("command", findings)
        .filter(|command| !command.trim().is_empty());
    let cwd = fields.text("cwd", findings).map(|cwd| normal(&root.join(cwd)));
    let watch = match fields.node("watch_dir").map(|node| &node.value) {
        Some(Value::List(items)) => scope::texts(items, &fields.key("watch_dir"), findings)
            .into_iter()
            .map(|(_, path)| path)
            .collect(),
        Some(_) => fields.text("watch_dir", findings).into_iter().collect(),
        None => vec!["./src".to_owned()],
    };
    let watch_dir = match &command {
        Some(_) => watch
            .into_iter()
            .map(|directory| normal(&root.join(directory)))
            .collect(),
        None => Vec::new(),
    };
    Build {
        command,
        cwd,
        watch_dir,
    }
}

fn tail_consumers(effective: &Effective, findings: &mut Findings) -> Vec<String> {
    let Some(found) = effective.get("tail_consumers") else {
        return Vec::new();
    };
    let Some(items) = super::scope::list(&found.entry.node, || found.path.clone(), findings) else {
        return Vec::new();
    };
    let mut consumers = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(fields) = Fields::of(item, format!("{}[{index}]", found.path), findings) else {
            continue;
        };
        fields.known(&["service", "environment"], findings);
        let service = fields.required_text("service", findings);
        let environment = fields.text("environment", findings);
        consumers.extend(service.map(|service| match environment {
            Some(environment) => format!("{service}-{environment}"),
            None => service,
        }));
    }
    consumers
}

fn crons(effective: &Effective, findings: &mut Findings) -> Vec<String> {
    let Some(fields) = effective.fields("triggers", findings) else {
        return Vec::new();
    };
    fields.known(&["crons", "events"], findings);
    let crons = fields
        .node("crons")
        .filter(|node| !node.is_null())
        .and_then(|_| fields.texts("crons", findings));
    let mut expressions = Vec::new();
    for (at, cron) in crons.unwrap_or_default() {
        if cron.split_whitespace().count() != 5 {
            let message =
                format!("a cron expression has five fields (minute, hour, day, month, weekday), found \"{cron}\"");
            findings.error(at, fields.key("crons"), message);
        } else {
            expressions.push(cron);
        }
    }
    expressions
}

fn compat_date(effective: &Effective, has_main: bool, findings: &mut Findings) -> CompatDate {
    let newest = CompatDate::NEWEST;
    let Some(found) = effective.get("compatibility_date") else {
        if has_main {
            let message = format!(
                "is not set: the newest behaviour, {newest}, is used; set \"compatibility_date\" to keep the worker's \
                 behaviour when the platform moves on"
            );
            findings.warn(None, "compatibility_date", message);
        }
        return newest;
    };
    let at = found.entry.node.at;
    let Some(text) = scope::text(&found.entry.node, || found.path.clone(), findings) else {
        return newest;
    };
    match text.parse::<CompatDate>() {
        Ok(date) => {
            if date > newest {
                let message =
                    format!("{date} is newer than the newest behaviour that is known here, {newest}, which is used");
                findings.warn(at, found.path.clone(), message);
            }
            date
        }
        Err(error) => {
            findings.error(at, found.path.clone(), error.to_string());
            newest
        }
    }
}

fn compat_flags(effective: &Effective, date: CompatDate, findings: &mut Findings) -> Vec<String> {
    let Some((items, path)) = effective.list("compatibility_flags", findings) else {
        return Vec::new();
    };
    let (places, flags): (Vec<Position>, Vec<String>) = scope::texts(items, path, findings).into_iter().unzip();
    let path = path.to_owned();
    for (index, finding) in check_flags(date, &flags) {
        let key = format!("{path}[{index}]");
        let mut message = finding.to_string();
        if let FlagFinding::Unknown(name) = &finding {
            let known = flags_known()
                .flat_map(|flag| [flag.name, flag.off])
                .filter(|name| !name.is_empty());
            if let Some(near) = keys::nearest(name, known) {
                message = format!("{message}; did you mean \"{near}\"?");
            }
        }
        if finding.is_error() {
            findings.error(places[index], key, message);
        } else {
            findings.warn(places[index], key, message);
        }
    }
    flags
}

fn limits(effective: &Effective, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    super::atoll::limits(effective, &mut limits, findings);
    let Some(fields) = effective.fields("limits", findings) else {
        return limits;
    };
    fields.known(&["cpu_ms", "subrequests"], findings);
    // Five minutes is the most that the platform grants to one event.
    if let Some(cpu) = fields.integer("cpu_ms", 1, 300_000, findings) {
        limits.cpu_ms = cpu;
    }
    if let Some(count) = fields.integer("subrequests", 1, u64::from(u32::MAX), findings) {
        limits.subrequests_max = u32::try_from(count).unwrap_or(u32::MAX);
    }
    limits
}

/// Warns of a key that is read and changes nothing.
fn no_effect(fields: &Fields<'_>, name: &str, reason: &str, findings: &mut Findings) {
    if let Some(node) = fields.node(name) {
        findings.warn(
            node.at,
            fields.key(name),
            format!("is accepted, but has no effect: {reason}"),
        );
    }
}

fn required_secrets(effective: &Effective, findings: &mut Findings) -> Vec<String> {
    let Some(fields) = effective.fields("secrets", findings) else {
        return Vec::new();
    };
    fields.known(&["required"], findings);
    fields
        .texts("required", findings)
        .unwrap_or_default()
        .into_iter()
        .map(|(_, name)| name)
        .collect()
}

fn dev(effective: &Effective, findings: &mut Findings) -> DevSettings {
    let Some(fields) = effective.fields("dev", findings) else {
        return DevSettings::default();
    };
    fields.known(
        &[
            "ip",
            "port",
            "inspector_port",
            "inspector_ip",
            "local_protocol",
            "upstream_protocol",
            "host",
            "enable_containers",
            "container_engine",
            "generate_types",
        ],
        findings,
    );
    let protocol = [("http", false), ("https", true)];
    no_effect(
        &fields,
        "host",
        "requests keep the host that they were sent to",
        findings,
    );
    let upstream_https = fields.choice("upstream_protocol", &protocol, findings);
    // Frameworks' tools write the default, "http", into the configurations that they make.
    if upstream_https == Some(true) {
        let reason = "requests keep the scheme that they were sent with";
        no_effect(&fields, "upstream_protocol", reason, findings);
    }
    let port = |name: &str, findings: &mut Findings| -> Option<u16> {
        fields
            .integer(name, 0, u64::from(u16::MAX), findings)
            .and_then(|port| u16::try_from(port).ok())
    };
    DevSettings {
        ip: fields
            .text("ip", findings)
            .and_then(|text| address("ip", &text, &fields, findings)),
        port: port("port", findings),
        https: fields.choice("local_protocol", &protocol, findings),
        host: fields.text("host", findings),
        upstream_https,
        inspector_port: port("inspector_port", findings),
        inspector_ip: fields
            .text("inspector_ip", findings)
            .and_then(|text| address("inspector_ip", &text, &fields, findings)),
        generate_types: fields.flag("generate_types", findings).unwrap_or(false),
    }
}

fn address(name: &str, text: &str, fields: &Fields<'_>, findings: &mut Findings) -> Option<IpAddr> {
    match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        _ => match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let at: Option<Position> = fields.node(name).map(|node| node.at);
                findings.error(
                    at,
                    fields.key(name),
                    format!("expected an IP address or \"localhost\", found \"{text}\""),
                );
                None
            }
        },
    }
}

/// Lays `--var` values over secrets, and secrets over `vars`. A binding of another kind keeps its name against a secret
/// (as wrangler does), and is an error against `--var`, which somebody typed.
pub(crate) fn merge_values(
    bindings: &mut Vec<(String, BindingSpec)>,
    secrets: Vec<(String, String)>,
    vars: &[(String, String)],
    findings: &mut Findings,
) {
    for (name, value) in secrets {
        // A secrets store has its local values from the same place, under the secret's name or the binding's.
        let mut stored = false;
        for (binding, spec) in &mut *bindings {
            if let BindingSpec::StoreSecret {
                name: secret,
                value: slot,
            } = spec
                && (*binding == name || *secret == name)
            {
                *slot = Some(value.clone());
                stored = true;
            }
        }
        if stored {
            continue;
        }
        match bindings.iter_mut().find(|(existing, _)| *existing == name) {
            None => bindings.push((name, BindingSpec::Secret { value })),
            Some((_, spec)) if is_value(spec) => *spec = BindingSpec::Secret { value },
            Some(_) => {
                let message = format!("the secret \"{name}\" is hidden by the binding of the same name");
                findings.warn(None, "", message);
            }
        }
    }
    for (name, value) in vars {
        let spec = BindingSpec::Text { value: value.clone() };
        match bindings.iter_mut().find(|(existing, _)| existing == name) {
            None => bindings.push((name.clone(), spec)),
            Some((_, existing)) if is_value(existing) => *existing = spec,
            Some(_) => findings.error(
                None,
                "",
                format!("--var {name} has the name of a binding that is not a variable"),
            ),
        }
    }
}

fn is_value(spec: &BindingSpec) -> bool {
    matches!(
        spec,
        BindingSpec::Text { .. } | BindingSpec::Json { .. } | BindingSpec::Secret { .. }
    )
}
