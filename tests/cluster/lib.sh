# shellcheck shell=bash
# What the scripts of this folder have in common: settings, messages, the cache. Sourced, never run.
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER=${HINF_CLUSTER:-hinf}
CACHE=${HINF_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/hybrid-inference}
STATE_ROOT=${HINF_STATE:-/var/lib/hinf}
STATE=$STATE_ROOT/$CLUSTER
LOCAL_KUBECONFIG=$STATE/admin.kubeconfig
KIND_KUBECONFIG=$CACHE/kind/$CLUSTER.kubeconfig
KIND_INSIDE=$CACHE/kind/$CLUSTER.inside.kubeconfig

say() { printf '[cluster %s] %s\n' "$CLUSTER" "$*" >&2; }

fail() {
  say "ERROR: $*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

[[ $CLUSTER =~ ^[a-z][a-z0-9-]{0,19}$ ]] ||
  fail "HINF_CLUSTER=$CLUSTER is no good name: use up to 20 lower-case letters, digits and dashes, a letter first."

# step TEXT COMMAND...: says what starts, runs it, says how long it took.
step() {
  local text=$1 start=$SECONDS
  shift
  say "$text ..."
  "$@"
  say "  done in $((SECONDS - start)) s"
}

# retry COMMAND...: three attempts, for what depends on a network.
retry() {
  local pause
  for pause in 5 15; do
    "$@" && return
    say "'$1 ${2:-}' failed; trying again in $pause s"
    sleep "$pause"
  done
  "$@"
}

# wait_for SECONDS WHAT LOG COMMAND...: until COMMAND succeeds.
wait_for() {
  local limit=$1 what=$2 log=$3 end=$((SECONDS + $1))
  shift 3
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "$what did not come within $limit s; see $log, then run 'make cluster-down cluster-up'."
    sleep 0.2
  done
}

# key_of FILE...: a short name for the contents of the files.
key_of() { cat "$@" | sha256sum | cut -c1-12; }

# logged NAME COMMAND...: output goes to a log file, whose end is shown when the command fails.
logged() {
  local log=$CACHE/logs/$1.log
  shift
  mkdir -p "$CACHE/logs"
  ("$@") >"$log" 2>&1 & # in the background 'set -e' holds, which it does not inside an 'if'
  wait $! && return
  tail -n 15 "$log" >&2
  fail "'$1' failed; the whole output is in $log. Mend what it names, or try again if it was the network."
}

# with_lock NAME COMMAND...: one at a time on this machine. Background processes do not inherit the lock.
with_lock() {
  local lock=$CACHE/locks/$1
  shift
  mkdir -p "$CACHE/locks"
  (
    flock --nonblock 9 || {
      say "waiting for another process that holds $lock"
      flock 9
    }
    "$@"
  ) 9>"$lock"
}

# cached NAME KEY TEXT COMMAND...: prints the folder NAME/KEY of the cache. If it is missing, COMMAND gets an empty
# folder as its last argument to fill; that folder gets its name in one rename, so nothing half-finished is ever used.
cached() {
  local name=$1 dir=$CACHE/$1/$2
  [ -d "$dir" ] || with_lock "$name" fill_cache "$dir" "${@:3}" >&2
  echo "$dir"
}

fill_cache() {
  local dir=$1 text=$2 new=$1.new
  shift 2
  [ ! -d "$dir" ] || return 0
  umask 022 # pods read some of it, as other users
  rm -rf "$new"
  mkdir -p "$new"
  step "$text" logged "$(basename "$(dirname "$dir")")" "$@" "$new"
  mv -T "$new" "$dir"
}

# make_current FOLDER: the name 'current' beside the folder leads to it from now on; prints the folder.
make_current() {
  local parent name
  parent=$(dirname "$1")
  name=$(basename "$1")
  if [ "$(readlink "$parent/current")" != "$name" ]; then
    ln -sfn "$name" "$parent/current.$$"
    mv -T "$parent/current.$$" "$parent/current"
  fi
  echo "$1"
}

docker_works() { have docker && timeout 20 docker info >/dev/null 2>&1; }

# The kind of cluster that is there: user (KUBECONFIG is set to none of ours), local, kind, or none.
current_provider() {
  case ${KUBECONFIG:-$LOCAL_KUBECONFIG} in
    "$LOCAL_KUBECONFIG" | "$KIND_KUBECONFIG" | "$KIND_INSIDE") ;;
    *) echo user && return ;;
  esac
  if [ -f "$LOCAL_KUBECONFIG" ]; then
    echo local
  elif [ -f "$KIND_KUBECONFIG" ]; then
    echo kind
  else
    echo none
  fi
}

# The kind of cluster that cluster-up shall make: the one that is there, else what the machine can carry.
wanted_provider() {
  local now
  now=$(current_provider)
  if [ "$now" != none ]; then
    echo "$now"
  elif docker_works; then
    echo kind
  else
    echo local
  fi
}

need_linux_root() {
  [ "$(uname -s)" = Linux ] ||
    fail "without a Docker engine this works on Linux only: start Docker, or set KUBECONFIG to a cluster of yours."
  [ "$(id -u)" = 0 ] ||
    fail "without a Docker engine this needs root (namespaces, mounts): use sudo, start Docker, or set KUBECONFIG."
}
