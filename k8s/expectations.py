"""What the rendered manifests have to be, beyond being valid. `k8s/check` runs it with the directory to render them into."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

K8S = Path(__file__).resolve().parent
ROOT = K8S.parent
TURNS, STATUS = 5001, 8081
# The holder's time to finish at a shutdown, in seconds.
DRAIN = 3
KIB, MIB = 1024, 1024 * 1024
# The most memory that a server uses, in bytes: a program without clients; a client that waits, with its socket; what Linux keeps for one that
# does not read, rounded up from 55 KiB. And connections to the status listener, with those that it turns away.
PROGRAM, CLIENT, UNSENT, STATUS_CONNECTIONS = 8 * MIB, 6 * KIB, 64 * KIB, 80
COMPONENTS = ["namespace", "node-port", "line", "journal", "etcd", "secure", "cpu-limits", "counter"]
# These choose different programs, or places for what outlives a server.
APART = [{"line", "counter"}, {"journal", "counter"}, {"secure", "counter"}, {"etcd", "counter"}, {"journal", "etcd"}]
# What TLS holds for a client in addition: its state, a record that is not whole, and the last one that is written.
TLS = 6 * KIB + 17 * KIB + 17 * KIB
OBJECTS = {
    ("StatefulSet", "server"), ("Service", "server-service"), ("Deployment", "client-deployment"),
    ("NetworkPolicy", "deny-all"), ("NetworkPolicy", "server-from-clients"), ("NetworkPolicy", "clients-to-server"),
    ("NetworkPolicy", "status-from-monitoring"),
}
OURS = {"app.kubernetes.io/part-of": "taketurns"}


def expect(right, story):
    if not right:
        sys.exit(f"k8s/check: {story}")


def expect_equal(found, expected, what):
    expect(found == expected, f"{what}: {found!r}, not {expected!r}")


class Renderer:
    """Renders kustomizations as a user writes them, each in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.count = 0

    def render(self, kustomization):
        """The text of what it renders, and what went wrong."""
        self.count += 1
        place = self.folder / f"{self.count}"
        place.mkdir()
        (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        ran = subprocess.run(["kubectl", "kustomize", str(place)], capture_output=True, text=True, check=False)
        return ran.stdout, ran.stderr

    def path(self, *parts):
        """A folder of ours, as seen from a kustomization."""
        return os.path.relpath(K8S.joinpath(*parts), (self.folder / "any").resolve())

    def choose(self, chosen, **more):
        """The base with components, in this order."""
        components = [self.path("components", each) for each in chosen]
        return self.render({"resources": [self.path("base")], "components": components, **more})


class Manifests:
    """What the base and some components render."""

    def __init__(self, chosen, text):
        self.chosen = set(chosen)
        self.name = "+".join(["base", *chosen])
        self.objects = [each for each in yaml.safe_load_all(text) if each]
        for each in self.objects:
            each["metadata"].setdefault("namespace", None)

    def one(self, kind, name):
        found = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        expect(len(found) == 1, f"{self.name}: {len(found)} of {kind} {name}")
        return found[0]

    def workload(self, app):
        return self.one(*{"server": ("StatefulSet", "server"), "client": ("Deployment", "client-deployment")}[app])["spec"]

    def container(self, app):
        containers = self.workload(app)["template"]["spec"]["containers"]
        expect(len(containers) == 1, f"{self.name}: {app} has {len(containers)} containers")
        return containers[0]


def environment(container):
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def matches(selector, labels):
    return selector.items() <= labels.items()


def check_objects(manifests):
    """A component changes objects and adds none, so that applying another combination leaves nothing of this one behind."""
    namespace = "taketurns" if "namespace" in manifests.chosen else None
    expected = OBJECTS | ({("Namespace", "taketurns")} if namespace else set())
    found = {(each["kind"], each["metadata"]["name"]) for each in manifests.objects}
    expect_equal(found, expected, f"{manifests.name}: objects")
    for each in manifests.objects:
        if each["kind"] == "Namespace":
            expect_equal(each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted", "Pod Security")
        else:
            expect_equal(each["metadata"]["namespace"], namespace, f"namespace of {each['metadata']['name']}")


def check_selectors(manifests):
    """Each finds our pods of its kind, and in a shared namespace no others."""
    labels = {app: manifests.workload(app)["template"]["metadata"]["labels"] for app in ["server", "client"]}
    for app in labels:
        expect_equal(labels[app], {"app": app, **OURS}, f"labels of {app}")
        expect_equal(manifests.workload(app)["selector"]["matchLabels"], labels[app], f"selector of {app}")
    expect_equal(manifests.one("Service", "server-service")["spec"]["selector"], labels["server"], "selector of the Service")
    for each in manifests.objects:
        if each["kind"] == "NetworkPolicy":
            selected = each["spec"]["podSelector"].get("matchLabels", {})
            expect(matches(OURS, selected), f"{each['metadata']['name']} selects pods that are not ours: {selected}")


def check_server(manifests):
    """One ring: two servers only with an etcd, none that is ended before it has drained, and none that cannot be replaced."""
    spec = manifests.workload("server")
    stands_by = "etcd" in manifests.chosen
    expect_equal(spec["replicas"], 2 if stands_by else 1, f"{manifests.name}: servers")
    expect_equal(spec["podManagementPolicy"], "Parallel", "order of pods")
    strategy = {"type": "OnDelete"} if stands_by else {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    expect_equal(spec["updateStrategy"], strategy, f"{manifests.name}: strategy of the server")
    expect_equal(spec["serviceName"], "server-service", "Service of the StatefulSet")
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
    expect_equal(container["livenessProbe"]["periodSeconds"], 5, "seconds between probes of liveness")
    found = [key for key in manifests.container("client") if key.endswith("Probe")]
    expect_equal(found, [], "probes of a client, which listens nowhere")


def check_standby(manifests):
    """Two servers are on two nodes if there are two, and know their etcd."""
    stands_by = "etcd" in manifests.chosen
    spec = manifests.workload("server")["template"]["spec"]
    container = manifests.container("server")
    expected = [{"configMapRef": {"name": "etcd"}}, {"secretRef": {"name": "etcd", "optional": True}}] if stands_by else None
    expect_equal(container.get("envFrom"), expected, f"{manifests.name}: what the server knows of etcd")
    expected = {"fieldRef": {"fieldPath": "metadata.name"}} if stands_by else None
    expect_equal(environment(container).get("TAKETURNS_ADVERTISE"), expected, f"{manifests.name}: TAKETURNS_ADVERTISE")
    found = spec.get("affinity", {}).get("podAntiAffinity", {}).get("preferredDuringSchedulingIgnoredDuringExecution", [])
    found = [(each["podAffinityTerm"]["topologyKey"], each["podAffinityTerm"]["labelSelector"]["matchLabels"]) for each in found]
    expected = [("kubernetes.io/hostname", {"app": "server", **OURS})] if stands_by else []
    expect_equal(found, expected, f"{manifests.name}: pods that a server is kept apart from")
    egress = manifests.one("NetworkPolicy", "server-from-clients")["spec"].get("egress", [])
    expected = [([], [2379, 53, 53])] if stands_by else []
    found = [(rule.get("to", []), [each["port"] for each in rule["ports"]]) for rule in egress]
    expect_equal(found, expected, f"{manifests.name}: where a server may go")


def check_service(manifests):
    """Only the server that is ready is found, and clients' addresses are seen as they are."""
    spec = manifests.one("Service", "server-service")["spec"]
    expect("publishNotReadyAddresses" not in spec, "the Service leads to servers that stand by")
    ports = {each["port"]: each["targetPort"] for each in spec["ports"]}
    expect_equal(ports, {5001: "turns", 5000: "turns"}, "ports of the Service")
    outside = "node-port" in manifests.chosen
    expect_equal(spec["type"], "NodePort" if outside else "ClusterIP", f"{manifests.name}: type of the Service")
    expect_equal(spec.get("externalTrafficPolicy"), "Local" if outside else None, f"{manifests.name}: externalTrafficPolicy")
    node_ports = [each["nodePort"] for each in spec["ports"] if "nodePort" in each]
    expect_equal(node_ports, [30001, 30000] if outside else [], f"{manifests.name}: ports of the node")


def check_clients(manifests):
    expect_equal(manifests.workload("client")["replicas"], 0 if "counter" in manifests.chosen else 2, "clients")
    told = environment(manifests.container("client"))
    expect_equal(told["SERVER"], "server-service", "SERVER")
    expect_equal(told["TAKETURNS_NAME"], {"fieldRef": {"fieldPath": "metadata.name"}}, "TAKETURNS_NAME")


def check_secrets(manifests):
    """The server has the key and the rules, a client the authority and the token; each from its Secret, and nothing else of that."""
    is_secure = "secure" in manifests.chosen
    server, client = (environment(manifests.container(app)) for app in ["server", "client"])
    expected = ["/tls/tls.crt", "/tls/tls.key", "/access/rules"] if is_secure else [None] * 3
    found = [server.get(name) for name in ["TAKETURNS_TLS_CERT", "TAKETURNS_TLS_KEY", "TAKETURNS_ACCESS"]]
    expect_equal(found, expected, f"{manifests.name}: files of the server")
    expected = ["1", "/tls/ca.crt", {"secretKeyRef": {"name": "access", "key": "token"}}] if is_secure else [None] * 3
    found = [client.get(name) for name in ["TAKETURNS_TLS", "TAKETURNS_TLS_CA", "TAKETURNS_TOKEN"]]
    expect_equal(found, expected, f"{manifests.name}: what a client shows and trusts")
    for app, expected in [("server", {"server-tls": None, "access": ["rules"]}), ("client", {"server-tls": ["ca.crt"]})]:
        secrets = [each["secret"] for each in manifests.workload(app)["template"]["spec"].get("volumes", [])]
        found = {
            each["secretName"]: [item["key"] for item in each["items"]] if "items" in each else None
            for each in secrets if not each.get("optional")
        }
        expect_equal(found, expected if is_secure else {}, f"{manifests.name}: Secrets of {app}")


def check_confinement(manifests):
    for app in ["server", "client"]:
        pod = manifests.workload(app)["template"]["spec"]
        expect(pod["automountServiceAccountToken"] is False, f"{app} has a service account's token")
        expect(pod["terminationGracePeriodSeconds"] > DRAIN, f"{app} is killed while it drains")
        expect(pod["securityContext"]["runAsNonRoot"] is True, f"{app} may run as root")
        expect_equal(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, f"seccomp of {app}")
        container = manifests.container(app)
        confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        expect_equal(container["securityContext"], confined, f"securityContext of {app}")
        limits = container["resources"]["limits"]
        expect("memory" in limits, f"{app} has no limit of memory")
        expect_equal("cpu" in limits, "cpu-limits" in manifests.chosen, f"{manifests.name}: {app} has a limit of processor time")
        gone = {each["key"].rpartition("/")[2]: each["tolerationSeconds"] for each in pod["tolerations"]}
        expect_equal(gone, {"not-ready": 30, "unreachable": 30}, f"seconds that {app} stays with a lost node")


def check_policies(manifests):
    deny = manifests.one("NetworkPolicy", "deny-all")["spec"]
    expect_equal(deny, {"podSelector": {"matchLabels": OURS}, "policyTypes": ["Ingress", "Egress"]}, "deny-all")
    clients = [{"podSelector": {"matchLabels": {"app": "client", **OURS}}}]
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    expected = [("server-from-clients", clients, [TURNS]), ("status-from-monitoring", monitoring, [STATUS])]
    if "node-port" in manifests.chosen:
        expected.insert(1, ("server-from-clients", [], [TURNS]))
    found = [
        (each["metadata"]["name"], rule.get("from", []), [each["port"] for each in rule["ports"]])
        for each in manifests.objects if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("ingress", [])
    ]
    expect_equal(found, expected, f"{manifests.name}: who is let in, and where")
    egress = manifests.one("NetworkPolicy", "clients-to-server")["spec"]["egress"]
    expect_equal(egress[0]["to"], [{"podSelector": {"matchLabels": {"app": "server", **OURS}}}], "where clients may go")
    expect_equal([each["port"] for rule in egress for each in rule["ports"]], [TURNS, 53, 53], "ports that clients may go to")


def check_programs(manifests):
    """By default a server takes clients of both framings, and clients speak lines."""
    server = manifests.container("server")
    crowd = ["--max-clients", "1000"]
    framing = ["--framing=line"] if "line" in manifests.chosen else []
    journal = ["--journal=/data/journal"] if "journal" in manifests.chosen else []
    expected = ([*framing, *crowd, *journal], None)
    if "counter" in manifests.chosen:
        expected = (["--state", "numbers", "--log-file", "/dev/null", *crowd], ["/counter_server"])
    expect_equal((server["args"], server.get("command")), expected, f"{manifests.name}: program of the server")
    expected = ["--connect", f"$(SERVER):{TURNS}", "--clients", "1"]
    expected += [] if "secure" in manifests.chosen else ["--allow-plaintext-secrets"]
    expect_equal(manifests.container("client")["args"], expected, f"{manifests.name}: options of a client")


def constant(path, pattern):
    """A number of the sources, where it stands as a product."""
    found = re.findall(pattern + r"([0-9_]+(?: \* [0-9_]+)*)[,;]", (ROOT / path).read_text())
    expect(found, f"{path} has no {pattern}")
    product = 1
    for factor in found[-1].replace("_", "").split(" * "):
        product *= int(factor)
    return product


def check_memory(manifests):
    """As many clients as are let in cannot have the server killed, though none of them reads and all send."""
    container = manifests.container("server")
    clients = int(container["args"][container["args"].index("--max-clients") + 1])
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", container["resources"]["limits"]["memory"]).groups()
    limit = int(number) * {"Mi": MIB, "Gi": 1024 * MIB}[unit]
    config = lambda field: constant("src/engine/config.rs", f"{field}: ")
    # Linux takes twice the size that is asked for.
    socket = UNSENT + 2 * constant("src/sockets/system.rs", "UNREAD_BYTES_MAX: usize = ")
    each = CLIENT + socket + config("in_bytes_max") + (TLS if "secure" in manifests.chosen else 0)
    # All that wait share one budget, beside what is said to each in one pass. A buffer has up to twice the room that it needs.
    queued = 2 * config("queued_bytes_max") + clients * config("pass_read_bytes_max")
    status = STATUS_CONNECTIONS * (socket + constant("src/status/config.rs", "out_bytes_max: "))
    held = PROGRAM + clients * each + queued + status
    expect(held < limit, f"{manifests.name}: {clients} clients can have {held // MIB} MiB held, and the limit is {limit // MIB}")


def check_volume(manifests):
    """Only what keeps something has a volume, and it can write there."""
    keeps = bool({"counter", "journal"} & manifests.chosen)
    spec = manifests.workload("server")
    claims = [each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", [])]
    expect_equal(claims, ["data"] if keeps else [], f"{manifests.name}: volumes")
    mounts = {each["name"]: each["mountPath"] for each in manifests.container("server").get("volumeMounts", [])}
    expected = {"data": "/data"} if keeps else {}
    if "secure" in manifests.chosen:
        expected |= {"tls": "/tls", "access": "/access"}
    if "etcd" in manifests.chosen:
        expected["etcd-tls"] = "/etcd-tls"
    expect_equal(mounts, expected, f"{manifests.name}: where they are")
    security = spec["template"]["spec"]["securityContext"]
    expect_equal(security.get("fsGroup"), security["runAsGroup"] if keeps else None, f"{manifests.name}: their group")


def check_images(manifests, version):
    for app, image in [("server", "taketurns"), ("client", "taketurns-client")]:
        container = manifests.container(app)
        expect_equal(container["image"], f"{image}:{version}", f"{manifests.name}: image of {app}")
        expect_equal(container["imagePullPolicy"], "IfNotPresent", f"{manifests.name}: imagePullPolicy of {app}")


def check_all(manifests, version):
    for check in [check_objects, check_selectors, check_server, check_probes, check_standby, check_service, check_clients,
                  check_secrets, check_confinement, check_policies, check_programs, check_memory, check_volume]:
        check(manifests)
    check_images(manifests, version)


def check_two_instances(renderer):
    """Two in one namespace, by README's example: neither finds the other's pods, and clients find their server."""
    example, ports = examples(renderer)
    check_other_node_ports(renderer, example, ports)
    instances = {}
    example["components"] += [renderer.path("components", "etcd")]
    for name in ["chess", "go"]:
        text, error = renderer.render(yaml.safe_load(yaml.safe_dump(example).replace("chess", name)))
        expect(text, f"instance {name}: {error}")
        objects = list(yaml.safe_load_all(text))
        instances[name] = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in objects}
    expect(not instances["chess"].keys() & instances["go"].keys(), "two instances have objects of the same name")
    for name, objects in instances.items():
        client = objects["Deployment", f"{name}-client-deployment"]["template"]["spec"]["containers"][0]
        expect_equal(environment(client)["SERVER"], f"{name}-server-service", f"SERVER of {name}")
        expect_equal(objects["StatefulSet", f"{name}-server"]["serviceName"], f"{name}-server-service", f"Service of {name}")
        other = next(each for key, each in instances.items() if key != name)
        pods = [spec["template"]["metadata"]["labels"] for (kind, _), spec in other.items() if "template" in spec]
        for selector in selectors_in(list(objects.values())):
            expect(not any(matches(selector, labels) for labels in pods), f"{name} finds pods of the other: {selector}")


def examples(renderer):
    """The kustomizations of README, with paths to ours."""
    texts = re.findall(r"```yaml\n(.+?)```", (K8S / "README.md").read_text(), re.DOTALL)
    return [yaml.safe_load(text.replace("taketurns/k8s", renderer.path())) for text in texts]


def check_other_node_ports(renderer, example, ports):
    """A second server at ports of the nodes has others than the component has."""
    text, error = renderer.render({**example, **ports})
    expect(text, f"other ports of the nodes: {error}")
    [service] = [each["spec"] for each in yaml.safe_load_all(text) if each["kind"] == "Service"]
    taken = [each["nodePort"] for each in service["ports"]]
    expect(len(taken) == 2 and not {30001, 30000} & set(taken), f"ports of the nodes of a second server: {taken}")


def selectors_in(what):
    """Every selector of pods, however deep it stands."""
    if isinstance(what, list):
        for each in what:
            yield from selectors_in(each)
    elif isinstance(what, dict):
        for key, value in what.items():
            if key in ("selector", "podSelector", "labelSelector"):
                yield value.get("matchLabels", value)
            else:
                yield from selectors_in(value)


def check_words(version):
    """What the docs and the file to apply say is what is there."""
    labelled = re.findall(r'image\.version="(.+?)"', (ROOT / "Dockerfile").read_text())
    expect_equal(labelled, [version, version], "versions that the images are labelled with")
    expect_equal(sorted(each.name for each in (K8S / "components").iterdir()), sorted(COMPONENTS), "components")
    for page in ["kustomization.yaml", "README.md"]:
        named = re.findall(r"components/([\w-]+)", (K8S / page).read_text())
        expect_equal(sorted(set(named)), sorted(COMPONENTS), f"components that {page} names")
    for page in ["README.md", "docs/CONTAINERS.md", "k8s/README.md", "Dockerfile"]:
        for line in (ROOT / page).read_text().splitlines():
            if not re.search(r"docker (build|run|save)|kind load|minikube image", line):
                continue
            for image in re.findall(r"(?<=[ /])taketurns(?:-client)?(?::[\w.]+)?(?=[ `]|$)", line):
                expect(image.endswith(f":{version}"), f"{page} names the image {image}, and the manifests want version {version}")


def settled(text):
    """The objects, with volumes, mounts and variables in one order. No variable of a server depends on another one."""
    objects = list(yaml.safe_load_all(text))
    for each in objects:
        pod = each.get("spec", {}).get("template", {}).get("spec", {})
        lists = [pod.get("volumes", [])]
        for container in pod.get("containers", []):
            lists += [container.get("volumeMounts", []), container.get("env", [])]
        for named in lists:
            named.sort(key=lambda item: item["name"])
    return objects


def main():
    renderer = Renderer(sys.argv[1])
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    check_words(version)
    for apart in itertools.chain.from_iterable(itertools.permutations(pair) for pair in APART):
        expect(not renderer.choose(apart)[0], f"{apart} are rendered together")
    subsets = itertools.chain.from_iterable(itertools.combinations(COMPONENTS, n) for n in range(len(COMPONENTS)))
    for chosen in subsets:
        if any(apart <= set(chosen) for apart in APART):
            continue
        text, error = renderer.choose(chosen)
        expect(text, f"{chosen}: {error}")
        # Of those that all combine, what holds for them in both orders holds for fewer.
        if len(chosen) >= len(COMPONENTS) - 2:
            expect_equal(settled(renderer.choose(chosen[::-1])[0]), settled(text), f"{chosen} in the other order")
        manifests = Manifests(chosen, text)
        check_all(manifests, version)
        (renderer.folder / f"{manifests.name}.yaml").write_text(text)
    applied = subprocess.run(["kubectl", "kustomize", str(K8S)], capture_output=True, text=True, check=True).stdout
    check_all(Manifests(["namespace"], applied), version)
    check_two_instances(renderer)


if __name__ == "__main__":
    main()
