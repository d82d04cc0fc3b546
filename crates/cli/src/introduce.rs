//! What is told of a program and its projects before they serve.

use crate::config::Project;
use crate::report::{Reporter, Style};
use crate::table;
use serde_json::Value;

/// The program's name and version; not for machines.
pub(crate) fn program(reporter: &Reporter) {
    if reporter.json {
        return;
    }
    let version = concat!("atoll ", env!("CARGO_PKG_VERSION"));
    reporter.plain(&reporter.paint(Style::Bold, version));
}

/// What the project's worker has access to; not for machines.
pub(crate) fn bindings(reporter: &Reporter, project: &Project) {
    if reporter.json {
        return;
    }
    let rows = rows(project);
    if rows.is_empty() {
        reporter.say(&format!("{} has no bindings", project.name));
        return;
    }
    reporter.say(&format!("{} has access to:", project.name));
    for (index, line) in table::lines(&rows).iter().enumerate() {
        let line = format!("  {line}");
        let styled = match index {
            0 => reporter.paint(Style::Dim, &line),
            index if !rows[index - 1].built => reporter.paint(Style::Yellow, &line),
            _ => line,
        };
        reporter.plain(&styled);
    }
}

/// What it reaches of the network; not for machines.
pub(crate) fn outbound(reporter: &Reporter, project: &Project, development: bool) {
    if !reporter.json && project.main.is_some() {
        reporter.say(&table::outbound(&project.outbound, development));
    }
}

/// The bindings for machines.
pub(crate) fn json(project: &Project) -> Value {
    table::json(&rows(project))
}

fn rows(project: &Project) -> Vec<table::Row> {
    let assets = project.assets.as_ref();
    let assets = assets.map(|(directory, _)| crate::bundle::relative(directory, &project.root));
    table::rows(&project.bindings, assets.as_deref())
}
