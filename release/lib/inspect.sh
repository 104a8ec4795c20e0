# shellcheck shell=bash
# Does it hold what it promises? Checks of the binary and of the image, run on what was built. Sourced by release/build.

# embedded <binary>: what `cargo auditable` wrote into it, as sorted lines "name version".
embedded() {
  local where offset size
  where=$(readelf --sections --wide "$1" | sed -nE 's/^ *\[ *[0-9]+\] \.dep-v0 +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) .*/\1 \2/p')
  [ -n "$where" ] || fail "$1: no section .dep-v0; was it built with cargo auditable?"
  read -r offset size <<<"$where"
  tail --bytes=+$((16#$offset + 1)) "$1" | head --bytes=$((16#$size)) |
    python3 -c 'import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))' |
    jq --raw-output '.packages[] | "\(.name) \(.version)"' | sort --unique
}

# check_binary <binary> <arch> <directory>: for that machine, static, and silent about where it was built.
check_binary() {
  local binary=$1 machine path
  case $2 in
    amd64) machine=X86-64 ;;
    arm64) machine=AArch64 ;;
  esac
  readelf --file-header "$binary" | grep -q "Machine:.*$machine" || fail "$binary: not for $machine"
  # A position-independent static binary relocates itself and has a dynamic section for that; what makes it static
  # is that nobody else is named: no interpreter, no library.
  ! readelf --program-headers --wide "$binary" | grep -q INTERP || fail "$binary: not static, it names an interpreter"
  ! readelf --dynamic --wide "$binary" | grep -q NEEDED || fail "$binary: not static, it needs a library"
  for path in "$3" "$home/" "$HOME/" "${CARGO_HOME:-$HOME/.cargo}" "$work"; do
    ! grep --quiet --text --fixed-strings -- "$path" "$binary" || fail "$binary: it holds the path $path"
  done
  echo "static, for $machine, without a path of this machine; $(embedded "$binary" | wc -l) packages named inside"
}

# blob <layout> <digest>: the path, once the content is what its name says.
blob() {
  local path="$1/blobs/sha256/${2#sha256:}"
  echo "${2#sha256:}  $path" | sha256sum --check --status || fail "$path: not what its digest says"
  echo "$path"
}

# check_image <archive> <arch> <directory>: takes the archive apart, as an importer would, and runs what is in it.
check_image() {
  local unpacked="$3/unpacked" manifest config layer wrong content
  mkdir -p "$unpacked/layout" "$unpacked/root"
  tar --extract --file "$1" --directory "$unpacked/layout"
  manifest=$(blob "$unpacked/layout" "$(jq --raw-output '.manifests[0].digest' "$unpacked/layout/index.json")")
  config=$(blob "$unpacked/layout" "$(jq --raw-output .config.digest "$manifest")")
  wrong=$(jq --raw-output --arg arch "$2" --arg version "$version" --arg revision "$revision" --arg created "$created" '
    {"os": (.os == "linux"), "architecture": (.architecture == $arch), "created": (.created == $created),
     "User": (.config.User == "65532:65532"), "Entrypoint": (.config.Entrypoint == ["/subrosa"]), "Cmd": (.config.Cmd == ["run"]),
     "version": (.config.Labels["org.opencontainers.image.version"] == $version),
     "revision": (.config.Labels["org.opencontainers.image.revision"] == $revision)}
    | to_entries[] | select(.value | not) | .key' "$config")
  [ -z "$wrong" ] || fail "$1: not as wanted in the image's config: $wrong"
  while read -r layer; do
    tar --extract --gzip --file "$(blob "$unpacked/layout" "$layer")" --directory "$unpacked/root" --preserve-permissions
  done < <(jq --raw-output '.layers[].digest' "$manifest")
  content=$(cd "$unpacked/root" && find . -mindepth 1 -printf '%P %m\n')
  [ "$content" = "subrosa 555" ] || fail "$1: the image holds something else than /subrosa: $content"
  check_running "$unpacked/root" "$2" "$unpacked"
  echo "only /subrosa in it; it starts as 65532 on a read-only root"
}

# contained <root> <emulator or nothing> <argument...>: runs /subrosa in the image as a kubelet would with the chart's
# security context, and without a network: its user, a read-only root, no privilege, nothing of our environment.
contained() {
  local root=$1 emulator=$2
  shift 2
  # shellcheck disable=SC2016 # for the inner shell to expand
  as_root unshare --mount --net -- sh -euc '
    root=$1
    shift
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    exec env -i PATH="$PATH" setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" "$@"
  ' sh "$root" ${emulator:+/emulator} /subrosa "$@"
}

# check_running <root> <arch> <directory for output>
check_running() {
  local root=$1 emulator said="$3/said" code=0
  emulator=$(emulator_of "$2")
  [ -z "$emulator" ] || cp "$(command -v "$emulator")" "$root/emulator"
  contained "$root" "$emulator" --version >"$said"
  [ "$(cat "$said")" = "subrosa $version" ] || fail "the image's --version says: $(cat "$said")"
  contained "$root" "$emulator" crds >"$said"
  [ "$(grep -c '^kind: CustomResourceDefinition$' "$said")" -ge 4 ] || fail "the image's crds does not print the definitions"
  contained "$root" "$emulator" >"$said" 2>&1 run || code=$?
  if [ "$code" = 0 ] || ! grep -q 'no API server' "$said"; then
    fail "without a cluster the image's run ended with $code and said: $(cat "$said")"
  fi
}

# report <results>: what to write into the notes of a release.
report() {
  local file arch compiler
  (
    cd "$1"
    for file in "$image_name-$version"*; do
      printf '%9d bytes  %s\n' "$(stat --format=%s "$file")" "$file"
    done
    for file in *.oci.tar; do
      printf '%s  %s\n' "$(tar --extract --to-stdout --file "$file" index.json | jq --raw-output '.manifests[0].digest')" "$file"
    done
  )
  echo "commit $revision, $created"
  echo "made with $(cd "$work/first/${arches[0]}/source" && rustc --version), $(buildah --version)"
  for arch in "${arches[@]}"; do
    compiler=$(compiler_of "$arch")
    echo "and for the C parts of $arch with $("$compiler" --version | head -n 1)"
  done
}
