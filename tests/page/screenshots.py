"""The page as pictures, for people to look at and for docs/OPERATING.md."""

import itertools
import threading
import time

from harness import until
from peer import Line
from stage import Stage

SCREENS = {"phone": (360, 740), "tablet": (768, 1024), "desktop": (1440, 900)}
NAMES = {"ann": "", "bob": "", "cid": "demand=ask", "dora": "", "emil": "", "fritz": "weight=2"}
MOVES = ["e4", "c5", "Nf3", "d6", "d4", "cxd4", "Nxd4", "Nf6", "Nc3", "a6", "Be3", "e5", "Nb3", "Be6", "f3", "Be7", "Qd2", "O-O", "O-O-O", "Nbd7"]
ANSWERS = 120


def take(page, binaries, folder):
    """Six pictures of a ring that has been played in for some time."""
    folder.mkdir(parents=True, exist_ok=True)
    with Stage(page, binaries) as stage:
        server = stage.serve_turns("--clients", "2", "--weight-max", "2")
        players = [Line(server.addr) for _ in NAMES]
        for player, (name, fields) in zip(players, NAMES.items()):
            player.join(name, *fields.split())
        stage.open()
        done = threading.Event()
        threads = [threading.Thread(target=play, args=(player, "ask" in fields, done), daemon=True) for player, fields in zip(players, NAMES.values())]
        for thread in threads:
            thread.start()
        until(lambda: int(stage.totals("outcomes").get("answered", 0)) >= ANSWERS, "played ring", 180)
        done.set()
        players[2].say("REST")
        players[2].say("ANSWER :h4")
        players[4].half_close()
        stage.until_seats(lambda seats: seats[4][2].startswith("away"), "seat that is away")
        until(lambda: stage.totals("refusals").get("not-your-turn"), "refusal")
        for screen, (width, height) in SCREENS.items():
            for scheme in ("light", "dark"):
                picture(stage, folder / f"{screen}-{scheme}.png", width, height, scheme)
        join(page, folder)
    print(f"six pictures in {folder}, and all.png of them together")


def play(player, asks, done):
    """Answers its turns, at the pace of people who are quick."""
    for move in itertools.cycle(MOVES):
        if asks:
            player.say("ASK")
        turn = player.go(60)
        time.sleep(0.4 + 0.13 * (turn % 5))
        if done.is_set():
            return
        player.answer(move, turn)


def picture(stage, file, width, height, scheme):
    page = stage.page
    page.show_as(width, height, scheme)
    until(lambda: page.run("return innerWidth === arguments[0] && place.size === byId('circle').clientWidth", width), "new layout")
    second = page.run("return drawnSecond")
    until(lambda: page.run("return drawnSecond") > second, "new chart")
    page.screenshot(file, whole=width < 1000)


def join(page, folder):
    """One picture of all six, each as much as its screen shows."""
    rows = ["".join(f"<img src='{screen}-{scheme}.png' style='width:{520 * width // height}px'>"
                    for screen, (width, height) in reversed(SCREENS.items())) for scheme in ("light", "dark")]
    style = "body { margin: 0; width: max-content; background: #888 } img { height: 520px; margin: 4px; object-fit: cover; object-position: top }"
    file = folder / "all.html"
    file.write_text(f"<!doctype html><style>{style} div {{ display: flex }}</style>" + "".join(f"<div>{row}</div>" for row in rows))
    page.show_as(1491, 1056)
    page.open(file.resolve().as_uri())
    page.screenshot(folder / "all.png", whole=True)
    file.unlink()
