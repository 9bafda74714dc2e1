# shellcheck shell=bash
# etcd, API server, controller manager and scheduler. BIN is the folder with their program.

kubectl_admin() { in_net "$KUBECTL_DIR/kubectl" --kubeconfig "$LOCAL_KUBECONFIG" "$@"; }

api_is_ready() { kubectl_admin get --raw /readyz; }

# Ready, or never going to be.
api_is_decided() { ! is_running etcd || ! is_running kube-apiserver || api_is_ready; }

start_etcd() {
  # Everything here is for tests: what a power cut loses is made again, so nothing waits for the disk.
  start etcd "$BIN/controlplane" etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
}

start_apiserver() {
  local pki=$STATE/pki
  start kube-apiserver "$BIN/controlplane" kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --bind-address 0.0.0.0 --secure-port 6443 --advertise-address "$NODE_IP" \
    --service-cluster-ip-range "$SERVICE_NET" --allow-privileged \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/service-account.pub" \
    --service-account-signing-key-file "$pki/service-account.key" \
    --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key "$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types InternalIP \
    --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$pki/front-proxy-client.crt" --proxy-client-key-file "$pki/front-proxy-client.key" \
    --audit-policy-file "$HERE/config/audit-policy.yaml" --audit-log-path "$STATE/audit.log" \
    --audit-log-maxsize 500 --audit-log-maxbackup 1
}

start_controller_manager() {
  start kube-controller-manager "$BIN/controlplane" kube-controller-manager "${AS[@]/@/controller-manager}" \
    --use-service-account-credentials --leader-elect=false --allocate-node-cidrs=false --cluster-cidr "$POD_NET" \
    --root-ca-file "$STATE/pki/ca.crt" --service-account-private-key-file "$STATE/pki/service-account.key" \
    --cluster-signing-cert-file "$STATE/pki/ca.crt" --cluster-signing-key-file "$STATE/pki/ca.key"
}

start_scheduler() {
  start kube-scheduler "$BIN/controlplane" kube-scheduler "${AS[@]/@/scheduler}" --leader-elect=false
}

# The flags by which a component shows who it is; @ stands for its name.
AS=(--kubeconfig "$STATE/@.kubeconfig" --authentication-kubeconfig "$STATE/@.kubeconfig"
  --authorization-kubeconfig "$STATE/@.kubeconfig")

start_control_plane() {
  start_etcd
  start_apiserver
  wait_for 90 "the API server" "$STATE/log/kube-apiserver.log" api_is_decided
  is_running etcd || fail "etcd ended at once; see $STATE/log/etcd.log."
  is_running kube-apiserver || fail "the API server ended at once; see $STATE/log/kube-apiserver.log."
  start_controller_manager
  start_scheduler
}
