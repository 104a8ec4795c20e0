# shellcheck shell=bash
# The list of what is in the binary, as CycloneDX. Sourced by release/build.

# make_sbom <directory> <arch> <file>: of <directory>/source, for the binary alone.
make_sbom() {
  local directory=$1 target made
  target=$(target_of "$2")
  (cd "$directory/source" && CARGO_NET_OFFLINE=true cargo cyclonedx --quiet --manifest-path operator/Cargo.toml \
    --describe binaries --format json --spec-version 1.5 --target "$target")
  made="$directory/source/operator/subrosa_bin.cdx.json"
  # Members of the workspace are named by their path.
  sed "s|$directory/source|/subrosa|g" "$made" >"$3"
}

# What a file lists, as sorted lines "name version".
listed_in_sbom() {
  jq --raw-output '.metadata.component, .components[] | "\(.name) \(.version)"' "$1" | sort --unique
}

# What cargo says is built for the binary: tree <directory> <target> <kinds of dependency>.
tree() {
  (cd "$1/source" && cargo tree --locked --offline --package subrosa --target "$2" --edges "$3" --prefix none --format '{p}') |
    sed -E 's/^([^ ]+) v([^ ]+).*/\1 \2/' | sort --unique
}

# check_sbom <directory> <arch> <file>: it lists all that is compiled in, and nothing that only tests need.
check_sbom() {
  local target lost surplus
  target=$(target_of "$2")
  lost=$(comm -13 <(listed_in_sbom "$3") <(tree "$1" "$target" normal))
  [ -z "$lost" ] || fail "the SBOM does not list, though it is in the binary: $lost"
  surplus=$(comm -23 <(listed_in_sbom "$3") <(tree "$1" "$target" normal,build))
  [ -z "$surplus" ] || fail "the SBOM lists what is not built for the binary: $surplus"
  lost=$(comm -13 <(listed_in_sbom "$3") <(embedded "$(binary_of "$1" "$2")"))
  [ -z "$lost" ] || fail "the SBOM does not list what the binary says of itself: $lost"
  echo "$(listed_in_sbom "$3" | wc -l) crates"
}
