# shellcheck shell=bash
# The cluster's processes live in a cgroup of their own. It tells them from everything else on the machine, whatever
# process ids say after a crash, and the kernel ends all of them at once, containers included.

CGROUP_NAME=hinf-$CLUSTER
CGROUP2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/$CGROUP_NAME

# Mount points of every cgroup hierarchy: one on new systems, one per controller on older ones.
cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts; }

make_cgroups() {
  [ "$CGROUP2" != "/$CGROUP_NAME" ] || fail "no cgroup2 file system is mounted: the cluster needs one, and Linux 5.14 or newer."
  local mount
  for mount in $(cgroup_mounts); do
    mkdir -p "$mount/$CGROUP_NAME"
  done
  mkdir -p "$CGROUP2/daemons"
  [ -w "$CGROUP2/cgroup.kill" ] || fail "$CGROUP2 has no cgroup.kill: the cluster needs Linux 5.14 or newer."
}

# is_running NAME: the process of that name is alive and it is ours.
is_running() {
  local pid
  pid=$(cat "$STATE/run/$1.pid" 2>/dev/null) || return 1
  grep -qx "$pid" "$CGROUP2/daemons/cgroup.procs" 2>/dev/null
}

cgroup_is_empty() { [ ! -d "$CGROUP2" ] || grep -qx 'populated 0' "$CGROUP2/cgroup.events"; }

kill_processes() {
  [ -d "$CGROUP2" ] || return 0
  echo 1 >"$CGROUP2/cgroup.kill"
  wait_for 30 "the end of the cluster's processes" "$CGROUP2/cgroup.procs" cgroup_is_empty
}

remove_cgroups() {
  local mount
  for mount in $(cgroup_mounts); do
    [ ! -d "$mount/$CGROUP_NAME" ] || wait_for 10 "the removal of $mount/$CGROUP_NAME" /proc/cgroups remove_tree "$mount/$CGROUP_NAME"
  done
}

remove_tree() { find "$1" -depth -type d -exec rmdir {} +; }
