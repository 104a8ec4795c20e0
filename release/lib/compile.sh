# shellcheck shell=bash
# From a commit to a static binary that does not tell where it was built. Sourced by release/build.

# export_commit <directory>: the commit's files and nothing else.
export_commit() {
  mkdir -p "$1"
  git -C "$home" archive "$revision" | tar -x -C "$1"
}

binary_of() {
  echo "$1/target/$(target_of "$2")/release/subrosa"
}

# compile <directory> <arch>: builds <directory>/source. Crates are fetched first, so that the build itself has
# no network and none of the caller's environment.
compile() {
  local directory=$1 target
  target=$(target_of "$2")
  (cd "$directory/source" && cargo fetch --quiet --locked)

  local cargo_home=${CARGO_HOME:-$HOME/.cargo} registry name
  local rust_flags="-C target-feature=+crt-static --remap-path-prefix=$directory=/subrosa"
  local c_flags="-ffile-prefix-map=$directory=/subrosa"
  for registry in "$cargo_home"/registry/src/*/; do
    rust_flags+=" --remap-path-prefix=${registry%/}=/crates"
    c_flags+=" -ffile-prefix-map=${registry%/}=/crates"
  done

  name=${target//-/_}
  local environment=(
    "PATH=$PATH" "HOME=$HOME" "CARGO_HOME=$cargo_home" "RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}"
    LC_ALL=C.UTF-8 TZ=UTC "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"
    CARGO_INCREMENTAL=0 CARGO_NET_OFFLINE=true "CARGO_TARGET_DIR=$directory/target"
    "RUSTFLAGS=$rust_flags"
    # The toolchain's own linker: one pinned thing more, and no cross linker to install.
    "CARGO_TARGET_${name^^}_LINKER=rust-lld"
    "CC_$name=$(compiler_of "$2")" "CFLAGS_$name=$c_flags"
  )
  (cd "$directory/source" &&
    env -i "${environment[@]}" cargo auditable build --quiet --locked --release --package subrosa --bin subrosa --target "$target")
}
