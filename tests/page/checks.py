"""What is looked at: a function makes a check."""

import json
import re
import signal

from harness import expect, until
from looks import CONTRASTS, CROSSED, LEFT_OF_THE_EDGE, WHOLE
from peer import Line, Raw

CHECKS = []
SCREENS = [(360, 740), (768, 1024), (1440, 900)]
HOSTILE = "<s>ann</s>"
MARKUP = "<img src=x onerror=document.title=1>"


def check(run):
    CHECKS.append(run)
    return run


@check
def it_loads_and_shows_the_seats(stage):
    """Nothing in the console, every client in the circle and in the table, the holder named."""
    stage.ring("ann", "bob", "cid")
    stage.until_seats(lambda seats: [seat[1] for seat in seats] == ["ann", "bob", "cid"], "three seats")
    expect(stage.discs() == ["seat holding", "seat waiting", "seat waiting"], f"the circle shows {stage.discs()}")
    expect(stage.text("who") == "ann", f"it names {stage.text('who')!r}")
    expect(stage.totals("figures")["connections"] == "3", f"it counts {stage.totals('figures')}")


@check
def the_holder_moves_with_the_turns(stage):
    """Each answer moves the mark, and is shown with its turn."""
    _, players = stage.ring("ann", "bob", "cid")
    for text, name in zip(["e4", "e5", "-9223372036854775808", "Nf3, I think"], ["ann", "bob", "cid", "ann"]):
        stage.until_text("who", name)
        turn = players[name].go()
        stage.until_text("turn", str(turn))
        at = ["ann", "bob", "cid"].index(name)
        until(lambda: stage.discs()[at] == "seat holding", f"mark on {name}")
        players[name].answer(text, turn)
        stage.until_seats(lambda seats: seats[at][3:] == [text, str(turn)], f"{name}'s answer {text}")
    until(lambda: stage.totals("outcomes")["answered"] == "4", "four answered turns")
    until(lambda: stage.page.run("return document.querySelector('#chart .p50').getAttribute('d') !== ''"), "point in the chart")


@check
def the_time_left_runs_between_messages(stage):
    """The arc moves in small steps, many more than there are messages, and the text counts down."""
    _, players = stage.ring("ann", "bob")
    stage.until_text("who", "ann")
    stage.watch_the_arc()
    begin = int(stage.until_text("left", r"(\d\d) s")[1])
    stage.until_left(begin - 2)

    def small_steps():
        moves, messages, _ = stage.arc()
        return moves - messages >= 15

    # One a second would take three times as long.
    stage.until(small_steps, "15 steps between messages", stage.arc)
    moves, messages, seconds = stage.arc()
    expect(moves <= messages + 20 * (seconds + 1), f"the arc took {moves} steps in {seconds:.1f} s with {messages} messages")


@check
def a_client_that_is_killed_is_away(stage):
    """SIGKILL to a client: its place is shown as kept, and for how long."""
    server, players = stage.ring("ann", "bob")
    client = stage.world.play(server, "--clients", "1", "--name", "cid")
    stage.until_seats(lambda seats: [seat[2] for seat in seats] == ["holding", "waiting", "waiting"], "third client")
    client.kill()
    stage.until_seats(lambda seats: seats[2][2].startswith("away, "), "seat that is away")
    first = stage.seats()[2][2]
    expect(stage.discs()[2] == "seat away", f"the circle shows {stage.discs()}")
    stage.until_seats(lambda seats: seats[2][2] != first, "countdown of the grace")
    back = Line(server.addr, "dora")
    stage.until_seats(lambda seats: "dora" in [seat[1] for seat in seats], "newcomer")
    back.close()


@check
def every_state_is_told(stage):
    """Who rests, on demand and with which weight; who is judged; a ring that is paused; a holder that is away."""
    server = stage.serve_turns("--clients", "2", "--weight-max", "9")
    stage.players = {name: Line(server.addr) for name in ("ann", "bob", "cid")}
    for (name, player), fields in zip(stage.players.items(), ("", "weight=3", "demand=ask")):
        player.join(name, *fields.split())
    stage.open()
    stage.until_seats(lambda seats: [seat[1:3] for seat in seats] == [["ann", "waiting"], ["bob ×3", "holding"], ["cid asks", "resting"]],
                      "three states")
    expect(stage.text("list-title") == "Seats: 3, 1 resting", f"the title is {stage.text('list-title')!r}")
    stage.pretend("ring.seats[1].state = ring.holder.clock = 'judged'; ring.counts = { waiting: 1, resting: 1, judged: 1 }; news.proposals_waiting = 1")
    expect(stage.discs() == ["seat waiting", "seat judged", "seat resting"], f"the circle shows {stage.discs()}")
    expect((stage.text("who"), stage.text("does")) == ("bob", "is judged"), f"it says {stage.text('does')!r}")
    expect(stage.totals("figures")["answers to judge"] == "1", f"it counts {stage.totals('figures')}")
    expect(stage.text("list-title") == "Seats: 3, 1 judged, 1 resting", f"the title is {stage.text('list-title')!r}")
    stage.pretend("ring.paused = true; ring.holder.clock = 'paused'; ring.holder.left_ms = 12000")
    expect(stage.text("does") == "has the turn, paused", f"it says {stage.text('does')!r}")
    expect(stage.text("left") == "12 s", f"a clock that stands shows {stage.text('left')!r}")
    stage.pretend("ring.seats[1].state = 'away'; ring.holder.absent = true; ring.holder.clock = 'running'")
    expect(stage.text("does") == "has the turn, but is away", f"it says {stage.text('does')!r}")
    expect(stage.seats()[1][2] == "away, holding", f"its row says {stage.seats()[1]}")
    stage.pretend("delete ring.holder; ring.seats[1].state = 'waiting'")
    expect(stage.text("does") == "paused by the host", f"it says {stage.text('does')!r}")


@check
def it_says_how_many_clients_are_needed(stage):
    """Before the first client, with one of two, and with two."""
    server = stage.serve_turns("--clients", "2")
    stage.open()
    stage.until_text("does", "2 more clients needed")
    ann = Line(server.addr, "ann")
    stage.until_text("does", "1 more client needed")
    bob = Line(server.addr, "bob")
    stage.until_text("does", "has the turn")
    ann.close()
    bob.close()


@check
def raw_seats_are_told_by_number_and_name(stage):
    """Beside a client of the line protocol, in the same ring; the name is the one of the last answer."""
    server = stage.serve("--framing", "auto", "--clients", "2")
    stage.open()
    raw = Raw(server.addr)
    stage.until_seats(lambda seats: [seat[1] for seat in seats] == ["raw-1"], "raw client")
    ann = Line(server.addr, "ann")
    raw.go()
    raw.send("zoe:41")
    stage.until_seats(lambda seats: [seat[1:4] for seat in seats] == [["raw-1 (zoe)", "waiting", "41"], ["ann", "holding", "–"]], "both kinds")
    raw.close()
    ann.close()


@check
def names_and_answers_are_only_text(stage):
    """A name that is markup, one without end, one from right to left; an answer that is markup, one of many bytes of all kinds."""
    names = [HOSTILE, "W" * 64, "\u05d0\u05d1\u05d2", "\U0001f389" * 16]
    _, players = stage.ring(*names)
    stage.until_seats(lambda seats: [seat[1] for seat in seats] == names, "the names as they are")
    players[HOSTILE].answer(MARKUP, players[HOSTILE].go())
    stage.until_seats(lambda seats: seats[0][3] == MARKUP, "the answer as it is")
    second = players[names[1]]
    second.send(b"ANSWER turn=%d bytes=900\n%s\n" % (second.go(), b"\n\xff\xe2\x80\xae" + b"x" * 895))
    stage.until_seats(lambda seats: seats[1][3] == "\\n\\xff\\u{202e}" + "x" * 26 + "…", "escapes, and 40 characters")
    players[names[2]].answer("", players[names[2]].go())
    stage.until_seats(lambda seats: seats[2][3] == "(empty)", "empty answer")
    expect(stage.page.run("return document.images.length") == 0, "a name or an answer became an image")
    expect(stage.page.run("return document.title") == "taketurns status", "a name or an answer ran as a script")
    for width, height in SCREENS:
        stage.page.show_as(width, height)
        until(lambda: stage.page.run(LEFT_OF_THE_EDGE), f"end of the overflow at {width}")


@check
def a_refusal_is_counted(stage):
    """By its code."""
    _, players = stage.ring("ann", "bob")
    expect(stage.totals("refusals") == {"none so far": ""}, f"it begins with {stage.totals('refusals')}")
    players["bob"].say("ANSWER :1")
    players["bob"].wait("NO")
    until(lambda: stage.totals("refusals") == {"not-your-turn": "1"}, "refusal")


@check
def several_rings_can_be_chosen(stage):
    """One is shown at a time; the choice stays."""
    server, _ = stage.ring("ann", "bob")
    others = [Line(server.addr, name, ring="side") for name in ("cid", "dora")]
    until(lambda: stage.page.run("return document.querySelectorAll('#rings input').length") == 2, "choice of two rings")
    stage.page.run("document.querySelectorAll('#rings input')[1].click()")
    stage.until_text("who", "cid")
    others[0].answer(1, others[0].go())
    stage.until_text("who", "dora")


@check
def a_quick_ring_shows_who_had_most(stage):
    """Where the turn moves faster than one can follow no seat is marked, and nothing flickers; it is told who had most of the last second."""
    server = stage.serve_turns("--quiet")
    stage.world.play(server, "--clients", "3", "--pace", "0ms")
    stage.open()
    stage.until_text("left", r"[\d,]+/s")
    share = stage.until_text("does", r"had (\d+) % of the last second")
    expect(20 <= int(share[1]) <= 100, f"of three the first had {share[1]} %")
    stage.until_seats(lambda seats: all(re.fullmatch(r"in turn \d+ %", seat[2]) for seat in seats) and len(seats) == 3, "three seats in turn")
    shares = [int(re.search(r"\d+", seat[2])[0]) for seat in stage.seats()]
    expect(sum(shares) <= 103, f"three seats had {shares} %")
    names = [seat[1] for seat in stage.seats()]
    expect(stage.text("who") in names, f"{stage.text('who')!r} is none of {names}")
    expect(set(stage.discs()) == {"seat waiting"}, f"the circle shows {stage.discs()}")
    for width, height in SCREENS:
        stage.page.show_as(width, height)
        until(lambda: stage.page.run(WHOLE, "who", "does", "left"), f"name, share and pace in full at {width}")
    until(lambda: re.search(r"p50 \d", stage.text("legend").replace("\n", " ")), "median hand-over")


@check
def a_slow_client_among_quick_ones_is_named(stage):
    """Two answer at once, one after 60 ms: it had most of the last second."""
    server = stage.serve_turns("--quiet")
    stage.world.play(server, "--clients", "2", "--pace", "0ms")
    stage.world.play(server, "--clients", "1", "--pace", "60ms", "--name", "snail")
    stage.open()
    stage.until_text("does", r"had ([5-9]\d|100) % of the last second", 8)
    stage.until_text("who", "snail.*")


@check
def the_chart_is_empty_only_since_one_looks(stage):
    """Hand-overs from before the page was opened are not told of, and the chart says so."""
    server = stage.serve_turns("--clients", "2")
    players = {name: Line(server.addr, name) for name in ("ann", "bob")}
    players["ann"].answer("1", players["ann"].go())
    turn = players["bob"].go()
    stage.open()
    stage.until_text("turn", "2")
    expect(stage.page.run("return document.getElementById('none').textContent") == "none since you opened this page", "the chart says nothing of it")
    players["bob"].answer("2", turn)
    until(lambda: stage.page.run("return document.getElementById('none').textContent") == "", "hand-over in the chart")
    for player in players.values():
        player.close()


@check
def no_stroke_runs_through_a_name(stage):
    """Where the text of a label lies on the ring it has a ground of its own, on every screen."""
    _, players = stage.ring("ann", "bob", "cid", "dora")
    for text, player in zip(("e4", "a longer answer", "7", "x"), players.values()):
        player.answer(text, player.go())
    stage.until_seats(lambda seats: all(seat[3] != "–" for seat in seats), "four answers")
    for width, height in SCREENS:
        stage.page.show_as(width, height)
        until(lambda: stage.page.run("return place.size === byId('circle').clientWidth"), "new layout")
        crossed, bare = stage.page.run(CROSSED)
        expect(crossed >= 2, f"only {crossed} texts lie on the ring at {width}: this looks at nothing")
        expect(not bare, f"the ring runs through {bare} at {width}")


@check
def many_seats_stay_apart(stage):
    """Of a hundred seats 64 are shown, the others counted; names in the circle do not overlap."""
    server = stage.serve_turns()
    players = [Line(server.addr, f"player{at}") for at in range(100)]
    stage.open()
    for width, height in SCREENS:
        stage.page.show_as(width, height)
        stage.until_seats(lambda seats: len(seats) == 64, "64 seats")
        stage.until_text("left-out", "and 36 more that are not shown")
        until(lambda: stage.page.run(LEFT_OF_THE_EDGE), f"end of the overflow at {width}")
        shown = stage.page.run("return [...document.querySelectorAll('#labels .label')].filter(label => !label.hidden).length")
        room = stage.page.run("return 2 * Math.PI * (place.radius + place.disc) / place.text")
        expect(16 <= shown <= room, f"{shown} names where there is room for {room:.0f}")
    for player in players:
        player.close()


@check
def it_goes_stale_and_recovers(stage):
    """A server that is stopped and continues, that is killed and started again: the page says so, and comes back by itself."""
    server, players = stage.ring("ann", "bob")
    players["ann"].answer(1, players["ann"].go())
    until(lambda: stage.page.run("return seconds.length") == 1, "hand-over")
    epoch = stage.text("epoch")
    stage.page.run("window.first = source")
    server.signal(signal.SIGSTOP)
    stage.until_link(r"stale, last message \d+ s ago", 8)
    until(lambda: stage.page.run("return source !== window.first"), "new connection instead of the silent one", 8)
    server.signal(signal.SIGCONT)
    stage.until_link("live", 8)
    server.kill()
    stage.until_link(r"lost, last message \d+ s ago")
    expect("stale" in stage.page.run("return document.getElementById('main').className"), "nothing turned grey")
    stage.until_link(r"lost, last message ([3-9]|\d\d) s ago", 8)
    stage.serve_turns()
    stage.until_link("live", 8)
    expect(stage.text("epoch") != epoch, "the epoch is still the old one")
    expect(stage.page.run("return seconds.length") == 0, "the chart shows hand-overs of the old server")
    stage.until_seats(lambda seats: seats == [], "end of the old seats")


@check
def draining_shows(stage):
    """Between SIGTERM and the end."""
    server, _ = stage.ring("ann", "bob")
    server.was_ended = True
    server.signal(signal.SIGTERM)
    stage.until_link("draining")
    stage.until_link("lost, .*", 8)


@check
def other_protocols_show_their_counts(stage):
    """Echo has neither rings nor turns: there are no empty places for them."""
    server = stage.serve(program="echo_server")
    stage.open()
    stage.until(lambda: stage.totals("figures").get("echoed") == "0", "counts", lambda: stage.totals("figures"))
    visible = stage.page.run("return [...document.querySelectorAll('section')].filter(one => one.offsetHeight).map(one => one.querySelector('h2').id)")
    expect(visible == ["figures-title"], f"it shows {visible}")


@check
def it_fits_and_is_legible_on_every_screen(stage):
    """Three widths, light and dark, live and stale: nothing sticks out, every text has a contrast of 4.5 to 1."""
    server, players = stage.ring("ann", "bob", "cid")
    players["cid"].close()
    stage.until_seats(lambda seats: seats[2][2].startswith("away"), "seat that is away")
    looks(stage)
    resting = Line(server.addr)
    resting.join("dora", "demand=ask")
    stage.until_seats(lambda seats: [seat[2] for seat in seats[3:]] == ["resting"], "seat that rests")
    stage.pretend("ring.seats[0].state = ring.holder.clock = 'judged'")
    looks(stage)
    resting.close()
    stage.until_link("live", 8)
    server.signal(signal.SIGSTOP)
    stage.until_link("(stale|lost), .*", 8)
    looks(stage)
    server.signal(signal.SIGCONT)


def looks(stage):
    for width, height in SCREENS:
        for scheme in ("light", "dark"):
            stage.page.show_as(width, height, scheme)
            until(lambda: stage.page.run(LEFT_OF_THE_EDGE), f"end of the overflow at {width} {scheme}")
            worst = stage.page.run(CONTRASTS)
            expect(len(worst) > 20, f"only {len(worst)} texts were looked at")
            poor = [entry for entry in worst if entry[0] < 4.5]
            expect(not poor, f"poor contrast at {width} {scheme}: {poor}")


@check
def it_can_be_heard(stage):
    """The accessibility tree has the landmarks, the seats as a table, and one polite region that says who has the turn."""
    stage.ring("ann", "bob")
    stage.until_text("spoken", "ann has the turn")
    nodes = [node for node in stage.page.devtools("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    roles = [node["role"]["value"] for node in nodes]
    for role in ("banner", "main", "contentinfo", "navigation", "table", "meter", "status"):
        expect(roles.count(role) == 1, f"there are {roles.count(role)} of role {role}")
    rows = [json.dumps(node.get("name", {}).get("value", "")) for node in nodes if node["role"]["value"] in ("row", "cell", "gridcell")]
    for name in ("ann", "bob"):
        expect(any(name in row for row in rows), f"{name} is in no row of {rows}")
    live = [node for node in nodes for one in node.get("properties", []) if one["name"] == "live" and one["value"]["value"] == "polite"]
    expect(len(live) == 1, f"{len(live)} polite live regions")
    headings = [node["name"]["value"] for node in nodes if node["role"]["value"] == "heading"]
    expect({"taketurns", "Ring main", "Longest wait", "Turns by outcome"} <= set(headings), f"the headings are {headings}")


@check
def it_is_calm_for_who_wants_that(stage):
    """With prefers-reduced-motion the arc moves once a second."""
    stage.ring("ann", "bob")
    stage.page.show_as(1440, 900, prefers_reduced_motion="reduce")
    stage.until_text("who", "ann")
    stage.watch_the_arc()
    begin = int(stage.until_text("left", r"(\d\d) s")[1])
    stage.until_left(begin - 3)
    moves, messages, seconds = stage.arc()
    # A frame is dated before its timer: it may fall just short of a full second, and another one comes behind it.
    most = messages + 2 * (seconds + 1)
    expect(1 <= moves <= most, f"the arc took {moves} steps in {seconds:.1f} s with {messages} messages")


@check
def nothing_happens_while_nobody_looks(stage):
    """In a hidden tab the page does not even listen; it comes back when it is looked at."""
    stage.ring("ann", "bob")
    stage.page.run("""
        window.changes = 0;
        new MutationObserver(() => changes++).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
        document.addEventListener("visibilitychange", () => { if (document.hidden) changes = 0; });
        window.addEventListener("visibilitychange", () => { if (!document.hidden) window.seen = [source.readyState, changes]; }, true);""")
    stage.page.look_away(2)
    seen = until(lambda: stage.page.run("return window.seen"), "page that is looked at again")
    expect(seen == [2, 0], f"its connection is in state {seen[0]}, 2 is closed; it changed {seen[1]} times")
    stage.until_link("live")
