//! Where the running service is found, as far as the configuration can still say it. What else is wrong with the
//! configuration is no matter here, and no file that it names is read.

use std::path::Path;

use super::load::{self, Variables};
use super::problems::{Problem, Problems};
use super::raw::RawServer;
use super::{ControlSocket, Listen, validate};

/// `server.admin_listen`, and what kept it from being read: then it is what the environment says, else the
/// default.
pub(super) fn admin_listen(path: Option<&Path>, variables: &Variables) -> (Listen, Vec<Problem>) {
    let key = "admin_listen";
    let (written, mut problems) = written(path, variables, key, |raw| raw.admin_listen);
    let listen = validate::admin_listen(written.as_deref(), &mut problems);
    (listen, problems.errors().to_vec())
}

/// `server.control_socket`, in the same way.
pub(super) fn control_socket(
    path: Option<&Path>,
    variables: &Variables,
) -> (ControlSocket, Vec<Problem>) {
    let key = "control_socket";
    let (written, mut problems) = written(path, variables, key, |raw| raw.control_socket);
    let socket = validate::control_socket(written.as_deref(), &mut problems);
    let socket = socket.unwrap_or(ControlSocket::Usual);
    (socket, problems.errors().to_vec())
}

/// What is written for `key` of `[server]`, and what kept it from being read.
fn written(
    path: Option<&Path>,
    variables: &Variables,
    key: &str,
    take: impl FnOnce(RawServer) -> Option<String>,
) -> (Option<String>, Problems) {
    let mut problems = Problems::default();
    let Some(loaded) = load::load(path, variables, &mut problems) else {
        let variable = format!("PORTCULLIS__SERVER__{key}");
        let found = variables
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&variable));
        let written = found.and_then(|(_, value)| value.to_str().map(str::to_owned));
        return (written, problems);
    };
    let full = format!("server.{key}");
    let mut own = Problems::default();
    for problem in problems.errors() {
        if problem.path == "server" || problem.path == full {
            own.at(&problem.path, &problem.message);
        }
    }
    (take(loaded.raw.server), own)
}
