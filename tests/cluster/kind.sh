# shellcheck shell=bash
# The cluster where a Docker engine is there: one kind node, made from kind-config.yaml.

kind_cluster() { PATH=$TOOLS_PATH kind "$@" --name "$CLUSTER"; }

kind_up() {
  docker_works || fail "Docker does not answer, and the cluster runs in it: start Docker."
  need_kind
  need_kubectl
  with_lock "cluster-$CLUSTER" kind_bring_up
  need_kubeconform
  need_helm
}

kind_bring_up() {
  mkdir -p "$(dirname "$KIND_KUBECONFIG")"
  if kind_is_healthy; then
    say "the cluster is up already"
    return
  fi
  # A node that was stopped (a restart of the machine) goes on where it was; one that cannot is made anew.
  docker start "$CLUSTER-control-plane" >/dev/null 2>&1 && kind_wait && return
  step "starting the kind cluster, about 2 minutes the first time" logged "kind-$CLUSTER" kind_create
}

kind_is_healthy() {
  [ -f "$KIND_KUBECONFIG" ] && "${KIND_KUBECTL[@]}" get --raw /readyz >/dev/null 2>&1
}

kind_wait() {
  PATH=$TOOLS_PATH kind export kubeconfig --name "$CLUSTER" --kubeconfig "$KIND_KUBECONFIG" >/dev/null 2>&1 || return 1
  local _
  for _ in {1..60}; do
    kind_is_healthy && return
    sleep 1
  done
  return 1
}

kind_create() {
  kind_cluster delete cluster
  rm -f "$KIND_KUBECONFIG"
  kind_config >"$KIND_KUBECONFIG.config"
  kind_cluster create cluster --config "$KIND_KUBECONFIG.config" --kubeconfig "$KIND_KUBECONFIG.new" --wait 3m
  sed 's|server: https://.*|server: https://127.0.0.1:6443|' "$KIND_KUBECONFIG.new" >"$KIND_INSIDE"
  mv "$KIND_KUBECONFIG.new" "$KIND_KUBECONFIG"
}

# Root reaches Services and pods from inside the node's network; others only the API server, from the machine's.
kind_run() {
  local pid
  pid=$(docker inspect --format '{{.State.Pid}}' "$CLUSTER-control-plane" 2>/dev/null) || pid=none
  if [ "$(id -u)" = 0 ] && [ -e "/proc/$pid/ns/net" ]; then
    KUBECONFIG=$KIND_INSIDE exec nsenter --net="/proc/$pid/ns/net" -- "$@"
  fi
  KUBECONFIG=$KIND_KUBECONFIG exec "$@"
}

# kind-config.yaml with the cache mounted into the node, where the volumes of tests/cluster/volumes expect it.
kind_config() {
  awk -v path="$CACHE" '
    { print }
    $1 == "image:" {
      print "    extraMounts:"
      print "      - {hostPath: \"" path "\", containerPath: \"" path "\", readOnly: true}"
    }' "$HERE/../../kind-config.yaml"
}

kind_down() {
  docker_works || fail "Docker does not answer, and the cluster runs in it: start Docker, then try again."
  need_kind
  with_lock "cluster-$CLUSTER" kind_take_down
}

kind_take_down() {
  step "removing the kind cluster" logged "kind-$CLUSTER" kind_cluster delete cluster
  rm -f "$KIND_KUBECONFIG" "$KIND_INSIDE" "$KIND_KUBECONFIG.config" "$KIND_KUBECONFIG.new"
}

KIND_KUBECTL=(env "PATH=$TOOLS_PATH" kubectl --kubeconfig "$KIND_KUBECONFIG" --request-timeout 5s)
