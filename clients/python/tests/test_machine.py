"""The client without I/O: each rule of docs/PROTOCOL.md that a client has to keep, with the test as its server."""

from __future__ import annotations

import logging
import random
import tracemalloc
import unittest
from typing import Any

import taketurns
from taketurns import Ended, Lapsed, Machine, Options, Refused, Unknown

EPOCH, OTHER = "48f023c51e936f16", "9c1f0b6c8a1d2e43"
SECRET, SECOND = "0009e9d246d7c9e1158a668ae84df2f8", "972fc3a85808cbed04d801f8c1d71a5a"


class Play:
    """A machine at a clock of its own, and all that it says and tells."""

    def __init__(self, options: Options | None = None) -> None:
        self.machine = Machine(options or Options("ann"), chance=lambda: 1.0)
        self.now = 0.0
        self.said = b""
        self.events: list[Any] = []

    def connect(self, *, is_private: bool = True) -> Play:
        while self.machine.poll_dial(self.now) is None:
            deadline = self.machine.next_deadline()
            assert deadline is not None
            self.now = max(self.now, deadline)
        self.machine.opened(self.now, is_private=is_private)
        return self.look()

    def hear(self, *lines: str | bytes) -> Play:
        for line in lines:
            self.machine.received(self.now, line.encode() + b"\n" if isinstance(line, str) else line)
        return self.look()

    def welcome(self, extra: str = "", *, epoch: str = EPOCH, secret: str = SECRET) -> Play:
        return self.hear(f"WELCOME ann seat=1 ring=main epoch={epoch} resume={secret}{extra}")

    def lose(self, why: str = "reset") -> Play:
        self.machine.closed(self.now, why)
        return self.look()

    def come_back(self, extra: str = "", *, epoch: str = EPOCH, secret: str = SECOND) -> Play:
        return self.lose().connect().welcome(extra, epoch=epoch, secret=secret)

    def passes(self, seconds: float) -> Play:
        """Time passes, deadline by deadline."""
        end = self.now + seconds
        while (at := self.machine.next_deadline()) is not None and at <= end and not self.machine.is_closing:
            self.now = max(self.now, at)
            self.machine.expired(self.now)
            self.look()
        self.now = end
        return self.look()

    def look(self) -> Play:
        self.said += self.machine.take_output()
        while (event := self.machine.poll_event()) is not None:
            self.events.append(event)
        return self

    def says(self) -> bytes:
        """Takes what was said since the last time."""
        said, self.said = self.said, b""
        return said

    def tells(self, kind: type[Any]) -> list[Any]:
        """Takes the events of one kind."""
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found

    def turn(self) -> taketurns.Grant:
        (granted,) = self.tells(taketurns.Granted)
        assert isinstance(granted.turn, taketurns.Grant)
        return granted.turn

    def answer(self, turn: taketurns.Grant, answer: bytes) -> Play:
        self.machine.answer(self.now, turn, answer)
        return self.look()

    def fate(self) -> Any:
        """Takes what became of the turn: `None` for an answer that counts."""
        (settled,) = self.tells(taketurns.Settled)
        return settled.error


def seated(options: Options | None = None) -> Play:
    play = Play(options).connect().welcome().hear("WAIT ahead=0 needs=1", "PONG")
    play.says()
    return play


def holding(options: Options | None = None) -> tuple[Play, taketurns.Grant]:
    play = seated(options).hear("GO turn=1 within=30000")
    return play, play.turn()


def in_flight() -> Play:
    """Its answer to turn 1 has been sent, and nothing is known of it."""
    play, turn = holding()
    play.answer(turn, b"42")
    play.says()
    return play


class Hello(unittest.TestCase):
    def test_a_join_says_what_was_asked_for_and_nothing_follows_before_welcome(self) -> None:
        play = Play(Options("ann", "gpu0", 3, "ask", True)).connect()
        self.assertEqual(play.says(), b"JOIN ann ring=gpu0 weight=3 demand=ask hear=turns\n")
        play.passes(29)
        self.assertEqual(play.says(), b"", "a ping would void the old secret")
        play.hear("WAIT", "GO", "SAY :GO").welcome()
        self.assertEqual(play.says(), b"PING\n")
        self.assertEqual(play.tells(taketurns.Granted), [])

    def test_a_join_asks_for_confirmations_by_go(self) -> None:
        self.assertEqual(Play(Options("ann", hear=True, confirm_go=True)).connect().says(), b"JOIN ann ring=main hear=turns confirm=go\n")

    def test_a_welcome_that_cannot_be_is_none(self) -> None:
        for epoch, secret in [("48f023c51e936f1", SECRET), ("48f023c51e936f1\0", SECRET), (EPOCH.upper(), SECRET), (EPOCH, SECRET[1:])]:
            play = Play().connect().welcome(epoch=epoch, secret=secret)
            self.assertEqual(play.tells(taketurns.Welcome), [], (epoch, secret))
        for line in ["GO\tturn=1 within=9", "GO turn=1\0 within=9", "GO turn=1 within=9 \r", "GO  turn=1 within=9", "go turn=1 within=9"]:
            self.assertEqual(seated().hear(line).tells(taketurns.Granted), [], line)

    def test_a_watcher_watches(self) -> None:
        play = Play(Options(None, "oak")).connect()
        self.assertEqual(play.says(), b"WATCH ring=oak\n")
        play.hear(f"WATCHING oak epoch={EPOCH} turn=7", "GO turn=8 within=1")
        self.assertEqual(play.tells(taketurns.Watching), [taketurns.Watching("oak", EPOCH, 7)])
        self.assertEqual(play.tells(taketurns.Granted), [])

    def test_a_server_that_does_not_answer_is_given_up(self) -> None:
        play = Play().connect().passes(30)
        self.assertTrue(play.machine.is_closing)

    def test_a_refused_hello_is_the_end(self) -> None:
        play = Play().connect().hear("NO out-of-range :a number is out of range")
        (over,) = play.tells(taketurns.Over)
        self.assertEqual((over.ended.code, over.ended.words), ("out-of-range", "a number is out of range"))

    def test_names_that_cannot_be_are_an_error_of_the_program(self) -> None:
        for name in ["", "a b", "a:b", "a=b", "a\n", "x" * 65, "\u200bx", "a\x7f", "\u2028"]:
            with self.subTest(name=name), self.assertRaises(ValueError):
                Options(name)
        Options("ann", "\u00e4" * 32)
        with self.assertRaises(ValueError):
            Options("ann", "two rings")

    def test_the_secret_is_not_sent_in_plain_text_to_another_machine(self) -> None:
        play = seated()
        play.lose().connect(is_private=False)
        self.assertEqual(play.says(), b"JOIN ann ring=main\n")
        play = seated(Options("ann", allow_plaintext_secrets=True))
        play.lose().connect(is_private=False)
        self.assertIn(SECRET.encode(), play.says())


class Answers(unittest.TestCase):
    def test_an_answer_names_its_fence_and_counts_with_ok(self) -> None:
        play, turn = holding()
        self.assertEqual((turn.epoch, turn.number, turn.deadline), (EPOCH, 1, 30.0))
        play.answer(turn, b"e2 e4")
        self.assertEqual(play.says(), b"ANSWER turn=1 epoch=%s :e2 e4\n" % EPOCH.encode())
        play.hear("OK turn=1 :well played")
        (settled,) = play.tells(taketurns.Settled)
        self.assertEqual((settled.words, settled.error, turn.stage), ("well played", None, "over"))

    def test_bytes_that_are_no_text_go_as_payload(self) -> None:
        text, payload = b"ANSWER turn=1 epoch=e :", b"ANSWER turn=1 epoch=e bytes=%d\n"
        for answer in [b"", b":", b" x ", b"a\tb", "\u00e4".encode(), b"x" * (1024 - len(text))]:
            self.assertEqual(taketurns.encode_answer(1, "e", answer), text + answer + b"\n")
        for answer in [b"\n", b"\r", b"\0", b"\xff", "\x85".encode(), b"x" * (1025 - len(text)), b"PASS\nLEAVE\n"]:
            self.assertEqual(taketurns.encode_answer(1, "e", answer), payload % len(answer) + answer + b"\n")

    def test_an_answer_that_is_too_long_is_not_sent(self) -> None:
        play, turn = holding()
        with self.assertRaises(ValueError):
            play.answer(turn, b"x" * (16 * 1024 + 1))
        play.answer(turn, b"x" * 16 * 1024)
        with self.assertRaises(taketurns.Error):
            play.answer(turn, b"another")

    def test_a_refused_answer_may_be_given_again_while_the_turn_is_held(self) -> None:
        play, turn = holding()
        play.answer(turn, b"b2").hear("NO refused turn=1 within=23104 :that square is taken")
        refused = play.fate()
        self.assertIsInstance(refused, Refused)
        self.assertEqual((refused.code, refused.words, refused.held), ("refused", "that square is taken", True))
        self.assertAlmostEqual(turn.deadline, 23.104)
        play.says()
        play.answer(turn, b"a1").hear("OK turn=1")
        self.assertEqual(play.says(), b"ANSWER turn=1 epoch=%s :a1\n" % EPOCH.encode())
        self.assertIsNone(play.fate())

    def test_a_refusal_without_time_ends_the_turn(self) -> None:
        for code, kind in [("stale-turn", Lapsed), ("not-your-turn", Lapsed), ("not-judged", Refused), ("brand-new", Refused)]:
            play = in_flight().hear(f"NO {code} turn=1 :words")
            fate = play.fate()
            self.assertIsInstance(fate, kind, code)
            self.assertFalse(getattr(fate, "held", False))

    def test_refusals_for_other_messages_leave_the_answer_in_flight(self) -> None:
        for no in ["judging turn=1 within=5", "hold-max turn=1 within=5", "refused turn=2 within=5", "malformed", "stale-turn turn=7"]:
            play = in_flight().hear(f"NO {no}", "OK turn=9", "OK")
            self.assertEqual(play.tells(taketurns.Settled), [], no)
            self.assertIsNone(play.hear("OK turn=1").fate())

    def test_lapsed_waits_for_the_reply_of_an_answer_in_flight(self) -> None:
        play = in_flight().hear("LAPSED turn=1")
        self.assertEqual(play.tells(taketurns.Settled), [])
        self.assertIsNone(play.hear("OK turn=1").fate())
        play = in_flight().hear("LAPSED turn=1", "NO stale-turn turn=1")
        self.assertIsInstance(play.fate(), Lapsed)
        play = in_flight().hear("LAPSED turn=1", "GO turn=3 within=1000")
        self.assertIsInstance(play.fate(), Lapsed, "T25: its OK would have come before")

    def test_a_turn_that_lapses_without_an_answer(self) -> None:
        play, turn = holding()
        fate = play.hear("LAPSED turn=1 how=skipped").fate()
        self.assertIsInstance(fate, Lapsed)
        self.assertEqual(fate.how, "skipped")
        with self.assertRaises(Lapsed):
            play.answer(turn, b"late")

    def test_go_for_the_turn_that_is_held_moves_only_its_end(self) -> None:
        play, turn = holding()
        play.passes(10).hear("GO turn=1 within=30000")
        self.assertEqual((play.tells(taketurns.Granted), turn.deadline), ([], 40.0))
        play.answer(turn, b"42").hear("GO turn=1 within=20000", "GO turn=1 within=20000")
        self.assertEqual(play.said.count(b"ANSWER"), 1)

    def test_a_turn_whose_answer_counted_is_never_granted_again(self) -> None:
        play = in_flight().hear("OK turn=1", "GO turn=1 within=30000")
        self.assertEqual(play.tells(taketurns.Granted), [])
        play.come_back(" last=1").hear("GO turn=1 within=30000")
        self.assertEqual(play.tells(taketurns.Granted), [])
        # In another life it is another turn.
        play.come_back(epoch=OTHER).hear("GO turn=1 within=30000")
        self.assertEqual(play.turn().epoch, OTHER)

    def test_a_pass_is_confirmed(self) -> None:
        play, turn = holding()
        play.machine.give_up_turn(play.now, turn)
        self.assertEqual(play.look().says(), b"PASS turn=1\n")
        self.assertIsNone(play.hear("OK turn=1").fate())

    def test_the_next_go_may_confirm_an_answer(self) -> None:
        play = in_flight().hear("GO turn=3 within=30000 last=1")
        self.assertIsNone(play.fate())
        self.assertEqual(play.turn().number, 3)
        play = in_flight().hear("GO turn=3 within=30000")
        self.assertIsInstance(play.fate(), Lapsed)
        # Of an earlier turn, and of a turn that is gone on with.
        play.answer(play.turn(), b"43").hear("GO turn=5 within=30000 last=1")
        self.assertIsInstance(play.fate(), Lapsed)
        play.answer(play.turn(), b"44").hear("GO turn=5 within=20000 last=1", "OK turn=5", "GO turn=7 within=30000 last=5")
        self.assertIsNone(play.fate())
        self.assertEqual(play.turn().number, 7)

    def test_the_holder_before_is_known_to_one_that_hears(self) -> None:
        play = Play(Options("ann", hear=True)).connect().welcome()
        play.hear("SEAT bob seat=2 state=holding", "SEAT ann seat=1 state=waiting", "SEATS main seats=2", "WAIT ahead=1")
        play.hear("GO turn=5 within=9", "TURN bob turn=4 :x", "BEGIN ann turn=5 within=9")
        self.assertEqual(play.turn().before, "bob")


class Resuming(unittest.TestCase):
    """The recipe, "A client that never has an answer counted twice"."""

    def test_the_last_turn_says_that_the_answer_counted(self) -> None:
        play = in_flight().come_back(" last=1")
        self.assertIn(b"resume=" + SECRET.encode(), play.says())
        self.assertIsNone(play.fate())

    def test_a_judged_answer_is_not_sent_again_and_gets_its_reply_here(self) -> None:
        play = in_flight().come_back(" judging=1")
        play.hear("PONG", "GO turn=1 within=5")
        self.assertNotIn(b"ANSWER", play.says())
        self.assertEqual(play.tells(taketurns.Settled), [])
        self.assertIsNone(play.hear("OK turn=1").fate())
        play = in_flight().come_back(" judging=1").hear("NO refused turn=1 within=5")
        self.assertTrue(play.fate().held)

    def test_the_same_turn_has_the_same_answer_once_more(self) -> None:
        play = in_flight().come_back()
        play.says()
        play.hear("GO turn=1 within=5000", "GO turn=1 within=4000")
        self.assertEqual(play.says(), b"ANSWER turn=1 epoch=%s :42\n" % EPOCH.encode())
        self.assertEqual(play.tells(taketurns.Granted), [])
        self.assertIsNone(play.hear("OK turn=1").fate())

    def test_an_answer_that_did_not_arrive_is_free_again(self) -> None:
        for lines in [["WAIT ahead=1"], ["PONG"], ["GO turn=3 within=1000"]]:
            play = in_flight().come_back().hear(*lines)
            self.assertIsInstance(play.fate(), Lapsed, lines)

    def test_in_another_life_nobody_knows(self) -> None:
        self.assertIsInstance(in_flight().come_back(" last=1", epoch=OTHER).fate(), Unknown)

    def test_the_same_number_of_another_life_is_not_that_turn(self) -> None:
        play = in_flight().come_back(" last=1", epoch=OTHER)
        play.says()
        play.fate()
        play.hear("GO turn=1 within=5", "OK turn=1")
        self.assertEqual(play.turn().epoch, OTHER)
        self.assertEqual((play.says(), play.tells(taketurns.Settled)), (b"", []))

    def test_a_secret_that_is_not_known_is_forgotten(self) -> None:
        play = in_flight().lose().connect()
        play.says()
        play.hear("BYE bad-secret :no seat has that name and secret")
        self.assertIsInstance(play.fate(), Unknown)
        play.lose().connect()
        self.assertEqual(play.says(), b"JOIN ann ring=main\n")

    def test_an_answer_given_without_a_connection_is_sent_if_the_turn_is_still_there(self) -> None:
        play, turn = holding()
        play.lose().answer(turn, b"42").connect().welcome(secret=SECOND)
        self.assertNotIn(b"ANSWER", play.says())
        play.hear("GO turn=1 within=5000")
        self.assertEqual(play.says(), b"ANSWER turn=1 epoch=%s :42\n" % EPOCH.encode())
        # One that was never sent is not unknown.
        play, turn = holding()
        play.lose().answer(turn, b"42").connect().welcome(epoch=OTHER)
        self.assertIsInstance(play.fate(), Lapsed)

    def test_the_secret_is_new_at_every_resume(self) -> None:
        play = seated().come_back(secret=SECOND)
        play.says()
        play.lose().connect()
        self.assertEqual(play.says(), f"JOIN ann ring=main resume={SECOND}\n".encode())

    def test_a_lost_connection_before_welcome_keeps_the_old_secret(self) -> None:
        play = seated().lose().connect().lose()
        play.says()
        play.connect()
        self.assertEqual(play.says(), f"JOIN ann ring=main resume={SECRET}\n".encode())

    def test_a_turn_outlives_its_connection(self) -> None:
        play, turn = holding()
        play.come_back().hear("GO turn=1 within=5000", "PONG")
        self.assertEqual((play.tells(taketurns.Granted), play.tells(taketurns.Settled), turn.stage), ([], [], "held"))


class Wishes(unittest.TestCase):
    def test_asking_is_kept_until_the_turn_is_there(self) -> None:
        play = Play()
        play.machine.ask(0)
        play.connect().welcome()
        self.assertTrue(play.says().endswith(b"PING\nASK\n"))
        play.machine.ask(0)
        self.assertEqual(play.look().says(), b"", "it was said already")
        play.come_back()
        self.assertTrue(play.says().endswith(b"PING\nASK\n"))
        play.hear("GO turn=1 within=5", "LAPSED turn=1").come_back()
        self.assertNotIn(b"ASK", play.says())

    def test_rest_gives_the_turn_up(self) -> None:
        play, _ = holding()
        play.machine.rest(play.now)
        self.assertEqual(play.look().says(), b"REST\n")
        self.assertIsNone(play.hear("OK").fate())

    def test_rest_is_said_again_and_does_not_pass_twice(self) -> None:
        play, _ = holding()
        play.machine.rest(play.now)
        play.look().says()
        play.come_back().hear("GO turn=1 within=5")
        said = play.says()
        self.assertEqual((said.count(b"REST"), said.count(b"PASS")), (1, 0))
        self.assertIsNone(play.hear("OK").fate())

    def test_while_an_answer_is_in_flight_nothing_is_said_whose_refusal_could_be_taken_for_its_own(self) -> None:
        play = in_flight()
        play.machine.rest(play.now)
        self.assertEqual(play.look().says(), b"")
        turn = play.machine._grant
        assert turn
        with self.assertRaises(taketurns.Error):
            play.machine.renew(play.now, turn)
        with self.assertRaises(taketurns.Error):
            play.machine.give_up_turn(play.now, turn)
        self.assertEqual(play.hear("OK turn=1").says(), b"REST\n")

    def test_a_renewal_lasts_from_when_it_was_sent(self) -> None:
        play, turn = holding()
        play.passes(1)
        play.machine.renew(play.now, turn)
        self.assertEqual(play.look().says(), b"PING\nRENEW turn=1\n")
        # This may have been written before the renewal was sent.
        play.passes(3).hear("GO turn=1 within=30000")
        self.assertEqual(play.tells(taketurns.Renewed), [])
        play.hear("PONG", "GO turn=1 within=30000")
        (renewed,) = play.tells(taketurns.Renewed)
        self.assertEqual((renewed.sent, renewed.until, turn.deadline), (1.0, 31.0, 34.0))

    def test_a_renewal_that_was_lost_is_sent_again(self) -> None:
        play, turn = holding()
        play.machine.renew(play.now, turn)
        play.come_back()
        play.says()
        play.hear("GO turn=1 within=5000", "PONG")
        self.assertEqual(play.says(), b"PING\nRENEW turn=1\n")
        self.assertEqual(play.tells(taketurns.Renewed), [])
        self.assertEqual(len(play.hear("PONG", "GO turn=1 within=30000").tells(taketurns.Renewed)), 1)

    def test_a_renewal_that_cannot_be(self) -> None:
        play, turn = holding()
        play.machine.renew(play.now, turn)
        play.hear("PONG", "NO hold-max turn=1 within=20000 :the turn has lasted as long as it may")
        (refused,) = play.tells(taketurns.NotRenewed)
        self.assertEqual((refused.until, refused.error.code, turn.stage), (20.0, "hold-max", "held"))
        play.machine.renew(play.now, turn)
        play.hear("PONG", "NO stale-turn turn=1")
        self.assertIsInstance(play.fate(), Lapsed)


class Tokens(unittest.TestCase):
    def test_a_token_is_shown_where_no_third_party_can_read_it(self) -> None:
        play = Play(Options("ann", token="ey.J")).connect(is_private=True)
        self.assertEqual(play.said, b"JOIN ann ring=main token=ey.J\n")
        self.assertEqual(Play(Options(None, token="ey.J")).connect().said, b"WATCH ring=main token=ey.J\n")
        play = Play(Options("ann", token="ey.J")).connect(is_private=False)
        self.assertEqual(play.said, b"")
        self.assertTrue(play.machine.is_closing)
        (over,) = play.tells(taketurns.Over)
        self.assertEqual(over.ended.code, "plaintext-token")
        play = Play(Options("ann", token="ey.J", allow_plaintext_secrets=True)).connect(is_private=False)
        self.assertIn(b"token=ey.J", play.said)

    def test_a_token_is_one_word_and_is_not_shown_by_chance(self) -> None:
        for bad in ["", "a b", "a\n", "a\x00"]:
            with self.assertRaises(ValueError) as raised:
                Options("ann", token=bad)
            self.assertNotIn("a b", str(raised.exception))
        self.assertNotIn("ey.J", repr(Options("ann", token="ey.J")))


class Ends(unittest.TestCase):
    def test_farewells(self) -> None:
        for code in ["superseded", "removed", "forbidden", "left", "too-long", "not-utf8", "malformed", "not-here", "tls-required"]:
            play = in_flight().hear(f"BYE {code} :because")
            (over,) = play.tells(taketurns.Over)
            self.assertEqual((over.ended.code, over.ended.words), (code, "because"))
            self.assertIsInstance(play.fate(), Unknown)
            self.assertTrue(play.machine.is_closing)
            play.lose()
            self.assertIsNone(play.machine.next_deadline(), code)
        for code in ["shutting-down", "full", "ring-full", "name-taken", "hello-timeout", "line-timeout", "brand-new", "moved at=x:1"]:
            play = in_flight().hear(f"BYE {code} :because", "GO turn=9 within=1")
            self.assertEqual(play.tells(taketurns.Over) + play.tells(taketurns.Settled) + play.tells(taketurns.Granted), [], code)
            play.says()
            play.lose().connect()
            self.assertEqual(play.says(), f"JOIN ann ring=main resume={SECRET}\n".encode(), "the answer may have counted")

    def test_one_that_is_sent_elsewhere_goes_there_at_once_and_back_when_nothing_answers(self) -> None:
        play = seated().hear("BYE moved at=b:1,c:1 :elsewhere")
        self.assertEqual([news.at for news in play.tells(taketurns.Farewell)], ["b:1,c:1"])
        play.lose()
        self.assertEqual((play.machine.elsewhere, play.machine.next_deadline()), ("b:1,c:1", play.now))
        # The connection is lost later: it is opened there again, after a pause.
        play.connect().welcome().hear("PONG").lose()
        self.assertEqual(play.machine.elsewhere, "b:1,c:1")
        self.assertNotEqual(play.machine.next_deadline(), play.now)
        # Nothing answers there.
        self.assertIsNotNone(play.machine.poll_dial(play.machine.next_deadline() or 0.0))
        self.assertIsNone(play.lose().machine.elsewhere)

    def test_servers_that_send_one_around_are_followed_five_times(self) -> None:
        play = Play()
        for hop in range(14):
            play.connect().hear(f"BYE moved at=b:{hop + 1}").lose()
            is_followed = hop % 6 != 5
            self.assertEqual(play.machine.elsewhere, f"b:{hop + 1}" if is_followed else None, hop)
            self.assertEqual(play.machine.next_deadline() == play.now, is_followed, hop)

    def test_an_address_that_cannot_be_is_not_followed(self) -> None:
        for at in ["nowhere", "b:0", ",,,", "b:1,", "b:x", "\u202eb:1"]:
            play = Play().connect().hear(f"BYE moved at={at}").lose()
            self.assertEqual((play.machine.elsewhere, play.machine.next_deadline() == play.now), (None, False), at)

    def test_one_leaves_with_a_word_and_waits_a_second_for_the_reply(self) -> None:
        play = seated()
        play.machine.leave(play.now)
        self.assertEqual(play.look().says(), b"LEAVE\n")
        play.hear("BYE left :goodbye")
        self.assertEqual(play.tells(taketurns.Over)[0].ended.code, "left")
        play = seated()
        play.machine.leave(play.now)
        play.passes(1.1)
        self.assertTrue(play.machine.is_closing)
        self.assertEqual(play.lose().tells(taketurns.Over)[0].ended.code, "left")

    def test_one_that_is_not_connected_leaves_at_once(self) -> None:
        for play in [Play(), Play().connect(), seated().lose(), Play().connect().lose()]:
            play.machine.leave(play.now)
            self.assertEqual(play.look().tells(taketurns.Over)[0].ended.code, "left")

    def test_an_answer_that_counts_while_one_leaves_counts(self) -> None:
        play = in_flight()
        play.machine.leave(play.now)
        self.assertIsNone(play.hear("OK turn=1", "BYE left").fate())
        play = in_flight()
        play.machine.leave(play.now)
        self.assertIsInstance(play.hear("BYE left").fate(), Unknown)


class Time(unittest.TestCase):
    def test_pings_find_a_server_that_is_gone(self) -> None:
        play = seated().passes(14)
        self.assertEqual(play.says(), b"")
        self.assertEqual(play.passes(1).says(), b"PING\n")
        play.hear("PONG").passes(15)
        self.assertEqual(play.says(), b"PING\n")
        play.passes(15)
        self.assertTrue(play.machine.is_closing)

    def test_pauses_grow_with_a_random_part_and_so_does_the_time_to_connect(self) -> None:
        machine = Machine(Options("ann"), chance=random.Random(7).random)
        now, timeouts, pauses = 0.0, [], []
        for _ in range(12):
            timeout = machine.poll_dial(now)
            assert timeout is not None
            timeouts.append(timeout)
            machine.closed(now, "refused")
            self.assertIsNone(machine.poll_dial(now))
            deadline = machine.next_deadline()
            assert deadline is not None
            pauses.append(deadline - now)
            now = deadline
        self.assertLessEqual(timeouts[0], 2)
        self.assertEqual(timeouts[:6], [2.0, 4.0, 8.0, 16.0, 16.0, 16.0])
        for nth, pause in enumerate(pauses):
            most = min(0.05 * 2**nth, 2.0)
            self.assertTrue(most / 2 <= pause <= most, (nth, pause))
        self.assertGreater(len({round(pause, 6) for pause in pauses[6:]}), 3)

    def test_a_server_that_lives_makes_the_pauses_short_again(self) -> None:
        play = Play()
        for _ in range(8):
            play.machine.poll_dial(play.now)
            play.lose()
            play.now += 2
        play.connect().welcome().lose()
        self.assertGreater((play.machine.next_deadline() or 0) - play.now, 1, "a welcome alone is no proof")
        play.connect().hear("BYE bad-secret").lose()
        self.assertLess((play.machine.next_deadline() or 0) - play.now, 0.1, "it is the right server")
        play.connect().welcome().lose()
        self.assertGreater((play.machine.next_deadline() or 0) - play.now, 1, "one that says so again and again is not")
        play.connect().welcome().hear("PONG").lose()
        self.assertLess((play.machine.next_deadline() or 0) - play.now, 0.1)


SESSION = (
    b"GO\nWAIT\n"
    + f"WELCOME ann seat=1 ring=main epoch={EPOCH} resume={SECRET} new=thing\r\n".encode()
    + b"SEAT bob seat=2 state=holding weight=3\nSEATS main seats=2\nSAY :WELCOME x :y\nSAY bytes=12\nGO turn=9\n\r\n\nWAIT ahead=1\n"
    + b"PONG\nFUTURE word bytes=11 new=1\nLAPSED t=1\n\nGO within=30000 turn=3\nSAY :\nTURN bob turn=2 as=b :a :b=c \r\n"
    + b"TURN bob turn=2 bytes=0\n\nBEGIN ann turn=3 within=30000\nbroken line\nGO turn=x within=1\nGO turn=0 within=1\nJOINED cy seat=3\n"
    + b"AWAY bob\nBACK bob\nLEFT cy\nPAUSED main\nRESUMED main\nSKIP bob turn=7 how=gone\nNO malformed turn=3 within=7 :w\nOK turn=3\n"
    + b"BYE shutting-down :see you\nGO turn=9 within=1\n"
)  # fmt: skip


class Bytes(unittest.TestCase):
    @staticmethod
    def play(pieces: list[bytes]) -> tuple[list[Any], bytes]:
        play = Play(Options("ann", hear=True)).connect()
        events: list[Any] = []
        for piece in pieces:
            play.hear(piece)
            for granted in [event for event in play.events if isinstance(event, taketurns.Granted)]:
                if granted.turn.stage == "held":
                    play.answer(granted.turn, b"42")
        for event in play.events:
            events.append(type(event).__name__ if hasattr(event, "turn") and not isinstance(event.turn, int) else event)
        return events, play.said

    def test_each_cut_of_the_bytes_means_the_same(self) -> None:
        whole = self.play([SESSION])
        each = self.play([SESSION[at : at + 1] for at in range(len(SESSION))])
        names = [event if isinstance(event, str) else type(event).__name__ for event in each[0]]
        self.assertEqual(
            names,
            "Welcome Seated Seats Said Said Waiting Granted Said Answered Answered Began Joined Away Back Left Paused Resumed Skipped "
            "Settled Settled Farewell".split(),
        )
        self.assertIn(taketurns.Answered("bob", 2, b"a :b=c ", "b"), each[0])
        self.assertIn(taketurns.Said(b"GO turn=9\n\r\n"), each[0])
        # With the whole session in one piece the answer comes too late for it.
        self.assertEqual([e for e in each[0] if e != "Settled"], [e for e in whole[0] if e != "Settled"])
        for at in range(1, len(SESSION)):
            two = self.play([SESSION[:at], SESSION[at:]])
            self.assertEqual([e for e in two[0] if e != "Settled"], [e for e in each[0] if e != "Settled"], at)
        rng = random.Random(3)
        for _ in range(200):
            cuts = sorted(rng.sample(range(1, len(SESSION)), 12))
            pieces = [SESSION[a:b] for a, b in zip([0, *cuts], [*cuts, len(SESSION)])]
            events, _ = self.play(pieces)
            self.assertEqual([e for e in events if e != "Settled"], [e for e in each[0] if e != "Settled"], cuts)

    def test_an_incomplete_message_at_the_end_is_none(self) -> None:
        play = in_flight().hear(b"OK turn=1").come_back()
        self.assertEqual(play.tells(taketurns.Settled), [])

    def test_framing_that_is_lost_closes_the_connection(self) -> None:
        bad = [
            b"x" * 1026, b"SAY :" + b"x" * 1020 + b"\n", b"SAY :\xff\n", b"\xc3\n", b"SAY bytes=3 bytes=3\nabc\n", b"SAY bytes=x\n",
            b"SAY bytes=3 :abc\n", b"SAY bytes=-1\n", b"SAY bytes=3\nabcd\n", b"SAY bytes=65537\n", b"X bytes=99999999999999999999999\n",
            b"SAY bytes=\n", b"SAY bytes=+3\nabc\n", "SAY bytes=\u0663\nabc\n".encode(),
        ]  # fmt: skip
        for data in bad:
            play = seated().hear(data, b"GO turn=1 within=9\n")
            self.assertTrue(play.machine.is_closing, data)
            self.assertEqual(play.tells(taketurns.Granted) + play.tells(taketurns.Said), [], data)
        for data in [b"SAY :" + b"x" * 1019 + b"\r\n", b"SAY bytes=65536\n" + b"\0" * 65536 + b"\n"]:
            self.assertEqual(len(seated().hear(data).tells(taketurns.Said)), 1)

    def test_no_bytes_of_a_server_raise_or_grow_anything(self) -> None:
        """Garbage, lines that nearly are some, lengths that lie, and messages of the protocol in any order."""
        rng = random.Random(11)
        verbs = [line for line in SESSION.split(b"\n") if line] + [
            b"GO turn=1 within=1", b"GO turn=18446744073709551615 within=18446744073709551615", b"GO turn=18446744073709551616 within=1",
            b"OK turn=1", b"OK", b"NO refused turn=1 within=1", b"NO judging turn=1", b"BYE bad-secret", b"BYE full", b"LAPSED turn=1",
            f"WELCOME ann seat=1 ring=main epoch={OTHER} resume={SECOND} last=1 judging=1".encode(), b"WELCOME a", b"BYE", b"PONG :x",
            b"SEAT a seat=1 state=\xc2\xa0 weight=999", b"SAY bytes=4000", b"TURN bob turn=1", b":", b"", b"A  b", b"NO hold-max turn=1 within=1",
        ]  # fmt: skip
        play = seated()
        said = 0
        tracemalloc.start()
        base = None
        for step in range(60_000):
            kind = rng.random()
            if kind < 0.1:
                data = rng.randbytes(rng.randrange(200))
            elif kind < 0.2:
                line = bytearray(rng.choice(verbs) + b"\n")
                line[rng.randrange(len(line))] = rng.randrange(256)
                data = bytes(line)
            else:
                data = rng.choice(verbs) + b"\n"
            play.machine.received(play.now, data)
            play.now += rng.random()
            play.machine.expired(play.now)
            for event in iter(play.machine.poll_event, None):
                if isinstance(event, taketurns.Granted) and event.turn.stage == "held":
                    act = rng.randrange(3)
                    if act == 0:
                        play.machine.renew(play.now, event.turn)
                    elif act == 1:
                        play.machine.give_up_turn(play.now, event.turn)
                    else:
                        play.machine.answer(play.now, event.turn, b"1")
            said += len(play.machine.take_output())
            if play.machine.ended:
                play.machine.closed(play.now, "over")
                play = seated()
            elif play.machine.is_closing or rng.random() < 0.01:
                play.machine.closed(play.now, "cut")
                play.connect().hear(rng.choice(verbs))
                play.events.clear()
                play.said = b""
            if step == 10_000:
                base = tracemalloc.get_traced_memory()[0]
        grown = tracemalloc.get_traced_memory()[0] - (base or 0)
        tracemalloc.stop()
        self.assertLess(grown, 300_000)
        self.assertLess(said, 60_000 * 120)

    def test_an_endless_line_or_payload_keeps_no_more_than_a_payload(self) -> None:
        for start in [b"", b"SAY bytes=65536\n"]:
            play = seated()
            splitter = play.machine._link.splitter if play.machine._link else None
            assert splitter
            play.hear(start)
            for _ in range(1000):
                play.hear(b"x" * 1000)
            self.assertTrue(play.machine.is_closing)
            self.assertLess(len(splitter._kept), 70_000)


class Secrets(unittest.TestCase):
    def test_no_secret_is_logged_or_told(self) -> None:
        with self.assertLogs("taketurns", logging.DEBUG) as logs:
            play = seated().hear(
                f"WELCOM ann resume={SECRET}", f"WELCOME ann resume={SECRET}", f"FUTURE {SECRET} resume={SECRET}",
                f"GO turn={SECRET} within=1", f"SAY resume={SECRET}",
            )  # fmt: skip
            play.come_back().lose().connect().hear(b"\xff" + SECRET.encode())
        shown = " ".join(logs.output) + repr(play.events) + repr(play.machine) + repr(Play().connect().machine._link)
        shown += repr(taketurns.parse(f"WELCOME ann resume={SECRET}", None)) + repr(seated().lose().connect().machine._link)
        self.assertNotIn(SECRET, shown)
        self.assertNotIn(SECOND, shown)


class Errors(unittest.TestCase):
    def test_errors_say_what_they_are(self) -> None:
        self.assertEqual(str(Refused("refused", "taken", held=True)), "refused: taken")
        self.assertEqual(str(Ended("superseded", None)), "superseded")
        self.assertIsInstance(Unknown(), taketurns.Error)
        self.assertEqual(taketurns.printable(b"a\x1b[2J\xff\xe2\x80\xae"), "a\\x1b[2J\\xff\\u202e")


if __name__ == "__main__":
    unittest.main()
