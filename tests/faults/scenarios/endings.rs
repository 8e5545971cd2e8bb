//! Sessions that have to end while something goes wrong: a provider that is not there any more, and one that ends
//! thousands of sessions at once, among as many tokens that are none.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::{StreamExt, TryStreamExt};
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, StoreLocation};
use portcullis::domain::identity::Identity;
use portcullis::domain::session::SessionId;
use portcullis::domain::upstream_key::Tokens;
use portcullis::store::redis::RedisStore;
use portcullis::store::sealing::Keyring;
use portcullis::store::sessions::{Login as Begun, Sessions};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kit::gate::plain_client;
use crate::kit::provider::CLIENT_ID;
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result};
use crate::provider::{Own, expect_page, keys_in};
use crate::scenarios::Outcome;
use crate::seen::{Expect, Seen};
use crate::service::{Plan, Service};
use crate::stage::{DECISION_LIMIT, MARGIN, Stage};

/// Half of them are good.
const TOKENS: usize = 400;
const MANY_TOKENS: usize = 10_000;
/// In a second.
const RATE: usize = 200;
const HIGH_RATE: usize = 500;
/// Requests of the provider at once.
const AT_ONCE: usize = 64;
/// What a flood may cost in memory, in KiB.
const MOST_MEMORY: usize = 50 * 1024;
/// Between two questions of somebody who is signed in.
const PAUSE: Duration = Duration::from_millis(5);

/// In which 99 of 100 answers at `/verify` have to come during a flood; in a debug build in as many times that, which
/// checks signatures and seals many times slower; and in the brief form, beside other tests, again in as many.
const MOST_P99: Duration = Duration::from_millis(50);
const DEBUG_FACTOR: u32 = if cfg!(debug_assertions) { 4 } else { 1 };
const BRIEF_FACTOR: usize = 5;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Whoever signs out while the provider is gone is signed out at once, and told that the provider does not know.
pub async fn provider_gone(stage: &mut Stage) -> Result<Outcome> {
    let mut own = Own::start(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    let browser = stage.signed_in("ada", 200).await?;
    let cookie = stage.cookie_of(&browser)?;
    stage.changing();
    own.end();
    // A moment ago it was there: others signed out.
    stage.hold(Duration::from_secs(4)).await;
    stage.fault(Expect::CALM);
    let begun = Instant::now();
    let page = browser
        .navigate(&stage.app_url("/.portcullis/logout"))
        .await?;
    let took = begun.elapsed();
    expect_page(&page, 200, "You are signed out")?;
    expect_page(&page, 200, "cannot be reached")?;
    if took > 2 * DECISION_LIMIT + MARGIN {
        return Err(Failure(format!("a sign-out took {took:?}")));
    }
    match stage.seen_with(&cookie).await? {
        Seen::SignIn => {}
        other => return Err(Failure(format!("signed out, and then {other:?}"))),
    }
    stage.hold(stage.time(0.5, 10.0)).await;
    own.run(stage).await?;
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!("signed out, and told so, after {took:.1?}"))
}

/// The provider ends thousands of sessions, and as many tokens come that end nothing.
pub async fn flood(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let keys = stage.folder.path().join("keys.json");
    let mut own = Own::start(stage).await?;
    own.run_with_keys(stage, Some(&keys)).await?;
    let plan = Plan {
        store: redis.url(),
        ..own.plan(stage)
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    let signer = Signer::new(&keys, &own.issuer)?;
    let sessions = sessions_of(&service)?;
    let count = stage.rounds(TOKENS, MANY_TOKENS);
    let people = (0..count / 2).map(|number| begun(&sessions, &own.issuer, number));
    let ids: Vec<SessionId> = futures_util::stream::iter(people)
        .buffered(16)
        .try_collect()
        .await?;
    let tokens = (0..count).map(|number| signer.token_in_flood(number));
    let tokens: Vec<(String, bool)> = tokens.collect::<Result<_>>()?;
    stage.watch().await?;
    let before = service.memory_kib()?;
    stage.fault(Expect::CALM);
    let rate = stage.rounds(RATE, HIGH_RATE);
    let (done, until) = watch::channel(false);
    let asking = tokio::spawn(ask_until(
        until,
        stage.slot.ports.verify,
        stage.slot.app_host.clone(),
        stage.cookies.valid.clone(),
    ));
    let began = Instant::now();
    let slowest = send(stage.slot.ports.portal, &tokens, rate).await?;
    let took = began.elapsed();
    done.send_replace(true);
    let mut times = asking.await.map_err(Failure::new)??;
    let grown = service.memory_kib()?.saturating_sub(before);
    if grown > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {grown} KiB")));
    }
    for id in &ids {
        if sessions.load(id).await.map_err(Failure::new)?.is_some() {
            return Err(Failure::new("a session lives that was ended"));
        }
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    let factor = u32::try_from(stage.rounds(BRIEF_FACTOR, 1)).map_err(Failure::new)?;
    let most = MOST_P99 * DEBUG_FACTOR * factor;
    if times.is_empty() || at(99) >= most {
        return Err(Failure(format!(
            "the p99 of {} answers at /verify was {:.1?}, and {most:?} is too long",
            times.len(),
            at(99)
        )));
    }
    Outcome::held(format!(
        "{count} tokens in {took:.1?}, half of them good, the slowest {slowest:.1?}; /verify meanwhile p50 {:.1?}, p99 \
         {:.1?}; memory grew by {grown} KiB",
        at(50),
        at(99),
    ))
}

/// The sessions of a service, as another replica with the same key and Redis has them.
fn sessions_of(service: &Service) -> Result<Sessions> {
    let config = Config::load(Some(service.config()));
    let config = config.map_err(|_| Failure::new("no configuration"))?;
    let keys = config.session.secret.into_keys().map_err(Failure::new)?;
    let (first, others) = keys.split_first().ok_or_else(|| Failure::new("no key"))?;
    let StoreLocation::Redis(settings) = config.session.store else {
        return Err(Failure::new("not in Redis"));
    };
    let store = RedisStore::open(settings).map_err(Failure::new)?;
    Ok(Sessions::new(
        Arc::new(store),
        Arc::new(Keyring::new(first, others)),
        Arc::new(SystemClock),
        config.session.lifetime,
    ))
}

/// Begins the session of one of many people, each from a session of their own at the provider.
async fn begun(sessions: &Sessions, issuer: &str, number: usize) -> Result<SessionId> {
    let login = Begun {
        identity: Identity {
            issuer: issuer.to_owned(),
            subject: format!("person {number}"),
            username: None,
            name: None,
            email: None,
            groups: Vec::new(),
        },
        tokens: Tokens::default(),
        auth_time: None,
        amr: Vec::new(),
        sid: Some(sid(number)),
        expires_in: None,
        nonce: String::new(),
    };
    let before = sessions.endings_so_far().await.map_err(Failure::new)?;
    sessions.begin(login, before).await.map_err(Failure::new)
}

fn sid(number: usize) -> String {
    format!("session {number}")
}

/// Signs as the provider does, with its own key.
struct Signer {
    key: KeyPair,
    kid: String,
    issuer: String,
}

impl Signer {
    fn new(keys: &Path, issuer: &str) -> Result<Self> {
        let keys = keys_in(keys)?;
        let jwk = keys.first().ok_or_else(|| Failure::new("no key"))?;
        let text = |name: &str| jwk[name].as_str().unwrap_or_default();
        let number = |name: &str| {
            BASE64_URL_SAFE_NO_PAD
                .decode(text(name))
                .map_err(Failure::of("key"))
        };
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: number("n")?,
                e: number("e")?,
            },
            d: number("d")?,
            p: number("p")?,
            q: number("q")?,
            dP: number("dp")?,
            dQ: number("dq")?,
            qInv: number("qi")?,
        };
        Ok(Self {
            key: KeyPair::from_components(&components).map_err(Failure::of("key"))?,
            kid: text("kid").to_owned(),
            issuer: issuer.to_owned(),
        })
    }

    /// The token of this number, and whether it is a good one: every other is, and ends the session of half its number.
    fn token_in_flood(&self, number: usize) -> Result<(String, bool)> {
        let person = number / 2;
        let now = SystemClock.now().seconds();
        let mut claims = json!({
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 120,
            "jti": format!("token {number}"),
            "sub": format!("person {person}"),
            "sid": sid(person),
            "events": { EVENT: {} },
        });
        if number.is_multiple_of(2) {
            return Ok((self.sign(&self.kid, &claims)?, true));
        }
        // Ends nobody's session, were it believed.
        claims["sid"] = json!("nobody's");
        let token = match person % 5 {
            0 => "x.y.z".to_owned(),
            1 => self.sign("unknown", &claims)?,
            2 => {
                claims["aud"] = json!("another client");
                self.sign(&self.kid, &claims)?
            }
            3 => {
                claims["exp"] = json!(now - 3_600);
                self.sign(&self.kid, &claims)?
            }
            // Signed, and then changed.
            _ => {
                let other = self.sign(&self.kid, &json!({}))?;
                let signature = other.rsplit('.').next().unwrap_or_default();
                let token = self.sign(&self.kid, &claims)?;
                let message = token.rsplit_once('.').map_or("", |(message, _)| message);
                format!("{message}.{signature}")
            }
        };
        Ok((token, false))
    }

    fn sign(&self, kid: &str, claims: &Value) -> Result<String> {
        let header = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": kid });
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .map_err(Failure::of("signature"))?;
        Ok(format!(
            "{message}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }
}

/// Sends all tokens, `rate` of them in a second if the machine can. Each is answered as it must be. Tells the slowest.
async fn send(port: u16, tokens: &[(String, bool)], rate: usize) -> Result<Duration> {
    let client = &plain_client()?;
    let url = &format!("http://127.0.0.1:{port}/backchannel-logout");
    let began = tokio::time::Instant::now();
    let answers = tokens
        .iter()
        .enumerate()
        .map(|(number, (token, is_good))| async move {
            let nanoseconds = 1_000_000_000 * number as u64 / rate as u64;
            tokio::time::sleep_until(began + Duration::from_nanos(nanoseconds)).await;
            let asked = Instant::now();
            let request = client
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("logout_token={token}"));
            let status = request
                .send()
                .await
                .map_err(Failure::new)?
                .status()
                .as_u16();
            let took = asked.elapsed();
            let is_right = match status {
                200 => *is_good,
                // 503: nobody can tell, while the provider is not asked for its keys again.
                400 | 429 | 503 => !is_good,
                _ => false,
            };
            if !is_right || took > DECISION_LIMIT + MARGIN {
                let kind = if *is_good { "good" } else { "bad" };
                return Err(Failure(format!(
                    "a {kind} token was answered {status} after {took:?}"
                )));
            }
            Ok(took)
        });
    let answers = futures_util::stream::iter(answers).buffered(AT_ONCE);
    answers
        .try_fold(Duration::ZERO, |slowest, took| async move {
            Ok(slowest.max(took))
        })
        .await
}

/// Somebody who is signed in asks again and again. Tells how long each answer took.
async fn ask_until(
    done: watch::Receiver<bool>,
    port: u16,
    host: String,
    cookie: String,
) -> Result<Vec<Duration>> {
    let client = plain_client()?;
    let url = format!("http://127.0.0.1:{port}/verify");
    let mut times = Vec::new();
    while !*done.borrow() {
        let asked = Instant::now();
        let request = client
            .get(&url)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", &host)
            .header("x-forwarded-uri", "/page")
            .header("x-forwarded-for", "203.0.113.7")
            .header("cookie", &cookie);
        let status = request
            .send()
            .await
            .map_err(Failure::new)?
            .status()
            .as_u16();
        if status != 200 {
            return Err(Failure(format!("{status} for somebody who is signed in")));
        }
        times.push(asked.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}
