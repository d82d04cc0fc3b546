//! What no spec can say: several processes, signals in the middle of a request, ports, templates.

mod cdp;
mod commands;
mod cordon;
mod frameworks;
mod inspector;
mod isolation;
mod libraries;
mod port;
mod routes;
mod serve;
mod shutdown;
mod surface;
mod templates;
mod traces;
mod up;
mod wrangler;

use crate::runner::client::{self, Answer};
use crate::runner::format::Protocol;
use crate::runner::server::{Command, Server, Start, Subject};
use crate::{block_on, failed};
use anyhow::Result;
use http_body_util::BodyExt;
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::path::Path;

/// All tests; those that need npm packages are ignored without them.
pub fn tests(npm: bool) -> Vec<Trial> {
    let built = ready("ATOLL_TEST_FRAMEWORKS");
    let installed = ready("ATOLL_TEST_LIBRARIES");
    let wrangler = ready("ATOLL_TEST_WRANGLER");
    let locks = cordon::machine_locks();
    vec![
        trial(
            "shutdown::finishes_what_is_in_flight",
            shutdown::finishes_what_is_in_flight,
        ),
        trial(
            "shutdown::second_signal_does_not_wait",
            shutdown::second_signal_does_not_wait,
        ),
        trial("shutdown::terminate_is_clean", shutdown::terminate_is_clean),
        trial("port::busy_port_names_a_free_one", port::busy_port_names_a_free_one),
        trial(
            "isolation::a_stuck_worker_stops_no_one_else",
            isolation::a_stuck_worker_stops_no_one_else,
        ),
        trial("isolation::a_worker_that_is_alone", isolation::a_worker_that_is_alone),
        trial(
            "isolation::two_servers_keep_their_state_apart",
            isolation::two_servers_keep_their_state_apart,
        ),
        trial(
            "isolation::one_server_for_one_state",
            isolation::one_server_for_one_state,
        ),
        trial("up::the_guestbook", up::the_guestbook),
        trial("up::versions_on_every_pop", up::versions_on_every_pop),
        trial("up::pops_outlive_the_control_plane", up::pops_outlive_the_control_plane),
        trial("up::a_second_run_goes_on", up::a_second_run_goes_on),
        trial("routes::used_in_the_pop", routes::used_in_the_pop),
        trial("routes::used_in_children", routes::used_in_children).with_ignored_flag(!locks),
        trial("wrangler::table_of_commands", wrangler::table_of_commands).with_ignored_flag(!wrangler),
        trial("traces::one_tree", traces::one_tree),
        trial("traces::a_collector_that_is_away", traces::a_collector_that_is_away),
        trial("serve::several_projects_by_host", serve::several_projects_by_host),
        trial("serve::errors_are_for_the_operator", serve::errors_are_for_the_operator),
        trial("serve::health_and_metrics", serve::health_and_metrics),
        trial(
            "serve::a_stop_finishes_what_is_in_flight",
            serve::a_stop_finishes_what_is_in_flight,
        ),
        trial(
            "serve::the_grace_and_the_second_signal_bound_a_stop",
            serve::the_grace_and_the_second_signal_bound_a_stop,
        ),
        trial("serve::a_hangup_reloads", serve::a_hangup_reloads),
        trial("serve::stored_state_changes_hands", serve::stored_state_changes_hands),
        trial(
            "serve::a_passed_socket_outlives_the_process",
            serve::a_passed_socket_outlives_the_process,
        ),
        trial("serve::mistakes_are_named", serve::mistakes_are_named),
        trial("cordon::children_are_locked_in", cordon::children_are_locked_in).with_ignored_flag(!locks),
        trial(
            "cordon::a_crash_costs_its_own_requests",
            cordon::a_crash_costs_its_own_requests,
        )
        .with_ignored_flag(!locks),
        trial(
            "cordon::a_rolling_restart_loses_nothing",
            cordon::a_rolling_restart_loses_nothing,
        )
        .with_ignored_flag(!locks),
        trial(
            "cordon::a_missing_layer_is_refused_or_told",
            cordon::a_missing_layer_is_refused_or_told,
        )
        .with_ignored_flag(!locks),
        trial(
            "cordon::a_child_that_is_gone_leaves_no_memory",
            cordon::a_child_that_is_gone_leaves_no_memory,
        )
        .with_ignored_flag(!locks),
        trial("cordon::dedicated_and_shutdown", cordon::dedicated_and_shutdown).with_ignored_flag(!locks),
        trial(
            "surface::a_child_has_what_the_server_has",
            surface::a_child_has_what_the_server_has,
        )
        .with_ignored_flag(!locks),
        trial(
            "inspector::breakpoints_in_typescript",
            inspector::breakpoints_in_typescript,
        ),
        trial("inspector::console_and_exceptions", inspector::console_and_exceptions),
        trial("inspector::profiles", inspector::profiles),
        trial(
            "inspector::a_debugger_that_goes_resumes",
            inspector::a_debugger_that_goes_resumes,
        ),
        trial(
            "inspector::limits_wait_for_the_debugger",
            inspector::limits_wait_for_the_debugger,
        ),
        trial(
            "inspector::a_reload_keeps_the_debugger",
            inspector::a_reload_keeps_the_debugger,
        ),
        trial("inspector::who_is_let_in", inspector::who_is_let_in),
        trial("templates::hello", templates::hello),
        trial("templates::guestbook", templates::guestbook),
        trial("templates::hono", templates::hono).with_ignored_flag(!npm),
        trial("templates::nothing_is_overwritten", templates::nothing_is_overwritten),
        trial("frameworks::sveltekit", frameworks::sveltekit).with_ignored_flag(!built),
        trial("frameworks::astro", frameworks::astro).with_ignored_flag(!built),
        trial("frameworks::react_router", frameworks::react_router).with_ignored_flag(!built),
        trial("frameworks::tanstack", frameworks::tanstack).with_ignored_flag(!built),
        trial("frameworks::nitro", frameworks::nitro).with_ignored_flag(!built),
        trial("frameworks::next", frameworks::next).with_ignored_flag(!built),
        trial("libraries::all", libraries::all).with_ignored_flag(!installed),
        trial("commands::answers", commands::answers),
        trial("commands::types", commands::types),
        trial("commands::test", commands::test),
    ]
}

/// False if the test run says that what these tests need could not be made.
fn ready(variable: &str) -> bool {
    std::env::var_os(variable).is_none_or(|value| value != "missing")
}

fn trial<F>(name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = Result<()>> + 'static,
{
    Trial::test(format!("e2e::{name}"), move || block_on(test()).map_err(failed))
}

/// How to start our binary on `directory`, with state of its own.
fn start(directory: &Path, state: &Path) -> Result<Start> {
    Ok(Start {
        command: Command::Dev,
        subject: Subject::find()?,
        directory: directory.to_owned(),
        state: state.to_owned(),
        port: 0,
        args: Vec::new(),
        env: BTreeMap::new(),
    })
}

/// A project of one module and a configuration.
fn write_project(directory: &Path, worker: &str, config: &str) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("worker.js"), worker)?;
    let config =
        format!("{{ \"name\": \"test\", \"main\": \"worker.js\", \"compatibility_date\": \"2026-08-01\"{config} }}\n");
    std::fs::write(directory.join("wrangler.jsonc"), config)?;
    Ok(())
}

/// Sends a GET; gives back the head and the unread body.
async fn get(server: &Server, path: &str) -> Result<Answer> {
    let request = http::Request::get(path)
        .header("host", server.address.to_string())
        .body(client::whole(Vec::new()))?;
    client::send(server.address, Protocol::Http1, request).await
}

/// Sends a GET; gives back status and whole body.
async fn get_text(server: &Server, path: &str) -> Result<(u16, String)> {
    let (head, body) = get(server, path).await?.response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}
