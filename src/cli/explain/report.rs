//! The explanation, for people and for programs.

use std::fmt;

use serde_json::{Map, Value as Json, json};

use super::question::Asked;
use crate::config::presets::Preset;
use crate::domain::authentication::InWords;
use crate::domain::explanation::Step;
use crate::domain::judgement_words::names;
use crate::domain::service::{ReservedUser, Service};
use crate::domain::telling::{Told, Value};
use crate::http::UNTRUSTED;

/// What is printed.
pub(super) struct Report<'a> {
    asked: &'a Asked,
    pub(super) exit: u8,
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
    pub(super) sentence: String,
    pub(super) service: Option<&'a str>,
    /// Where settings of the service come from that nobody wrote.
    pub(super) preset: Option<FilledIn<'a>>,
    pub(super) steps: Vec<Step>,
    pub(super) headers: Vec<Told<'a>>,
}

/// What a preset brought to a service.
pub(super) struct FilledIn<'a> {
    id: &'static str,
    /// The names that nobody may carry, as long as the operator lists no subject for them.
    reserved: Vec<&'a str>,
}

impl<'a> FilledIn<'a> {
    pub(super) fn new(preset: &Preset, service: &'a Service) -> Self {
        let by_preset = |user: &&ReservedUser| {
            user.subjects.is_empty() && preset.reserved_users.contains(&user.name.as_str())
        };
        let reserved = service.reserved_users.iter().filter(by_preset);
        Self {
            id: preset.id,
            reserved: reserved.map(|user| user.name.as_str()).collect(),
        }
    }
}

impl<'a> Report<'a> {
    /// The refusal of a peer that may not ask, until more is known.
    pub(super) fn new(asked: &'a Asked) -> Self {
        Self {
            asked,
            exit: 11,
            outcome: "deny",
            reason: "untrusted_peer",
            sentence: UNTRUSTED.to_owned(),
            service: None,
            preset: None,
            steps: asked.steps.clone(),
            headers: Vec::new(),
        }
    }

    fn client(&self) -> String {
        if self.asked.trusted {
            self.asked.request.client.to_string()
        } else {
            "unknown".to_owned()
        }
    }

    /// One object. `headers` has the identity headers with their values, and credentials with `null`.
    pub(super) fn to_json(&self) -> String {
        let mut headers = Map::new();
        let mut passed_on = Vec::new();
        for told in &self.headers {
            let value = match &told.value {
                Value::Text(text) => json!(text),
                Value::Empty => json!(""),
                Value::Secret(_) => Json::Null,
                Value::ClientsOwn => {
                    passed_on.push(told.name);
                    continue;
                }
            };
            headers.insert(told.name.to_owned(), value);
        }
        let step =
            |step: &Step| json!({ "rule": step.rule, "matched": step.matched, "why": step.why });
        let steps: Vec<Json> = self.steps.iter().map(step).collect();
        let object = json!({
            "outcome": self.outcome,
            "reason": self.reason,
            "sentence": self.sentence,
            "client_address": self.client(),
            "service": self.service,
            "preset": self.preset.as_ref().map(|preset| preset.id),
            "headers": headers,
            "headers_of_the_client": passed_on,
            "headers_assumed": self.asked.assumed,
            "steps": steps,
        });
        format!("{object:#}\n")
    }

    /// The service, and its preset with the names that it reserves: nobody finds those in the configuration.
    fn service(&self) -> String {
        let service = self.service.unwrap_or("none");
        match &self.preset {
            None => service.to_owned(),
            Some(FilledIn { id, reserved }) if reserved.is_empty() => {
                format!("{service} (preset {id})")
            }
            Some(FilledIn { id, reserved }) => {
                format!(
                    "{service} (preset {id}, which reserves {})",
                    names(reserved)
                )
            }
        }
    }

    fn person(&self) -> String {
        match &self.asked.identity {
            None => "nobody is signed in".to_owned(),
            Some(identity) => {
                let user = identity.username.as_ref().unwrap_or(&identity.subject);
                let groups = match identity.groups.as_slice() {
                    [] => "no group".to_owned(),
                    groups => names(groups),
                };
                format!("{user}, in {groups}{}", self.sign_in())
            }
        }
    }

    /// How, and how long ago, the person signed in, as far as that was said.
    fn sign_in(&self) -> String {
        let when = match self.asked.auth_age {
            Some(age) if age.is_zero() => String::new(),
            Some(age) => format!(", signed in {} ago", InWords(age)),
            None => ", signed in at an unknown time".to_owned(),
        };
        match self.asked.amr.as_slice() {
            [] => when,
            amr => format!("{when}, by {}", names(amr)),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.asked.request;
        writeln!(f, "{} ({})", self.outcome.to_uppercase(), self.reason)?;
        writeln!(f, "{}", self.sentence)?;
        writeln!(f)?;
        writeln!(f, "request  {} {}", request.method, request.url())?;
        writeln!(f, "client   {}", self.client())?;
        writeln!(f, "person   {}", self.person())?;
        writeln!(f, "service  {}", self.service())?;
        writeln!(f)?;
        let width = |names: &mut dyn Iterator<Item = &str>| {
            names.map(|name| name.chars().count()).max().unwrap_or(0)
        };
        let column = width(&mut self.steps.iter().map(|step| step.rule.as_str()));
        for step in &self.steps {
            let sign = if step.matched { "yes" } else { "no" };
            writeln!(f, "{sign:<3}  {:<column$}  {}", step.rule, step.why)?;
        }
        if !self.headers.is_empty() {
            writeln!(f, "\nThe app gets:")?;
        }
        let column = width(&mut self.headers.iter().map(|told| told.name));
        for told in &self.headers {
            let value = match &told.value {
                Value::Text(text) if !text.is_empty() => text,
                Value::Text(_) | Value::Empty => "(empty)",
                Value::Secret(_) => "(a credential, not shown)",
                Value::ClientsOwn => "(what the client itself sends, if anything)",
            };
            writeln!(f, "     {:<column$}  {value}", told.name)?;
        }
        if !self.asked.assumed.is_empty() {
            let assumed = self.asked.assumed.join(", ");
            writeln!(
                f,
                "\nAssumed, since no --header says otherwise: somebody opens a page in a browser\n({assumed})."
            )?;
        }
        Ok(())
    }
}
