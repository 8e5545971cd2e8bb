//! The measures, one file for those that have their set-up in common.

pub mod cached;
pub mod caddy;
pub mod memory;
pub mod revocation;
pub mod start;
pub mod stored;

use crate::client::{self, Answer};
use crate::compare::Comparison;
use crate::kit::{Failure, Result};
use crate::question::{cookie, request, verify_headers};
use crate::service::Service;

/// Asks the service about somebody who is signed in, and returns its answer: what a reference answers too.
fn answer_about(service: &Service, value: &str) -> Result<Answer> {
    let headers = verify_headers(Some(&cookie(value)));
    let answer = client::ask(service.ports.verify, &request("/verify", &headers))?;
    if answer.status == 200
        && answer
            .header("remote-user")
            .is_some_and(|user| !user.is_empty())
    {
        return Ok(answer);
    }
    let log = service.running.last_words();
    Err(Failure(format!("the answer is {}: {log}", answer.status)))
}

/// Checks that everybody was let in since `before`, and everybody was asked about.
fn check_allowed(service: &Service, before: (u64, u64), comparison: &Comparison) -> Result<()> {
    let (allowed, all) = service.decisions()?;
    let (allowed, all) = (allowed - before.0, all - before.1);
    if allowed == all && allowed >= comparison.asked {
        return Ok(());
    }
    Err(Failure(format!(
        "of {} requests {all} were decided and {allowed} let in",
        comparison.asked
    )))
}
