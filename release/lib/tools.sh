# shellcheck shell=bash
# What a build needs: Debian packages, the pinned Rust toolchain with its targets, two pinned cargo programs.
# Sourced by release/build.

readonly cargo_auditable=0.7.7
readonly cargo_cyclonedx=0.5.9
readonly tools="${XDG_CACHE_HOME:-$HOME/.cache}/subrosa-release"

# Rust's name of the machine.
target_of() {
  case $1 in
    amd64) echo x86_64-unknown-linux-musl ;;
    arm64) echo aarch64-unknown-linux-musl ;;
  esac
}

# The C compiler for ring's few C and assembler files. They need no C library, so Debian's cross compiler does.
compiler_of() {
  case $1 in
    amd64) echo musl-gcc ;;
    arm64) echo aarch64-linux-gnu-gcc ;;
  esac
}

# What runs a binary of the machine here: nothing, or an emulator.
emulator_of() {
  case $1 in
    amd64) [ "$(uname -m)" = x86_64 ] || echo qemu-x86_64-static ;;
    arm64) [ "$(uname -m)" = aarch64 ] || echo qemu-aarch64-static ;;
  esac
}

# As root: building an image and a changed root directory need it.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo -- "$@"
  fi
}

# need <command> <package>: notes the package when the command is missing.
need() {
  command -v "$1" >/dev/null || missing+=("$2")
}

provide_packages() {
  local missing=() arch emulator
  need cc gcc
  need readelf binutils
  need buildah buildah
  need jq jq
  for arch in "$@"; do
    case $arch in
      amd64) need musl-gcc musl-tools ;;
      arm64) need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu; missing_headers arm64 ;;
    esac
    emulator=$(emulator_of "$arch")
    [ -z "$emulator" ] || need "$emulator" qemu-user-static
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# The cross compiler comes without headers.
missing_headers() {
  [ -e /usr/aarch64-linux-gnu/include/stdint.h ] || missing+=("libc6-dev-$1-cross")
}

# provide_program <crate> <version>: built once, into a directory of its own.
provide_program() {
  local root="$tools/$1-$2"
  [ -x "$root/bin/$1" ] || cargo install "$1" --locked --version "$2" --root "$root"
  export PATH="$root/bin:$PATH"
}

provide_tools() {
  local arch channel
  provide_packages "$@"
  channel=$(git show "$revision:rust-toolchain.toml" | sed -n 's/^channel = "\(.*\)"/\1/p')
  rustup toolchain list | grep -q "^$channel-" || rustup toolchain install "$channel" --profile minimal
  for arch in "$@"; do
    rustup target add --toolchain "$channel" "$(target_of "$arch")"
  done
  provide_program cargo-auditable "$cargo_auditable"
  provide_program cargo-cyclonedx "$cargo_cyclonedx"
}
