# As much of nixpkgs' lib as deploy/nixos/module.nix uses, since nixpkgs is not at hand when the tests run. The
# evaluation of modules is in evaluate.nix.
rec {
  nameValuePair = name: value: { inherit name value; };
  mapAttrs = builtins.mapAttrs;
  mapAttrsToList = f: attrs: map (name: f name attrs.${name}) (builtins.attrNames attrs);
  mapAttrs' = f: attrs: builtins.listToAttrs (mapAttrsToList f attrs);
  filterAttrs =
    keep: attrs:
    builtins.listToAttrs (
      map (name: nameValuePair name attrs.${name}) (
        builtins.filter (name: keep name attrs.${name}) (builtins.attrNames attrs)
      )
    );
  recursiveUpdate =
    one: other:
    one
    // mapAttrs (
      name: value:
      if builtins.isAttrs value && one ? ${name} && builtins.isAttrs one.${name} then
        recursiveUpdate one.${name} value
      else
        value
    ) other;
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalAttrs = condition: attrs: if condition then attrs else { };
  concatLists = builtins.concatLists;
  concatStringsSep = builtins.concatStringsSep;
  filter = builtins.filter;
  all = builtins.all;
  unique = builtins.foldl' (seen: value: if builtins.elem value seen then seen else seen ++ [ value ]) [ ];
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  stringToCharacters =
    text: builtins.genList (at: builtins.substring at 1 text) (builtins.stringLength text);
  toLower = builtins.replaceStrings (stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
    stringToCharacters "abcdefghijklmnopqrstuvwxyz"
  );

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkOption = attrs: attrs // { _type = "option"; };
  mkEnableOption =
    what:
    mkOption {
      type = types.bool;
      default = false;
      description = "Whether to enable ${what}.";
    };

  # A type is a name and a function: the place and the definition in, the value out.
  types =
    let
      plain = name: check: {
        inherit name check;
        read = at: value: if check value then value else throw "${at} is not of type ${name}";
      };
    in
    rec {
      anything = plain "anything" (_: true);
      str = plain "string" builtins.isString;
      bool = plain "boolean" builtins.isBool;
      package = plain "package" (value: value ? outPath);
      enum = values: plain "one of ${builtins.toJSON values}" (value: builtins.elem value values);
      nullOr = type: {
        name = "null or ${type.name}";
        check = value: value == null || type.check value;
        read = at: value: if value == null then null else type.read at value;
      };
      either = one: other: {
        name = "${one.name} or ${other.name}";
        check = value: one.check value || other.check value;
        read = at: value: if one.check value then one.read at value else other.read at value;
      };
      listOf = type: {
        name = "list of ${type.name}";
        check = value: builtins.isList value && builtins.all type.check value;
        read =
          at: value:
          if builtins.isList value then map (type.read "${at}.*") value else throw "${at} is not a list";
      };
      attrsOf = type: {
        name = "attribute set of ${type.name}";
        check = builtins.isAttrs;
        read =
          at: value:
          if builtins.isAttrs value then
            mapAttrs (name: type.read "${at}.${name}") (definitions value)
          else
            throw "${at} is not an attribute set";
      };
      submodule = { options }: {
        name = "submodule";
        check = builtins.isAttrs;
        read = at: value: evaluate at options value;
      };
    };

  # Definitions without those whose `mkIf` does not hold.
  definitions =
    attrs:
    mapAttrs (_: value: if value._type or "" == "if" then value.content else value) (
      filterAttrs (_: value: (value._type or "" != "if") || value.condition) attrs
    );

  # Options and definitions in, values out. What is not declared is an error, as in NixOS.
  evaluate =
    at: options: defined:
    let
      own = definitions defined;
      unknown = builtins.filter (name: !(options ? ${name})) (builtins.attrNames own);
      value =
        name: option:
        if own ? ${name} then
          option.type.read "${at}.${name}" own.${name}
        else
          option.default or (throw "${at}.${name} is used but not defined");
    in
    if unknown != [ ] then
      throw "the option ${at}.${builtins.head unknown} does not exist"
    else
      mapAttrs value options;
}
