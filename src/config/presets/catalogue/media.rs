//! Films, series, music and photos.

use super::{Answer, Answers, Posture, Preset, UNKNOWN};
use crate::config::presets::PresetBypass;

/// `/api/` of the apps of the Servarr project.
const API: PresetBypass = PresetBypass {
    name: "api",
    paths: &["/api/*"],
    meaning: "for other apps. They show the app's own API key, which it asks for whatever its login is set to",
};

/// Their calendar.
const FEED: PresetBypass = PresetBypass {
    name: "feed",
    paths: &["/feed/*"],
    meaning: "for calendars. The address holds the app's API key: whoever knows it may do all that the key may",
};

/// Their sign of life.
const PING: PresetBypass = PresetBypass {
    name: "ping",
    paths: &["/ping"],
    meaning: "for a monitor. Nothing protects it: it says whether the app runs",
};

/// What the apps of the Servarr project share.
const SERVARR: Preset = Preset {
    because: "its login can be turned off, and everybody who gets in may do the same",
    bypasses: &[API, FEED, PING],
    answers: Answers {
        native_oidc: Answer::No(""),
        trusted_header: Answer::No(""),
        login_off: Answer::Yes("authentication method External"),
        api_key: Answer::Yes("X-Api-Key"),
        several_users: Answer::No(""),
    },
    beware: &[
        "External, not DisabledForLocalAddresses: behind a proxy of the own network every address is local, and the \
         app is open to whoever reaches it.",
        "External asks nobody who reaches the port: the proxy alone may.",
    ],
    ..UNKNOWN
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        id: "sonarr",
        name: "Sonarr",
        what: "series",
        at_the_app: &[
            "SONARR__AUTH__METHOD=External, or <AuthenticationMethod>External</AuthenticationMethod> in config.xml",
        ],
        sources: &[
            "https://wiki.servarr.com/sonarr/environment-variables",
            "https://wiki.servarr.com/sonarr/faq",
        ],
        ..SERVARR
    },
    Preset {
        id: "radarr",
        name: "Radarr",
        what: "films",
        at_the_app: &[
            "RADARR__AUTH__METHOD=External, or <AuthenticationMethod>External</AuthenticationMethod> in config.xml",
        ],
        sources: &[
            "https://wiki.servarr.com/radarr/environment-variables",
            "https://wiki.servarr.com/radarr/faq",
        ],
        ..SERVARR
    },
    Preset {
        id: "lidarr",
        name: "Lidarr",
        what: "music",
        at_the_app: &[
            "LIDARR__AUTH__METHOD=External, or <AuthenticationMethod>External</AuthenticationMethod> in config.xml",
        ],
        sources: &[
            "https://wiki.servarr.com/lidarr/environment-variables",
            "https://wiki.servarr.com/lidarr/faq",
        ],
        ..SERVARR
    },
    Preset {
        id: "readarr",
        name: "Readarr",
        what: "books",
        at_the_app: &[
            "READARR__AUTH__METHOD=External, or <AuthenticationMethod>External</AuthenticationMethod> in config.xml",
        ],
        sources: &[
            "https://wiki.servarr.com/readarr/environment-variables",
            "https://wiki.servarr.com/readarr/faq",
        ],
        ..SERVARR
    },
    Preset {
        id: "prowlarr",
        name: "Prowlarr",
        what: "indexers for Sonarr and its kin",
        // It has no calendar.
        bypasses: &[API, PING],
        at_the_app: &[
            "PROWLARR__AUTH__METHOD=External, or <AuthenticationMethod>External</AuthenticationMethod> in config.xml",
        ],
        beware: &[
            "External, not DisabledForLocalAddresses: behind a proxy of the own network every address is local, and \
             the app is open to whoever reaches it.",
            "Sonarr and its kin ask it for indexers under paths that the bypass does not hold: let them reach Prowlarr \
             directly, inside your network.",
        ],
        sources: &[
            "https://wiki.servarr.com/prowlarr/environment-variables",
            "https://wiki.servarr.com/prowlarr/faq",
        ],
        ..SERVARR
    },
    Preset {
        id: "seerr",
        aliases: &["jellyseerr"],
        name: "Seerr (Jellyseerr)",
        what: "requests for films and series",
        posture: Posture::TrustedHeader,
        because: "it has users with limits of their own, and takes the user from a header",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-Email", "email"),
        ],
        service_worker: true,
        answers: Answers {
            native_oidc: Answer::Unconfirmed,
            trusted_header: Answer::Yes("forwardAuth.userHeader"),
            login_off: Answer::No(""),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes("requests, limits and rights for each"),
        },
        at_the_app: &[
            "Settings, Network: trust the proxy, with its address in the list of trusted proxies",
            "Settings, Network: user header remote-user, mail header remote-email",
            "a user for each person, made beforehand",
        ],
        beware: &[
            "Whoever has no user there meets its login: the header creates nobody.",
            "With the mail header set, the address of the user has to be the same on both sides.",
        ],
        sources: &[
            "https://github.com/seerr-team/seerr/blob/HEAD/docs/extending-seerr/forward-auth.md",
            "https://www.authelia.com/integration/trusted-header-sso/seerr/",
            "https://github.com/seerr-team/seerr/blob/HEAD/public/sw.js",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "navidrome",
        name: "Navidrome",
        what: "music server",
        posture: Posture::TrustedHeader,
        because: "it has users with playlists of their own, and creates whoever the header names",
        headers: &[("Remote-User", "preferred_username")],
        service_worker: true,
        bypasses: &[
            PresetBypass {
                name: "subsonic",
                paths: &["/rest/*"],
                meaning: "for Subsonic apps, which cannot sign in. They show a name and a password of Navidrome, which \
                          users have to set there",
            },
            PresetBypass {
                name: "share",
                paths: &["/share/*"],
                meaning: "for links that users give away. Whoever knows the link hears what is behind it",
            },
        ],
        answers: Answers {
            native_oidc: Answer::No(""),
            trusted_header: Answer::Yes("ExtAuth.TrustedSources"),
            login_off: Answer::No("it stands in for whoever comes without the header"),
            api_key: Answer::No("Subsonic apps use names and passwords"),
            several_users: Answer::Yes(""),
        },
        at_the_app: &[
            "ND_EXTAUTH_TRUSTEDSOURCES=the address of the proxy, as 192.0.2.1/32",
            "ND_EXTAUTH_USERHEADER=Remote-User, which is the default",
            "ND_ENABLEUSEREDITING=false, where nobody uses Subsonic apps",
        ],
        beware: &["The first person who comes becomes its administrator: let that be you."],
        sources: &[
            "https://www.navidrome.org/docs/getting-started/extauth-quickstart/",
            "https://github.com/navidrome/navidrome/blob/HEAD/ui/src/sw.js",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "plex",
        name: "Plex",
        what: "media server",
        posture: Posture::Passthrough,
        because: "it takes tokens of Plex accounts and nothing else, and its apps on televisions cannot sign in here",
        answers: Answers {
            native_oidc: Answer::No(""),
            trusted_header: Answer::No(""),
            login_off: Answer::No("but for networks that its settings list"),
            api_key: Answer::No("the token of an account, X-Plex-Token"),
            several_users: Answer::Yes("accounts at plex.tv"),
        },
        at_the_app: &["an account at Plex for each person"],
        beware: &[
            "Leave the list of networks that are allowed without a login empty: behind a proxy of the own network \
             every address may be local.",
        ],
        sources: &["https://developer.plex.tv/pms/"],
        ..UNKNOWN
    },
    Preset {
        id: "jellyfin",
        name: "Jellyfin",
        what: "media server",
        posture: Posture::Passthrough,
        because: "it has users of its own, and its apps on televisions and telephones cannot sign in here",
        answers: Answers {
            native_oidc: Answer::No("a plug-in of others"),
            trusted_header: Answer::No(""),
            login_off: Answer::No(""),
            api_key: Answer::Yes("made in its dashboard"),
            several_users: Answer::Yes(""),
        },
        at_the_app: &["a user for each person, with a password or Quick Connect"],
        sources: &[
            "https://kotlin-sdk.jellyfin.org/guide/authentication.html",
            "https://github.com/jellyfin/jellyfin-web/blob/HEAD/src/serviceworker.js",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "immich",
        name: "Immich",
        what: "photos",
        posture: Posture::NativeOidc,
        because: "it signs people in with OpenID Connect itself, in its apps too",
        answers: Answers {
            native_oidc: Answer::Yes("OAuth authentication"),
            trusted_header: Answer::No("asked for, and declined so far"),
            login_off: Answer::Yes("password login can be turned off once OAuth works"),
            api_key: Answer::Yes("for each user"),
            several_users: Answer::Yes(""),
        },
        at_the_app: &[
            "Administration, Settings, OAuth Authentication: issuer, client id, client secret",
            "at the provider, redirect URIs: https://immich.example.net/auth/login, \
             https://immich.example.net/user-settings, app.immich:///oauth-callback",
        ],
        sources: &[
            "https://docs.immich.app/administration/oauth",
            "https://github.com/immich-app/immich/discussions/31364",
        ],
        ..UNKNOWN
    },
];
