"""The checker finds what is planted: a sound history with one thing broken, for each kind."""

import unittest

import checker
from checker import (DIVERGED, DUPLICATED, FORKED, LOST, OK, PHANTOM, REFUSED, RESURRECTED, STALE,
                     UNKNOWN, UNSEEN, Delete, Final, Read, Write)

LOG1, LOG2 = (1, 100), (2, 200)


def write(at, value, begin, index, log=LOG1, outcome=OK, device="d"):
    return Write("c", log[0], begin, begin + 0.01, outcome,
                 log + (index,) if outcome == OK else None, {(device, at): value})


def delete(first, last, begin, index, log=LOG1, outcome=OK):
    return Delete("c", log[0], begin, begin + 0.01, outcome,
                  log + (index,) if outcome == OK else None, "d", first, last)


def read(found, begin, tokens=None, node=2, local=True, first=1, last=9):
    return Read("c", node, begin, begin + 0.01, tokens or {}, local, "d", first, last, found)


def final(cells, node=1, **changes):
    cells = {("d", at): value for at, value in cells.items()}
    values = {"repeated": [], "digest": hash(frozenset(cells.items())), "count": len(cells),
              "miscounted": 0}
    values.update(changes)
    return Final(node, cells, **values)


# A sound history: 1 overwritten from the other node, 2 deleted, 3 written after the delete,
# 4 without an answer, 5 refused, 6 deleted by a request without an answer.
SOUND = [
    write(1, "a", 1.0, 1), write(1, "b", 2.0, 1, LOG2),
    write(2, "c", 1.0, 2), write(3, "d", 1.0, 3), delete(2, 3, 2.0, 4), write(3, "e", 3.0, 5),
    write(4, "f", 3.0, 0, outcome=UNKNOWN), write(5, "g", 3.0, 0, outcome=REFUSED),
    write(6, "h", 3.5, 6), delete(6, 6, 4.0, 0, outcome=UNKNOWN),
    read({1: "b", 3: "e"}, 5.0, {LOG1: 6, LOG2: 1}),
]
STATE = {1: "b", 3: "e"}


class Planted(unittest.TestCase):
    def kinds(self, operations, finals, **options):
        return {each.kind for each in checker.check(operations, finals, **options)}

    def expect(self, kind, operations=(), states=(STATE, STATE), finals=None, **options):
        if finals is None:
            finals = [final(state, node + 1) for node, state in enumerate(states)]
        self.assertEqual(self.kinds(SOUND + list(operations), finals, **options), {kind})

    def test_sound(self):
        for state in (STATE, {**STATE, 4: "f"}, {**STATE, 6: "h"}):
            self.assertEqual(self.kinds(SOUND, [final(state, 1), final(state, 2)]), set())
        self.assertEqual(self.kinds([], []), set())

    def test_lost_write(self):
        self.expect(LOST, states=({1: "b"}, {1: "b"}))

    def test_lost_on_one_node(self):
        self.assertEqual(self.kinds(SOUND, [final(STATE, 1), final({3: "e"}, 2)]), {LOST, DIVERGED})

    def test_lost_although_an_earlier_delete_hid_it(self):
        # The delete of 2 … 3 came before "e" in the same log, so it explains nothing.
        self.expect(LOST, states=({1: "b"},) * 2, trust_clocks=False)

    def test_value_that_nobody_sent(self):
        self.expect(PHANTOM, states=({**STATE, 8: "x"},) * 2)

    def test_value_of_another_cell(self):
        self.expect(PHANTOM, states=({**STATE, 4: "e"},) * 2)

    def test_refused_write_that_happened(self):
        self.expect(PHANTOM, states=({**STATE, 5: "g"},) * 2)

    def test_divergence(self):
        self.expect(DIVERGED, states=(STATE, {**STATE, 4: "f"}))

    def test_digests_that_differ(self):
        self.expect(DIVERGED, finals=[final(STATE, 1), final(STATE, 2, digest=0)])

    def test_cells_that_are_not_counted(self):
        self.expect(DIVERGED, finals=[final(STATE, 1, count=3)])

    def test_wrong_winner_in_one_log(self):
        self.expect(STALE, [write(3, "z", 3.6, 7)], trust_clocks=False)

    def test_wrong_winner_of_two_logs(self):
        self.expect(STALE, states=({**STATE, 1: "a"},) * 2)

    def test_concurrent_writes_may_win_either_way(self):
        operations = SOUND + [write(7, "x", 6.0, 8), write(7, "y", 6.1, 8, LOG2)]
        for value in "xy":
            state = {**STATE, 7: value}
            self.assertEqual(self.kinds(operations, [final(state)]), set())

    def test_clocks_that_are_not_trusted(self):
        state = {**STATE, 1: "a"}
        self.assertEqual(self.kinds(SOUND[:-1], [final(state)], trust_clocks=False), set())

    def test_deleted_value_that_comes_back(self):
        self.expect(RESURRECTED, states=({**STATE, 2: "c"},) * 2)

    def test_read_that_misses_its_token(self):
        self.expect(UNSEEN, [read({1: "b"}, 5.0, {LOG1: 6}, local=False)])

    def test_read_of_a_value_overwritten_before(self):
        self.expect(STALE, [read({1: "a", 3: "e"}, 5.0, {LOG1: 6, LOG2: 1})])

    def test_read_that_misses_what_its_node_acknowledged(self):
        self.expect(UNSEEN, [read({1: "b"}, 5.0, node=1)])

    def test_read_elsewhere_without_a_token_may_miss_it(self):
        operations = SOUND + [read({}, 5.0, node=3)]
        self.assertEqual(self.kinds(operations, [final(STATE)]), set())

    def test_read_of_a_value_that_nobody_sent(self):
        self.expect(PHANTOM, [read({1: "b", 3: "e", 8: "x"}, 5.0)])

    def test_read_of_a_value_before_it_was_sent(self):
        self.expect(PHANTOM, [read({1: "b"}, 0.5)])

    def test_read_of_what_was_not_asked_for(self):
        self.expect(PHANTOM, [read({3: "e"}, 5.0, node=3, first=1, last=2)])

    def test_token_given_twice(self):
        self.expect(DUPLICATED, [write(3, "y", 3.0, 5)])

    def test_index_that_goes_back(self):
        self.expect(FORKED, [write(9, "y", 0.5, 7)], states=({**STATE, 9: "y"},) * 2)

    def test_token_of_another_node(self):
        late = write(9, "y", 9.0, 7)._replace(node=2)
        self.expect(FORKED, [late], states=({**STATE, 9: "y"},) * 2)

    def test_cell_that_comes_twice(self):
        self.expect(DUPLICATED, finals=[final(STATE, repeated=[("d", 1)])])

    def test_entry_applied_twice(self):
        self.expect(DUPLICATED, finals=[final(STATE, miscounted=1)])


def run():
    """(tests, failed)"""
    result = unittest.TextTestRunner(verbosity=0).run(
        unittest.defaultTestLoader.loadTestsFromTestCase(Planted))
    return result.testsRun, len(result.failures) + len(result.errors)


if __name__ == "__main__":
    unittest.main()
