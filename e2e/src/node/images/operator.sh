#!/usr/bin/env bash
# The operator's image for a node of the test harness, by the functions and the Containerfile of release/build. What
# differs from a release is the binary: of the working tree, and built for debugging.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../../.."
readonly home=$PWD

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

. release/lib/tools.sh
. release/lib/image.sh

case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) fail "no image for a machine of type $(uname -m)" ;;
esac
target=$(target_of "$arch")

# Prints where the binary is.
binary() {
  local name=${target//-/_} channel
  provide_packages "$arch" >&2
  channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  rustup target list --toolchain "$channel" --installed | grep -qx "$target" ||
    rustup target add --toolchain "$channel" "$target" >&2
  # What cargo tells a test of its own package: build scripts look at it, and would run anew each time.
  local told
  for told in $(compgen -e | grep -E '^CARGO_(PKG|MANIFEST)_' || true); do
    unset "$told"
  done
  env "CARGO_TARGET_${name^^}_LINKER=rust-lld" "CC_$name=$(compiler_of "$arch")" \
    "${CARGO:-cargo}" build --quiet --locked --package subrosa --bin subrosa --target "$target" >&2
  echo "$CARGO_TARGET_DIR/$target/debug/subrosa"
}

# image <binary> <archive>
image() {
  revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
  version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
  image_name=subrosa
  source_url=https://subrosa.dev
  SOURCE_DATE_EPOCH=0
  created=1970-01-01T00:00:00Z
  work=$(mktemp -d "${2%/*}/.operator.XXXXXX")
  trap 'as_root rm -rf "$work"' EXIT
  install -D -m 0444 release/Containerfile "$work/source/release/Containerfile"
  # Most of a debug build is what a debugger reads.
  strip --strip-all -o "$work/subrosa" "$1"
  make_layout "$work" "$arch" "$work/subrosa"
  archive_layout "$work/layout" "$work/image.tar"
  mv "$work/image.tar" "$2"
}

"$@"
