//! What a household uses: start pages, recipes, money, passwords, the house itself.

use super::{Answer, Answers, Posture, Preset, UNKNOWN};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        id: "organizr",
        name: "Organizr",
        what: "start page",
        posture: Posture::TrustedHeader,
        because: "it has users with tabs of their own, and takes the user from a header",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-Email", "email"),
        ],
        answers: Answers {
            native_oidc: Answer::Unconfirmed,
            trusted_header: Answer::Yes("Auth Proxy"),
            login_off: Answer::Unconfirmed,
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes("users and groups"),
        },
        at_the_app: &[
            "System Settings, Main, Auth Proxy: enabled",
            "Auth Proxy Whitelist: the address of the proxy",
            "Auth Proxy Header Name: Remote-User; for the mail address: Remote-Email",
            "Override Logout: enabled; Logout URL: https://organizr.example.net/.portcullis/logout",
        ],
        beware: &[
            "Organizr itself does not document this; the source is the guide of another forward-auth server.",
        ],
        sources: &["https://www.authelia.com/integration/trusted-header-sso/organizr/"],
        ..UNKNOWN
    },
    Preset {
        id: "mealie",
        name: "Mealie",
        what: "recipes",
        posture: Posture::NativeOidc,
        because: "it signs people in with OpenID Connect itself, and has households and permissions",
        service_worker: true,
        answers: Answers {
            native_oidc: Answer::Yes("OIDC_AUTH_ENABLED"),
            trusted_header: Answer::Unconfirmed,
            login_off: Answer::No("ALLOW_PASSWORD_LOGIN=false leaves OpenID Connect alone"),
            api_key: Answer::Yes("long-lived tokens of users"),
            several_users: Answer::Yes("households and permissions"),
        },
        at_the_app: &[
            "OIDC_AUTH_ENABLED=true",
            "OIDC_CONFIGURATION_URL=https://id.example.net/.well-known/openid-configuration",
            "OIDC_CLIENT_ID and OIDC_CLIENT_SECRET, of a client of its own",
            "OIDC_SIGNUP_ENABLED=true, where everybody in the right groups may come in",
            "OIDC_AUTO_REDIRECT=true, to go to the provider without a click",
            "OIDC_USER_GROUP and OIDC_ADMIN_GROUP, to go by groups",
            "at the provider, redirect URI: https://mealie.example.net/login",
        ],
        beware: &[
            "It asks for a verified mail address: where the provider does not say email_verified, nobody gets in.",
            "Behind a proxy that ends TLS it has to trust its address (--forwarded-allow-ips), or it asks the provider \
             to return to http.",
        ],
        sources: &[
            "https://docs.mealie.io/documentation/getting-started/authentication/oidc-v2/",
            "https://docs.mealie.io/documentation/getting-started/api-usage/",
            "https://github.com/mealie-recipes/mealie/blob/HEAD/frontend/nuxt.config.ts",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "firefly-iii",
        aliases: &["firefly"],
        name: "Firefly III",
        what: "household accounts",
        posture: Posture::TrustedHeader,
        because: "it has users with books of their own, and takes the user from a header",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-Email", "email"),
        ],
        answers: Answers {
            native_oidc: Answer::Unconfirmed,
            trusted_header: Answer::Yes("AUTHENTICATION_GUARD=remote_user_guard"),
            login_off: Answer::No("the guard takes its place"),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes("multi-user mode"),
        },
        at_the_app: &[
            "AUTHENTICATION_GUARD=remote_user_guard",
            "AUTHENTICATION_GUARD_HEADER=HTTP_REMOTE_USER",
            "AUTHENTICATION_GUARD_EMAIL=HTTP_REMOTE_EMAIL",
            "its own second factor off, which would be asked for all the same",
        ],
        beware: &[
            "The header is who somebody is: another name at the provider is another user with other books.",
        ],
        sources: &["https://docs.firefly-iii.org/how-to/firefly-iii/advanced/authentication/"],
        ..UNKNOWN
    },
    Preset {
        id: "2fauth",
        name: "2FAuth",
        what: "one-time passwords",
        posture: Posture::TrustedHeader,
        because: "it has users with secrets of their own, and takes the user from a header",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-Email", "email"),
        ],
        answers: Answers {
            native_oidc: Answer::Unconfirmed,
            trusted_header: Answer::Yes("AUTHENTICATION_GUARD=reverse-proxy-guard"),
            login_off: Answer::No("the guard takes its place"),
            api_key: Answer::No("personal access tokens do not work with the guard"),
            several_users: Answer::Yes(""),
        },
        at_the_app: &[
            "AUTHENTICATION_GUARD=reverse-proxy-guard",
            "AUTH_PROXY_HEADER_FOR_USER=HTTP_REMOTE_USER, with the prefix HTTP_ that PHP puts before the name",
            "AUTH_PROXY_HEADER_FOR_EMAIL=HTTP_REMOTE_EMAIL",
            "PROXY_LOGOUT_URL=https://2fauth.example.net/.portcullis/logout",
        ],
        beware: &[
            "It believes the header whoever sends it: its port must be out of reach but for the proxy.",
            "Security keys and personal access tokens do not work with this guard.",
        ],
        sources: &["https://docs.2fauth.app/security/authentication/auth-proxy/"],
        ..UNKNOWN
    },
    Preset {
        id: "vaultwarden",
        name: "Vaultwarden",
        what: "passwords",
        posture: Posture::Passthrough,
        because: "its apps and browser extensions cannot sign in here, and its master passwords are not replaced by \
                  any sign-in",
        close: &["/admin", "/admin/*"],
        answers: Answers {
            native_oidc: Answer::Yes("SSO_ENABLED, in current versions; the master password stays"),
            trusted_header: Answer::No(""),
            login_off: Answer::No(""),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes(""),
        },
        at_the_app: &["ADMIN_TOKEN, where its administrator's page is wanted"],
        beware: &[
            "Close /admin here by a rule, as the lines do. DISABLE_ADMIN_TOKEN would open it to whoever reaches the \
             port.",
        ],
        sources: &[
            "https://github.com/dani-garcia/vaultwarden/wiki/Enabling-admin-page",
            "https://github.com/dani-garcia/vaultwarden/wiki/Disable-admin-token",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "home-assistant",
        name: "Home Assistant",
        what: "the house",
        posture: Posture::Passthrough,
        because: "it has users of its own, takes no header, and its apps on telephones cannot sign in here",
        service_worker: true,
        answers: Answers {
            native_oidc: Answer::No(""),
            trusted_header: Answer::No("integrations of others alone"),
            login_off: Answer::No("but for trusted networks, which a proxy may stand in"),
            api_key: Answer::Yes("long-lived access tokens"),
            several_users: Answer::Yes(""),
        },
        at_the_app: &[
            "http: use_x_forwarded_for: true",
            "http: trusted_proxies: the address of the proxy; without it every request is refused",
        ],
        beware: &[
            "The provider trusted_networks lets whoever seems to come from the network in without a password: leave \
             the proxy out of it.",
        ],
        sources: &[
            "https://www.home-assistant.io/docs/authentication/providers/",
            "https://www.home-assistant.io/integrations/http/",
        ],
        ..UNKNOWN
    },
];
