//! Where the running service answers about its health, as far as the configuration can still say it.

use std::path::Path;

use super::load::{self, Variables};
use super::problems::{Problem, Problems};
use super::{Listen, validate};

/// The setting, as a variable of the environment.
const VARIABLE: &str = "PORTCULLIS__SERVER__ADMIN_LISTEN";

/// `server.admin_listen`, and what kept it from being read: then it is what the environment says, else the
/// default. What else is wrong with the configuration is no matter here, and no file that it names is read.
pub(super) fn admin_listen(path: Option<&Path>, variables: &Variables) -> (Listen, Vec<Problem>) {
    let mut problems = Problems::default();
    let written = match load::load(path, variables, &mut problems) {
        Some(loaded) => {
            let mut own = Problems::default();
            for problem in problems.errors() {
                if matches!(&*problem.path, "server" | "server.admin_listen") {
                    own.at(&problem.path, &problem.message);
                }
            }
            problems = own;
            loaded.raw.server.admin_listen
        }
        None => variables
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(VARIABLE))
            .and_then(|(_, value)| value.to_str().map(str::to_owned)),
    };
    let listen = validate::admin_listen(written.as_deref(), &mut problems);
    (listen, problems.errors().to_vec())
}
