//! What machines and networks are run with.

use super::{Answer, Answers, Posture, Preset, UNKNOWN};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        id: "grafana",
        name: "Grafana",
        what: "dashboards",
        posture: Posture::TrustedHeader,
        because: "it has users with roles of their own, and creates whoever the header names",
        reserved_users: &["admin"],
        answers: Answers {
            native_oidc: Answer::Yes("[auth.generic_oauth]"),
            trusted_header: Answer::Yes("[auth.proxy]"),
            login_off: Answer::Yes("[auth] disable_login_form = true hides the form"),
            api_key: Answer::Yes("tokens of service accounts"),
            several_users: Answer::Yes("users and roles"),
        },
        at_the_app: &[
            "[auth.proxy] enabled = true",
            "[auth.proxy] header_name = Remote-User",
            "[auth.proxy] header_property = username",
            "[auth.proxy] auto_sign_up = true",
            "[auth.proxy] headers = Name:Remote-Name Email:Remote-Email Groups:Remote-Groups",
            "[auth.proxy] whitelist = the address of the proxy",
        ],
        beware: &[
            "Its own administrator is called admin. Whoever is called that at the provider would be the administrator \
             here, so nobody may have the name until reserved_users lists a subject.",
            "auto_sign_up creates everybody whom the policy lets in.",
            "[auth.anonymous] shows dashboards to whoever reaches the port: leave it off.",
        ],
        sources: &[
            "https://grafana.com/docs/grafana/latest/setup-grafana/configure-access/configure-authentication/auth-proxy/",
            "https://grafana.com/docs/grafana/latest/administration/service-accounts/",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "dozzle",
        name: "Dozzle",
        what: "logs of containers",
        posture: Posture::TrustedHeader,
        because: "it takes users from the headers of its proxy as they come",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-Name", "name"),
            ("Remote-Email", "email"),
        ],
        answers: Answers {
            native_oidc: Answer::Yes("in current versions"),
            trusted_header: Answer::Yes("DOZZLE_AUTH_PROVIDER=forward-proxy"),
            login_off: Answer::Yes("it has none until a provider is set"),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes("with settings of their own"),
        },
        at_the_app: &[
            "DOZZLE_AUTH_PROVIDER=forward-proxy",
            "DOZZLE_AUTH_LOGOUT_URL=https://dozzle.example.net/.portcullis/logout",
            "a volume at /data, or settings are lost with the container",
        ],
        beware: &[
            "It reads roles from Remote-Roles, and gives every role to whoever has no such header: all that it may do, \
             everybody may whom the policy lets in. Leave actions and the shell off, or name a small group.",
        ],
        sources: &[
            "https://dozzle.dev/guide/authentication/forward-proxy",
            "https://dozzle.dev/guide/authentication",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "netbox",
        name: "NetBox",
        what: "inventory of networks",
        posture: Posture::TrustedHeader,
        because: "it has users with permissions of their own, and takes them and their groups from headers",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-User-Email", "email"),
            ("Remote-User-Group", "groups"),
        ],
        group_separator: Some("|"),
        reserved_users: &["admin"],
        answers: Answers {
            native_oidc: Answer::Unconfirmed,
            trusted_header: Answer::Yes("REMOTE_AUTH_ENABLED"),
            login_off: Answer::No("local accounts stay as a fallback"),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes("users, groups and permissions"),
        },
        at_the_app: &[
            "REMOTE_AUTH_ENABLED = True",
            "REMOTE_AUTH_BACKEND = 'netbox.authentication.RemoteUserBackend'",
            "REMOTE_AUTH_AUTO_CREATE_USER = True",
            "REMOTE_AUTH_GROUP_SYNC_ENABLED = True, where groups are to follow",
        ],
        beware: &[
            "The names of the headers and the separator | are NetBox's defaults: HTTP_REMOTE_USER, \
             HTTP_REMOTE_USER_EMAIL, HTTP_REMOTE_USER_GROUP.",
            "Whoever is called admin at the provider would be the administrator of that name, so nobody may have the \
             name until reserved_users lists a subject.",
        ],
        sources: &[
            "https://github.com/netbox-community/netbox/blob/HEAD/docs/configuration/remote-authentication.md",
        ],
        ..UNKNOWN
    },
    Preset {
        id: "olivetin",
        name: "OliveTin",
        what: "buttons for shell commands",
        posture: Posture::TrustedHeader,
        because: "its access control lists go by the user and the groups of the headers",
        headers: &[
            ("Remote-User", "preferred_username"),
            ("Remote-Groups", "groups"),
        ],
        answers: Answers {
            native_oidc: Answer::No("OAuth2 with providers that it knows"),
            trusted_header: Answer::Yes("authHttpHeaderUsername"),
            login_off: Answer::Yes("it has none until one is set up"),
            api_key: Answer::Unconfirmed,
            several_users: Answer::Yes("access control lists"),
        },
        at_the_app: &[
            "authHttpHeaderUsername: \"Remote-User\"",
            "authHttpHeaderUserGroup: \"Remote-Groups\"",
            "authHttpHeaderUserGroupSep: \",\"",
        ],
        beware: &[
            "Without the separator a group is a word between blanks.",
            "Whoever is on no list has the default permissions: take them away from guests, and give them by groups.",
        ],
        sources: &[
            "https://docs.olivetin.app/security/trusted_header.html",
            "https://docs.olivetin.app/security/concepts.html",
        ],
        ..UNKNOWN
    },
];
