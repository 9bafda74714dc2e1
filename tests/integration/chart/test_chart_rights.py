"""What the chart lets the operator do, as the API server sees it, and what its pods may do."""

import json
import uuid

import pytest

from tests.integration.chart.programs import find, objects, refused, run, template


def allowed(who, namespace, verb, resource):
    """Ask the API server whether `who` may do it; `resource` is RESOURCE[/SUB][.GROUP]."""
    plural, _, group = resource.partition(".")
    plural, _, sub = plural.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "resource": plural}
    attributes |= {"group": group, "subresource": sub}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": who, "resourceAttributes": attributes},
    }
    said = run("kubectl", "create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    return json.loads(said)["status"]["allowed"]


@pytest.fixture(scope="module")
def namespace():
    name = f"chart-{uuid.uuid4().hex[:8]}"
    run("kubectl", "create", "namespace", name)
    level = "pod-security.kubernetes.io/enforce=restricted"
    run("kubectl", "label", "namespace", name, level)
    yield name
    run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def operator(namespace):
    """Install the chart's rights for one namespace; return who has them."""
    text = template(
        "--set", f"watchNamespaces={{{namespace}}},rbac.aggregate=false,crds.install=false",
        release="rights", namespace=namespace,
    )  # fmt: skip
    rights = [each for each in objects(text) if each["kind"] != "Deployment"]
    items = {"apiVersion": "v1", "kind": "List", "items": rights}
    run("kubectl", "apply", "-f", "-", stdin=json.dumps(items))
    return f"system:serviceaccount:{namespace}:rights-hybridinference"


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("watch", "hybridinferences.hybridinference.dev"),
        ("patch", "hybridinferences/status.hybridinference.dev"),
        ("patch", "deployments.apps"),
        ("create", "deployments.apps"),
        ("delete", "services"),
        ("patch", "configmaps"),
        ("patch", "serviceaccounts"),
        ("patch", "poddisruptionbudgets.policy"),
        ("patch", "roles.rbac.authorization.k8s.io"),
        ("patch", "rolebindings.rbac.authorization.k8s.io"),
        ("list", "endpointslices.discovery.k8s.io"),
        ("list", "pods"),
        ("list", "resourcequotas"),
        ("list", "horizontalpodautoscalers.autoscaling"),
        ("create", "events"),
        ("create", "leases.coordination.k8s.io"),
    ],
)
def test_the_operator_may(verb, resource, namespace, operator):
    assert allowed(operator, namespace, verb, resource)


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "secrets"),
        ("create", "pods"),
        ("create", "resourcequotas"),
        ("create", "pods/exec"),
        ("patch", "hybridinferences.hybridinference.dev"),
        ("escalate", "roles.rbac.authorization.k8s.io"),
        ("bind", "roles.rbac.authorization.k8s.io"),
        ("impersonate", "serviceaccounts"),
    ],
)
def test_the_operator_may_not(verb, resource, namespace, operator):
    assert not allowed(operator, namespace, verb, resource)


def test_the_operator_may_do_nothing_in_other_namespaces(operator):
    assert not allowed(operator, "default", "list", "pods")


def test_the_operator_can_grant_a_router_its_role_and_no_more(namespace, operator):
    def role(name, resource, verb):
        rules = [{"apiGroups": [""], "resources": [resource], "verbs": [verb]}]
        metadata = {"name": name, "namespace": namespace}
        return json.dumps(
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
            | {"metadata": metadata, "rules": rules}
        )

    create = ("kubectl", "create", "-f", "-", f"--as={operator}")
    run(*create, stdin=role("router", "configmaps", "get"))
    said = refused(*create, stdin=role("more", "secrets", "get"))
    assert "attempting to grant RBAC permissions not currently held" in said


def test_no_rule_has_a_wildcard_or_a_verb_on_secrets():
    for each in objects(template()):
        for rule in each.get("rules", ()):
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert "secrets" not in rule["resources"]


def test_the_pods_pass_the_restricted_pod_security_standard(namespace):
    deployment = find(template(), "Deployment", "hybridinference-operator")
    pod = deployment["spec"]["template"]
    spec = {**pod["spec"], "serviceAccountName": "default"}
    metadata = {"name": "operator", "namespace": namespace, "labels": pod["metadata"]["labels"]}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(document))
    security = spec["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"] is True


def test_kubernetes_own_view_and_edit_roles_cover_the_resource():
    text = template("--set", "fullnameOverride=chart-test-aggregate")
    aggregated = [
        each for each in objects(text)
        if any("aggregate-to" in label for label in each["metadata"].get("labels", ()))
    ]  # fmt: skip
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": aggregated})
    run("kubectl", "apply", "-f", "-", stdin=items)
    try:
        for role, verb in (("view", "list"), ("edit", "create"), ("admin", "delete")):
            wait_for_rule(role, verb)
    finally:
        run("kubectl", "delete", "-f", "-", stdin=items)


def wait_for_rule(role, verb):
    """Wait until the controller has taken the rule in."""
    path = "jsonpath={.rules[?(@.apiGroups[0]=='hybridinference.dev')].verbs}"
    for _ in range(100):
        if verb in run("kubectl", "get", "clusterrole", role, "-o", path):
            return
    pytest.fail(f"the ClusterRole {role} does not let anyone {verb} HybridInferences")
