# shellcheck shell=bash
# From a binary to an OCI archive, without a daemon and without a byte that depends on when or where it was made.
# Sourced by release/build.

# make_layout <directory> <arch> <binary>: builds release/Containerfile into <directory>/layout, an OCI layout. The
# store of layers is a new one, so nothing is taken from an earlier build.
make_layout() {
  local directory=$1 arch=$2
  local buildah=(as_root buildah --storage-driver vfs --root "$directory/store" --runroot "$directory/run")
  install -D -m 0555 "$3" "$directory/context/subrosa"
  "${buildah[@]}" build --quiet --isolation chroot --platform "linux/$arch" --format oci --no-cache \
    --timestamp "$SOURCE_DATE_EPOCH" --identity-label=false \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --build-arg "CREATED=$created" --build-arg "SOURCE=$source_url" \
    --file "$directory/source/release/Containerfile" --tag "$image_name:$version" "$directory/context"
  "${buildah[@]}" push --quiet "$image_name:$version" "oci:$directory/layout:$version"
  as_root chown -R "$(id -u):$(id -g)" "$directory/layout"
  # buildah leaves mounts' bookkeeping behind that only root may remove.
  as_root rm -rf "$directory/store" "$directory/run"
  name_layout "$directory/layout" "$(jq --arg arch "$arch" '.manifests[0] + {platform: {os: "linux", architecture: $arch}}' \
    "$directory/layout/index.json")"
}

# name_layout <layout> <descriptor>: makes the descriptor the only entry, with the names that importers look for:
# the tag for skopeo and buildah, the full name for containerd, as a kubelet writes the chart's default image.
name_layout() {
  jq --null-input --compact-output --join-output --argjson entry "$2" \
    --arg tag "$version" --arg name "docker.io/library/$image_name:$version" '{
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [$entry + {annotations: {
        "org.opencontainers.image.ref.name": $tag, "io.containerd.image.name": $name}}]
    }' >"$1/index.json.new"
  mv "$1/index.json.new" "$1/index.json"
}

# archive_layout <layout> <archive>: the same files give the same archive.
archive_layout() {
  tar --create --file "$2" --directory "$1" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX blobs index.json oci-layout
}

# join_layouts <directory> <archive> <arch...>: one archive with an image index, from which each machine takes its own.
join_layouts() {
  local directory=$1 archive=$2 joined="$1/joined" entries=() index digest arch
  shift 2
  mkdir -p "$joined/blobs/sha256"
  for arch in "$@"; do
    cp "$directory/$arch/layout/blobs/sha256/"* "$joined/blobs/sha256/"
    cp "$directory/$arch/layout/oci-layout" "$joined/"
    entries+=("$(jq --compact-output '.manifests[0] | del(.annotations)' "$directory/$arch/layout/index.json")")
  done
  index="$joined/index"
  printf '%s\n' "${entries[@]}" | jq --slurp --compact-output --join-output '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' >"$index"
  digest=$(sha256sum <"$index" | cut -d' ' -f1)
  local size
  size=$(stat --format=%s "$index")
  mv "$index" "$joined/blobs/sha256/$digest"
  name_layout "$joined" "$(jq --null-input --arg digest "sha256:$digest" --argjson size "$size" \
    '{mediaType: "application/vnd.oci.image.index.v1+json", digest: $digest, size: $size}')"
  archive_layout "$joined" "$archive"
}
