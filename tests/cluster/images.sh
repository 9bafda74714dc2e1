# shellcheck shell=bash
# Images without Docker: buildah with a store of its own in the cache, so that the machine's own stays as it is.
# Sourced, never run.

STORE=$CACHE/images
# The image that the project's Dockerfiles and the tests' pods start from: see base-image.
BASE_IMAGE=localhost/hinf-base:bookworm
export BASE_IMAGE

# in_store buildah COMMAND ARG...
in_store() {
  local command=$2
  shift 2
  buildah --root "$STORE/root" --runroot "$STORE/run" --storage-driver vfs "$command" "$@"
}

need_buildah() {
  need_linux_root
  need_packages buildah
}

# save_image IMAGE FILE: from the store into an archive that containerd and Docker can read.
save_image() { in_store buildah push --quiet "$1" "docker-archive:$2:$1"; }
