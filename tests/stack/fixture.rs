//! The provider that the tests run is set up to behave as Pocket ID does; this holds it to that.

use std::path::Path;

use serde_json::Value;
use url::Url;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::ports;
use crate::kit::provider::{self, Provider};
use crate::setup::{ISSUER, folder};

/// A verifier and its S256 challenge: those of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Nobody listens there: this test reads the redirects itself.
const RELYING_PARTY: &str = "https://rp.localhost";

struct Fixture {
    _caddy: Caddy,
    provider: Provider,
    browser: Browser,
    metadata: Value,
    issuer: String,
}

impl Fixture {
    async fn start(folder: &Path) -> Self {
        let port = ports::free();
        let issuer = format!("https://{ISSUER}:{port}");
        let settings = provider::Settings {
            issuer: &issuer,
            relying_party: RELYING_PARTY,
        };
        let mut provider = Provider::start(folder, &settings).unwrap();
        let sites = format!(
            "{ISSUER} {{\n\treverse_proxy 127.0.0.1:{}\n}}\n",
            provider.port
        );
        let caddy = Caddy::start(folder, port, &sites).await.unwrap();
        let root = std::fs::read(caddy.root_certificate()).unwrap();
        let page = provider.metadata(&root).await.unwrap();
        let metadata = serde_json::from_str(&page.body).unwrap();
        let browser = Browser::new(&root).unwrap();
        Self {
            _caddy: caddy,
            provider,
            browser,
            metadata,
            issuer,
        }
    }

    fn endpoint(&self, name: &str) -> &str {
        self.metadata[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {}", self.metadata))
    }

    /// An authorization request; ends at the provider's page or at the redirect to us.
    async fn authorize(&self, extra: &[(&str, &str)], user: &str) -> Url {
        let mut url = Url::parse(self.endpoint("authorization_endpoint")).unwrap();
        url.query_pairs_mut()
            .append_pair("client_id", provider::CLIENT_ID)
            .append_pair("redirect_uri", &format!("{RELYING_PARTY}/callback"))
            .append_pair("response_type", "code")
            .append_pair("scope", "openid profile email groups")
            .append_pair("state", "a-state-of-some-length")
            .append_pair("nonce", "a-nonce")
            .extend_pairs(extra);
        let mut page = self
            .browser
            .ask(Ask::navigation(url.as_str()))
            .await
            .unwrap();
        loop {
            if page.url.path().starts_with("/interaction/") {
                let form = page.url.as_str();
                let body = format!("user={user}");
                page = self
                    .browser
                    .ask(Ask::navigation(form).form(body))
                    .await
                    .unwrap();
            }
            let Ok(next) = page.url.join(page.header("location")) else {
                return page.url;
            };
            if page.status >= 400 || next.as_str().starts_with(RELYING_PARTY) {
                return next;
            }
            page = self
                .browser
                .ask(Ask::navigation(next.as_str()))
                .await
                .unwrap();
        }
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let secret = std::fs::read_to_string(&self.provider.client_secret_file).unwrap();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields)
            .append_pair("client_id", provider::CLIENT_ID)
            .append_pair("client_secret", &secret);
        let ask = Ask::fetch(self.endpoint("token_endpoint")).form(body.finish());
        let page = self.browser.ask(ask).await.unwrap();
        (page.status, serde_json::from_str(&page.body).unwrap())
    }

    async fn refresh(&self, token: &str) -> (u16, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(have, _)| have == name)
        .map(|(_, value)| value.into_owned())
}

fn claims(token: &Value) -> Value {
    use base64::Engine;
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn the_provider_behaves_as_pocket_id_does() {
    let folder = folder().unwrap();
    let fixture = Fixture::start(folder.path()).await;
    let metadata = &fixture.metadata;
    assert_eq!(metadata["issuer"], fixture.issuer.as_str());
    assert_eq!(
        metadata["authorization_response_iss_parameter_supported"],
        true
    );
    assert_eq!(
        metadata["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );
    assert_eq!(
        metadata["id_token_signing_alg_values_supported"],
        serde_json::json!(["RS256"])
    );
    assert!(metadata.get("revocation_endpoint").is_none(), "{metadata}");

    let without_pkce = fixture.authorize(&[], "ada").await;
    assert_eq!(
        parameter(&without_pkce, "error").as_deref(),
        Some("invalid_request")
    );

    let pkce = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let back = fixture.authorize(&pkce, "ada").await;
    assert_eq!(
        parameter(&back, "iss").as_deref(),
        Some(fixture.issuer.as_str()),
        "{back}"
    );
    let code =
        parameter(&back, "code").unwrap_or_else(|| panic!("no code, and no consent: {back}"));
    let redirect_uri = format!("{RELYING_PARTY}/callback");
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    let (status, tokens) = fixture.token(&exchange).await;
    assert_eq!(status, 200, "{tokens}");
    let ada = claims(&tokens["id_token"]);
    assert_eq!(ada["preferred_username"], "ada", "{ada}");
    assert_eq!(ada["email_verified"], true, "{ada}");
    assert_eq!(ada["groups"], serde_json::json!(["admins"]), "{ada}");
    assert_eq!(ada["amr"], serde_json::json!(["phr"]), "{ada}");
    for claim in [
        "auth_time",
        "given_name",
        "family_name",
        "name",
        "email",
        "picture",
        "nonce",
    ] {
        assert!(ada.get(claim).is_some(), "{claim} is missing in {ada}");
    }

    let newest = rotates_refresh_tokens(&fixture, &tokens).await;
    signs_out_without_a_question(&fixture, &newest).await;
    let silent = fixture
        .authorize(&[&pkce[..], &[("prompt", "none")]].concat(), "ada")
        .await;
    assert_eq!(
        parameter(&silent, "error").as_deref(),
        Some("login_required"),
        "{silent}"
    );
}

/// Without grace: reuse ends the family, the newest token too. Returns the newest ID token.
async fn rotates_refresh_tokens(fixture: &Fixture, tokens: &Value) -> String {
    let first = tokens["refresh_token"].as_str().expect("always one");
    let (status, renewed) = fixture.refresh(first).await;
    assert_eq!(status, 200, "{renewed}");
    assert_eq!(
        claims(&renewed["id_token"])["groups"],
        serde_json::json!(["admins"])
    );
    let second = renewed["refresh_token"].as_str().expect("a new one");
    assert_ne!(first, second);
    for reused in [first, second] {
        let (status, refused) = fixture.refresh(reused).await;
        assert_eq!(
            (status, &refused["error"]),
            (400, &Value::from("invalid_grant"))
        );
    }
    renewed["id_token"].as_str().unwrap().to_owned()
}

/// For the person's own ID token, and leads back to where we asked.
async fn signs_out_without_a_question(fixture: &Fixture, id_token: &str) {
    let mut logout = Url::parse(fixture.endpoint("end_session_endpoint")).unwrap();
    let signed_out = format!("{RELYING_PARTY}/signed-out");
    logout
        .query_pairs_mut()
        .append_pair("id_token_hint", id_token)
        .append_pair("post_logout_redirect_uri", &signed_out)
        .append_pair("state", "s");
    let page = fixture
        .browser
        .ask(Ask::navigation(logout.as_str()))
        .await
        .unwrap();
    assert_eq!(
        page.header("location"),
        format!("{signed_out}?state=s"),
        "{}",
        page.body
    );
}
