# shellcheck shell=bash
# For what must be made by the same Debian and Python that the pods have. Sourced after tools.sh, never run.

DEBIAN_PYTHON=/usr/bin/python3

# in_debian COMMAND ARG...: does nothing on Debian 12; elsewhere the whole command is run in a container instead.
in_debian() {
  [ "$(uname -m)" = x86_64 ] || fail "vLLM's environment is locked for x86_64, and this machine is $(uname -m)."
  [ ! -f /etc/debian_version ] || docker_works || need_packages python3 python3-venv
  ! has_debian_python || return 0
  docker_works ||
    fail "$DEBIAN_PYTHON is not Python 3.11 with venv, which the pods' image has: run this on Debian 12, or start Docker."
  local root
  root=$(cd "$HERE/../.." && pwd)
  mkdir -p "$CACHE"
  exec docker run --rm --volume "$CACHE:$CACHE" --volume "$root:$root:ro" --env "HINF_CACHE=$CACHE" \
    --env "HINF_CLUSTER=$CLUSTER" debian:bookworm-slim "$@"
}

has_debian_python() {
  "$DEBIAN_PYTHON" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}
