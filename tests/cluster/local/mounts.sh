#!/usr/bin/env bash
# mounts.sh STATE: runs in a fresh mount namespace; lays folders of STATE over the fixed paths that kubelet, containerd
# and the network plugins write to, then sleeps. All these mounts vanish with the last process of the cluster.
set -euo pipefail
state=$1

over() {
  mkdir -p "$state/$1"
  mount --bind "$state/$1" "$2"
}

# sysctl_is KEY VALUE: kubelet finds the value it wants and leaves the machine's own one alone.
sysctl_is() {
  echo "$2" >"$state/sysctl/$1"
  mount --bind "$state/sysctl/$1" "/proc/sys/$(tr . / <<<"$1")"
}

over var-log /var/log
over var-lib-kubelet /var/lib/kubelet
over var-lib-cni /var/lib/cni
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock "$state/sysctl"
sysctl_is vm.overcommit_memory 1
sysctl_is vm.panic_on_oom 0
sysctl_is kernel.panic 10
sysctl_is kernel.panic_on_oops 1
sysctl_is kernel.keys.root_maxkeys 1000000
sysctl_is kernel.keys.root_maxbytes 25000000
touch "$state/run/mounts-ready"
exec sleep infinity
