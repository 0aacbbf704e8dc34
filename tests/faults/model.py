# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which prefix counts, written down a second time, from the words of lib/map/choose.h and not from its code.

A line is one /56. Its signs: what an RA said (ra), addresses on the WAN (wan), the delegated route (pd), addresses on
the LAN (lan). A sign is None, or [alive, since, confirmed]; times are the numbers of the steps of a schedule."""

HOLD = 10.0  # seconds, daemon/decide.h


class Sign:
    def __init__(self, step):
        self.alive, self.created, self.since, self.confirmed = True, step, step, step


class Line:
    def __init__(self, prefix, params):
        self.prefix, self.params = prefix, params  # params None: no rule for this prefix
        self.ra = self.wan = self.pd = self.lan = None

    def visible(self):
        return any((self.ra, self.wan, self.pd, self.lan))

    def delegated(self):
        return self.pd is not None

    def announced(self):
        return self.ra is not None or self.wan is not None

    def weak(self):
        return not self.delegated() and not self.announced()

    def word(self):
        """The last time a router said that it is to be used."""
        return max([sign.confirmed for sign in (self.ra, self.wan) if sign and sign.alive], default=0)

    def deprecated(self):
        addresses = [sign for sign in (self.wan, self.lan) if sign]
        dead = bool(addresses) and not any(sign.alive for sign in addresses)
        if self.delegated():
            return dead and not (self.ra and self.ra.alive)
        if self.ra:
            return not self.ra.alive
        return dead

    def backing(self):
        """How well an address proves that a delegated prefix is in use: on the LAN, on the WAN, not at all."""
        if not self.delegated():
            return 0
        if self.lan and self.lan.alive:
            return 2
        return 1 if any(sign and sign.alive for sign in (self.ra, self.wan)) else 0

    def outdated(self, last_word):
        return self.delegated() and not self.backing() and last_word > self.pd.since

    @staticmethod
    def oldest(signs):
        """Of those alive; of the others only when none is."""
        signs = [sign for sign in signs if sign]
        return min([sign.since for sign in signs if sign.alive] or [sign.since for sign in signs], default=0)

    def appeared(self):
        if self.delegated():
            return self.pd.since
        return self.oldest([self.ra, self.wan]) if self.announced() else self.oldest([self.lan])

    def addressed(self):
        if not self.delegated():
            return 0
        return self.oldest([self.lan]) or self.oldest([self.ra, self.wan])

    def rank(self, last_word, present):
        return (not self.deprecated(), not self.weak(), self.backing(), not self.outdated(last_word), self.appeared(),
                self.addressed(), self.delegated(), self is present)


def superseded(best, other):
    """best is only a left-over, and the line was renumbered into other, for which there is no rule."""
    of_delegation = best.delegated() or best.weak()
    if other.deprecated() or other.weak() or other.delegated() != of_delegation:
        return False
    if of_delegation and not best.backing() and other.backing():
        return True
    return best.deprecated() and other.appeared() > best.appeared()


class Model:
    def __init__(self, lines):
        self.lines = lines
        self.present = None  # what MAP-E is built on
        self.lost_at = None

    def choose(self):
        """A line, "none" (nothing is visible) or "no rule"."""
        seen = [line for line in self.lines if line.visible()]
        if not seen:
            return "none"
        last_word = max(line.word() for line in seen)

        def best_of(lines):
            return max(lines, key=lambda line: line.rank(last_word, self.present), default=None)

        best = best_of([line for line in seen if line.params])
        without = [line for line in seen if not line.params]
        if not best:
            return "no rule"
        return "no rule" if any(superseded(best, other) for other in without) else best

    def look(self, now):
        """The line on which MAP-E must stand now, or None."""
        choice = self.choose()
        if choice == "none" and self.present:
            if self.lost_at is None:
                self.lost_at = now
            if now - self.lost_at < HOLD:
                return self.present
        self.lost_at = None
        self.present = choice if isinstance(choice, Line) else None
        return self.present
