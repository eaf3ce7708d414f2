"""Goes through python-consul's resources against the agent at argv[1]:argv[2]."""
import base64
import sys
import threading
import time

import consul

c = consul.Consul(host=sys.argv[1], port=int(sys.argv[2]))

# python-consul 0.7 sends the agent's writes as GET, which Consul refuses since 1.0, and has no
# transactions; its successor python-consul2 does all.
MODERN = hasattr(c, "txn")


def check(got, want, what):
    if got != want:
        sys.exit("%s: got %r, want %r" % (what, got, want))


def eventually(what, want, f):
    end = time.time() + 10
    while True:
        got = f()
        if got == want:
            return
        if time.time() > end:
            sys.exit("%s: got %r, want %r" % (what, got, want))
        time.sleep(0.05)


# Keys
check(c.kv.get("py/none")[1], None, "missing key")
check(c.kv.put("py/a", "1", flags=5), True, "put")
index, data = c.kv.get("py/a")
check((data["Value"], data["Flags"]), (b"1", 5), "get")
check(c.kv.put("py/a", "2", cas=0), False, "cas that must fail")
check(c.kv.put("py/a", "2", cas=data["ModifyIndex"]), True, "cas")
c.kv.put("py/b/c", "x")
check(c.kv.get("py/", keys=True, separator="/")[1], ["py/a", "py/b/"], "keys")
check(len(c.kv.get("py/", recurse=True)[1]), 2, "recurse")
index, _ = c.kv.get("py/a")
timer = threading.Timer(0.3, lambda: consul.Consul(host=sys.argv[1], port=int(sys.argv[2])).kv.put("py/a", "3"))
timer.start()
began = time.time()
_, data = c.kv.get("py/a", index=index, wait="20s")
check(data["Value"], b"3", "blocking get")
if not 0.2 < time.time() - began < 5:
    sys.exit("the blocking get took %.1f s" % (time.time() - began))
timer.join()

# Transactions
if MODERN:
    res = c.txn.put([{"KV": {"Verb": "set", "Key": "py/t", "Value": base64.b64encode(b"t").decode()}}])
    check(res["Results"][0]["KV"]["Key"], "py/t", "txn")

# Sessions and locks
s1 = c.session.create(name="one", ttl=10, lock_delay=0)
s2 = c.session.create(name="two", ttl=10, lock_delay=0)
check(c.kv.put("py/lock", "1", acquire=s1), True, "acquire")
check(c.kv.put("py/lock", "2", acquire=s2), False, "acquire a held lock")
check(c.session.renew(s1)["ID"], s1, "renew")
check(c.kv.put("py/lock", "1", release=s1), True, "release")
check(c.kv.put("py/lock", "2", acquire=s2), True, "acquire a free lock")
check(len(c.session.list()[1]), 2, "sessions")
c.session.destroy(s2)
check(c.session.info(s2)[1], None, "a destroyed session")
check("Session" in c.kv.get("py/lock")[1], False, "the lock of a destroyed session")

# Agent, catalog, health
check(c.agent.self()["Config"]["NodeName"], "n1", "self")
check([m["Name"] for m in c.agent.members()], ["n1"], "members")
c.agent.service.register("py", service_id="py-1", address="10.8.0.1", port=99, tags=["a", "b"], check=consul.Check.ttl("30s"))
check(c.agent.services()["py-1"]["Port"], 99, "agent services")
eventually("critical until the first result", ["critical"], lambda: [x["Status"] for x in c.health.checks("py")[1]])
if MODERN:
    c.agent.check.ttl_pass("service:py-1", "fine")
else:
    check(c.agent.check.ttl_pass("service:py-1", "fine"), False, "a write by GET")
    c.agent.service.register("py", service_id="py-1", address="10.8.0.1", port=99, tags=["a", "b"])
    c.catalog.deregister("n1", check_id="service:py-1")
eventually("passing", ["10.8.0.1"], lambda: [x["Service"]["Address"] for x in c.health.service("py", passing=True, tag="a")[1]])
check(c.catalog.services()[1]["py"], ["a", "b"], "catalog services")
check(c.catalog.service("py")[1][0]["ServicePort"], 99, "catalog service")
check(c.catalog.datacenters(), ["dc1"], "datacenters")
c.agent.service.maintenance("py-1", "true", "work")
eventually("in maintenance", [], lambda: c.health.service("py", passing=True)[1])
c.agent.service.maintenance("py-1", "false")
if MODERN:
    c.agent.service.deregister("py-1")
    eventually("gone", [], lambda: c.health.service("py")[1])
check(c.catalog.register("ext", "10.8.0.2", service={"Service": "other", "Port": 7}), True, "catalog register")
check([n["Node"] for n in c.catalog.nodes()[1]], ["ext", "n1"], "nodes")
check(c.catalog.deregister("ext"), True, "catalog deregister")

# The rest
name = c.event.fire("deploy", "payload")["Name"]
eventually("event", ["deploy"], lambda: [e["Name"] for e in c.event.list()[1]])
q = c.query.create("consul", name="pyq")["ID"]
check(len(c.query.execute("pyq")["Nodes"]), 1, "query")
check(c.query.delete(q), True, "query delete")
check(c.status.leader() in c.status.peers(), True, "leader")
check(c.kv.delete("py/", recurse=True), True, "delete")
print("%s: keys" % ("python-consul2" if MODERN else "python-consul") + ", blocking, sessions, locks, agent, catalog, health, events, queries, status: fine")
