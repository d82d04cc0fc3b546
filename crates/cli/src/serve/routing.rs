//! Which requests are whose: the configurations' routes, the flags', `NAME.localhost`, and, alone, everything.

use crate::config::Project;
use crate::target::Failure;
use atoll_model::RoutePattern;
use std::sync::Arc;

/// How many letters may be wrong for a name to be taken for another.
const TYPO_DISTANCE_MAX: usize = 2;

/// The routes of `projects`, each pattern with a place in them; `flags` are patterns and workers' names.
pub(super) fn routes(
    projects: &[Arc<Project>],
    flags: &[(RoutePattern, String)],
) -> Result<Vec<(RoutePattern, usize)>, Failure> {
    let mut routes: Vec<(RoutePattern, usize)> = Vec::new();
    let mut add = |pattern: RoutePattern, place: usize| match routes.iter().find(|(known, _)| *known == pattern) {
        Some((_, known)) if *known != place => Err(Failure {
            title: format!("The route {pattern} is asked for twice"),
            detail: format!(
                "Both \"{}\" and \"{}\" are to answer it: take it away from one, in its configuration or in --route.",
                projects[*known].name, projects[place].name
            ),
            fatal: true,
        }),
        Some(_) => Ok(()),
        None => {
            routes.push((pattern, place));
            Ok(())
        }
    };
    for (pattern, name) in flags {
        let place = projects.iter().position(|project| project.name == *name);
        let place = place.ok_or_else(|| unknown(pattern, name, projects))?;
        add(pattern.clone(), place)?;
    }
    for (place, project) in projects.iter().enumerate() {
        for pattern in &project.routes {
            add(pattern.clone(), place)?;
        }
        // The host by which a browser on this machine finds one of several (RFC 6761 section 6.3). A worker's name has the
        // characters of a host name.
        if let Ok(pattern) = RoutePattern::parse_domain(&format!("{}.localhost", project.name)) {
            add(pattern, place)?;
        }
    }
    // Alone it answers whatever it is called.
    if let [_] = projects {
        add(RoutePattern::everything(), 0)?;
    }
    Ok(routes)
}

fn unknown(pattern: &RoutePattern, name: &str, projects: &[Arc<Project>]) -> Failure {
    let near = projects
        .iter()
        .map(|project| (strsim::damerau_levenshtein(&project.name, name), &project.name))
        .filter(|(distance, _)| *distance <= TYPO_DISTANCE_MAX)
        .min();
    let detail = match near {
        Some((_, near)) => format!("Did you mean \"{near}\"?"),
        None => {
            let names: Vec<String> = projects.iter().map(|project| format!("\"{}\"", project.name)).collect();
            format!("There is {}.", names.join(", "))
        }
    };
    Failure {
        title: format!("--route {pattern} names a worker that is not served: \"{name}\""),
        detail,
        fatal: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Files, LocalFiles};
    use crate::config::{LoadOptions, load};

    fn project(name: &str, keys: &str) -> Arc<Project> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("index.js"), "").expect("written");
        let text =
            format!("{{ \"name\": \"{name}\", \"main\": \"index.js\", \"compatibility_date\": \"2026-08-01\"{keys} }}");
        std::fs::write(folder.path().join("wrangler.json"), text).expect("written");
        let options = LoadOptions {
            cwd: folder.path().to_owned(),
            directory: ".".into(),
            ..LoadOptions::default()
        };
        let files: &dyn Files = &LocalFiles;
        Arc::new(load(&options, files).expect("a project"))
    }

    fn flag(text: &str, name: &str) -> (RoutePattern, String) {
        (RoutePattern::parse_domain(text).expect(text), name.to_owned())
    }

    fn shown(routes: Result<Vec<(RoutePattern, usize)>, Failure>) -> Result<Vec<String>, String> {
        match routes {
            Ok(routes) => Ok(routes
                .iter()
                .map(|(pattern, place)| format!("{pattern} {place}"))
                .collect()),
            Err(failure) => Err(format!("{}\n{}", failure.title, failure.detail)),
        }
    }

    #[test]
    fn one_project_has_everything() {
        let shop = [project("shop", r#", "routes": ["shop.com/*"]"#)];
        assert_eq!(
            shown(routes(&shop, &[])).expect("routes"),
            ["shop.com/* 0", "shop.localhost/* 0", "*/* 0"]
        );
    }

    #[test]
    fn several_have_hosts() {
        let both = [project("web", r#", "route": "a.com/*""#), project("api", "")];
        assert_eq!(
            shown(routes(&both, &[flag("*", "web"), flag("a.com/api/*", "api")])).expect("routes"),
            [
                "*/* 0",
                "a.com/api/* 1",
                "a.com/* 0",
                "web.localhost/* 0",
                "api.localhost/* 1"
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        let both = [
            project("web", r#", "route": "a.com/*""#),
            project("api", r#", "route": "a.com/*""#),
        ];
        let twice = shown(routes(&both, &[])).expect_err("twice");
        assert!(
            twice.contains("a.com/*") && twice.contains("\"web\" and \"api\""),
            "{twice}"
        );
        let typo = shown(routes(&both[..1], &[flag("b.com", "wbe")])).expect_err("a typo");
        assert!(typo.contains("Did you mean \"web\"?"), "{typo}");
        let stranger = shown(routes(&both[..1], &[flag("b.com", "database")])).expect_err("a stranger");
        assert!(stranger.contains("There is \"web\"."), "{stranger}");
    }
}
