//! Presets: what is known about well-known apps, so that not everybody has to find it out again. A preset fills in what
//! the operator left out of a service ([`expand`]), and says what has to be set at the app itself.
//!
//! To add an app, copy an entry in one of the files of `catalogue/` and change every line of it. State only what the
//! app's own project says, name the page that says it in `sources`, and leave an answer
//! [`Unconfirmed`](Answer::Unconfirmed) where none does. Then run `PORTCULLIS_WRITE_DOCS=1 cargo test --test docs`,
//! which writes `docs/presets.md` anew.

mod catalogue;
mod expand;
mod lines;

use std::fmt;

use thiserror::Error;

pub use self::expand::PresetsInUse;
pub(super) use self::expand::expand;
use super::problems::did_you_mean;
use crate::domain::service::Posture;

/// What is known about an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// What the configuration calls it: `app = "grafana"`.
    pub id: &'static str,
    /// Other names that mean it.
    pub aliases: &'static [&'static str],
    /// What its makers call it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// The pattern that fits it best.
    pub posture: Posture,
    /// Why that one; a half-sentence behind "because".
    pub because: &'static str,
    /// The headers that it reads: names, and the claims that they hold. Empty for the ones that every app gets.
    pub headers: &'static [(&'static str, &'static str)],
    /// What it wants between two groups; `None` for a comma.
    pub group_separator: Option<&'static str>,
    /// The header in which it takes a credential.
    pub upstream_header: Option<&'static str>,
    /// Names of administrators that it comes with.
    pub reserved_users: &'static [&'static str],
    /// Paths that may be opened to programs, each by its name.
    pub bypasses: &'static [PresetBypass],
    /// Paths that are better closed where the rest is open.
    pub close: &'static [&'static str],
    /// Whether its pages have a service worker that answers navigations.
    pub service_worker: bool,
    /// The questions to ask about every app.
    pub answers: Answers,
    /// What has to be set at the app.
    pub at_the_app: &'static [&'static str],
    /// What goes wrong easily.
    pub beware: &'static [&'static str],
    /// The pages that this is taken from.
    pub sources: &'static [&'static str],
}

/// Paths that may be opened, since the app protects them by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresetBypass {
    /// As `preset_bypass` names it.
    pub name: &'static str,
    /// As in a rule.
    pub paths: &'static [&'static str],
    /// What it is for, and what protects it instead.
    pub meaning: &'static str,
}

/// The questions to ask about every app, answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// Does it sign people in with OpenID Connect itself?
    pub native_oidc: Answer,
    /// Does it believe a header of its proxy?
    pub trusted_header: Answer,
    /// Can its own login be turned off?
    pub login_off: Answer,
    /// Does it take an API key?
    pub api_key: Answer,
    /// Does it have several users?
    pub several_users: Answer,
}

/// The answer to one of the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It does; how, where there is something to say.
    Yes(&'static str),
    /// It does not; what instead, where there is something to say.
    No(&'static str),
    /// Its project's documents were not found to say.
    Unconfirmed,
}

impl Answers {
    /// The questions in the order in which they are asked, with their names for programs.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, &'static str, Answer); 5] {
        [
            (
                "native_oidc",
                "Signs people in with OpenID Connect itself?",
                self.native_oidc,
            ),
            (
                "trusted_header",
                "Believes a header of its proxy?",
                self.trusted_header,
            ),
            (
                "login_off",
                "Can its own login be turned off?",
                self.login_off,
            ),
            ("api_key", "Takes an API key?", self.api_key),
            ("several_users", "Has several users?", self.several_users),
        ]
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answer, details) = match self {
            Self::Yes(details) => ("yes", details),
            Self::No(details) => ("no", details),
            Self::Unconfirmed => ("not confirmed", &""),
        };
        f.write_str(answer)?;
        if details.is_empty() {
            Ok(())
        } else {
            write!(f, ": {details}")
        }
    }
}

/// No app is called like that.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no preset is called \"{name}\"{hint}; `portcullis presets list` names them all")]
pub struct UnknownPreset {
    name: String,
    hint: String,
}

impl Preset {
    /// All of them, by their ids.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        let mut all: Vec<&Self> = catalogue::ALL.iter().copied().flatten().collect();
        all.sort_by_key(|preset| preset.id);
        all.into_iter()
    }

    /// The preset that `name` means.
    ///
    /// # Errors
    ///
    /// [`UnknownPreset`], where none is called that.
    pub fn find(name: &str) -> Result<&'static Self, UnknownPreset> {
        let is_it = |preset: &&Self| preset.id == name || preset.aliases.contains(&name);
        Self::all().find(is_it).ok_or_else(|| UnknownPreset {
            name: name.to_owned(),
            hint: did_you_mean(name, Self::names()),
        })
    }

    /// Everything that `app` may say.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::all().flat_map(|preset| {
            [preset.id]
                .into_iter()
                .chain(preset.aliases.iter().copied())
        })
    }

    /// The bypass of this name.
    #[must_use]
    pub fn bypass(&self, name: &str) -> Option<&'static PresetBypass> {
        self.bypasses.iter().find(|bypass| bypass.name == name)
    }

    /// Whether its pattern lets everybody through to the app, so that only the operator may choose it.
    #[must_use]
    pub const fn opens(&self) -> bool {
        matches!(self.posture, Posture::NativeOidc | Posture::Passthrough)
    }

    /// What its pattern means for people and for the app.
    #[must_use]
    pub const fn remark(&self) -> &'static str {
        match self.posture {
            Posture::Protect => {
                "While the app's own login is on, people sign in twice. Nobody but the proxy may reach the app's port: \
                 whoever can is in."
            }
            Posture::TrustedHeader => {
                "While the app does not take the header, people sign in twice: the header's name and the proxy's \
                 address have to be right at the app. Nobody but the proxy may reach the app's port: whoever can is \
                 whoever they say."
            }
            Posture::Hybrid => {
                "All users are one and the same to the app, since they share the credential; the log has their names. \
                 Without it people sign in twice."
            }
            Posture::NativeOidc => {
                "The app is a client of its own at the provider. A policy that asks for a sign-in here makes people \
                 sign in twice."
            }
            Posture::Passthrough => {
                "Nobody is asked to sign in here, so people need accounts at the app."
            }
            Posture::Internal => "Nobody is ever asked to sign in.",
        }
    }
}
