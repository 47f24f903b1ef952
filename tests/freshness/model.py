"""The protocol of docs/freshness.md as a machine small enough to look at every state it can get into.

One host with one worker's memory, a few incarnations of its follower, one key, one change that takes something away,
and a few verbs that settle, each before or after that change. Every step of each of them may happen at any time, or
never: that is what a slow, stopped, killed or cut off process looks like from outside. Statements already sent may be
carried out after whoever sent them has died. The clock is coarse: one tick is a whole lease.

Numbers that only go up are not in the states. What matters of them is whether a worker has seen the present one, so an
entry whose stamp is out of date, and a fill that will not be kept, are left out: they never count again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

LEASE = 1  # ticks
CHANGE = 0

# Each rule of the protocol that can be left out, and what happens then.
RULES = {
    "wait": "a verb answers without waiting for anybody",
    "write, then acknowledge": "a fence is acknowledged before the change in front of it is written",
    "join, then begin afresh": "everything is declared out of date before verbs know of the host",
    "begin afresh": "a follower that joins believes what was remembered before",
    "fence before afresh": "the last fence is read after everything was declared out of date",
    "listen first": "a follower listens only after it has declared everything out of date",
    "nothing drawn, nothing heard": "the first fence counts as heard before it was drawn",
    "old name goes last": "a follower that joins anew takes its old row away before it has begun afresh",
    "new name": "a follower that joins anew, or another one on its host, uses the name of before",
    "barred is barred": "a lease is renewed though it was taken away",
    "barred is waited for": "a verb does not wait for a host whose lease another has taken away",
    "lease runs out first": "a host is forgotten as soon as its lease has been taken away",
    "lease counts from the bar": "a verb counts the lease from its own beginning, and not from when it was taken away",
    "ask the clock first": "a host counts its lease from the answer to the renewal, and not from the question",
    "shorter than the lease": "a host's right is longer than the lease",
    "silence, then leave": "a follower that ends takes its row away before the right to speak from memory",
    "look again": "the count is not looked at again after a question to the database",
    "count, then slot": "the count goes up after the slot was written",
    "count, then era": "the count goes up after everything was declared out of date",
}


class Follower(NamedTuple):
    """Who follows: its incarnation, where it is, what it has heard, and what it has asked the database."""

    incarnation: int
    at: str
    listens: bool = False
    fence: int = 0
    former: int = -1  # the incarnation whose row it will take away
    asked: tuple[str, int] | None = None


class Verb(NamedTuple):
    """A verb that settles. ``relies`` says that its change, or one before it, is the one that matters."""

    at: str = "committing"
    relies: bool = False
    fence: int = 0
    awaited: tuple[int, ...] = ()
    left: tuple[int, ...] = ()  # for each incarnation, ticks until nothing can be left of a lease; -1: not taken away


class State(NamedTuple):
    """Everything at one moment."""

    changed: bool = False
    drawn: int = 0  # the last fence
    unheard: tuple[int, ...] = ()  # by whoever follows, in the order of commits: 0 is the change, others are fences
    rows: tuple[tuple[int, bool] | None, ...] = ()  # for each incarnation: acknowledged, barred
    begun: int = 0  # incarnations
    follower: Follower | None = None
    former: int = -1
    strays: tuple[tuple[str, int, int], ...] = ()  # sent by who is gone: what, incarnation, number
    right: int = 0  # ticks for which the worker may speak from memory
    remembers: bool = False  # an answer from before the change, with the present slot and era
    fill: str = ""  # a question to the database on its way, that found the count as it is
    verbs: tuple[Verb, ...] = ()


def is_wrong(state: State) -> bool:
    """Whether somebody was answered who relies on the change, and the worker still accepts."""
    return state.remembers and state.right > 0 and any(verb.at == "answered" and verb.relies for verb in state.verbs)


class Protocol:
    """The machine, with all of its rules but those left out."""

    def __init__(self, *, without: str = "") -> None:
        self.without = without
        self.right = LEASE + 1 if without == "shorter than the lease" else LEASE

    def keeps(self, rule: str) -> bool:
        """Whether a rule is kept."""
        return rule != self.without

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield everything that can happen next."""
        if not state.changed:
            yield (
                "the worker asks, the change is committed",
                self._send(state, CHANGE)._replace(changed=True, fill="asked"),
            )
        yield from self._clock(state)
        yield from self._worker(state)
        yield from self._follower(state)
        yield from self._strays(state)
        for index, verb in enumerate(state.verbs):
            if index and verb == state.verbs[index - 1]:
                continue  # the same as the one before, under another name
            for what, after, new in self._verb(state, verb):
                others = state.verbs[:index] + state.verbs[index + 1 :]
                yield what, after._replace(verbs=tuple(sorted((*others, new))))

    # Time

    def _clock(self, state: State) -> Iterator[tuple[str, State]]:
        follower = state.follower
        if follower and follower.asked and follower.asked[0] in ("renew", "renewed"):
            follower = follower._replace(asked=(follower.asked[0], max(0, follower.asked[1] - 1)))
        verbs = tuple(
            verb._replace(left=tuple(max(0, left - 1) if left >= 0 else -1 for left in verb.left))
            for verb in state.verbs
        )
        after = state._replace(right=max(0, state.right - 1), follower=follower, verbs=tuple(sorted(verbs)))
        if after != state:
            yield "a lease's length goes by", after

    # The worker

    def _worker(self, state: State) -> Iterator[tuple[str, State]]:
        if state.fill == "asked":
            yield "worker: reads the slot", state._replace(fill="stamped")
        elif state.fill == "stamped":
            yield "worker: remembers", state._replace(fill="", remembers=True)

    def _counted(self, state: State) -> State:
        return state._replace(fill="") if self.keeps("look again") else state

    def _written(self, state: State) -> State:
        return state._replace(remembers=False, fill="" if state.fill == "stamped" else state.fill)

    # The follower

    def _follower(self, state: State) -> Iterator[tuple[str, State]]:
        follower = state.follower
        if follower is None:
            if state.begun < len(state.rows):
                first = Follower(state.begun, self._order()[0], former=state.former)
                yield "follower: begins", state._replace(follower=first, begun=state.begun + 1, former=-1)
            return
        yield "follower: is killed", self._gone(state, follower)
        yield "follower: loses its connection", self._lost(state, follower)
        if follower.asked:
            yield from self._carried_out(state, follower)
        elif follower.at == "idle":
            yield from self._idle(state, follower)
        elif follower.at == "slot":
            yield "follower: writes the slot", self._go(self._written(state), follower, "idle")
        elif follower.at == "count late":
            yield "follower: counts", self._go(self._counted(state), follower, "idle")
        elif follower.at == "leaving":
            if self.keeps("silence, then leave"):
                yield "follower: gives up its right", self._ask(state._replace(right=0), follower, "leave", 0)
            else:
                yield "follower: takes its row away", self._ask(state, follower, "leave", 0)
        elif follower.at == "left":
            yield "follower: gives up its right", state._replace(right=0, follower=None)
        else:
            yield from self._join(state, follower)

    def _order(self) -> tuple[str, ...]:
        """Return the steps of joining."""
        order = ["listen", "insert", "fence", "count", "era", "former"]

        def move(step: str, before: str) -> None:
            order.remove(step)
            order.insert(order.index(before), step)

        match self.without:
            case "begin afresh":
                order = ["listen", "insert", "fence", "former"]
            case "join, then begin afresh":
                move("insert", "former")
            case "fence before afresh":
                move("fence", "former")
            case "listen first":
                move("listen", "former")
            case "old name goes last":
                move("former", "fence")
            case "count, then era":
                move("era", "count")
        return (*order, "acknowledge")

    def _join(self, state: State, follower: Follower) -> Iterator[tuple[str, State]]:
        step, order = follower.at, self._order()
        after = order[order.index(step) + 1] if step != "acknowledge" else ""
        match step:
            case "listen":
                yield "follower: listens", self._go(state, follower._replace(listens=True), after)
            case "insert":
                row = (follower.fence, False)
                yield "follower: joins", self._go(self._put(state, follower.incarnation, row), follower, after)
            case "fence":
                last = state.drawn
                if not self.keeps("nothing drawn, nothing heard"):
                    last = max(1, last)
                known = follower._replace(fence=last)
                yield "follower: reads the last fence", self._go(state, known, after)
            case "count":
                yield "follower: counts", self._go(self._counted(state), follower, after)
            case "era":
                yield "follower: declares everything out of date", self._go(self._written(state), follower, after)
            case "former":
                if follower.former < 0 or self._row(state, follower.former) is None:
                    yield "follower: had no row", self._go(state, follower, after)
                else:
                    yield (
                        "follower: takes its old row away",
                        self._go(self._put(state, follower.former, None), follower, after),
                    )
            case "acknowledge":
                yield "follower: acknowledges", self._ask(state, follower, "acknowledge", follower.fence)

    def _idle(self, state: State, follower: Follower) -> Iterator[tuple[str, State]]:
        yield "follower: asks for a renewal", self._ask(state, follower, "renew", self.right)
        yield "follower: ends", self._go(state, follower, "leaving")
        if not state.unheard:
            return
        item, rest = state.unheard[0], state._replace(unheard=state.unheard[1:])
        if item != CHANGE:
            yield "follower: hears a fence", self._ask(rest, follower, "acknowledge", item)
            return
        if self.keeps("count, then slot"):
            yield "follower: hears the change, counts", self._go(self._counted(rest), follower, "slot")
        else:
            yield "follower: hears the change, writes the slot", self._go(self._written(rest), follower, "count late")
        if not self.keeps("write, then acknowledge") and rest.unheard:
            early = rest._replace(unheard=rest.unheard[1:])
            hasty = self._ask(early, follower._replace(at="slot"), "acknowledge", rest.unheard[0])
            yield "follower: hears the change and a fence behind it", hasty

    def _carried_out(self, state: State, follower: Follower) -> Iterator[tuple[str, State]]:
        """Let the database do what the follower has asked for, and the follower read the answer."""
        what, number = follower.asked or ("", 0)
        done, row = follower._replace(asked=None), self._row(state, follower.incarnation)
        if what == "renewed":
            right = number if self.keeps("ask the clock first") else self.right
            yield "follower: may speak from memory", state._replace(right=right, follower=done)
        elif what == "renew":
            if row is None or (row[1] and self.keeps("barred is barred")):
                yield "follower: has lost its lease", self._lost(state, done)
            else:
                yield "the lease is renewed", state._replace(follower=follower._replace(asked=("renewed", number)))
        elif what == "leave":
            after = self._put(state, follower.incarnation, None)
            if self.keeps("silence, then leave"):
                yield "the row is taken away", after._replace(follower=None)
            else:
                yield "the row is taken away", self._go(after, done, "left")
        elif row is None:
            yield "follower: has lost its lease", self._lost(state, done)
        else:
            at = "idle" if follower.at == "acknowledge" else follower.at
            done = done._replace(fence=0, former=-1)
            after = self._put(state, follower.incarnation, (max(row[0], number), row[1]))
            yield "a fence is acknowledged", self._go(after, done, at)

    def _strays(self, state: State) -> Iterator[tuple[str, State]]:
        for stray in state.strays:
            what, incarnation, number = stray
            after = state._replace(strays=tuple(one for one in state.strays if one != stray))
            row = self._row(state, incarnation)
            if what == "leave":
                yield "a late statement takes a row away", self._put(after, incarnation, None)
            elif row is not None:
                late = (max(row[0], number), row[1])
                yield "a late statement acknowledges a fence", self._put(after, incarnation, late)

    def _gone(self, state: State, follower: Follower) -> State:
        strays = state.strays
        if follower.asked and follower.asked[0] in ("leave", "acknowledge"):
            strays = (*strays, (follower.asked[0], follower.incarnation, follower.asked[1]))
            strays = tuple(one for one in strays if self._row(state, one[1]) is not None)
        return state._replace(follower=None, strays=strays, former=-1, unheard=())

    def _lost(self, state: State, follower: Follower) -> State:
        """Return the state after a follower lost its connection or its lease: it begins anew, and knows its old row."""
        former = follower.incarnation if state.begun < len(state.rows) else -1
        return self._gone(state, follower)._replace(former=former)

    @staticmethod
    def _go(state: State, follower: Follower, at: str) -> State:
        return state._replace(follower=follower._replace(at=at))

    @staticmethod
    def _ask(state: State, follower: Follower, what: str, number: int) -> State:
        return state._replace(follower=follower._replace(asked=(what, number)))

    # The table

    def _place(self, incarnation: int) -> int:
        return incarnation if self.keeps("new name") else 0

    def _row(self, state: State, incarnation: int) -> tuple[int, bool] | None:
        return state.rows[self._place(incarnation)]

    def _put(self, state: State, incarnation: int, row: tuple[int, bool] | None) -> State:
        place = self._place(incarnation)
        return state._replace(rows=(*state.rows[:place], row, *state.rows[place + 1 :]))

    # A verb

    @staticmethod
    def _send(state: State, item: int) -> State:
        listens = state.follower is not None and state.follower.listens
        return state._replace(unheard=(*state.unheard, item)) if listens else state

    def _verb(self, state: State, verb: Verb) -> Iterator[tuple[str, State, Verb]]:
        if verb.at == "committing":
            begun = verb._replace(relies=state.changed)
            if not any(state.rows):
                yield "verb: finds nobody who remembers", state, self._answered(begun)
            else:
                fence = state.drawn + 1
                yield "verb: draws a fence", state._replace(drawn=fence), begun._replace(at="drawn", fence=fence)
        elif verb.at == "drawn":
            left = verb.left if self.keeps("lease counts from the bar") else (LEASE,) * len(state.rows)
            after = self._send(state, verb.fence)
            new = verb._replace(at="raised", left=left)
            yield "verb: sends its fence", after, new if self.keeps("wait") else self._answered(new)
        elif verb.at in ("raised", "waiting"):
            looked = self._looked(state, verb)
            if looked != verb:
                yield "verb: looks", state, looked
            if verb.at == "waiting":
                yield from self._impatient(state, verb)

    def _looked(self, state: State, verb: Verb) -> Verb:
        known = range(len(state.rows)) if verb.at == "raised" else verb.awaited
        behind = [place for place in known if (row := state.rows[place]) and row[0] < verb.fence]
        if not self.keeps("barred is waited for") and verb.at == "raised":
            behind = [place for place in behind if not (state.rows[place] or (0, False))[1]]
        left = [was if place in behind else -1 for place, was in enumerate(verb.left)]
        for place in behind:
            if (state.rows[place] or (0, False))[1] and left[place] < 0:
                left[place] = LEASE
        new = verb._replace(at="waiting", awaited=tuple(behind), left=tuple(left))
        return new if behind else self._answered(new)

    def _impatient(self, state: State, verb: Verb) -> Iterator[tuple[str, State, Verb]]:
        over = [place for place in verb.awaited if verb.left[place] == 0]
        if over:
            rows = tuple(None if place in over else row for place, row in enumerate(state.rows))
            rest = tuple(place for place in verb.awaited if place not in over)
            new = verb._replace(awaited=rest)
            yield (
                "verb: forgets whose lease has run out",
                state._replace(rows=rows),
                new if rest else self._answered(new),
            )
        unbarred = [place for place in verb.awaited if (row := state.rows[place]) and not row[1]]
        if unbarred:
            forgotten = not self.keeps("lease runs out first")
            rows = tuple(
                (None if forgotten else (row[0], True)) if row and place in unbarred else row
                for place, row in enumerate(state.rows)
            )
            yield "verb: takes the lease away", state._replace(rows=rows), verb

    @staticmethod
    def _answered(verb: Verb) -> Verb:
        return Verb("answered", verb.relies, left=(-1,) * len(verb.left))


def is_harmless(state: State) -> bool:
    """Whether nothing can go wrong any more: nobody has an old answer, or nobody can or will speak or rely."""
    silent = state.right == 0 and state.follower is None and state.begun == len(state.rows)
    trusting = not any(verb.relies or verb.at == "committing" for verb in state.verbs)
    return state.changed and (silent or trusting or not (state.remembers or state.fill))


class Trace(NamedTuple):
    """What a search came to: how many states there were, and the shortest way to a wrong one, if there is any."""

    states: int
    steps: tuple[str, ...] | None


def search(protocol: Protocol, *, incarnations: int, verbs: int) -> Trace:
    """Look at every state, the nearest first, until one is wrong."""
    verb = Verb(left=(-1,) * incarnations)
    beginning = State(rows=(None,) * incarnations, verbs=(verb,) * verbs)
    came_from: dict[State, tuple[State, str] | None] = {beginning: None}
    frontier = [beginning]
    while frontier:
        further = []
        for state in frontier:
            for what, after in protocol.steps(state):
                if after in came_from:
                    continue
                came_from[after] = (state, what)
                if is_harmless(after):
                    continue
                if is_wrong(after):
                    return Trace(len(came_from), _way_to(after, came_from))
                further.append(after)
        frontier = further
    return Trace(len(came_from), None)


def _way_to(state: State, came_from: dict[State, tuple[State, str] | None]) -> tuple[str, ...]:
    steps = []
    before = came_from[state]
    while before is not None:
        steps.append(before[1])
        before = came_from[before[0]]
    return tuple(reversed(steps))
