# shellcheck shell=bash
# The cluster's own network namespace, held by a mount on a file of the state folder, and its own view of the mounts.

NODE_IP=10.88.0.1
POD_NET=10.88.0.0/16
SERVICE_NET=10.96.0.0/16
API_IP=10.96.0.1
DNS_IP=10.96.0.10
export NODE_IP POD_NET SERVICE_NET API_IP DNS_IP

in_net() { nsenter --net="$STATE/net" -- "$@"; }

network_is_there() { mountpoint -q "$STATE/net" 2>/dev/null; }

make_network() {
  if ! network_is_there; then
    : >"$STATE/net"
    unshare --net="$STATE/net" true
  fi
  in_net ip link set lo up
  if ! in_net ip link show pods >/dev/null 2>&1; then
    in_net ip link add pods address 0a:58:0a:58:00:01 type bridge
    in_net ip addr add "$NODE_IP/16" dev pods
    in_net ip link set pods up
  fi
  # There is no default route. Service addresses still need some route before packet rules rewrite them.
  in_net ip route replace "$SERVICE_NET" dev pods
  [ -d /proc/sys/net/bridge ] || modprobe br_netfilter ||
    fail "the kernel module br_netfilter is missing: install the kernel's extra modules."
  in_net sh -c 'echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables >/dev/null'
}

remove_network() {
  while network_is_there; do
    umount "$STATE/net"
  done
}

# start_holder: one sleeping process keeps the cluster's view of the mounts (mounts.sh) for those that join it.
start_holder() {
  spawn holder nsenter --net="$STATE/net" unshare --mount --propagation slave "$HERE/local/mounts.sh" "$STATE"
  wait_for 10 "the cluster's mount namespace" "$STATE/log/holder.log" test -e "$STATE/run/mounts-ready"
}

# spawn NAME COMMAND...: a process of the cluster, in its cgroup and a session of its own.
spawn() {
  local name=$1 pid=$STATE/run/$1.pid
  shift
  rm -f "$pid"
  (
    echo "$BASHPID" >"$CGROUP2/daemons/cgroup.procs"
    echo "$BASHPID" >"$pid"
    cd "$STATE" || exit
    exec setsid "$@"
  ) </dev/null >>"$STATE/log/$name.log" 2>&1 9>&- &
  until [ -s "$pid" ] || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
  disown
}

# start NAME COMMAND...: the same, inside the cluster's network and mounts.
start() {
  local name=$1
  shift
  spawn "$name" nsenter --net="$STATE/net" --mount="/proc/$(cat "$STATE/run/holder.pid")/ns/mnt" "$@"
}
