# shellcheck shell=bash source-path=SCRIPTDIR/..
# The cluster without Docker: brings it up, repairs it, takes it down.
. "$HERE/tools.sh"
. "$HERE/images.sh"
. "$HERE/local/cgroup.sh"
. "$HERE/local/network.sh"
. "$HERE/local/pki.sh"
. "$HERE/local/control-plane.sh"
. "$HERE/local/node.sh"

COMPONENTS=(holder etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy coredns)
PACKAGES=(containerd runc containernetworking-plugins iptables iproute2 openssl buildah)
# Paths that components write to whatever their settings say. The cluster lays its own folders over them, where nobody
# else sees it (local/mounts.sh); for that they must exist.
FIXED_PATHS=(/var/lib/kubelet /var/lib/cni)

local_up() {
  need_linux_root
  need_packages "${PACKAGES[@]}"
  BIN=$(controlplane) # before kubectl, which is little more after it
  need_kubectl
  with_lock "cluster-$CLUSTER" bring_up
  need_kubeconform
  need_helm
}

bring_up() {
  if is_healthy; then
    say "the cluster is up already"
    return
  fi
  if [ -d "$STATE/etcd" ]; then
    say "the cluster is not in order; its processes are started anew, its objects stay"
    (start_all) & # in the background 'set -e' holds, which it does not before an '&&'
    wait $! && return
    say "it could not be repaired; it is built anew"
    remove_all
  fi
  start_all
}

is_healthy() {
  local name
  for name in "${COMPONENTS[@]}"; do
    is_running "$name" || return 1
  done
  [ "$(cat "$STATE/version" 2>/dev/null)" = "$BIN" ] && api_is_ready >/dev/null 2>&1 && node_is_ready 2>/dev/null
}

start_all() {
  local begin=$SECONDS
  say "starting the cluster, about 20 s ..."
  stop_all
  mkdir -p "$STATE/log" "$STATE/run"
  make_fixed_paths
  make_cgroups
  make_network
  make_pki
  make_kubeconfigs
  make_node_config
  start_holder
  start_containerd
  start_control_plane
  start_node
  echo "$BIN" >"$STATE/version"
  say "  up after $((SECONDS - begin)) s: Kubernetes $KUBERNETES_VERSION, one node; use it with tests/cluster/run COMMAND"
}

# stop_all: ends every process; what must not outlive a restart of the machine goes too.
stop_all() {
  kill_processes
  remove_cgroups
  umount_left_overs
  rm -rf --one-file-system "$STATE/run" "$STATE/containerd/state" "$STATE/cni-addresses" "$STATE/version"
}

# The cluster's mounts are its own and end with its processes; this is for those that somebody else made.
umount_left_overs() {
  local target
  awk -v prefix="$STATE/" -v net="$STATE/net" 'index($2, prefix) == 1 && $2 != net { print $2 }' /proc/mounts | sort -r |
    while read -r target; do umount -l "$target"; done
}

local_down() {
  need_linux_root
  with_lock "cluster-$CLUSTER" take_down
}

take_down() {
  local begin=$SECONDS
  if [ ! -e "$STATE" ] && [ ! -d "$CGROUP2" ]; then
    say "there is no cluster"
    return
  fi
  remove_all
  remove_fixed_paths
  say "down after $((SECONDS - begin)) s; nothing of it is left but the cache $CACHE"
}

remove_all() {
  kill_processes
  remove_cgroups
  remove_network
  umount_left_overs
  rm -rf --one-file-system "$STATE"
}

make_fixed_paths() {
  local path
  for path in "${FIXED_PATHS[@]}"; do
    [ -d "$path" ] && continue
    mkdir "$path"
    echo "$path" >>"$STATE_ROOT/.made"
  done
}

# With the last cluster gone, the mount points made for it go.
remove_fixed_paths() {
  [ -z "$(ls "$STATE_ROOT" 2>/dev/null)" ] || return 0
  local path
  for path in "${FIXED_PATHS[@]}"; do
    ! grep -qsx "$path" "$STATE_ROOT/.made" || rmdir --ignore-fail-on-non-empty "$path"
  done
  rm -rf "$STATE_ROOT"
}
