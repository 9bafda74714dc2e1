# shellcheck shell=bash
# The programs that the cluster and its clients need: from the distribution where it has them, else built from Go
# modules into the cache. Sourced, never run.

HELM_VERSION=v4.3.1
KUBECONFORM_VERSION=v0.8.0
KIND_VERSION=v0.31.0
MODULE=$HERE/controlplane
KUBERNETES_VERSION=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$MODULE/go.mod")
MODULE_KEY=$KUBERNETES_VERSION-$(key_of "$MODULE/go.mod" "$MODULE/go.sum" "$MODULE"/main.go "$MODULE"/*/main.go)

KUBECTL_DIR=$CACHE/kubectl/$MODULE_KEY
HELM_DIR=$CACHE/helm/$HELM_VERSION
KUBECONFORM_DIR=$CACHE/kubeconform/$KUBECONFORM_VERSION
KIND_DIR=$CACHE/kind-program/$KIND_VERSION

# PATH for clients of the cluster. A folder that is not there does no harm.
TOOLS_PATH=$KUBECTL_DIR:$HELM_DIR:$KUBECONFORM_DIR:$KIND_DIR:$PATH:/usr/local/sbin:/usr/sbin:/sbin

# need_packages PACKAGE...: Debian packages, installed where missing.
need_packages() {
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || fail "this machine has no apt-get: install by hand what Debian calls ${missing[*]}."
  [ "$(id -u)" = 0 ] || fail "the packages ${missing[*]} are missing: run 'sudo apt-get install ${missing[*]}'."
  with_lock apt step "installing the packages ${missing[*]}, up to a minute" logged apt install_packages "${missing[@]}"
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends "$@" && return
  retry apt-get update
  retry apt-get install -y --no-install-recommends "$@"
}

need_go() {
  have go || fail "Go is missing, and $1 is built with it: install Go 1.25 or newer (see go.dev/doc/install)."
}

gobuild() { CGO_ENABLED=0 nice -n 5 go build -trimpath "$@"; }

version_flags() {
  local v=k8s.io/component-base/version minor=${KUBERNETES_VERSION#v1.}
  echo "-s -w -X $v.gitVersion=$KUBERNETES_VERSION -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*}"
}

build_controlplane() {
  cd "$MODULE" || return
  retry go mod download
  gobuild -ldflags "$(version_flags)" -o "$1/" . ./coredns ./pause
}

build_kubectl() {
  cd "$MODULE" || return
  retry go mod download
  gobuild -ldflags "$(version_flags)" -o "$1/kubectl" k8s.io/kubernetes/cmd/kubectl
}

# install_go_program PACKAGE@VERSION FOLDER
install_go_program() {
  export GOBIN=$2 CGO_ENABLED=0
  retry nice -n 5 go install -trimpath -ldflags "-s -w" "$1"
}

# The folder of the control plane's programs.
controlplane() {
  [ -d "$CACHE/controlplane/$MODULE_KEY" ] || need_go "the control plane"
  cached controlplane "$MODULE_KEY" \
    "building Kubernetes $KUBERNETES_VERSION from Go modules, about 8 minutes the first time" build_controlplane
}

# need_kubectl, need_helm, ...: puts the program into the cache. Where there is no Go, one on PATH will do.
need_kubectl() {
  [ -d "$KUBECTL_DIR" ] || have go || ! have kubectl || return 0
  [ -d "$KUBECTL_DIR" ] || need_go kubectl
  cached kubectl "$MODULE_KEY" "building kubectl, up to 3 minutes the first time" build_kubectl >/dev/null
}

need_helm() { need_go_program helm "$HELM_DIR" helm.sh/helm/v4/cmd/helm "3 minutes"; }

need_kubeconform() {
  need_go_program kubeconform "$KUBECONFORM_DIR" github.com/yannh/kubeconform/cmd/kubeconform "half a minute"
}

need_kind() { need_go_program kind "$KIND_DIR" sigs.k8s.io/kind "half a minute"; }

# need_go_program NAME FOLDER PACKAGE TIME: the folder is .../NAME/VERSION.
need_go_program() {
  local name=$1 dir=$2 version=${2##*/}
  [ -d "$dir" ] || have go || ! have "$name" || return 0
  [ -d "$dir" ] || need_go "$name"
  cached "$(basename "$(dirname "$dir")")" "$version" "building $name $version, $4 the first time" \
    install_go_program "$3@$version" >/dev/null
}
