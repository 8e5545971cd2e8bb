//! What a strict provider checks and issues: authorization, codes, tokens, claims.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portcullis::clock::Clock;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::keys::encode;
use super::{Behaviour, CLIENT_ID, Part, ResponseIss, Shared, State, User};

pub(super) type Params = HashMap<String, String>;

/// What somebody was allowed: by a code first, by an access token then.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    user: &'static User,
    redirect_uri: String,
    nonce: Option<String>,
    code_challenge: String,
    scopes: Vec<String>,
    auth_time: u64,
    methods: &'static [&'static str],
}

/// What a refresh token stands for.
#[derive(Debug, Clone)]
pub(super) struct RefreshGrant {
    grant: Grant,
    /// The access token of the login, which names all that came of it.
    family: String,
    is_replaced: bool,
}

/// The authorization endpoint: where to send the browser, or why it stays (OIDC Core §3.1.2).
pub(super) fn authorize(shared: &Shared, query: &Params) -> Result<Url, String> {
    let get = |name: &str| query.get(name).map(String::as_str);
    let demand = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    demand(get("client_id") == Some(CLIENT_ID), "unknown client_id")?;
    let redirect_uri = get("redirect_uri").ok_or("no redirect_uri")?;
    let mut back = Url::parse(redirect_uri).map_err(|_| "redirect_uri is not a URL")?;
    demand(back.path().ends_with("/callback"), "unknown redirect_uri")?;
    demand(
        get("response_type") == Some("code"),
        "response_type is not code",
    )?;
    demand(
        get("code_challenge_method") == Some("S256"),
        "no PKCE with S256",
    )?;
    let code_challenge = get("code_challenge").ok_or("no code_challenge")?;
    let state_parameter = get("state").ok_or("no state")?;
    demand(state_parameter.len() >= 8, "state is too short")?;
    let scopes: Vec<_> = get("scope")
        .unwrap_or("")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let count = |wanted: &str| scopes.iter().filter(|scope| *scope == wanted).count();
    demand(count("openid") == 1, "scope does not name openid once")?;

    let mut state = shared.state();
    state.authorization.clone_from(query);
    let (auth_time, methods) = sign_in(shared, &mut state, query)?;
    let iss = match state.behaviour.response_iss {
        ResponseIss::Ours => Some(shared.issuer.as_str()),
        ResponseIss::Missing => None,
        ResponseIss::Other(lie) => Some(lie),
    };
    let outcome = match state.behaviour.refuse_login {
        Some(error) => ("error", error.to_owned()),
        None => ("code", random()),
    };
    let mut answer = back.query_pairs_mut();
    answer.append_pair(outcome.0, &outcome.1);
    answer.append_pair("state", state_parameter);
    if let Some(iss) = iss {
        answer.append_pair("iss", iss);
    }
    drop(answer);
    if outcome.0 == "code" {
        let grant = Grant {
            user: state.user,
            redirect_uri: redirect_uri.to_owned(),
            nonce: get("nonce").map(str::to_owned),
            code_challenge: code_challenge.to_owned(),
            scopes,
            auth_time,
            methods,
        };
        state.issued.push(outcome.1.clone());
        state.codes.insert(outcome.1, grant);
    }
    Ok(back)
}

/// Has somebody sign in who is not signed in yet, or has to do so again (OIDC Core §3.1.2.1): when that was, and how.
fn sign_in(
    shared: &Shared,
    state: &mut State,
    query: &Params,
) -> Result<(u64, &'static [&'static str]), String> {
    let now = shared.clock.now().seconds();
    let now = now.saturating_add_signed(state.behaviour.skew);
    let max_age = query.get("max_age").map(|age| age.parse::<u64>());
    let max_age = max_age.transpose().map_err(|_| "max_age is no number")?;
    let prompted = match query.get("prompt").map(String::as_str) {
        None => false,
        Some("login") => true,
        Some(_) => return Err("unknown prompt".to_owned()),
    };
    let again = |(at, _): &(u64, _)| {
        prompted || max_age.is_some_and(|max_age| now.saturating_sub(*at) > max_age)
    };
    let asks_again = state.behaviour.asks_again;
    let session = state
        .session
        .filter(|session| !(asks_again && again(session)));
    let session = session.unwrap_or((now, state.behaviour.methods));
    state.session = Some(session);
    Ok(session)
}

/// The token endpoint: an answer, or an error code of RFC 6749 §5.2.
pub(super) fn token(
    shared: &Shared,
    authorization: Option<&str>,
    form: &Params,
) -> Result<Value, &'static str> {
    let mut state = shared.state();
    authenticate(shared, &state, authorization, form).ok_or("invalid_client")?;
    let get = |name: &str| form.get(name).map(String::as_str);
    match get("grant_type") {
        Some("authorization_code") => {}
        Some("refresh_token") => return renew(shared, &mut state, form),
        _ => return Err("unsupported_grant_type"),
    }
    let grant = get("code").and_then(|code| state.codes.remove(code));
    let grant = grant.ok_or("invalid_grant")?;
    let verifier = get("code_verifier").ok_or("invalid_grant")?;
    let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
    let is_same = encode(challenge.as_ref()) == grant.code_challenge
        && get("redirect_uri") == Some(&grant.redirect_uri);
    if !is_same {
        return Err("invalid_grant");
    }
    let access_token = random();
    let id_token = id_token(shared, &state, &grant, &access_token);
    state
        .issued
        .extend([access_token.clone(), id_token.clone()]);
    state.access.insert(access_token.clone(), grant.clone());
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": state.behaviour.expires_in,
        "id_token": id_token,
    });
    if state.behaviour.gives_refresh {
        let family = access_token;
        answer["refresh_token"] = json!(new_refresh_token(&mut state, grant, family));
    }
    (state.behaviour.edit_token_answer)(&mut answer);
    Ok(answer)
}

fn new_refresh_token(state: &mut State, grant: Grant, family: String) -> String {
    let token = random();
    state.issued.push(token.clone());
    let is_replaced = false;
    let grant = RefreshGrant {
        grant,
        family,
        is_replaced,
    };
    state.refresh.insert(token.clone(), grant);
    token
}

/// New tokens for a refresh token (RFC 6749 §6).
fn renew(shared: &Shared, state: &mut State, form: &Params) -> Result<Value, &'static str> {
    let shown = form.get("refresh_token").ok_or("invalid_request")?;
    let RefreshGrant {
        grant,
        family,
        is_replaced,
    } = state.refresh.get(shown).cloned().ok_or("invalid_grant")?;
    if is_replaced {
        // Somebody has a copy.
        state.reuses += 1;
        state.refresh.retain(|_, other| other.family != family);
        return Err("invalid_grant");
    }
    if let Some(error) = state.behaviour.refuse_refresh {
        return Err(error);
    }
    state.renewals += 1;
    let access_token = random();
    // OIDC Core §12.2: without the nonce of the login, better.
    let grant = Grant {
        nonce: None,
        ..grant
    };
    state.access.insert(access_token.clone(), grant.clone());
    state.issued.push(access_token.clone());
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": state.behaviour.expires_in,
    });
    if state.behaviour.renews_id_token {
        let id_token = id_token(shared, state, &grant, &access_token);
        state.issued.push(id_token.clone());
        answer["id_token"] = json!(id_token);
    }
    if state.behaviour.rotates {
        if let Some(before) = state.refresh.get_mut(shown) {
            before.is_replaced = true;
        }
        answer["refresh_token"] = json!(new_refresh_token(state, grant, family));
    }
    (state.behaviour.edit_token_answer)(&mut answer);
    Ok(answer)
}

/// The userinfo endpoint (OIDC Core §5.3).
pub(super) fn userinfo(shared: &Shared, authorization: Option<&str>) -> Option<Value> {
    let state = shared.state();
    let token = authorization?.strip_prefix("Bearer ")?;
    let grant = state.access.get(token)?;
    let mut claims = scoped_claims(grant, &state.behaviour);
    claims["sub"] = json!(grant.user.subject);
    (state.behaviour.edit_userinfo)(&mut claims);
    Some(claims)
}

/// What discovery says.
pub(super) fn metadata(shared: &Shared, state: &State) -> Value {
    let base = shared.issuer.trim_end_matches('/');
    let mut metadata = json!({
        "issuer": shared.issuer,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/jwks"),
        "end_session_endpoint": format!("{base}/end-session"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported":
            ["none", "HS256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
             "ES512", "EdDSA"],
        "token_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "none"],
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
        "authorization_response_iss_parameter_supported": true,
    });
    (state.behaviour.edit_metadata)(&mut metadata);
    metadata
}

/// Whether the client is who it says, by a method that the metadata lists.
fn authenticate(
    shared: &Shared,
    state: &State,
    authorization: Option<&str>,
    form: &Params,
) -> Option<()> {
    let metadata = metadata(shared, state);
    let expected = shared.secret.lock().ok()?.clone();
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array();
    // A missing list means Basic (Discovery 1.0 §3).
    let lists = |method: &str| {
        methods.map_or(method == "client_secret_basic", |list| {
            list.iter().any(|listed| listed == method)
        })
    };
    let get = |name: &str| form.get(name).map(String::as_str);
    let used = match (authorization, get("client_secret")) {
        (Some(credential), None) => {
            let decoded = BASE64_STANDARD
                .decode(credential.strip_prefix("Basic ")?)
                .ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (id, secret) = decoded.split_once(':')?;
            (unescape(id) == CLIENT_ID && unescape(secret) == expected)
                .then_some("client_secret_basic")?
        }
        (None, Some(secret)) => (get("client_id") == Some(CLIENT_ID) && *secret == expected)
            .then_some("client_secret_post")?,
        (None, None) => (get("client_id") == Some(CLIENT_ID)).then_some("none")?,
        // "The client MUST NOT use more than one authentication method" (RFC 6749 §2.3).
        (Some(_), Some(_)) => return None,
    };
    lists(used).then_some(())
}

fn id_token(shared: &Shared, state: &State, grant: &Grant, access_token: &str) -> String {
    let behaviour = &state.behaviour;
    let algorithm = behaviour.algorithm;
    let now = shared.clock.now().seconds();
    let now = now.saturating_add_signed(behaviour.skew);
    let mut header = json!({
        "alg": algorithm.name(),
        "kid": state.keys.kid(algorithm),
        "typ": "JWT",
    });
    let mut claims = if behaviour.sparse_id_token {
        json!({})
    } else {
        scoped_claims(grant, behaviour)
    };
    claims["iss"] = json!(shared.issuer);
    claims["sub"] = json!(grant.user.subject);
    claims["aud"] = json!([CLIENT_ID]);
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 3600);
    claims["auth_time"] = json!(grant.auth_time);
    claims["amr"] = json!(grant.methods);
    claims["sid"] = json!("session-1");
    claims["at_hash"] = json!(algorithm.half_hash(access_token));
    if let Some(nonce) = &grant.nonce {
        claims["nonce"] = json!(nonce);
    }
    (behaviour.edit_header)(&mut header);
    (behaviour.edit_claims)(&mut claims);
    let message = format!(
        "{}.{}",
        encode(behaviour.text(Part::Header, header.to_string()).as_bytes()),
        encode(behaviour.text(Part::Claims, claims.to_string()).as_bytes())
    );
    let signature = encode(&state.keys.sign(algorithm, &message));
    (behaviour.edit_token)(&format!("{message}.{signature}"))
}

/// The claims that scopes ask for (OIDC Core §5.4).
fn scoped_claims(grant: &Grant, behaviour: &Behaviour) -> Value {
    let has = |wanted: &str| grant.scopes.iter().any(|scope| scope == wanted);
    let mut claims = json!({});
    if has("profile") {
        claims["preferred_username"] = json!(grant.user.username);
        claims["name"] = json!(grant.user.name);
    }
    if has("email") {
        claims["email"] = json!(grant.user.email);
        claims["email_verified"] = json!(true);
    }
    if has("groups") {
        claims["groups"] = json!(behaviour.groups.unwrap_or(grant.user.groups));
    }
    claims
}

fn unescape(text: &str) -> String {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("random bytes");
    encode(&bytes)
}
