//! Claims → [`Identity`]: what the provider says about a person, as the policies read it.

use serde_json::{Map, Value};

use super::error::RedeemError;
use super::id_token;
use crate::domain::identity::Identity;
use crate::domain::relying_party::{ClaimPath, OidcSettings};
use crate::domain::time::Timestamp;

/// The most groups that are taken in. More than that is refused, never cut: a policy that denies a
/// group must not miss it.
pub(super) const MAX_GROUPS: usize = 1_000;

/// The most authentication methods (`amr`) that are kept, and the longest name of one.
const MAX_METHODS: usize = 16;
const MAX_METHOD_LENGTH: usize = 64;

/// The longest session id (`sid`) that is kept.
const MAX_SID: usize = 255;

pub(super) type Claims = Map<String, Value>;

/// Whether the ID token leaves out a claim that the configuration names, so that userinfo must be
/// asked.
pub(super) fn is_incomplete(id_token: &Claims, settings: &OidcSettings) -> bool {
    settings.username_claim.find(id_token).is_none()
        || settings.groups_claim.find(id_token).is_none()
}

/// Puts together who it is. The ID token's word counts before userinfo's.
///
/// # Errors
///
/// [`TooManyGroups`](RedeemError::TooManyGroups) and [`GroupsElsewhere`](RedeemError::GroupsElsewhere): a policy that
/// denies a group must not miss it.
pub(super) fn identity(
    subject: String,
    id_token: &Claims,
    userinfo: Option<&Claims>,
    settings: &OidcSettings,
) -> Result<Identity, RedeemError> {
    let sources = || std::iter::once(id_token).chain(userinfo);
    let claimed = sources().find_map(|claims| settings.groups_claim.find(claims));
    if claimed.is_none() && sources().any(|claims| are_groups_elsewhere(claims, settings)) {
        return Err(RedeemError::GroupsElsewhere);
    }
    let groups = claimed.map_or_else(Vec::new, groups);
    if groups.len() > MAX_GROUPS {
        return Err(RedeemError::TooManyGroups { limit: MAX_GROUPS });
    }
    Ok(Identity {
        issuer: settings.issuer.clone(),
        subject,
        username: sources().find_map(|claims| username(claims, settings)),
        name: sources().find_map(|claims| claims.get("name").and_then(non_empty)),
        email: sources().find_map(|claims| email(claims, settings.trust_unverified_email)),
        groups,
    })
}

/// Puts together who `before` is by now. What no source speaks of any more, groups and user name, stays as it was: many
/// an ID token of a renewal says less than that of the login. What a source does speak of counts as it is, and an empty
/// list of groups is empty.
///
/// # Errors
///
/// As [`identity`].
pub(super) fn renewed(
    before: &Identity,
    id_token: &Claims,
    userinfo: Option<&Claims>,
    settings: &OidcSettings,
) -> Result<Identity, RedeemError> {
    let mut now = identity(before.subject.clone(), id_token, userinfo, settings)?;
    let is_said = |claim: &ClaimPath| {
        let mut sources = std::iter::once(id_token).chain(userinfo);
        sources.any(|claims| claim.find(claims).is_some())
    };
    if !is_said(&settings.groups_claim) {
        now.groups.clone_from(&before.groups);
    }
    if !is_said(&settings.username_claim) {
        now.username.clone_from(&before.username);
    }
    // Nothing at all was said about the person.
    if id_token.is_empty() && userinfo.is_none() {
        now.name.clone_from(&before.name);
        now.email.clone_from(&before.email);
    }
    Ok(now)
}

/// When the person last proved who they are (`auth_time`), if the provider says so.
pub(super) fn auth_time(claims: &Claims) -> Option<Timestamp> {
    claims.get("auth_time").and_then(id_token::numeric_date)
}

/// How they proved it (`amr`, RFC 8176).
pub(super) fn amr(claims: &Claims) -> Vec<String> {
    let methods = claims.get("amr").and_then(Value::as_array);
    methods
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|method| method.len() <= MAX_METHOD_LENGTH)
        .take(MAX_METHODS)
        .map(str::to_owned)
        .collect()
}

/// The provider's own name for its session (`sid`, Back-Channel Logout 1.0 §2.1).
pub(super) fn sid(claims: &Claims) -> Option<String> {
    claims
        .get("sid")
        .and_then(non_empty)
        .filter(|sid| sid.len() <= MAX_SID)
}

/// Whether the provider says that the groups are to be had at another place (distributed and aggregated claims,
/// OIDC Core §5.6.2), as Entra does when they are too many for a token.
fn are_groups_elsewhere(claims: &Claims, settings: &OidcSettings) -> bool {
    let names = claims.get("_claim_names").and_then(Value::as_object);
    names.is_some_and(|names| settings.groups_claim.find(names).is_some())
}

/// A text is one group, a list holds groups; what is no text is no group, and neither is an empty
/// one.
fn groups(claim: &Value) -> Vec<String> {
    match claim {
        Value::Array(several) => several.iter().filter_map(non_empty).collect(),
        one => non_empty(one).into_iter().collect(),
    }
}

/// An address that serves as a name is still an address: one that nobody verified is somebody else's for the asking.
fn username(claims: &Claims, settings: &OidcSettings) -> Option<String> {
    if settings.username_claim.is_member("email") {
        return email(claims, settings.trust_unverified_email);
    }
    settings.username_claim.find(claims).and_then(non_empty)
}

/// An address counts when the same source calls it verified. The text `"true"` is what some
/// providers send for it.
fn email(claims: &Claims, trust_unverified: bool) -> Option<String> {
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    claims
        .get("email")
        .and_then(non_empty)
        .filter(|_| verified || trust_unverified)
}

fn non_empty(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;
    use crate::domain::relying_party::{ClientAuth, Userinfo};
    use crate::domain::upstream_key::LiveSecret;

    fn settings() -> OidcSettings {
        OidcSettings {
            issuer: "https://id.example.net".to_owned(),
            client_id: LiveSecret::new("portcullis".into()),
            client_secret: None,
            scopes: vec!["openid".to_owned()],
            scopes_follow_metadata: false,
            redirect_uri: Url::parse("https://auth.example.net/callback").expect("a URL"),
            post_logout_redirect_uri: Url::parse("https://auth.example.net/signed-out")
                .expect("a URL"),
            username_claim: ClaimPath::parse("preferred_username").expect("a claim"),
            groups_claim: ClaimPath::parse("groups").expect("a claim"),
            userinfo: Userinfo::WhenNeeded,
            client_auth: ClientAuth::Auto,
            authorize_params: Vec::new(),
            extra_roots_pem: None,
            trust_unverified_email: false,
            allow_http_endpoints: false,
        }
    }

    fn claims(json: Value) -> Claims {
        match json {
            Value::Object(claims) => claims,
            other => panic!("not claims: {other}"),
        }
    }

    #[test]
    fn groups_come_from_a_list_or_a_text() {
        #[rustfmt::skip]
        let cases = [
            (json!({ "groups": ["a", "b c", "Ä,ö"] }), vec!["a", "b c", "Ä,ö"]),
            (json!({ "groups": "admins" }),            vec!["admins"]),
            (json!({ "groups": "a,b" }),               vec!["a,b"]),
            (json!({ "groups": [] }),                  vec![]),
            (json!({ "groups": "" }),                  vec![]),
            (json!({ "groups": null }),                vec![]),
            (json!({}),                                vec![]),
            (json!({ "groups": ["a", 1, null, ["b"], { "name": "c" }, ""] }), vec!["a"]),
            (json!({ "groups": { "admins": true } }),  vec![]),
            (json!({ "groups": 7 }),                   vec![]),
        ];
        for (json, expected) in cases {
            let found = identity("1".to_owned(), &claims(json.clone()), None, &settings());
            assert_eq!(found.expect("an identity").groups, expected, "{json}");
        }
    }

    #[test]
    fn a_list_over_the_limit_is_refused_whole() {
        let names = |count: usize| (0..count).map(|n| format!("g{n}")).collect::<Vec<_>>();
        let of = |count| {
            let token = claims(json!({ "groups": names(count) }));
            identity("1".to_owned(), &token, None, &settings())
        };
        assert_eq!(
            of(MAX_GROUPS).expect("an identity").groups.len(),
            MAX_GROUPS
        );
        assert_eq!(
            of(MAX_GROUPS + 1),
            Err(RedeemError::TooManyGroups { limit: MAX_GROUPS })
        );
    }

    #[test]
    fn an_address_counts_when_it_is_verified() {
        #[rustfmt::skip]
        let cases = [
            (json!({ "email": "a@b.c", "email_verified": true }),    true,  true),
            (json!({ "email": "a@b.c", "email_verified": "true" }),  true,  true),
            (json!({ "email": "a@b.c", "email_verified": false }),   false, true),
            (json!({ "email": "a@b.c", "email_verified": "false" }), false, true),
            (json!({ "email": "a@b.c", "email_verified": 1 }),       false, true),
            (json!({ "email": "a@b.c" }),                            false, true),
            (json!({ "email": "", "email_verified": true }),         false, false),
            (json!({ "email": 5, "email_verified": true }),          false, false),
            (json!({ "email_verified": true }),                      false, false),
        ];
        for (json, by_default, when_trusting) in cases {
            let token = claims(json.clone());
            assert_eq!(email(&token, false).is_some(), by_default, "{json}");
            assert_eq!(email(&token, true).is_some(), when_trusting, "{json}");
        }
    }

    #[test]
    fn an_address_is_a_name_when_it_is_verified() {
        #[rustfmt::skip]
        let cases = [
            // the claim, verified, trusted, is a name
            ("email",  json!(true),    false, true),
            ("/email", json!(true),    false, true),
            ("email",  json!(false),   false, false),
            ("/email", json!(null),    false, false),
            ("email",  json!(null),    true,  true),
            ("upn",    json!(null),    false, true),
        ];
        for (claim, verified, trusted, expected) in cases {
            let mut settings = settings();
            settings.username_claim = ClaimPath::parse(claim).expect("a claim");
            settings.trust_unverified_email = trusted;
            let token = claims(json!({ "email": "a@b.c", "upn": "a", "email_verified": verified }));
            let found = identity("1".to_owned(), &token, None, &settings).expect("an identity");
            assert_eq!(
                found.username.is_some(),
                expected,
                "{claim} {verified} {trusted}"
            );
        }
    }

    #[test]
    fn a_renewal_changes_what_is_said_and_keeps_the_rest() {
        let before = Identity {
            issuer: "https://id.example.net".to_owned(),
            subject: "1".to_owned(),
            username: Some("ada".to_owned()),
            name: Some("Ada".to_owned()),
            email: Some("a@b.c".to_owned()),
            groups: vec!["admins".to_owned()],
        };
        let nothing = || json!({ "sub": "1" });
        #[rustfmt::skip]
        let cases = [
            // ID token, userinfo, user name, groups, address kept
            (nothing(), None,                                        Some("ada"), vec!["admins"], false),
            (json!({}), None,                                        Some("ada"), vec!["admins"], true),
            (json!({ "groups": null }), None,                        Some("ada"), vec!["admins"], false),
            (json!({ "groups": [] }), None,                          Some("ada"), vec![],         false),
            (json!({ "groups": ["media"] }), None,                   Some("ada"), vec!["media"],  false),
            (nothing(), Some(json!({ "groups": ["media"] })),        Some("ada"), vec!["media"],  false),
            (nothing(), Some(json!({ "groups": [] })),               Some("ada"), vec![],         false),
            (nothing(), Some(nothing()),                             Some("ada"), vec!["admins"], false),
            (json!({ "groups": [] }), Some(json!({ "groups": ["media"] })), Some("ada"), vec![], false),
            (json!({ "preferred_username": "eva" }), None,           Some("eva"), vec!["admins"], false),
            (json!({ "preferred_username": "" }), None,              None,        vec!["admins"], false),
            (json!({ "email": "a@b.c", "email_verified": true }), None,  Some("ada"), vec!["admins"], true),
            (json!({ "email": "a@b.c", "email_verified": false }), None, Some("ada"), vec!["admins"], false),
        ];
        for (token, userinfo, username, groups, has_email) in cases {
            let told = userinfo.clone().map(claims);
            let now = renewed(&before, &claims(token.clone()), told.as_ref(), &settings());
            let now = now.expect("an identity");
            let what = format!("{token} {userinfo:?}");
            assert_eq!(now.username.as_deref(), username, "{what}");
            assert_eq!(now.groups, groups, "{what}");
            assert_eq!(now.email.is_some(), has_email, "{what}");
        }
        let elsewhere = claims(json!({ "_claim_names": { "groups": "src1" } }));
        assert_eq!(
            renewed(&before, &elsewhere, None, &settings()),
            Err(RedeemError::GroupsElsewhere)
        );
    }

    #[test]
    fn userinfo_fills_in_what_the_id_token_leaves_out() {
        let token = claims(json!({
            "preferred_username": "ada",
            "email": "ada@evil.example",
        }));
        let userinfo = claims(json!({
            "preferred_username": "somebody else",
            "name": "Ada Lovelace",
            "email": "ada@example.net",
            "email_verified": true,
            "groups": ["admins"],
        }));
        assert!(is_incomplete(&token, &settings()));
        let found = identity("1".to_owned(), &token, Some(&userinfo), &settings());
        let found = found.expect("an identity");
        assert_eq!(found.username.as_deref(), Some("ada"));
        assert_eq!(found.name.as_deref(), Some("Ada Lovelace"));
        // The verified mark is for the address beside it, not for the ID token's.
        assert_eq!(found.email.as_deref(), Some("ada@example.net"));
        assert_eq!(found.groups, ["admins"]);
    }
}
