# shellcheck shell=bash
# The list of what is in the binary, as CycloneDX. Sourced by release/build.

# make_sbom <directory> <arch> <file>: of <directory>/source, for the binary alone.
make_sbom() {
  local directory=$1 target
  target=$(target_of "$2")
  (cd "$directory/source" && CARGO_NET_OFFLINE=true cargo cyclonedx --quiet --manifest-path operator/Cargo.toml \
    --describe binaries --format json --spec-version 1.5 --target "$target")
  # Members of the workspace are named by their path. And what only tests of another member turn on by a feature is
  # listed as well, because the features of a whole workspace are taken together; cargo tree knows better.
  built "$directory" "$target" normal,build >"$directory/built"
  sed "s|$directory/source|/subrosa|g" "$directory/source/operator/subrosa_bin.cdx.json" |
    jq --rawfile built "$directory/built" '
      ($built | split("\n")) as $built
      | .components |= map(select("\(.name) \(.version)" | IN($built[])))
      | [.metadata.component, .components[] | ."bom-ref"] as $kept
      | .dependencies |= map(select(.ref | IN($kept[]))
          | if .dependsOn then .dependsOn |= map(select(IN($kept[]))) else . end)' >"$3"
}

# listed_in_sbom <file>: sorted lines "name version".
listed_in_sbom() {
  jq --raw-output '.metadata.component, .components[] | "\(.name) \(.version)"' "$1" | sort --unique
}

# built <directory> <target> <kinds of dependency>: what cargo builds for the binary, as sorted lines "name version".
built() {
  (cd "$1/source" && cargo tree --quiet --locked --offline --package subrosa --target "$2" --edges "$3" \
    --prefix none --format '{p}') | sed -E 's/^([^ ]+) v([^ ]+).*/\1 \2/' | sort --unique
}

# none <complaint>: fails if there is anything to read.
none() {
  local found
  found=$(paste --serial --delimiters=,)
  [ -z "$found" ] || fail "$1: $found"
}

# check_sbom <directory> <arch> <file>: it lists all that is compiled in, and nothing that only tests need. So does the
# binary, where a crate too many is not ours to take out.
check_sbom() {
  local directory=$1 target linked all
  target=$(target_of "$2")
  linked=$directory/linked
  all=$directory/all
  # Macros run in the compiler: neither they nor what they need is in the binary.
  built "$directory" "$target" normal,no-proc-macro >"$linked"
  built "$directory" "$target" normal,build >"$all"
  [ "$(wc -l <"$linked")" -gt 100 ] || fail "cargo tree lists too little to compare with"
  listed_in_sbom "$3" | comm -13 - "$linked" | none "in the binary and not in the SBOM"
  listed_in_sbom "$3" | comm -23 - "$all" | none "in the SBOM and not built for the binary"
  embedded "$(binary_of "$directory" "$2")" | comm -13 - "$linked" | none "in the binary, which does not say so"
  ! grep --quiet --fixed-strings -- "$work" "$3" || fail "$3: it holds the path $work"
  echo "$(listed_in_sbom "$3" | wc -l) crates in the SBOM, $(wc -l <"$linked") of them compiled into the binary"
}
