//! `portcullis explain`: decides a made-up request, and says why, step by step.

mod question;
mod report;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use self::question::Asked;
use self::report::{FilledIn, Report};
use crate::config::Config;
use crate::domain::decision::Decision;
use crate::domain::explanation::{Facts, Question, explain};

/// The made-up request.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the browser asks for, as it would be sent: https://app.example.net/api/x
    #[arg(long, value_name = "URL")]
    url: String,
    /// The method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// The client's address
    #[arg(long, value_name = "IP", conflicts_with = "xff")]
    ip: Option<String>,
    /// Instead: X-Forwarded-For as the proxy sends it; may be given again for a further line
    #[arg(long, value_name = "LIST")]
    xff: Vec<String>,
    /// The address that the proxy speaks from
    #[arg(long, value_name = "IP", requires = "xff")]
    peer: Option<String>,
    /// The user name of whoever is signed in; without it nobody is
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A group of theirs; may be given again
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,
    /// Their verified mail address
    #[arg(long, value_name = "ADDRESS", requires = "user")]
    email: Option<String>,
    /// Their subject at the provider [default: the user name]
    #[arg(long, value_name = "SUB", requires = "user")]
    sub: Option<String>,
    /// How long ago they signed in at the provider, as in 10m, or `unknown` [default: just now]
    #[arg(long, value_name = "TIME", requires = "user")]
    auth_age: Option<String>,
    /// How they signed in, as the provider names it (amr); may be given again
    #[arg(long, value_name = "METHOD", requires = "user")]
    amr: Vec<String>,
    /// The policy that the proxy names: it asks /verify/policy/NAME
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// A header of the request, empty for one that is not there; may be given again
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the explanation. 0 when the request passes, 10 when somebody has to sign in first, 11 when it is
/// refused; 1 when the configuration or the arguments cannot be used.
pub(super) fn run(config: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let config = match super::load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let asked = match question::read(arguments, &config) {
        Ok(asked) => asked,
        Err(error) => return super::complain(&error),
    };
    let report = answer(arguments, &config, &asked);
    let text = if arguments.json {
        report.to_json()
    } else {
        report.to_string()
    };
    match super::print(&text) {
        ExitCode::SUCCESS => ExitCode::from(report.exit),
        failed => failed,
    }
}

fn answer<'a>(arguments: &Arguments, config: &'a Config, asked: &'a Asked) -> Report<'a> {
    let mut report = Report::new(asked);
    if !asked.trusted {
        return report;
    }
    let question = Question {
        request: &asked.request,
        caller: asked.caller(),
        named: arguments.policy.as_deref(),
    };
    let facts = Facts {
        services: &config.services,
        policies: &config.policies,
        secure_portal: config.server.public_url.scheme() == "https",
    };
    let explanation = explain(question, facts);
    let decision = &explanation.decision;
    report.exit = match decision {
        Decision::Allow(_) => 0,
        Decision::Challenge(_) => 10,
        Decision::Deny(_) | Decision::Unavailable(_) => 11,
    };
    report.outcome = decision.outcome();
    report.reason = decision.reason().code();
    report.sentence = decision.reason().to_string();
    report.service = explanation.service.map(|service| service.name.as_str());
    report.preset = explanation.service.and_then(|service| {
        let preset = config.presets.get(&service.name)?;
        Some(FilledIn::new(preset, service))
    });
    report.steps.extend(explanation.steps);
    report.headers = explanation.headers;
    report
}
