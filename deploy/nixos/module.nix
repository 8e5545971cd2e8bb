# services.portcullis: Portcullis as a systemd service, with policies and services in NixOS's own words.
#
# What has an option here is written in camelCase; everything else of docs/configuration.md goes into `settings`
# (of the program, or of one service) under the name that it has there. The configuration is JSON in the Nix store,
# which everybody may read, so no secret may stand in it: each is named by its file, and systemd hands it over.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkOption types;
  cfg = config.services.portcullis;
  json = pkgs.formats.json { };

  given = lib.filterAttrs (_: value: value != null && value != [ ] && value != { });

  # allowedGroups → allowed_groups
  snake =
    let
      upper = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    in
    builtins.replaceStrings upper (map (letter: "_" + lib.toLower letter) upper);
  keys = attrs: lib.mapAttrs' (name: lib.nameValuePair (snake name)) (given attrs);

  # --- secrets -----------------------------------------------------------------------------------------------

  # The credential that a header of a service becomes.
  credentialOf = service: header: "${service}.${lib.toLower header.name}";
  fileOf = header: if header.valueFile != null then header.valueFile else header.passwordFile;

  # Name of the credential → the file that it comes from.
  credentials =
    given {
      oidc_client_id = cfg.clientIdFile;
      oidc_client_secret = cfg.clientSecretFile;
      session_secret = cfg.sessionSecretFile;
    }
    // cfg.credentials
    // builtins.listToAttrs (
      lib.concatLists (
        lib.mapAttrsToList (
          service: options:
          map (header: lib.nameValuePair (credentialOf service header) (fileOf header)) (
            lib.filter (header: fileOf header != null) options.upstreamHeaders
          )
        ) cfg.services
      )
    );

  # --- the configuration -------------------------------------------------------------------------------------

  upstreamHeader =
    service: header:
    let
      written = keys (removeAttrs header [ "settings" ]) // header.settings;
      credential = credentialOf service header;
    in
    written
    // lib.optionalAttrs (header.valueFile != null) { value_file = credential; }
    // lib.optionalAttrs (header.passwordFile != null) { password_file = credential; };

  service =
    name: options:
    keys (removeAttrs options [
      "bypass"
      "rules"
      "upstreamHeaders"
      "headers"
      "settings"
    ])
    // given {
      bypass = map keys options.bypass;
      rules = map keys options.rules;
      upstream_headers = map (upstreamHeader name) options.upstreamHeaders;
    }
    # An empty list says something here: nothing is told.
    // lib.optionalAttrs (options.headers != null) { inherit (options) headers; }
    // options.settings;

  written = given {
    server = given { public_url = cfg.publicUrl; };
    oidc = given (
      { issuer = cfg.issuer; }
      // lib.optionalAttrs (cfg.clientIdFile != null) { client_id_file = "oidc_client_id"; }
      // lib.optionalAttrs (cfg.clientSecretFile != null) { client_secret_file = "oidc_client_secret"; }
    );
    session = given {
      secret_file =
        if cfg.sessionSecretFile != null then "session_secret" else "/var/lib/portcullis/session_secret";
    };
    policies = lib.mapAttrs (_: keys) cfg.policies;
    services = lib.mapAttrs service cfg.services;
  };

  configuration = json.generate "portcullis.json" (lib.recursiveUpdate written cfg.settings);

  # --- options -----------------------------------------------------------------------------------------------

  optional =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };
  list =
    description:
    mkOption {
      type = types.listOf types.str;
      default = [ ];
      inherit description;
    };
  free =
    description:
    mkOption {
      type = json.type;
      default = { };
      inherit description;
    };

  policyOptions = {
    allowedGroups = list "Members of any of these get in.";
    requiredGroups = list "Only who is a member of all of these gets in.";
    deniedGroups = list "Members of any of these do not get in, whatever else holds.";
    allowedUsers = list "These get in: `sub`, `name:ada` or `email:ada@example.net`.";
    allowedEmailDomains = list "Who has a verified address of one of these gets in.";
    maxAuthAge = optional types.str "How long ago the login may be: \"12h\".";
    amr = list "How one has to have logged in: \"phr\" is a passkey at Pocket ID.";
  };

  conditionOptions = {
    paths = list "Exactly `/ping`, or `/api/*` for what lies below `/api/`.";
    methods = list "HTTP methods.";
    allowedNetworks = list "Where the client has to be.";
    requiresHeader = optional (types.either types.str json.type) "A header that has to be there, or its name and `value_file`.";
  };

  ruleOptions = conditionOptions // {
    policy = mkOption {
      type = types.str;
      description = "What decides where all of these conditions hold.";
    };
  };

  headerOptions = {
    name = mkOption {
      type = types.str;
      description = "What the app calls it: `x-api-key`.";
    };
    valueFile = optional types.str "A file that holds the value; not in the Nix store.";
    username = optional types.str "For HTTP Basic: the user name that the app knows.";
    passwordFile = optional types.str "For HTTP Basic: a file that holds the password; not in the Nix store.";
    onlyGroups = list "Who else gets in is not given it.";
    settings = free "Further keys of a header, as docs/configuration.md has them.";
  };

  serviceOptions = {
    host = optional (types.either types.str (types.listOf types.str)) "The name or the names that the app has.";
    posture = optional (types.enum [
      "protect"
      "trusted_header"
      "hybrid"
      "native_oidc"
      "passthrough"
      "internal"
    ]) "Which of the six patterns; `protect` when nothing is said.";
    policy = optional types.str "Who gets in: one of `policies`, or a built-in one.";
    allowedNetworks = list "For `internal`: where its clients are.";
    allowedOrigins = list "Other sites whose pages may write to the app.";
    reservedUsers = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      description = "User names that mean much to the app, each with the `sub`s that may carry it.";
    };
    headers = optional (types.listOf (types.either types.str json.type)) "What the app is told of the person.";
    bypass = mkOption {
      type = types.listOf (types.submodule { options = conditionOptions; });
      default = [ ];
      description = "What passes without a login.";
    };
    rules = mkOption {
      type = types.listOf (types.submodule { options = ruleOptions; });
      default = [ ];
      description = "Other policies for some requests; the first rule that holds decides.";
    };
    upstreamHeaders = mkOption {
      type = types.listOf (types.submodule { options = headerOptions; });
      default = [ ];
      description = "Credentials that the app is shown.";
    };
    settings = free "Further keys of the service, as docs/configuration.md has them.";
  };

  # --- mistakes that are better told before anything is built ------------------------------------------------

  builtIn = [
    "authenticated"
    "optional"
    "bypass"
    "deny"
  ];
  known = builtIn ++ builtins.attrNames cfg.policies ++ builtins.attrNames (cfg.settings.policies or { });

  namesOf = options: if builtins.isList options.host then options.host else [ options.host ];
  hosts = lib.concatLists (
    lib.mapAttrsToList (_: options: lib.optionals (options.host != null) (namesOf options)) cfg.services
  );

  ofService =
    name: options:
    let
      at = "services.portcullis.services.${name}";
      used = lib.optional (options.policy != null) options.policy ++ map (rule: rule.policy) options.rules;
      unknown = lib.filter (policy: !(builtins.elem policy (known ++ [ "from_proxy" ]))) used;
    in
    [
      {
        assertion = options.host != null || options.settings ? host;
        message = "${at}.host must be given.";
      }
      {
        assertion = unknown == [ ];
        message = "${at}: no such policy: ${lib.concatStringsSep ", " unknown}. There are ${lib.concatStringsSep ", " known}.";
      }
      {
        assertion = options.posture != "hybrid" || options.upstreamHeaders != [ ] || options.settings ? upstream_headers;
        message = "${at}: posture \"hybrid\" needs upstreamHeaders, the credential that the app is shown.";
      }
      {
        assertion = lib.all (header: header.valueFile == null || header.passwordFile == null) options.upstreamHeaders;
        message = "${at}.upstreamHeaders: a header has a valueFile or a passwordFile, not both.";
      }
    ];

  inline = lib.optional (cfg.settings ? oidc.client_secret) "oidc.client_secret";
  inStore = lib.filter (name: lib.hasPrefix builtins.storeDir (toString credentials.${name})) (
    builtins.attrNames credentials
  );
in
{
  options.services.portcullis = {
    enable = lib.mkEnableOption "Portcullis, a forward-auth gate beside the reverse proxy";
    package = mkOption {
      type = types.package;
      description = "The package with `bin/portcullis`.";
    };
    publicUrl = optional types.str "What browsers call the portal: \"https://auth.example.net\".";
    issuer = optional types.str "The provider: \"https://id.example.net\" for a Pocket ID of that name.";
    clientIdFile = optional types.str "A file that holds the client's id; or say `settings.oidc.client_id`.";
    clientSecretFile = optional types.str "A file that holds the client's secret; not in the Nix store.";
    sessionSecretFile = optional types.str "A file that holds the keys of sessions; without one, they are made in /var/lib/portcullis.";
    credentials = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Further secrets: a name, which `settings` may give wherever a file is asked for, and the file that it comes from.";
    };
    policies = mkOption {
      type = types.attrsOf (types.submodule { options = policyOptions; });
      default = { };
      description = "Who may open what.";
    };
    services = mkOption {
      type = types.attrsOf (types.submodule { options = serviceOptions; });
      default = { };
      description = "The protected apps. Guard each with `lib.mkIf` of what it protects.";
    };
    settings = free "Everything else, as docs/configuration.md has it. It wins over the options.";
  };

  config = lib.mkIf cfg.enable {
    assertions = lib.concatLists (lib.mapAttrsToList ofService cfg.services) ++ [
      {
        assertion = lib.unique hosts == hosts;
        message = "services.portcullis.services: two services have one host. All of them: ${lib.concatStringsSep ", " hosts}.";
      }
      {
        assertion = inline == [ ];
        message = "services.portcullis.settings: ${lib.concatStringsSep ", " inline} would lie in the Nix store, where everybody may read it. Name a file instead.";
      }
      {
        assertion = inStore == [ ];
        message = "services.portcullis: ${lib.concatStringsSep ", " inStore}: the file lies in the Nix store, where everybody may read it.";
      }
    ];

    # For `portcullis sessions`.
    environment.systemPackages = [ cfg.package ];

    systemd.services.portcullis = {
      description = "Portcullis, a forward-auth gate";
      wantedBy = [ "multi-user.target" ];
      # The provider may be down, and so may the network: neither keeps it from starting.
      after = [ "network.target" ];
      serviceConfig = {
        # It says itself when it answers, and when it stops.
        Type = "notify";
        ExecStart = "${cfg.package}/bin/portcullis serve --config ${configuration}";
        LoadCredential = lib.mapAttrsToList (name: file: "${name}:${file}") credentials;
        Restart = "on-failure";
        RestartSec = 2;
        # It lets running requests end, for 10 seconds at most.
        TimeoutStopSec = 15;
        # Each connection is an open file.
        LimitNOFILE = 32768;

        DynamicUser = true;
        StateDirectory = "portcullis";
        StateDirectoryMode = "0700";
        RuntimeDirectory = "portcullis";
        UMask = "0077";

        CapabilityBoundingSet = "";
        DevicePolicy = "closed";
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        PrivateUsers = true;
        ProcSubset = "pid";
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectProc = "invisible";
        ProtectSystem = "strict";
        RemoveIPC = true;
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallErrorNumber = "EPERM";
        SystemCallFilter = [
          "@system-service"
          "~@privileged"
        ];
      };
    };
  };
}
