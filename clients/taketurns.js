// A client of line protocol 1 over WebSocket, for browsers: one file without dependencies. docs/PROTOCOL.md has every message.
//
//     const seat = new TakeTurns("ws://127.0.0.1:5001", { name: "ann", ring: "oak", hear: true });
//     seat.on("go", ({ turn, within }) => seat.answer("e2 e4").then(() => console.log("it counts")));
//     seat.on("turn", ({ word, text }) => console.log(`${word} said ${text}`));
//
// It reconnects and resumes its seat, also after a reload: the secret of the seat is in sessionStorage, which belongs to one tab. (With
// localStorage two tabs would take the seat from each other for ever.) A tab that was frozen, or a laptop that was closed, has old
// messages in front of the new ones. So after every connect and every awakening it says PING, and acts upon nothing before the PONG.

"use strict";

(() => {
    const FINAL = new Set(["left", "superseded", "removed", "forbidden", "name-taken", "not-here", "malformed", "too-long", "not-utf8", "tls-required"]);
    const PAUSE_MIN = 250, PAUSE_MAX = 10000;   // ms, before it connects again
    const PING_EVERY = 20000, PONG_WITHIN = 6000; // ms
    const REDIRECTS_MAX = 5;                     // in a row, before it begins again at its own address
    const LINE_BYTES_MAX = 900;                  // a longer answer is a payload

    // A line as { verb, word, text, ...fields }; numbers stay text.
    function parse(line) {
        const message = {};
        const at = line.indexOf(" :");
        const head = at < 0 ? line : line.slice(0, at);
        if (at >= 0) message.text = line.slice(at + 2);
        const [verb, ...rest] = head.split(" ");
        for (const field of rest) {
            const equals = field.indexOf("=");
            if (equals > 0) message[field.slice(0, equals)] = field.slice(equals + 1);
            else message.word ??= field;
        }
        message.verb = verb;
        return message;
    }

    class Refused extends Error {
        // The answer does not count. `code` is the server's, or "lost": the turn was over before it could be sent.
        constructor(code, words) {
            super(words || code);
            this.name = "Refused";
            this.code = code;
        }
    }

    class TakeTurns {
        // Options: name (without one it watches), ring, hear, weight, demand, token, storage (null: a reload is a new client).
        constructor(url, options = {}) {
            this.url = url;
            this.options = { ring: "main", ...options };
            this.storage = "storage" in options ? options.storage : globalThis.sessionStorage;
            this.key = `taketurns ${url} ${this.options.ring} ${this.options.name}`;
            this.listeners = new Map();
            this.link = "connecting";  // connecting, live, lost (and connecting again), ended
            this.turn = null;          // { number, until } while it has the turn; `until` as Date.now()
            this.epoch = null;
            this.inFlight = null;      // the answer whose fate is not known
            this.failures = 0;
            this.elsewhere = [];       // where a server sent it: addresses that stand by for each other, the next one first
            this.redirects = 0;        // in a row
            this.timers = {};
            this.awake = () => this.wake();
            this.asleep = event => this.sleep(event);
            this.each((target, type) => target.addEventListener(type, type === "pagehide" ? this.asleep : this.awake));
            queueMicrotask(() => this.connect());
        }

        // Calls `listener` with each message of a kind: a verb in small letters, or "link", when `link` has changed. Messages that a turn
        // depends on (go, wait, lapsed) come when all that was sent before is read.
        on(kind, listener) {
            if (!this.listeners.has(kind)) this.listeners.set(kind, []);
            this.listeners.get(kind).push(listener);
            return this;
        }

        // Answers the turn that it has, with text or bytes. Resolves when the answer counts, and is rejected with a `Refused` otherwise.
        answer(content) {
            if (!this.turn || this.inFlight) return Promise.reject(new Refused("not-your-turn", "it is not your turn"));
            return new Promise((resolve, reject) => {
                this.inFlight = { turn: this.turn.number, epoch: this.epoch, content, resolve, reject, sentOn: null };
                this.send();
            });
        }

        pass() { if (this.turn) this.say(`PASS turn=${this.turn.number}`); }
        renew() { if (this.turn) this.say(`RENEW turn=${this.turn.number}`); }
        ask() { this.say("ASK"); }
        rest() { this.say("REST"); }

        // Gives the seat up, or stops watching.
        leave() {
            this.forget();
            if (this.link === "live") this.say("LEAVE");
            else this.end({ verb: "BYE", word: "left" });
        }

        // Inner workings.

        each(act) {
            if (typeof document === "undefined") return;
            act(document, "visibilitychange");
            for (const type of ["online", "pageshow", "pagehide"]) act(window, type);
        }

        tell(kind, message) {
            for (const listener of this.listeners.get(kind) || []) listener(message);
        }

        become(link, message = {}) {
            this.link = link;
            this.tell("link", { ...message, link });
        }

        after(name, time, act) {
            clearTimeout(this.timers[name]);
            this.timers[name] = setTimeout(act, time);
        }

        connect() {
            clearTimeout(this.timers.pause);
            if (this.link === "ended" || this.socket) return;
            let socket;
            try {
                socket = new WebSocket(this.aim(), "taketurns.line.1");
            } catch (error) {
                return this.end({ verb: "BYE", word: "bad-url", text: error.message });
            }
            socket.binaryType = "arraybuffer";
            this.socket = socket;
            this.announced = null;   // a message whose payload has not come
            this.bye = null;
            this.catchUp(false);
            socket.onopen = () => this.hello();
            socket.onmessage = ({ data }) => { if (this.socket === socket) this.hear(data); };
            socket.onclose = () => { if (this.socket === socket) this.lost(); };
            this.after("pong", 2 * PONG_WITHIN, () => this.drop());
        }

        aim() {
            if (this.elsewhere.length === 0) return this.url;
            const url = new URL(this.url, globalThis.location?.href);
            url.host = this.elsewhere[0];
            return url.href;
        }

        hello() {
            const { name, ring, token, hear, weight, demand } = this.options;
            const fields = { ring, token };
            if (name === undefined) return this.say(`WATCH${this.write(fields)}`);
            const resume = this.recall();
            this.resumed = Boolean(resume);
            this.say(`JOIN ${name}${this.write({ ...fields, resume, weight, demand, hear: hear ? "turns" : undefined })}`);
        }

        write(fields) {
            return Object.entries(fields).filter(([, value]) => value !== undefined && value !== null).map(([key, value]) => ` ${key}=${value}`).join("");
        }

        say(line) {
            if (this.socket?.readyState === 1) this.socket.send(line);
        }

        // What was sent before is read first. `asks`: it says PING at once, in place of after WELCOME.
        catchUp(asks) {
            this.isBehind = true;
            if (asks) this.ping();
        }

        ping() {
            this.say("PING");
            this.pings = (this.pings || 0) + 1;
            this.after("pong", PONG_WITHIN, () => this.drop());
        }

        hear(data) {
            if (typeof data !== "string") {
                const message = this.announced;
                this.announced = null;
                if (!message) return;
                message.bytes = new Uint8Array(data);
                message.text = new TextDecoder().decode(message.bytes);
                return this.take(message);
            }
            const message = parse(data);
            if ("bytes" in message) this.announced = message;
            else this.take(message);
        }

        take(message) {
            const { verb, turn } = message;
            const isMine = turn !== undefined && this.inFlight?.turn === turn;
            switch (verb) {
                case "WELCOME":
                case "WATCHING":
                    this.welcome(message);
                    break;
                case "GO":
                    this.turn = { number: turn, until: Date.now() + Number(message.within) };
                    // On this connection it was not sent yet.
                    if (isMine) this.send();
                    break;
                case "WAIT":
                    this.turn = null;
                    break;
                case "LAPSED":
                    if (this.turn?.number === turn) this.turn = null;
                    break;
                case "OK":
                    if (this.turn?.number === turn) this.turn = null;
                    if (isMine) this.settle(null, message);
                    break;
                case "NO":
                    if (message.within === undefined && this.turn?.number === turn) this.turn = null;
                    else if (message.within !== undefined) this.turn = { number: turn, until: Date.now() + Number(message.within) };
                    if (isMine && !["judging", "hold-max"].includes(message.word)) this.settle(new Refused(message.word, message.text), message);
                    break;
                case "PONG":
                    return this.caughtUp();
                case "BYE":
                    this.bye = message;
                    break;
            }
            // What has to be acted upon waits until nothing newer can be behind it.
            if (this.isBehind && ["GO", "WAIT", "LAPSED"].includes(verb)) this.latest = message;
            else this.tell(verb.toLowerCase(), message);
        }

        welcome(message) {
            this.turn = null;
            this.latest = null;
            this.epoch = message.epoch;
            if (message.resume) this.remember(message.resume);
            const answer = this.inFlight;
            if (answer && (answer.epoch !== message.epoch)) this.settle(new Refused("lost", "the server has begun anew"), message);
            else if (answer && message.last === answer.turn) this.settle(null, message);
            else if (answer && message.judging === answer.turn) answer.sentOn = this.socket;
            this.redirects = 0;
            this.ping();
            this.become("live", message);
        }

        // A PONG has come: of several, the last one counts.
        caughtUp() {
            clearTimeout(this.timers.pong);
            this.failures = 0;
            this.pings = Math.max(0, (this.pings || 0) - 1);
            if (this.pings > 0) return;
            this.after("ping", PING_EVERY, () => this.ping());
            if (!this.isBehind) return;
            this.isBehind = false;
            const answer = this.inFlight;
            // Neither accepted nor judged, and its turn is over.
            if (answer && answer.sentOn !== this.socket && answer.turn !== this.turn?.number) this.settle(new Refused("lost", "the turn is over"), {});
            else if (answer) this.send();
            const latest = this.latest;
            this.latest = null;
            // Of a turn that was lost meanwhile nothing is said but that it lapsed.
            if (latest && (latest.verb !== "GO" || this.turn?.number === latest.turn)) this.tell(latest.verb.toLowerCase(), latest);
        }

        // Sends the answer, if it is time and has not been done.
        send() {
            const { turn, epoch, content, sentOn } = this.inFlight;
            if (this.isBehind || this.link !== "live" || sentOn === this.socket) return;
            this.inFlight.sentOn = this.socket;
            const head = `ANSWER turn=${turn} epoch=${epoch}`;
            const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
            // eslint-disable-next-line no-control-regex
            if (typeof content === "string" && bytes.length <= LINE_BYTES_MAX && !/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/.test(content)) {
                return this.say(`${head} :${content}`);
            }
            this.say(`${head} bytes=${bytes.length}`);
            this.say(bytes);
        }

        settle(refusal, message) {
            const { resolve, reject, turn } = this.inFlight;
            this.inFlight = null;
            if (refusal) reject(refusal);
            else resolve({ turn, text: message.verb === "OK" ? message.text : undefined });
        }

        // The connection does not answer.
        drop() {
            const socket = this.socket;
            if (!socket) return;
            socket.onclose = socket.onmessage = null;
            socket.close();
            this.lost();
        }

        lost() {
            this.socket = null;
            this.turn = null;
            this.pings = 0;
            ["pong", "ping"].forEach(name => clearTimeout(this.timers[name]));
            const code = this.bye?.word;
            if (code === "bad-secret") {
                this.forget();
                return this.connect();
            }
            if (FINAL.has(code)) return this.end(this.bye);
            const [at, ...others] = this.elsewhere;
            if (at) this.elsewhere = this.link === "live" ? [...others, at] : others;
            this.become("lost", this.bye || {});
            if (code === "moved" && this.bye.at && this.redirects++ < REDIRECTS_MAX) {
                this.elsewhere = this.bye.at.split(",");
                return this.connect();
            }
            if (code === "moved") [this.elsewhere, this.redirects] = [[], 0];
            const pause = Math.min(PAUSE_MAX, PAUSE_MIN * 2 ** this.failures++);
            this.after("pause", pause * (0.5 + Math.random() / 2), () => this.connect());
        }

        end(bye) {
            this.forget();
            Object.values(this.timers).forEach(clearTimeout);
            this.each((target, type) => target.removeEventListener(type, type === "pagehide" ? this.asleep : this.awake));
            if (this.inFlight) this.settle(new Refused(bye.word, bye.text), bye);
            this.become("ended", bye);
        }

        // The page is looked at again, or the network is back: what the connection is worth shows soon.
        wake() {
            if (this.link === "ended" || (typeof document !== "undefined" && document.visibilityState === "hidden")) return;
            if (!this.socket) {
                this.failures = 0;
                this.connect();
            } else if (this.link === "live") {
                this.catchUp(true);
            }
        }

        // A page that is kept for the way back must have no connection.
        sleep() {
            if (!this.socket || this.link === "ended") return;
            this.socket.onclose = this.socket.onmessage = null;
            this.socket.close();
            this.lost();
            clearTimeout(this.timers.pause);
        }

        remember(secret) { try { this.storage?.setItem(this.key, secret); } catch { /* Without storage a reload is a new client. */ } }
        recall() { try { return this.storage?.getItem(this.key) ?? undefined; } catch { return undefined; } }
        forget() { try { this.storage?.removeItem(this.key); } catch { /* as above */ } }
    }

    TakeTurns.parse = parse;
    TakeTurns.Refused = Refused;
    globalThis.TakeTurns = TakeTurns;
})();
