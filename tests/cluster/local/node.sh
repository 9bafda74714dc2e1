# shellcheck shell=bash
# The node: containerd, kubelet, kube-proxy and CoreDNS.

# render FILE TARGET: fills the @NAME@s of a file in config/.
render() {
  mkdir -p "$(dirname "$2")"
  sed -e "s|@STATE@|$STATE|g" -e "s|@CGROUP_NAME@|$CGROUP_NAME|g" -e "s|@SNAPSHOTTER@|$(snapshotter)|g" \
    -e "s|@NODE_IP@|$NODE_IP|g" -e "s|@DNS_IP@|$DNS_IP|g" -e "s|@POD_NET@|$POD_NET|g" "$HERE/config/$1" >"$2"
}

# overlayfs cannot be stacked on itself, which matters when this runs in a container.
snapshotter() {
  if [ "$(stat -f -c %T "$STATE")" = overlayfs ]; then echo native; else echo overlayfs; fi
}

make_node_config() {
  render kubelet.yaml "$STATE/kubelet.yaml"
  render proxy.yaml "$STATE/proxy.yaml"
  render containerd.toml "$STATE/containerd.toml"
  render pods.conflist "$STATE/cni/10-pods.conflist"
  render Corefile "$STATE/Corefile"
  render dns.yaml "$STATE/dns.yaml"
  printf 'nameserver %s\n' "$DNS_IP" >"$STATE/resolv.conf"
}

containerd_ctr() { ctr --address "$STATE/containerd.sock" --namespace k8s.io "$@"; }

start_containerd() {
  start containerd containerd --config "$STATE/containerd.toml"
  wait_for 30 containerd "$STATE/log/containerd.log" containerd_ctr version
  if ! containerd_ctr images ls -q | grep -q '^localhost/hinf-pause:1$'; then
    containerd_ctr images import "$(pause_image)" >"$STATE/log/pause-image.log"
  fi
}

pause_image() {
  local dir
  dir=$(cached pause-image "$(key_of "$BIN/pause")" "packing the image of pod sandboxes" make_pause_image)
  echo "$dir/pause.tar"
}

make_pause_image() {
  local name=localhost/hinf-pause:1
  printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$1/Dockerfile"
  in_store buildah bud --isolation chroot --file "$1/Dockerfile" --tag "$name" "$BIN"
  save_image "$name" "$1/pause.tar"
}

node_is_ready() {
  kubectl_admin get node node0 -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -q True
}

# After a restart the API still says what was true before; only the new kubelet shall call the node ready.
forget_readiness() {
  ! kubectl_admin get node node0 >/dev/null 2>&1 ||
    kubectl_admin patch node node0 --subresource=status \
      --patch '{"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}' >/dev/null
}

start_node() {
  forget_readiness
  start kubelet "$BIN/controlplane" kubelet --config "$STATE/kubelet.yaml" --kubeconfig "$STATE/kubelet.kubeconfig" \
    --root-dir "$STATE/kubelet" --cert-dir "$STATE/pki" --hostname-override node0 --node-ip "$NODE_IP"
  start kube-proxy "$BIN/controlplane" kube-proxy --config "$STATE/proxy.yaml"
  start coredns "$BIN/coredns" -conf "$STATE/Corefile"
  kubectl_admin apply -f "$STATE/dns.yaml" >"$STATE/log/dns.log" 2>&1 ||
    fail "the DNS service could not be created; see $STATE/log/dns.log."
  wait_for 90 "the node" "$STATE/log/kubelet.log" node_is_ready
}
