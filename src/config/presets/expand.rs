//! `app`, `preset_bypass` and `service_worker` into ordinary settings. What the operator writes wins, and nothing opens
//! that the operator did not name.

use std::collections::BTreeMap;

use super::{Preset, PresetBypass};
use crate::config::forms::Texts;
use crate::config::problems::{Problems, did_you_mean};
use crate::config::raw::{RawBypass, RawHeader, RawService};
use crate::domain::service::Posture;

/// The presets that services use, by the services' names.
pub type PresetsInUse = BTreeMap<String, &'static Preset>;

/// The services with everything filled in that their presets know, and those presets.
pub(in crate::config) fn expand(
    services: &BTreeMap<String, RawService>,
    problems: &mut Problems,
) -> (BTreeMap<String, RawService>, PresetsInUse) {
    let mut expanded = services.clone();
    let mut in_use = PresetsInUse::new();
    for (name, service) in &mut expanded {
        let path = format!("services.{name}");
        let preset = service.app.as_deref().map(Preset::find).transpose();
        let preset = preset.unwrap_or_else(|error| {
            problems.at(format!("{path}.app"), error.to_string());
            None
        });
        if problems.any_at(&format!("{path}.app")) {
            // What the preset would have filled in is not known, so nothing is said to be missing.
            stand_in_for_policy(service);
            continue;
        }
        add_bypasses(&path, service, preset, problems);
        if let Some(preset) = preset {
            choose_posture(&path, service, preset, problems);
            fill_in(service, preset);
            in_use.insert(name.clone(), preset);
        }
    }
    (expanded, in_use)
}

/// The bypasses that are named, as if they had been written.
fn add_bypasses(
    path: &str,
    service: &mut RawService,
    preset: Option<&Preset>,
    problems: &mut Problems,
) {
    let Some(names) = service.preset_bypass.clone() else {
        return;
    };
    let path = format!("{path}.preset_bypass");
    let Some(preset) = preset else {
        problems.at(path, "needs app: the preset that these bypasses belong to");
        return;
    };
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            problems.at(&path, format!("\"{name}\" is listed twice"));
        } else if let Some(bypass) = preset.bypass(name) {
            service.bypass.push(as_written(bypass));
        } else {
            problems.at(&path, unknown_bypass(preset, name));
        }
    }
}

fn as_written(bypass: &PresetBypass) -> RawBypass {
    RawBypass {
        paths: Some(bypass.paths.iter().map(ToString::to_string).collect()),
        preset: Some(bypass.name),
        ..RawBypass::default()
    }
}

fn unknown_bypass(preset: &Preset, name: &str) -> String {
    let names = || preset.bypasses.iter().map(|bypass| bypass.name);
    let hint = did_you_mean(name, names());
    let known: Vec<&str> = names().collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    format!(
        "the preset {} has no bypass \"{name}\"{hint}; it has {known}",
        preset.id
    )
}

/// Takes the preset's posture, unless it would let everybody through: that is for the operator to write.
fn choose_posture(path: &str, service: &mut RawService, preset: &Preset, problems: &mut Problems) {
    if service.posture.is_some() {
        return;
    }
    let path = format!("{path}.posture");
    let advised = preset.posture.as_str();
    if !preset.opens() {
        service.posture = Some(advised.to_owned());
    } else if service.policy.is_some() && !problems.any_at(&path) {
        problems.warn(
            path,
            format!(
                "is \"protect\", as long as nothing else is written, and for {} that means two sign-ins: \"{advised}\" \
                 is advised, because {}; write one of the two",
                preset.name, preset.because
            ),
        );
    } else {
        problems.missing(
            path,
            format!(
                "must be given: \"{advised}\" is advised for {}, because {}; it lets everybody through to the app, so \
                 you have to write it. With a policy instead, people sign in here first",
                preset.name, preset.because
            ),
        );
        stand_in_for_policy(service);
    }
}

/// Keeps a service that is in error anyway from being told that it needs a policy.
fn stand_in_for_policy(service: &mut RawService) {
    service.policy.get_or_insert_with(|| "deny".to_owned());
}

/// What the operator left out.
fn fill_in(service: &mut RawService, preset: &Preset) {
    let posture = service.posture.as_deref();
    let told_nothing = [Posture::NativeOidc, Posture::Internal].map(Posture::as_str);
    let is_told = !posture.is_some_and(|posture| told_nothing.contains(&posture));
    if is_told && !preset.headers.is_empty() && service.headers.is_none() {
        let header = |(name, claim): &(&str, &str)| RawHeader {
            name: Some((*name).to_owned()),
            claim: Some((*claim).to_owned()),
        };
        service.headers = Some(preset.headers.iter().map(header).collect());
    }
    if service.group_separator.is_none() {
        service.group_separator = preset.group_separator.map(str::to_owned);
    }
    for reserved in preset.reserved_users {
        // In any letter case it is the same name.
        let is_written = service
            .reserved_users
            .keys()
            .any(|name| name.to_lowercase() == *reserved);
        if !is_written {
            service
                .reserved_users
                .insert((*reserved).to_owned(), Texts::default());
        }
    }
    if service.service_worker.is_none() {
        service.service_worker = Some(preset.service_worker);
    }
}
