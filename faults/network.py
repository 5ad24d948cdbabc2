"""Machines of one program each: network namespaces around a router, which can lose what they send each other."""

import os

from harness import needs_root, needs_tool, run_tool

PORT = 5001


class Network:
    """Clients run in the router itself. They have the last address of the cable to the machine that they speak with."""

    def __init__(self, world, names):
        needs_root("a network namespace")
        needs_tool("ip", "iproute2")
        needs_tool("nft", "nftables")
        self.prefix = f"taketurns-{os.getpid()}"
        self.router = self._namespace(world, "router")
        run_tool("ip", "netns", "exec", self.router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self.addresses = {}
        for nth, name in enumerate(names):
            self._machine(world, name, f"198.18.{nth + 1}")

    def _namespace(self, world, name):
        namespace = f"{self.prefix}-{name}"
        run_tool("ip", "netns", "add", namespace)
        world.cleanup.callback(run_tool, "ip", "netns", "del", namespace)
        run_tool("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace

    def _machine(self, world, name, net):
        there, router = self._namespace(world, name), self.router
        run_tool("ip", "-n", router, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "cable", "netns", there)
        for namespace, device, address in ((router, f"to-{name}", f"{net}.2"), (there, "cable", f"{net}.1")):
            run_tool("ip", "-n", namespace, "addr", "add", f"{address}/30", "dev", device)
            run_tool("ip", "-n", namespace, "link", "set", device, "up")
        run_tool("ip", "-n", there, "route", "add", "default", "via", f"{net}.2")
        self.addresses[name] = f"{net}.1"

    def on(self, name):
        """Returns the command that runs a program on this machine. It keeps its process id."""
        return ["ip", "netns", "exec", f"{self.prefix}-{name}"]

    def at(self, name):
        return self.addresses[name], PORT

    def lose(self, *ways):
        """Loses from now on all that is sent on these ways, and nothing else. A way is (from, to); None is everybody."""
        rules = []
        for source, target in ways:
            here = f"ip saddr {self.addresses[source]} " if source else ""
            there = f"ip daddr {self.addresses[target]} " if target else ""
            # What a client sends is seen only when it leaves the router, and what it is sent only when that arrives.
            rules += [f"add rule ip loss {hook} {here}{there}drop" for hook in ("arrives", "leaves")]
        hooks = [f"add chain ip loss {name} {{ type filter hook {hook} priority 0; }}"
                 for name, hook in (("arrives", "prerouting"), ("leaves", "postrouting"))]
        made = "\n".join(["add table ip loss", "delete table ip loss", "add table ip loss", *hooks, *rules]) + "\n"
        run_tool("ip", "netns", "exec", self.router, "nft", made)

    def cut(self, name, others=(None,)):
        """Cuts a machine off from these others, by default from everybody."""
        self.lose(*[way for other in others for way in ((name, other), (other, name))])

    def mend(self):
        self.lose()
