# shellcheck shell=bash
# Certificates and kubeconfigs of the cluster.

EC=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

make_pki() {
  [ ! -d "$STATE/pki" ] || return 0
  rm -rf "$STATE/pki.new"
  mkdir -p "$STATE/pki.new"
  (cd "$STATE/pki.new" && make_certificates) >"$STATE/log/pki.log" 2>&1 ||
    fail "the certificates could not be made; see $STATE/log/pki.log."
  mv "$STATE/pki.new" "$STATE/pki"
}

make_certificates() {
  local service=kubernetes.default.svc
  new_ca ca && new_ca front-proxy-ca &&
    certify ca apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$API_IP,IP:$NODE_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local" &&
    certify ca apiserver-kubelet-client /O=system:masters/CN=apiserver-kubelet-client DNS:apiserver &&
    certify front-proxy-ca front-proxy-client /CN=front-proxy-client DNS:front-proxy-client &&
    certify ca kubelet /O=system:nodes/CN=system:node:node0 "DNS:node0,IP:127.0.0.1,IP:$NODE_IP" &&
    certify ca admin /O=system:masters/CN=admin DNS:admin &&
    certify ca controller-manager /CN=system:kube-controller-manager DNS:controller-manager &&
    certify ca scheduler /CN=system:kube-scheduler DNS:scheduler &&
    certify ca proxy /CN=system:kube-proxy DNS:proxy &&
    certify ca coredns /CN=system:coredns DNS:coredns &&
    openssl genrsa -out service-account.key 2048 &&
    openssl rsa -in service-account.key -pubout -out service-account.pub
}

new_ca() { openssl req -x509 "${EC[@]}" -days 3650 -subj "/CN=$CLUSTER-$1" -keyout "$1.key" -out "$1.crt"; }

# certify CA NAME SUBJECT ALTERNATIVE_NAMES
certify() {
  openssl req "${EC[@]}" -subj "$3" -keyout "$2.key" -out "$2.csr" &&
    openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days 3650 -out "$2.crt" \
      -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$4")
}

make_kubeconfigs() {
  local user
  for user in kubelet controller-manager scheduler proxy coredns admin; do
    kubeconfig "$user" >"$STATE/$user.kubeconfig.new"
    chmod 600 "$STATE/$user.kubeconfig.new"
    mv "$STATE/$user.kubeconfig.new" "$STATE/$user.kubeconfig"
  done
}

# The certificates are embedded, so that one file is all a client needs.
kubeconfig() {
  local pki=$STATE/pki
  cat <<YAML
apiVersion: v1
kind: Config
current-context: $CLUSTER
contexts: [{name: $CLUSTER, context: {cluster: $CLUSTER, user: $1}}]
clusters:
  - name: $CLUSTER
    cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}
users:
  - name: $1
    user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}
YAML
}
