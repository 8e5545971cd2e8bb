//! Papers, books and files.

use super::{Answer, Answers, Posture, Preset, UNKNOWN};
use crate::config::presets::PresetBypass;

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        id: "paperless-ngx",
        aliases: &["paperless"],
        name: "Paperless-ngx",
        what: "archive of papers",
        posture: Posture::NativeOidc,
        because: "it signs people in with OpenID Connect itself, and has permissions for each document",
        headers: &[("Remote-User", "preferred_username")],
        reserved_users: &["admin"],
        answers: Answers {
            native_oidc: Answer::Yes("PAPERLESS_SOCIALACCOUNT_PROVIDERS"),
            trusted_header: Answer::Yes("PAPERLESS_ENABLE_HTTP_REMOTE_USER"),
            login_off: Answer::No(""),
            api_key: Answer::Yes("a token for each user"),
            several_users: Answer::Yes("permissions for each document"),
        },
        at_the_app: &[
            "PAPERLESS_APPS=allauth.socialaccount.providers.openid_connect",
            "PAPERLESS_SOCIALACCOUNT_PROVIDERS, as JSON: client id, secret and the address of the provider",
            "with posture = \"trusted_header\" instead: PAPERLESS_ENABLE_HTTP_REMOTE_USER=true, \
             PAPERLESS_HTTP_REMOTE_USER_HEADER_NAME=HTTP_REMOTE_USER, \
             PAPERLESS_LOGOUT_REDIRECT_URL=https://paperless-ngx.example.net/.portcullis/logout",
        ],
        beware: &[
            "PAPERLESS_ENABLE_HTTP_REMOTE_USER believes the header whoever sends it. Leave it off with the posture \
             native_oidc.",
        ],
        sources: &["https://docs.paperless-ngx.com/configuration/"],
        ..UNKNOWN
    },
    Preset {
        id: "paperless-ai",
        name: "Paperless-AI",
        what: "tags papers by a language model",
        posture: Posture::Hybrid,
        because: "its login cannot be turned off, and its key in x-api-key opens every page",
        upstream_header: Some("x-api-key"),
        bypasses: &[PresetBypass {
            name: "health",
            paths: &["/health"],
            meaning: "for a monitor. Nothing protects it: it says whether the app runs",
        }],
        answers: Answers {
            native_oidc: Answer::No(""),
            trusted_header: Answer::No(""),
            login_off: Answer::No(""),
            api_key: Answer::Yes("in the header x-api-key"),
            several_users: Answer::No("who shows the key is nobody in particular"),
        },
        at_the_app: &[
            "API_KEY=the key, in its environment or data/.env; the same as in value_file here",
        ],
        beware: &["The key opens all of it, so the policy alone says who gets in."],
        sources: &["https://github.com/clusterzx/paperless-ai/blob/HEAD/routes/setup.js"],
        ..UNKNOWN
    },
    Preset {
        id: "calibre-web",
        name: "Calibre-Web",
        what: "library of e-books",
        posture: Posture::TrustedHeader,
        because: "it has users with shelves and rights of their own, and takes the user from a header",
        headers: &[("Remote-User", "preferred_username")],
        reserved_users: &["admin"],
        bypasses: &[
            PresetBypass {
                name: "opds",
                paths: &["/opds", "/opds/*"],
                meaning: "for reading apps, which cannot sign in. They show the user's name and password at \
                          Calibre-Web; anonymous browsing has to be off there, as it is by default",
            },
            PresetBypass {
                name: "kobo",
                paths: &["/kobo/*"],
                meaning: "for Kobo readers. The path holds a token that Calibre-Web made for the user: whoever knows \
                          the address reads the user's books",
            },
        ],
        answers: Answers {
            native_oidc: Answer::Unconfirmed,
            trusted_header: Answer::Yes("Allow Reverse Proxy Authentication"),
            login_off: Answer::Unconfirmed,
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes(""),
        },
        at_the_app: &[
            "in the admin configuration: Allow Reverse Proxy Authentication on",
            "Reverse Proxy Header Name: Remote-User",
            "a user for each person, made beforehand and called as at the provider",
        ],
        beware: &[
            "Whoever has no user there meets its login: the header creates nobody.",
            "Its first administrator is called admin, so nobody may have the name until reserved_users lists a subject.",
        ],
        sources: &[
            "https://github.com/janeczku/calibre-web/wiki/Setup-Reverse-Proxy",
            "https://github.com/janeczku/calibre-web/wiki/Kobo-Integration",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "filebrowser",
        name: "File Browser",
        what: "files on the web",
        posture: Posture::TrustedHeader,
        because: "it has users with folders of their own, and takes the user from a header",
        headers: &[("Remote-User", "preferred_username")],
        reserved_users: &["admin"],
        answers: Answers {
            native_oidc: Answer::No(""),
            trusted_header: Answer::Yes("auth.method=proxy"),
            login_off: Answer::Yes("auth.method=noauth: then everybody is the first user"),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes(""),
        },
        at_the_app: &["filebrowser config set --auth.method=proxy --auth.header=Remote-User"],
        beware: &[
            "It believes the header whoever sends it: its port must be out of reach but for the proxy.",
            "Its first administrator is called admin, so nobody may have the name until reserved_users lists a subject.",
        ],
        sources: &[
            "https://github.com/filebrowser/filebrowser/blob/HEAD/www/docs/authentication.md",
        ],
        ..UNKNOWN
    },
];
