//! The apps that are known, by what they are for.

mod documents;
mod home;
mod media;
mod operations;

use super::{Answer, Answers, Preset};
use crate::domain::service::Posture;

/// All of them.
pub(super) static ALL: [&[Preset]; 4] = [
    documents::PRESETS,
    home::PRESETS,
    media::PRESETS,
    operations::PRESETS,
];

/// Where an entry begins: nothing is known.
const UNKNOWN: Preset = Preset {
    id: "",
    aliases: &[],
    name: "",
    what: "",
    posture: Posture::Protect,
    because: "",
    headers: &[],
    group_separator: None,
    upstream_header: None,
    reserved_users: &[],
    bypasses: &[],
    close: &[],
    service_worker: false,
    answers: Answers {
        native_oidc: Answer::Unconfirmed,
        trusted_header: Answer::Unconfirmed,
        login_off: Answer::Unconfirmed,
        api_key: Answer::Unconfirmed,
        several_users: Answer::Unconfirmed,
    },
    at_the_app: &[],
    beware: &[],
    sources: &[],
};
