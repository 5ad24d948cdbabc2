"""What the rendered manifests have to be, beyond being valid. `k8s/check` runs it with the directory that they are in."""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TURNS, STATUS = 5001, 8081
# The holder's time to finish at a shutdown, in seconds.
DRAIN = 3


class Manifests:
    """What one kustomization renders."""

    def __init__(self, path):
        self.name = path.stem
        self.objects = [each for each in yaml.safe_load_all(path.read_text()) if each]

    def one(self, kind, name):
        found = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        expect(len(found) == 1, f"{self.name}: {len(found)} of {kind} {name}")
        return found[0]

    def all(self, kind):
        return [each for each in self.objects if each["kind"] == kind]

    def deployment(self, app):
        return self.one("Deployment", f"{app}-deployment")["spec"]

    def container(self, app):
        containers = self.deployment(app)["template"]["spec"]["containers"]
        expect(len(containers) == 1, f"{self.name}: {app} has {len(containers)} containers")
        return containers[0]


def expect(right, story):
    if not right:
        sys.exit(f"k8s/check: {story}")


def expect_equal(found, expected, what):
    expect(found == expected, f"{what}: {found!r}, not {expected!r}")


def environment(container):
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def check_namespace(manifests):
    labels = manifests.one("Namespace", "taketurns")["metadata"]["labels"]
    expect_equal(labels["pod-security.kubernetes.io/enforce"], "restricted", "Pod Security")
    for each in manifests.objects:
        if each["kind"] != "Namespace":
            expect_equal(each["metadata"]["namespace"], "taketurns", f"namespace of {each['metadata']['name']}")


def check_labels(manifests):
    for app in ["server", "client"]:
        spec = manifests.deployment(app)
        expect_equal(spec["selector"]["matchLabels"], {"app": app}, f"selector of {app}")
        expect_equal(spec["template"]["metadata"]["labels"]["app"], app, f"label of {app}")
    expect_equal(manifests.one("Service", "server-service")["spec"]["selector"], {"app": "server"}, "selector of the Service")


def check_server(manifests):
    """One ring: never two servers, and none that is ended before it has drained."""
    spec = manifests.deployment("server")
    expect_equal(spec["replicas"], 1, "servers")
    expect_equal(spec["strategy"], {"type": "Recreate"}, "strategy of the server")
    container = manifests.container("server")
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    expect_equal(ports, {"turns": TURNS, "status": STATUS}, "ports of the server")
    told = environment(container)
    expect_equal(told["TAKETURNS_LISTEN"], f"0.0.0.0:{TURNS}", "TAKETURNS_LISTEN")
    expect_equal(told["TAKETURNS_STATUS"], f"0.0.0.0:{STATUS}", "TAKETURNS_STATUS")
    scrape = spec["template"]["metadata"]["annotations"]
    expect_equal(scrape["prometheus.io/port"], str(STATUS), "port to scrape")


def check_probes(manifests):
    """A connection to the turn port that is silent takes a seat."""
    expected = {"readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    container = manifests.container("server")
    found = {key: probe["httpGet"]["path"] for key, probe in container.items() if key.endswith("Probe")}
    expect_equal(found, expected, "probes of the server")
    for probe in expected:
        expect(container[probe]["httpGet"]["port"] in ("status", STATUS), f"{probe} is not on the status port")
    found = [key for key in manifests.container("client") if key.endswith("Probe")]
    expect_equal(found, [], "probes of a client, which listens nowhere")


def check_service(manifests):
    services = manifests.all("Service")
    expect_equal([each["metadata"]["name"] for each in services], ["server-service"], "Services")
    ports = {each["port"]: each["targetPort"] for each in services[0]["spec"]["ports"]}
    expect_equal(ports, {5001: "turns", 5000: "turns"}, "ports of the Service")


def check_clients(manifests):
    expect_equal(manifests.deployment("client")["replicas"], 2, "clients")
    told = environment(manifests.container("client"))
    expect_equal(told["TAKETURNS_CONNECT"], f"server-service:{TURNS}", "TAKETURNS_CONNECT")
    expect_equal(told["TAKETURNS_NAME"], {"fieldRef": {"fieldPath": "metadata.name"}}, "TAKETURNS_NAME")


def check_confinement(manifests):
    for app in ["server", "client"]:
        pod = manifests.deployment(app)["template"]["spec"]
        expect(pod["automountServiceAccountToken"] is False, f"{app} has a service account's token")
        expect(pod["terminationGracePeriodSeconds"] > DRAIN, f"{app} is killed while it drains")
        expect(pod["securityContext"]["runAsNonRoot"] is True, f"{app} may run as root")
        expect_equal(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, f"seccomp of {app}")
        container = manifests.container(app)
        confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        expect_equal(container["securityContext"], confined, f"securityContext of {app}")
        expect("memory" in container["resources"]["limits"], f"{app} has no limit of memory")


def check_policies(manifests):
    deny = manifests.one("NetworkPolicy", "deny-all")["spec"]
    expect_equal(deny, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, "deny-all")
    expected = {
        "server-from-clients": ([{"podSelector": {"matchLabels": {"app": "client"}}}], [TURNS]),
        "status-from-monitoring": (
            [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}], [STATUS]),
    }
    if manifests.name == "local":
        expected["server-from-outside"] = ([], [TURNS])
    found = {
        each["metadata"]["name"]: (rule.get("from", []), [each["port"] for each in rule["ports"]])
        for each in manifests.all("NetworkPolicy")
        for rule in each["spec"].get("ingress", [])
    }
    expect_equal(found, expected, f"{manifests.name}: who is let in, and where")
    egress = manifests.one("NetworkPolicy", "clients-to-server")["spec"]["egress"]
    expect_equal(egress[0]["to"], [{"podSelector": {"matchLabels": {"app": "server"}}}], "where clients may go")
    expect_equal([each["port"] for rule in egress for each in rule["ports"]], [TURNS, 53, 53], "ports that clients may go to")


def check_images(manifests, version):
    tag, pull = ("latest", "Never") if manifests.name == "local" else (version, "IfNotPresent")
    for app, image in [("server", "taketurns"), ("client", "taketurns-client")]:
        container = manifests.container(app)
        expect_equal(container["image"], f"{image}:{tag}", f"{manifests.name}: image of {app}")
        expect_equal(container["imagePullPolicy"], pull, f"{manifests.name}: imagePullPolicy of {app}")


def check_overlay(manifests):
    """By default a server takes clients of both framings, and clients speak lines."""
    expected = ["--framing", "line"] if manifests.name == "line" else []
    expect_equal(manifests.container("server").get("args", []), expected, f"{manifests.name}: options of the server")
    expected = ["--clients", "1", "--allow-plaintext-secrets"]
    expect_equal(manifests.container("client")["args"], expected, f"{manifests.name}: options of a client")
    kind = manifests.one("Service", "server-service")["spec"]["type"]
    expect_equal(kind, "NodePort" if manifests.name == "local" else "ClusterIP", f"{manifests.name}: type of the Service")


def main():
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    labelled = re.findall(r'image\.version="(.+?)"', (ROOT / "Dockerfile").read_text())
    expect_equal(labelled, [version, version], "versions that the images are labelled with")
    rendered = sorted(Path(sys.argv[1]).glob("*.yaml"))
    expect_equal([each.stem for each in rendered], ["base", "line", "local"], "kustomizations")
    for manifests in map(Manifests, rendered):
        for check in [check_namespace, check_labels, check_server, check_probes, check_service, check_clients,
                      check_confinement, check_policies, check_overlay]:
            check(manifests)
        check_images(manifests, version)


if __name__ == "__main__":
    main()
